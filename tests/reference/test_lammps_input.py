"""Any pair style from a file: the same numbers as our own teacher, and nothing but interactions."""

from __future__ import annotations

import numpy as np
import pytest
from labelled_cells import unit_cells

from ionloop.errors import ReferenceSetupError
from ionloop.reference import buckingham
from ionloop.reference.lammps_input import calculator, read_lammps_input

MODEL = buckingham.LI3OCL
COMMANDS = buckingham.interaction_commands(MODEL)[: -len(MODEL.charges)]


def content(**changes):
    return {"species": dict(MODEL.charges), "commands": COMMANDS, **changes}


def test_the_teacher_written_as_input_gives_the_teachers_numbers(tmp_path):
    found = read_lammps_input(content(), tmp_path / "x.yaml")
    answers = []
    for calc in (calculator(found, tmp_path), buckingham.calculator(MODEL)):
        atoms = unit_cells()
        atoms.positions += np.random.default_rng(0).normal(scale=0.1, size=(len(atoms), 3))
        atoms.calc = calc
        answers.append((atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()))
    assert answers[0][0] == pytest.approx(answers[1][0], rel=1e-9)
    np.testing.assert_allclose(answers[0][1], answers[1][1], atol=1e-8)
    np.testing.assert_allclose(answers[0][2], answers[1][2], atol=1e-10)


def test_a_potential_without_charges(tmp_path):
    lj = content(
        species={"Li": 0.0, "O": 0.0, "Cl": 0.0},
        commands=["pair_style lj/cut 6.0", "pair_coeff * * 0.01 2.5"],
    )
    atoms = unit_cells()
    atoms.calc = calculator(read_lammps_input(lj, tmp_path / "x.yaml"), tmp_path)
    assert np.abs(atoms.get_forces().sum(axis=0)).max() < 1e-10
    assert atoms.get_potential_energy() != 0


def test_files_are_looked_for_beside_the_input(tmp_path):
    table = content(commands=["pair_style snap", "pair_coeff * * a.coeff Li"], files=["a.coeff"])
    with pytest.raises(ReferenceSetupError, match=r"expected the file a\.coeff beside it"):
        read_lammps_input(table, tmp_path / "x.yaml")
    (tmp_path / "a.coeff").write_text("1")
    found = read_lammps_input(table, tmp_path / "x.yaml")
    before = found.sha256(tmp_path / "x.yaml")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.coeff").write_text("1")
    assert found.sha256(tmp_path / "sub" / "y.yaml") == before
    (tmp_path / "a.coeff").write_text("2")
    assert found.sha256(tmp_path / "x.yaml") != before
    with pytest.raises(ReferenceSetupError, match=r"expected a\.coeff of `files` in a command"):
        read_lammps_input(content(files=["a.coeff"]), tmp_path / "x.yaml")


def test_types_are_the_order_of_species(tmp_path):
    path = tmp_path / "x.yaml"
    turned = dict(reversed(MODEL.charges.items()))
    one, other = (read_lammps_input(content(species=s), path) for s in (MODEL.charges, turned))
    assert one.sha256(path) != other.sha256(path)


@pytest.mark.parametrize("command", ["shell rm -r x", "include y", "print hello", " "])
def test_commands_that_are_no_interactions_are_refused(tmp_path, command):
    with pytest.raises(ReferenceSetupError, match="expected commands pair_style"):
        read_lammps_input(content(commands=[command]), tmp_path / "x.yaml")
