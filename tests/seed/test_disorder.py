"""Orderings of a tiny disordered cell."""

from __future__ import annotations

import pytest
from pymatgen.analysis.ewald import EwaldSummation
from pymatgen.core import Lattice, Structure

from ionloop.errors import StructureError
from ionloop.seed.disorder import order_by_ewald

CHARGES = {"Li": 1, "O": -2}


@pytest.fixture
def disordered() -> Structure:
    """A row of half-filled Li sites beside O: Li wants to be close to O and far from Li."""
    return Structure(
        Lattice.orthorhombic(10.0, 4.0, 4.0),
        [{"Li": 0.5}, {"Li": 0.5}, {"Li": 0.5}, {"Li": 0.5}, "O"],
        [[0.2, 0, 0], [0.35, 0, 0], [0.6, 0, 0], [0.75, 0, 0], [0.45, 0.5, 0.5]],
    )


def energy(structure: Structure) -> float:
    charged = structure.copy()
    charged.add_oxidation_state_by_element(CHARGES)
    return EwaldSummation(charged).total_energy


def test_orderings_are_distinct_and_ranked(disordered: Structure) -> None:
    found = order_by_ewald(disordered, 3, CHARGES)
    assert len(found) == 3
    assert all(s.is_ordered and s.composition.formula == "Li2 O1" for s in found)
    energies = [energy(s) for s in found]
    assert energies == sorted(energies)
    assert energies[0] < energies[1] - 1e-3
    everything = order_by_ewald(disordered, 50, CHARGES)
    assert len(everything) == 6  # all pairs of four sites, none equal by symmetry
    assert energy(everything[0]) == pytest.approx(energies[0])


def test_ordered_structure_comes_back(disordered: Structure) -> None:
    ordered = order_by_ewald(disordered, 1, CHARGES)[0]
    assert order_by_ewald(ordered, 5, CHARGES) == [ordered]


def test_bad_input_is_refused(disordered: Structure) -> None:
    with pytest.raises(StructureError, match="n=0"):
        order_by_ewald(disordered, 0, CHARGES)
    with pytest.raises(StructureError, match="formal charge"):
        order_by_ewald(disordered, 1, {"Li": 1})
    odd = disordered.copy()
    odd.replace(0, {"Li": 0.3})
    with pytest.raises(StructureError, match="whole ions"):
        order_by_ewald(odd, 1, CHARGES)
