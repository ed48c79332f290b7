"""Formal charges of well-known electrolytes, and the vacancies that keep a cell neutral."""

from __future__ import annotations

import time

import pytest
from pymatgen.core import Composition, Lattice, Molecule, Structure

from ionloop.errors import StructureError
from ionloop.seed.charges import formal_charges, neutral_vacancies


def crystal(formula: str) -> Structure:
    """Atoms on a line: charges follow from the composition alone."""
    symbols = [el.symbol for el, n in Composition(formula).items() for _ in range(int(n))]
    places = [[n / len(symbols), 0, 0] for n in range(len(symbols))]
    return Structure(Lattice.orthorhombic(3.0 * len(symbols), 8, 8), symbols, places)


@pytest.mark.parametrize(
    ("formula", "charges"),
    [
        ("LiCl", {"Li": 1, "Cl": -1}),
        ("Li3OCl", {"Li": 1, "O": -2, "Cl": -1}),
        ("Li6PS5Cl", {"Li": 1, "P": 5, "S": -2, "Cl": -1}),
        ("Li7La3Zr2O12", {"Li": 1, "La": 3, "Zr": 4, "O": -2}),
        ("Na3Zr2Si2PO12", {"Na": 1, "Zr": 4, "Si": 4, "P": 5, "O": -2}),
    ],
)
def test_charges_are_the_chemists(formula: str, charges: dict) -> None:
    assert formal_charges(crystal(formula)) == charges


def test_a_supercell_costs_no_more_than_its_formula() -> None:
    """Two cells of LGPS took half a minute: guesses are made of the reduced formula."""
    begin = time.process_time()
    charges = formal_charges(crystal("Li20Ge2P4S24"))
    assert charges == {"Li": 1, "Ge": 4, "P": 5, "S": -2}
    assert time.process_time() - begin < 8


def test_oxidation_states_that_are_there_dont_matter() -> None:
    decorated = Structure(Lattice.cubic(5), ["Li+", "Cl-"], [[0, 0, 0], [0.5] * 3])
    assert formal_charges(decorated) == {"Li": 1, "Cl": -1}


@pytest.mark.parametrize("formula", ["Fe3O4", "NaLi"])
def test_no_whole_neutral_charges(formula: str) -> None:
    with pytest.raises(StructureError, match=r"no neutral .* for \w+; state Profile"):
        formal_charges(crystal(formula))


def test_no_crystal() -> None:
    with pytest.raises(StructureError, match="periodic cell, got Molecule"):
        formal_charges(Molecule(["Li", "Cl"], [[0, 0, 0], [0, 0, 2]]))


@pytest.mark.parametrize(
    ("charges", "mobile", "vacancies"),
    [
        ({"Li": 1, "O": -2, "Cl": -1}, "Li", {"Li": 1, "Cl": 1}),
        ({"Li": 1, "O": -2}, "Li", {"Li": 2, "O": 1}),
        ({"Mg": 2, "Cl": -1}, "Mg", {"Mg": 1, "Cl": 2}),
        ({"Al": 3, "O": -2}, "Al", {"Al": 2, "O": 3}),
        ({"Ca": 2, "F": -1}, "F", {"F": 2, "Ca": 1}),
        ({"Li": 1, "Cl": -1, "Br": -1}, "Li", {"Li": 1, "Br": 1}),
    ],
)
def test_vacancies_are_the_smallest_neutral_set(
    charges: dict, mobile: str, vacancies: dict
) -> None:
    found = neutral_vacancies(charges, mobile)
    assert found == vacancies
    assert sum(n * charges[symbol] for symbol, n in found.items()) == 0
    assert next(iter(found)) == mobile  # it is removed first, wherever it is


@pytest.mark.parametrize(
    ("charges", "mobile"),
    [({"Li": 1, "Cl": -1}, "Na"), ({"Li": 0}, "Li"), ({"Li": 1, "Na": 1}, "Li"), ({}, "Li")],
)
def test_nothing_compensates(charges: dict, mobile: str) -> None:
    with pytest.raises(StructureError, match=f"mobile ion with counter-ions, got {mobile}"):
        neutral_vacancies(charges, mobile)
