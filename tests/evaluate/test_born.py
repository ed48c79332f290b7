"""Splitting of optical modes: rigid ions, whose charges are their Born charges, know the answer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from phonopy import Phonopy
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.phonopy import get_phonopy_structure, get_pmg_structure
from scipy import constants

from ionloop.errors import EvaluationError
from ionloop.evaluate.born import read_born
from ionloop.evaluate.card import evaluate
from ionloop.evaluate.models import resolve_model
from ionloop.evaluate.phonons import PhononSettings, phonons
from ionloop.evaluate.request import Request
from ionloop.evaluate.static import StaticSettings
from ionloop.profile import Profile
from ionloop.reference import buckingham

CHARGES = buckingham.LI3OCL.charges
SITES = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0, 0], [0.5, 0.5, 0.5]]
SPECIES = ["Li", "Li", "Li", "Cl", "O"]
#: The teacher's own lattice constant, Å.
CELL = Structure(3.8671 * np.eye(3), SPECIES, SITES)
ONE = np.eye(3)


def row(tensor):
    return " ".join(f"{x:.8f}" for x in np.ravel(tensor))


def born_file(path: Path, species, dielectric=ONE, charges=CHARGES):
    lines = ["default", row(dielectric), *(row(charges[symbol] * ONE) for symbol in species)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def teacher():
    return resolve_model(["buckingham"]).calculator()


def longitudinal(teacher, repeats):
    """Return the highest mode along x of a wave as long as the cells in a row, THz."""
    row_of_cells = Phonopy(
        get_phonopy_structure(CELL), np.diag([repeats, 1, 1]), "P", is_symmetry=False
    )
    row_of_cells.generate_displacements(distance=0.01, is_plusminus=True)
    forces = []
    for cell in row_of_cells.supercells_with_displacements:
        atoms = AseAtomsAdaptor.get_atoms(get_pmg_structure(cell))
        atoms.calc = teacher
        forces.append(atoms.get_forces())
    row_of_cells.forces = forces
    row_of_cells.produce_force_constants()
    return row_of_cells.run_qpoints([[1 / repeats, 0, 0]]).frequencies[0].max()


def test_the_highest_longitudinal_mode_is_the_limit_of_ever_longer_waves(teacher, tmp_path):
    born = read_born(born_file(tmp_path / "BORN", ["Li", "Cl", "O"]), CELL)
    found = phonons(CELL, teacher, PhononSettings(min_length=3.0), born).polar
    # Ewald's sum has the field of waves that the row of cells holds; what is left goes as q².
    short, long = longitudinal(teacher, 6), longitudinal(teacher, 8)
    limit = (64 * long - 36 * short) / (64 - 36)
    assert short < long < limit
    assert found.highest_without_field < 0.7 * limit
    assert found.highest_with_field == pytest.approx([limit] * 3, rel=1e-3)


def test_the_field_adds_its_sum_to_the_squares_along_each_axis_of_an_oblique_cell(
    teacher, tmp_path
):
    strain = np.array([[0.02, 0.03, 0.01], [0, -0.02, 0.04], [0, 0, 0.01]])
    cell = Structure(CELL.lattice.matrix @ (ONE + strain), SPECIES, SITES)
    dielectric = np.array([[2.0, 0.1, 0.0], [0.1, 3.0, 0.2], [0.0, 0.2, 4.0]])
    born = read_born(born_file(tmp_path / "BORN", SPECIES, dielectric), cell)
    found = phonons(cell, teacher, PhononSettings(min_length=3.0), born).polar
    # Σ ω² rises by e²/(ε0 V q·ε·q) Σ |Z_i q|²/m_i, the trace of what is added.
    mass = np.array([site.specie.atomic_mass for site in cell]) * constants.atomic_mass
    ions = sum(CHARGES[s] ** 2 / m for s, m in zip(SPECIES, mass, strict=True))
    unit = constants.e**2 / (constants.epsilon_0 * cell.volume * 1e-30) / (2e12 * np.pi) ** 2
    for axis, modes in zip(cell.lattice.reciprocal_lattice.matrix, found.with_field, strict=True):
        q = axis / np.linalg.norm(axis)
        rise = sum(abs(x) * x for x in modes) - sum(abs(x) * x for x in found.without_field)
        assert rise == pytest.approx(ions * unit / (q @ dielectric @ q), rel=1e-5)


def test_charges_of_unlike_atoms_and_of_all_atoms_are_the_same(tmp_path):
    few = read_born(born_file(tmp_path / "few", ["Li", "Cl", "O"]), CELL)
    every = read_born(born_file(tmp_path / "every", SPECIES), CELL)
    assert few.charges == pytest.approx(every.charges)
    assert few.charges == pytest.approx(np.array([CHARGES[s] * ONE for s in SPECIES]))
    assert few.sha256 != every.sha256


def test_a_small_rest_of_charge_is_taken_off_and_a_large_one_refused(tmp_path):
    uneven = CHARGES | {"Cl": -0.9}
    born = read_born(born_file(tmp_path / "BORN", SPECIES, charges=uneven), CELL)
    assert born.charges.sum(axis=0) == pytest.approx(np.zeros((3, 3)))
    assert born.charges[3, 0, 0] == pytest.approx(-0.92)
    swapped = born_file(tmp_path / "swapped", ["Cl", "Li", "O"])
    with pytest.raises(
        EvaluationError, match=r"vanish together, got 0\.8 e an atom, expected at most 0\.05"
    ):
        read_born(swapped, CELL)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "title, nine components .* got 0 lines of charges"),
        (f"default\n{row(ONE)}\n{row(ONE)}\n", "got 1 lines of charges"),
        ("default\n1 0 0 0 1 0 0 0 one\n", "got 0 lines of charges"),
        (f"default\n{row(0.2 * ONE)}\n" + f"{row(0 * ONE)}\n" * 5, "0.2 as the lowest"),
        (f"default\n{row([[2, 1, 0], [0, 2, 0], [0, 0, 2]])}\n" + f"{row(0 * ONE)}\n" * 5,
         "asymmetric by 0.5"),
        (f"default\n{row(ONE)}\n" + f"{row(np.nan * ONE)}\n" * 5, "got nan or inf"),
    ],
)  # fmt: skip
def test_what_is_no_born_file_is_told(tmp_path, content, told):
    path = tmp_path / "BORN"
    path.write_text(content)
    with pytest.raises(EvaluationError, match=f"{re.escape(str(path))}.*{told}"):
        read_born(path, CELL)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(EvaluationError, match=r"expected a BORN file at .*FileNotFoundError"):
        read_born(tmp_path / "nowhere", CELL)


def test_a_card_with_and_without_charges_are_two(tmp_path):
    profile = Profile(name="Li3OCl", mobile_ion="Li", formal_charges=CHARGES)
    settings = StaticSettings(eos_points=5, phonons=PhononSettings(min_length=3.0))
    request = {"model": resolve_model(["buckingham"]), "profile": profile, "structure": CELL,
               "static": settings}  # fmt: skip
    born = read_born(born_file(tmp_path / "BORN", SPECIES), CELL)
    plain = evaluate(Request(parts=["static"], **request), tmp_path / "out").static
    polar = evaluate(Request(parts=["static"], born=born, **request), tmp_path / "out").static
    assert plain.key != polar.key
    assert plain.result.phonons.polar is None
    assert polar.settings["born"] == polar.result.phonons.polar.born_sha256 == born.sha256
    assert polar.result.phonons.polar.highest_with_field[0] > plain.result.phonons.highest
    with pytest.raises(EvaluationError, match="expected the part static"):
        Request(parts=["cost"], born=born, **request)
