"""Whoever is named is found, or it's said what was expected."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from labelled_cells import unit_cells
from untrained_mace import write_model

from ionloop.errors import EvaluationError, ReferenceSetupError, TrainingError
from ionloop.evaluate.models import resolve_model


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])  # what is added is taken back
    return tmp_path


def forces(names, precision="float64"):
    atoms = unit_cells()
    atoms.calc = resolve_model(names).calculator(precision)
    return atoms.get_forces()


def test_a_committee_of_files_is_the_mean_of_its_members(here):
    files = [str(write_model(here / f"{i}.model", seed=i)) for i in range(2)]
    members = [forces([file]) for file in files]
    np.testing.assert_allclose(forces(files), np.mean(members, axis=0), atol=1e-9)
    assert forces(files[:1], "float32").dtype == np.float32
    one, both = resolve_model(files[:1]).facts, resolve_model(files).facts
    assert (one.kind, one.name, both.name) == ("mace", "0", "committee of 2")
    assert one.sha256 != both.sha256
    assert both.versions["mace-torch"]
    with pytest.raises(TrainingError, match="found none"):
        resolve_model(["missing.model"])


def test_a_function_of_this_folder(here):
    module = here / "own_potential.py"
    module.write_text("from ase.calculators.emt import EMT\ndef make():\n    return EMT()\nx = 1\n")
    found = resolve_model(["own_potential:make"])
    assert found.facts.kind == "function"
    assert "not what that imports" in found.facts.hashed
    assert type(found.calculator()).__name__ == "EMT"
    module.write_text(module.read_text() + "y = 2\n")
    assert resolve_model(["own_potential:make"]).facts.sha256 != found.facts.sha256
    with pytest.raises(EvaluationError, match="expected a function, got int"):
        resolve_model(["own_potential:x"])
    with pytest.raises(EvaluationError, match="has no attribute 'nothing'"):
        resolve_model(["own_potential:nothing"])
    with pytest.raises(EvaluationError, match="expected an ASE calculator, got dict"):
        resolve_model(["builtins:dict"]).calculator()


def test_a_teacher_and_its_hash():
    found = resolve_model(["buckingham"])
    assert found.facts.kind == "force field"
    assert len(found.facts.sha256) == 64
    assert np.isfinite(forces(["buckingham"])).all()


def test_a_lammps_input_as_yaml_or_json(here):
    content = {
        "species": {"Li": 0.0, "O": 0.0, "Cl": 0.0},
        "commands": ["pair_style lj/cut 6.0", "pair_coeff * * 0.01 2.5"],
    }
    (here / "lj.json").write_text(json.dumps(content))
    (here / "lj.yaml").write_text(
        "species: {Li: 0, O: 0, Cl: 0}\ncommands: [pair_style lj/cut 6.0, "
        '"pair_coeff * * 0.01 2.5"]\n'
    )
    np.testing.assert_allclose(forces(["lj.json"]), forces(["lj.yaml"]), atol=1e-12)
    assert resolve_model(["lj.json"]).facts.sha256 == resolve_model(["lj.yaml"]).facts.sha256
    (here / "no.yaml").write_text("[1, 2]")
    with pytest.raises(EvaluationError, match="species and commands"):
        resolve_model(["no.yaml"])
    with pytest.raises(EvaluationError, match="got FileNotFoundError"):
        resolve_model(["missing.yaml"])
    content["commands"] = ["include x"]
    (here / "lj.json").write_text(json.dumps(content))
    with pytest.raises(ReferenceSetupError, match="include x"):
        resolve_model(["lj.json"])


@pytest.mark.parametrize(
    "names", [[], ["mystery"], ["buckingham", "chgnet"], ["a.model", "chgnet"]]
)
def test_anything_else_is_refused_in_words(names):
    with pytest.raises(EvaluationError, match=r"expected MACE models .* module:function"):
        resolve_model(names)


def test_a_module_that_is_not_there():
    with pytest.raises(EvaluationError, match="No module named 'nowhere_at_all'"):
        resolve_model(["nowhere_at_all:f"])


def test_cp2k_is_known_by_name():
    found = resolve_model(["cp2k"])
    assert (found.facts.kind, found.facts.name) == ("dft", "cp2k")
    assert found.names == ("cp2k",)
    assert found.calculator().implemented_properties == ["energy", "forces"]
