"""Li3OCl with a Li and a Cl vacancy, and its hop: the teacher's own ground."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from ionloop.frame import Frame, Origin
from ionloop.seed.defects import remove_neutral_set
from ionloop.seed.paths import vacancy_hops
from ionloop.seed.schema import Hop


@pytest.fixture(scope="session")
def li3ocl() -> Structure:
    """Perfect 2x2x2 cell near the teacher's own lattice constant."""
    cell = Structure(
        Lattice.cubic(3.90),
        ["Li", "Li", "Li", "O", "Cl"],
        [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]],
    )
    return cell.make_supercell(2)


@pytest.fixture(scope="session")
def li3ocl_vacancies(li3ocl: Structure) -> Structure:
    """The cell without one Li and one Cl."""
    return remove_neutral_set(li3ocl, {"Li": 1, "Cl": 1})


@pytest.fixture(scope="session")
def li3ocl_frame(li3ocl_vacancies: Structure) -> Frame:
    return Frame.from_structure(li3ocl_vacancies, origin=Origin.AIMD, group="start")


@pytest.fixture(scope="session")
def li3ocl_hop(li3ocl: Structure, li3ocl_vacancies: Structure) -> Hop:
    return vacancy_hops(li3ocl, li3ocl_vacancies, "Li", 3.0).hops[0]
