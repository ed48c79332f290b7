"""Openness: where on a hop an ion may be, from one frame."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition

from ionloop.errors import ExplorationError
from ionloop.explore.bottleneck import (
    OPEN_BINS,
    OPEN_QUANTILES,
    anions,
    openness,
    openness_bins,
)


def antifluorite() -> Atoms:
    """Li2S: Li in tetrahedra of S."""
    return bulk("SLi2", "fluorite", a=5.71, cubic=True)


def test_an_ion_in_its_tetrahedron_is_closed_and_one_in_a_triangle_open():
    atoms = antifluorite()
    assert openness(atoms, "Li", ["S"]) == pytest.approx(0.0, abs=1e-9)
    sulphur = atoms.positions[atoms.symbols == "S"]
    ion = int(np.flatnonzero(atoms.symbols == "Li")[0])
    d = atoms.get_distances(ion, np.flatnonzero(atoms.symbols == "S"), mic=True)
    near = np.flatnonzero(atoms.symbols == "S")[np.argsort(d)[:3]]
    corners = atoms.positions[ion] + atoms.get_distances(ion, near, mic=True, vector=True)
    atoms.positions[ion] = corners.mean(axis=0)
    edge = np.linalg.norm(corners[0] - corners[1])
    # The face's centre is edge/sqrt(3) from its corners, the apex sqrt(2/3) edge away.
    assert openness(atoms, "Li", ["S"])[0] == pytest.approx(np.sqrt(2) - 1, rel=1e-6)
    assert len(sulphur) == 4
    assert edge == pytest.approx(5.71 / np.sqrt(2))


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    scale=st.floats(0.9, 1.2),
    shift=st.tuples(*[st.floats(-20, 20)] * 3),
)
def test_moving_turning_and_scaling_all_changes_nothing(seed, scale, shift):
    atoms = antifluorite()
    atoms.rattle(0.2, seed=seed)
    q = openness(atoms, "Li", ["S"])
    assert (q >= 0).all()
    other = atoms.copy()
    other.positions += shift
    other.rotate(37, (1, 2, 3), rotate_cell=True)
    other.set_cell(other.cell * scale, scale_atoms=True)
    order = np.random.default_rng(seed).permutation(len(other))
    again = openness(other[order], "Li", ["S"])
    assert np.sort(again) == pytest.approx(np.sort(q), abs=1e-9)


def test_anions_are_guessed_from_charges_or_else_the_most_electronegative():
    assert anions(["Li"] * 20 + ["Ge"] * 2 + ["P"] * 4 + ["S"] * 24) == ["S"]
    assert anions(["Li"] * 6 + ["P"] + ["S"] * 5 + ["Cl"]) == ["Cl", "S"]
    # No charges balance here.
    assert not Composition("Li9S").oxi_state_guesses()
    assert anions(["Li"] * 9 + ["S"]) == ["S"]


def test_bad_input_is_refused():
    with pytest.raises(ExplorationError, match="expected mobile ions Na"):
        openness(antifluorite(), "Na", ["S"])
    with pytest.raises(ExplorationError, match="expected four anions"):
        openness(Atoms("LiS", [[0, 0, 0], [2, 0, 0]], cell=[20] * 3, pbc=True), "Li", ["S"])


def test_ions_of_all_frames_are_parted_by_quantiles():
    frames = [antifluorite() for _ in range(5)]
    for seed, atoms in enumerate(frames):
        atoms.rattle(0.2, seed=seed)
    bins, (low, high) = openness_bins(frames, "Li")
    q = np.concatenate([openness(atoms, "Li", ["S"]) for atoms in frames])
    assert (low, high) == pytest.approx(tuple(np.quantile(q, OPEN_QUANTILES)))
    assert (bins == 0).sum() / len(q) == pytest.approx(0.7, abs=0.01)
    assert (q[bins == len(OPEN_BINS) - 1] >= high).all()
    assert (q[bins == 1] >= low).all()
    assert (q[bins == 1] < high).all()
