"""Rattles, strains and frames of trajectories."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from ionloop.errors import StructureError
from ionloop.frame import Frame, Origin
from ionloop.reference.schema import Trajectory
from ionloop.seed.displace import decorrelated_frames, rattle, strain

RNG = np.random.default_rng
ATOMS = bulk("LiCl", "rocksalt", a=5.13, cubic=True) * (3, 3, 3)


def test_rattle_has_the_stated_spread_and_no_drift() -> None:
    moved = np.array(rattle(ATOMS, 0.1, RNG(0)).positions) - ATOMS.positions
    n = moved.size
    assert moved.std() == pytest.approx(0.1, rel=4 / np.sqrt(2 * n))
    assert moved.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)


def test_source_is_not_changed() -> None:
    before = ATOMS.positions.copy()
    rattle(ATOMS, 0.1, RNG(0))
    strain(ATOMS, 0.05, 0.02, RNG(0))
    assert np.array_equal(ATOMS.positions, before)


def test_strain_keeps_fractions_and_bounds() -> None:
    fractions = ATOMS.get_scaled_positions(wrap=False)
    ratios, shears = [], []
    for seed in range(40):
        frame = strain(ATOMS, 0.06, 0.03, RNG(seed))
        atoms = frame.to_atoms()
        assert atoms.get_scaled_positions(wrap=False) == pytest.approx(fractions)
        ratios.append(atoms.get_volume() / ATOMS.get_volume() - 1)
        deform = np.linalg.solve(ATOMS.cell.array, atoms.cell.array)
        assert deform == pytest.approx(deform.T)
        assert np.diag(deform) == pytest.approx(np.full(3, deform[0, 0]))
        shears.append(deform[np.triu_indices(3, 1)] / deform[0, 0])
    assert max(np.abs(ratios)) <= 0.06 + 1e-12
    assert np.abs(shears).max() <= 0.03 + 1e-12
    assert np.std(ratios) == pytest.approx(0.06 / np.sqrt(3), rel=0.25)
    assert np.std(shears) == pytest.approx(0.03 / np.sqrt(3), rel=0.25)


def test_frames_carry_origin_own_group_and_fields() -> None:
    one, two = (rattle(ATOMS, 0.05, RNG(s), generation=3, temperature=900.0) for s in (0, 1))
    assert (one.origin, one.generation, one.temperature) == (Origin.RATTLE, 3, 900.0)
    assert one.group != two.group
    assert rattle(ATOMS, 0.05, RNG(0), generation=3).group == one.group
    assert strain(ATOMS, 0.05, 0, RNG(0)).origin is Origin.STRAIN
    assert strain(ATOMS, 0.05, 0, RNG(0), group="mine").group == "mine"


def test_frame_passes_on_charge_and_generation_but_not_its_tags() -> None:
    source = Frame.from_atoms(
        ATOMS, origin=Origin.AIMD, group="md", charge=-1, generation=2, temperature=600.0,
        uncertainty=0.3, descriptor=[1.0],
    )  # fmt: skip
    moved = strain(source, 0.05, 0.02, RNG(0))
    assert (moved.charge, moved.generation, moved.temperature) == (-1, 2, 600.0)
    assert moved.uncertainty is None
    assert moved.descriptor is None


def test_structure_is_a_source_too() -> None:
    structure = Structure(Lattice.cubic(4.0), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    frame = rattle(structure, 0.05, RNG(0))
    assert frame.symbols == ["Li", "Cl"]
    assert frame.charge == 0


def make_trajectory(n: int) -> Trajectory:
    positions = np.arange(n)[:, None, None] + np.zeros((n, 8, 3))
    return Trajectory.from_positions(
        positions,
        bulk("LiCl", "rocksalt", a=5.13, cubic=True),
        charge=1,
        temperature=900.0,
        frame_interval_fs=10.0,
        n_steps=5 * n,
        group="aimd-900",
        engine="none",
        wall_s=0.0,
    )


def test_decorrelated_frames_are_every_nth() -> None:
    frames = decorrelated_frames(make_trajectory(20), every=5, skip=3)
    assert [f.positions[0][0] for f in frames] == [3.0, 8.0, 13.0, 18.0]
    first = frames[0]
    assert (first.origin, first.group, first.temperature, first.charge) == (
        Origin.AIMD, "aimd-900", 900.0, 1,
    )  # fmt: skip
    other = decorrelated_frames(make_trajectory(20), every=9, origin=Origin.RANDOM, generation=2)
    assert [(f.origin, f.generation) for f in other] == [(Origin.RANDOM, 2)] * 3


def test_bad_amplitudes_are_refused() -> None:
    with pytest.raises(StructureError, match="rattle of 0"):
        rattle(ATOMS, -0.1, RNG(0))
    with pytest.raises(StructureError, match="volume fraction"):
        strain(ATOMS, 0.9, 0.0, RNG(0))
    with pytest.raises(StructureError, match="every"):
        decorrelated_frames(make_trajectory(5), every=0)
    with pytest.raises(StructureError, match="skip"):
        decorrelated_frames(make_trajectory(5), every=1, skip=5)
