"""What a user gets wrong is told before anything runs, with what to do."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from pydantic import ValidationError
from pymatgen.core import Lattice, Molecule, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from ionloop.errors import ProfileError, StructureError
from ionloop.profile import Budget, Profile, check_periodic, read_structure, smallest_height

CHARGES = {"Li": 1, "Cl": -1}


def profile(**fields: object) -> Profile:
    return Profile(**{"name": "LiCl", "mobile_ion": "Li", "formal_charges": CHARGES, **fields})


@pytest.fixture
def structure() -> Structure:
    return AseAtomsAdaptor.get_structure(bulk("LiCl", "rocksalt", a=5.14, cubic=True) * 2)


def test_a_good_profile_passes(structure: Structure) -> None:
    profile().check(structure)


# --- the profile by itself ---


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mobile_ion": "Xx"}, r"chemical element, got 'Xx'; use symbols"),
        ({"formal_charges": {"Li": 1, "Cx": -1}}, "chemical element, got 'Cx'"),
        ({"mobile_ion": "Na"}, r"Na has no formal charge; formal_charges names \['Cl', 'Li'\]"),
        ({"seed_temperatures": []}, r"one or more temperatures above 0 K, got \[\]; give a list"),
        ({"temperatures": []}, "one or more temperatures"),
        ({"transport_temperatures": []}, "one or more temperatures"),
        ({"temperatures": [600, 0]}, "above 0 K"),
        ({"temperatures": [600, -5]}, "above 0 K"),
        ({"temperatures": [math.nan]}, "above 0 K"),
        ({"seed_temperatures": [math.inf]}, "above 0 K"),
        ({"transport_temperatures": [900, 1200]}, "3 or more different"),
        ({"transport_temperatures": [900, 900, 1200]}, "3 or more different"),
    ],
)
def test_contradictions_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        profile(**fields)


@pytest.mark.parametrize(
    "fields",
    [{"r_max": 1.0}, {"min_distance_fraction": 1.0}, {"force_ceiling": 0}, {"cutoff": 5.0}],
)
def test_limits_and_names_are_checked(fields: dict) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        profile(**fields)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"hop": 0.5, "random": 0.4}, r"sum of 1, got 0\.9; rescale"),
        ({"hop": 0.7, "random": 0.4}, r"sum of 1, got 1\.1"),
        ({}, "sum of 1, got 0"),
        ({"hop": 1.5, "random": -0.5}, "no share below 0"),
        ({"hop": math.nan}, "sum of 1, got nan"),
    ],
)
def test_shares_must_be_a_whole(shares: dict, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        Budget(shares=shares)


def test_budgets_of_nothing_are_refused() -> None:
    for name in ("labels_max", "generations_max", "labels_per_generation"):
        with pytest.raises(ValidationError, match=name):
            Budget(**{name: 0})
    with pytest.raises(ValidationError, match="hops"):
        Budget(shares={"hops": 1.0})
    assert sum(Budget().shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("spent", "reserve", "left"), [(0, 0, 50), (30, 0, 20), (30, 15, 5), (30, 20, 0), (60, 0, 0)]
)
def test_what_is_left_of_a_budget(spent: int, reserve: int, left: int) -> None:
    assert Budget(labels_max=50).left(spent, reserve) == left


# --- the profile and a structure ---


def test_wrong_mobile_ion(structure: Structure) -> None:
    wrong = profile(mobile_ion="Na", formal_charges={**CHARGES, "Na": 1})
    with pytest.raises(
        ProfileError, match=r"mobile ion Na .* got LiCl; set .* one of \['Cl', 'Li'\]"
    ):
        wrong.check(structure)


def test_element_without_a_charge(structure: Structure) -> None:
    structure.replace(0, "Na")
    with pytest.raises(ProfileError, match=r"no formal charge for \['Na'\]; add"):
        profile().check(structure)


def test_charges_must_add_up_to_the_stated_one(structure: Structure) -> None:
    structure.remove_sites([0])
    with pytest.raises(ProfileError, match=r"add up to -1, expected \+0; remove or add"):
        profile().check(structure)
    profile(charge=-1).check(structure)
    with pytest.raises(ProfileError, match=r"add up to -1, expected \+1"):
        profile(charge=1).check(structure)


def test_a_small_cell_needs_a_reason(structure: Structure) -> None:
    with pytest.raises(ProfileError, match=r"height is 10\.28 Å, expected at least .*10\.40 Å"):
        profile(r_max=5.2).check(structure)
    profile(r_max=5.2, small_cell_reason="a test").check(structure)
    profile(r_max=5.14 - 1e-9).check(structure)


def test_height_of_a_skewed_cell_is_no_edge() -> None:
    """The primitive cell of fcc has edges a/√2, but planes a/√3 apart."""
    primitive = Structure(Lattice(bulk("Cu", a=4.0).cell.array), ["Cu"], [[0, 0, 0]])
    assert smallest_height(primitive) == pytest.approx(4 / math.sqrt(3))


@pytest.mark.parametrize(
    "source",
    [
        Molecule(["Li", "Cl"], [[0, 0, 0], [0, 0, 2]]),
        Atoms("LiCl", positions=[[0, 0, 0], [0, 0, 2]]),
        None,
    ],
)
def test_no_periodic_cell(source: object) -> None:
    with pytest.raises(StructureError, match=r"periodic cell, got \w+; give a CIF"):
        profile().check(source)


def test_a_partly_occupied_site() -> None:
    half = Structure(Lattice.cubic(12), [{"Li": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3])
    for check in (check_periodic, profile().check):
        with pytest.raises(StructureError, match="partly occupied; give an ordered"):
            check(half)


# --- files ---


@pytest.mark.parametrize("name", ["a.cif", "POSCAR", "a.json"])
def test_pymatgens_files_are_read(tmp_path: Path, structure: Structure, name: str) -> None:
    structure.to(str(tmp_path / name))
    found = read_structure(tmp_path / name)
    assert found.composition == structure.composition
    assert found.volume == pytest.approx(structure.volume)


@pytest.mark.parametrize("name", ["a.xyz", "a.extxyz"])
def test_an_extxyz_with_a_lattice_is_read(tmp_path: Path, name: str) -> None:
    atoms = bulk("LiCl", "rocksalt", a=5.14)
    write(tmp_path / name, [bulk("Cu"), atoms], "extxyz")
    found = read_structure(str(tmp_path / name))
    assert [site.specie.symbol for site in found] == ["Li", "Cl"]
    assert found.distance_matrix[0, 1] == pytest.approx(2.57)


def test_files_that_are_no_crystals(tmp_path: Path) -> None:
    with pytest.raises(StructureError, match=r"no structure file .*gone\.cif; expected a CIF"):
        read_structure(tmp_path / "gone.cif")
    write(tmp_path / "water.xyz", molecule("H2O"), "extxyz")
    with pytest.raises(StructureError, match="expected a periodic cell, got none; give an extxyz"):
        read_structure(tmp_path / "water.xyz")
    write(tmp_path / "slab.xyz", Atoms("Li", cell=[3, 3, 3], pbc=[True, True, False]), "extxyz")
    with pytest.raises(StructureError, match="expected a periodic cell, got none; give an extxyz"):
        read_structure(tmp_path / "slab.xyz")
    for name in ("a.cif", "a.txt", "a.xyz"):
        (tmp_path / name).write_text("hello\n")
        with pytest.raises(StructureError, match=rf"{name}: can't be read as a structure: \w+"):
            read_structure(tmp_path / name)
    half = Structure(Lattice.cubic(4), [{"Li": 0.5}, "Cl"], [[0, 0, 0], [0.5] * 3])
    half.to(str(tmp_path / "half.cif"))
    with pytest.raises(StructureError, match="partly occupied"):
        read_structure(tmp_path / "half.cif")
