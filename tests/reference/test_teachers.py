"""Teachers: what they know, what they refuse before a campaign starts, and one of a user's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from pymatgen.core import Structure

from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame
from ionloop.reference.forcefield import ForceFieldReference, single_point
from ionloop.reference.nvt import NvtRun
from ionloop.reference.potentials import teacher_by_name
from ionloop.reference.teachers import BuckinghamTeacher, ChgnetTeacher, Teacher


@pytest.fixture
def skewed(li3ocl: Structure) -> Structure:
    """The cell with a small shear."""
    matrix = li3ocl.lattice.matrix.copy()
    matrix[1, 0] = 0.2
    return Structure(matrix, li3ocl.species, li3ocl.frac_coords)


def test_teachers_by_name() -> None:
    assert isinstance(teacher_by_name("buckingham"), BuckinghamTeacher)
    assert isinstance(teacher_by_name("chgnet"), ChgnetTeacher)
    with pytest.raises(ReferenceSetupError, match=r"\['buckingham', 'chgnet'\], a NEP .* 'vasp'"):
        teacher_by_name("vasp")


def test_unknown_elements_are_refused_before_launch(li3ocl: Structure) -> None:
    BuckinghamTeacher().check(li3ocl)
    other = li3ocl.copy().replace_species({"Cl": "S", "O": "Na"})
    with pytest.raises(ReferenceSetupError, match=r"knows \['Cl', 'Li', 'O'\], got \['Na', 'S'\]"):
        BuckinghamTeacher().check(other)


def test_a_skewed_cell_is_refused_before_launch(skewed: Structure, li3ocl: Structure) -> None:
    """MD inside LAMMPS wants edges along x, y and z: a turned box is as bad as a skewed one."""
    with pytest.raises(ReferenceSetupError, match=r"orthorhombic cell, got \[\[.*chgnet"):
        ForceFieldReference().check(skewed)
    turned = Structure(
        np.roll(li3ocl.lattice.matrix, 1, axis=0), li3ocl.species, li3ocl.frac_coords
    )
    with pytest.raises(ReferenceSetupError, match="orthorhombic"):
        ForceFieldReference().check(turned)


@dataclass
class EmtTeacher(Teacher):
    """ASE's effective-medium theory: a real teacher that says nothing about MD."""

    name: str = "emt"

    @property
    def settings(self) -> dict[str, str]:
        return {"model": "emt"}

    @property
    def engine(self) -> str:
        return "ase emt"

    def calculator(self) -> Calculator:
        return EMT()

    def isolated_atom_energy(self, symbol: str) -> float:
        atoms = Atoms([symbol], calculator=EMT())
        return float(atoms.get_potential_energy())


def test_another_teacher_needs_no_more(skewed: Structure) -> None:
    reference = ForceFieldReference(teacher=EmtTeacher())
    frame = Frame.from_atoms(bulk("Cu", cubic=True), origin="rattle", group="g")
    # It knows all elements and runs all cells, as far as it says.
    reference.check(skewed.copy().replace_species({"Cl": "Xe"}))
    run = reference.teacher.run_md(frame.to_atoms(), NvtRun(300, 4, 2.0, 2, 0))
    assert run.shape == (3, 4, 3)
    point = single_point(frame, EMT(), reference)
    assert point.energy == pytest.approx(bulk_energy(), abs=1e-9)
    assert (point.engine, point.settings_hash) == ("ase emt", reference.settings_hash)
    assert reference.isolated_atom_energies(["Cu"])["Cu"] == pytest.approx(3.51, abs=1e-2)


def bulk_energy() -> float:
    return float(Atoms(bulk("Cu", cubic=True), calculator=EMT()).get_potential_energy())


# --- CHGNet, with the weights of its wheel ---


# CHGNet makes one tensor of its structures' volumes, which need no gradient.
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True:UserWarning")
def test_chgnet_labels_and_runs_a_skewed_cell(capsys: pytest.CaptureFixture[str]) -> None:
    atoms = bulk("LiCl", "rocksalt", a=5.14)
    atoms.rattle(0.05, seed=1)
    frame = Frame.from_atoms(atoms, origin="rattle", group="g")
    reference = ForceFieldReference(teacher=ChgnetTeacher())
    reference.check(frame.to_structure())
    calculator = reference.teacher.calculator()
    point = single_point(frame, calculator, reference)
    assert (np.shape(point.forces), np.shape(point.stress)) == ((2, 3), (3, 3))
    slope, step = 0.0, 0.005
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 0] += sign * step
        moved.calc = calculator
        slope += sign * moved.get_potential_energy() / (2 * step)
    assert point.forces[0][0] == pytest.approx(-slope, abs=0.01)
    run = NvtRun(temperature=300, n_steps=4, time_step=2.0, store_every=2, seed=1)
    positions = reference.teacher.run_md(atoms, run)
    assert positions.shape == (3, 2, 3)
    assert 0 < np.abs(positions[-1] - positions[0]).max() < 0.5
    bound = point.energy - sum(reference.isolated_atom_energies(["Li", "Cl"]).values())
    assert -12 < bound < -3  # LiCl's cohesive energy is 7 eV
    assert capsys.readouterr().out == ""
