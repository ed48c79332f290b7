"""A frame is the same frame wherever its atoms are drawn, and another one otherwise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pymatgen.core import Lattice, Structure

from ionloop.frame import Frame, HopTag, Origin, frame_hash, structure_charge

CELL = np.array([[5.0, 0.0, 0.0], [1.2, 6.1, 0.0], [-0.7, 0.4, 7.3]])
SYMBOLS = ["Li", "O", "Cl", "Li"]
#: Fractional coordinates in the middle between two places where rounding turns over.
TICKS = np.array([[0, 0, 0], [12000, 700, 31000], [25000, 31055, 73000], [49999, 62201, 5]])
LENGTHS = np.rint(np.linalg.norm(CELL, axis=1) / 1e-4)
POSITIONS = (TICKS / LENGTHS) @ CELL
HASH = frame_hash(SYMBOLS, POSITIONS, CELL)


@given(st.lists(st.integers(-50, 50), min_size=12, max_size=12))
def test_lattice_translations_of_atoms_dont_count(shifts: list[int]) -> None:
    moved = POSITIONS + np.reshape(shifts, (4, 3)) @ CELL
    assert frame_hash(SYMBOLS, moved, CELL) == HASH


@given(st.integers(0, 2**32 - 1))
def test_noise_below_the_tolerance_doesnt_count(seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(-2e-5, 2e-5, size=POSITIONS.shape)
    assert frame_hash(SYMBOLS, POSITIONS + noise, CELL) == HASH


@given(st.integers(0, 3), st.integers(0, 2), st.sampled_from([-1, 1]))
def test_a_move_above_the_tolerance_counts(atom: int, axis: int, sign: int) -> None:
    moved = POSITIONS.copy()
    moved[atom, axis] += sign * 3e-4
    assert frame_hash(SYMBOLS, moved, CELL) != HASH


def test_charge_species_order_and_cell_count() -> None:
    swapped = [1, 0, 2, 3]
    others = [
        frame_hash(SYMBOLS, POSITIONS, CELL, -1),
        frame_hash(SYMBOLS, POSITIONS, CELL, 1),
        frame_hash(["O", "Li", "Cl", "Li"], POSITIONS, CELL),
        frame_hash(["Na", "O", "Cl", "Li"], POSITIONS, CELL),
        frame_hash([SYMBOLS[i] for i in swapped], POSITIONS[swapped], CELL),
        frame_hash(SYMBOLS, POSITIONS @ np.diag([1.001, 1, 1]), CELL @ np.diag([1.001, 1, 1])),
        frame_hash(SYMBOLS[:3], POSITIONS[:3], CELL),
    ]
    assert len({HASH, *others}) == 8
    assert len(HASH) == 20


def test_the_hash_is_of_the_content_only() -> None:
    one = frame(origin=Origin.AIMD, group="a")
    two = frame(origin=Origin.HOP, group="b", generation=3, temperature=900.0, uncertainty=0.1)
    assert one.frame_hash == two.frame_hash == HASH
    assert frame(charge=-1).frame_hash != HASH


def frame(**fields: object) -> Frame:
    atoms = Atoms(SYMBOLS, positions=POSITIONS, cell=CELL, pbc=True)
    return Frame.from_atoms(atoms, **{"origin": Origin.RATTLE, "group": "g", **fields})


def test_ase_gives_back_what_it_got() -> None:
    """All but the charge, which ASE has no place for and which must be said again."""
    start = frame(charge=-1)
    atoms = start.to_atoms()
    assert atoms.pbc.all()
    assert Frame.from_atoms(atoms, origin="rattle", group="g", charge=-1) == start
    assert Frame.from_atoms(atoms, origin="rattle", group="g").charge == 0


@pytest.mark.parametrize("charge", [0, -1, 2])
def test_pymatgen_gives_back_what_it_got(charge: int) -> None:
    start = frame(charge=charge)
    structure = start.to_structure()
    assert structure_charge(structure) == charge
    back = Frame.from_structure(structure, origin="rattle", group="g")
    assert (back.symbols, back.charge, back.cell) == (start.symbols, charge, start.cell)
    np.testing.assert_allclose(back.positions, start.positions, atol=1e-12)
    assert back.frame_hash == start.frame_hash


def test_a_structures_charge_can_be_overruled() -> None:
    structure = frame(charge=-1).to_structure()
    assert Frame.from_structure(structure, origin="rattle", group="g", charge=0).charge == 0


def test_oxidation_states_are_read_as_elements() -> None:
    structure = Structure(Lattice.cubic(4), ["Li+", "Cl-"], [[0, 0, 0], [0.5] * 3])
    found = Frame.from_structure(structure, origin="aimd", group="g")
    assert (found.symbols, found.charge) == (["Li", "Cl"], 0)


def test_atoms_outside_of_the_cell_stay_outside() -> None:
    """Unwrapped positions are what trajectories and bands are made of."""
    start = frame()
    start.positions[0] = [-3.0, 20.0, 1.0]
    for back in (start.to_atoms().positions[0], start.to_structure().cart_coords[0]):
        assert np.allclose(back, [-3.0, 20.0, 1.0])


def test_json_gives_back_what_it_got() -> None:
    tag = HopTag(ion=0, progress=0.5, path_class="Li-Li 2.76 A #0", event="e")
    start = frame(hop=tag, descriptor=[0.1, 1e-300], charge=-1)
    assert Frame(**json.loads(start.model_dump_json())) == start


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="generations"):
        frame(generations=1)
