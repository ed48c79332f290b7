"""A scorecard of parts: what fails is told, what is done isn't done again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator
from labelled_cells import labelled_cells, unit_cells
from pymatgen.core import Structure

from ionloop.errors import EvaluationError
from ionloop.evaluate.card import evaluate
from ionloop.evaluate.cost_scaling import CostSettings
from ionloop.evaluate.held_out import predict
from ionloop.evaluate.models import resolve_model
from ionloop.evaluate.request import Request
from ionloop.evaluate.scorecard_schema import Scorecard
from ionloop.evaluate.static import StaticSettings
from ionloop.frame import HopTag, Origin
from ionloop.label.extxyz import write_extxyz
from ionloop.label.schema import Label
from ionloop.profile import Profile
from ionloop.train.labelled import read_whole_labels

PROFILE = Profile(
    name="Li3OCl",
    mobile_ion="Li",
    formal_charges={"Li": 1, "O": -2, "Cl": -1},
    small_cell_reason="a test",
)
SITES = [[0.5] * 3, [0] * 3, [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def lithium_oxychloride(a=3.87):
    atoms = Atoms("OClLi3", scaled_positions=SITES, cell=[a] * 3, pbc=True)
    return Structure(atoms.cell.array, atoms.get_chemical_symbols(), SITES)


def write_labels(path, n=6):
    """Write cells labelled by the teacher, two a group, with temperatures and places on hops."""
    labels = []
    for i, atoms in enumerate(labelled_cells(n)):
        hop = HopTag(ion=4, progress=i / (n - 1), path_class="Li-Li 2.74 A #0", event=f"e{i}")
        label = Label.model_validate(
            {
                "frame": {
                    "symbols": atoms.get_chemical_symbols(),
                    "positions": atoms.positions.tolist(),
                    "cell": atoms.cell.array.tolist(),
                    "origin": Origin.HOP,
                    "group": f"run {i // 2}",
                    "temperature": 600.0,
                    "hop": hop,
                },
                "frame_hash": str(i),
                "energy": atoms.info["REF_energy"],
                "forces": atoms.arrays["REF_forces"].tolist(),
                "settings_hash": "x",
                "engine": "buckingham",
                "wall_s": 0.0,
                "directory": "",
            }
        )
        labels.append(label)
    write_extxyz(labels, path)
    return path


def test_places_on_hops_survive_the_file(tmp_path):
    found = read_whole_labels([write_labels(tmp_path / "x.extxyz")])
    assert [x.frame.hop.progress for x in found] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[3].frame.hop.model_dump() == {
        "schema_version": 1, "ion": 4, "progress": 0.6, "path_class": "Li-Li 2.74 A #0",
        "event": "e3",
    }  # fmt: skip
    assert {x.frame.group for x in found} == {"run 0", "run 1", "run 2"}


@pytest.fixture(scope="module")
def request_(tmp_path_factory):
    data = write_labels(tmp_path_factory.mktemp("labels") / "labels.extxyz")
    teacher = resolve_model(["buckingham"])
    return Request(
        model=teacher,
        profile=PROFILE,
        parts=["accuracy", "static", "cost"],
        data=[data],
        structure=lithium_oxychloride(),
        reference=teacher,
        static=StaticSettings(eos_points=5, phonons=None),
        cost=CostSettings(atoms_min=40, atoms_max=50, n_timed=2),
    )


@pytest.fixture(scope="module")
def finished(request_, tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    return evaluate(request_, folder), folder


def test_the_teacher_has_no_error_on_its_own_labels(finished):
    card, _ = finished
    found = card.accuracy.result
    assert found.energy_rmse == pytest.approx(0, abs=1e-9)
    assert found.forces_by_origin[0].rmse_forces == pytest.approx(0, abs=1e-8)
    assert found.forces_by_origin[0].n_groups == 3
    assert [b.name for b in found.forces_by_hop_bin] == ["near equilibrium", "shoulder", "saddle"]
    assert [b.name for b in found.forces_by_temperature] == ["600 K"]
    assert found.stress is None  # the labels have none
    assert card.diffusion.status == "not asked"


def test_lattice_and_stiffness_of_the_published_potential(finished):
    found = finished[0].static.result
    # The rigid-ion model of Mouta et al. (2014) relaxes to 3.867 Å; measured 3.91 Å.
    assert found.lengths == pytest.approx((3.867,) * 3, abs=0.005)
    tensor = found.elastic
    assert tensor[0][0] == pytest.approx(tensor[2][2], rel=1e-3)
    assert tensor[0][0] > tensor[0][1] > 0
    assert found.bulk_modulus.value == pytest.approx(found.bulk_vrh.value, rel=0.03)


def test_cost_is_of_model_and_reference(finished):
    card, _ = finished
    assert [(c.calculator, c.n_atoms) for c in card.cost.result.costs] == [
        ("model", 40), ("reference", 40),
    ]  # fmt: skip
    assert card.reference == card.model
    assert card.cost.settings["n_timed"] == 2
    assert card.static.versions["matcalc"]
    assert card.static.wall_s > 0


def test_the_document_is_kept_and_read_back(finished):
    card, folder = finished
    kept = Scorecard.model_validate_json((folder / "scorecard.json").read_text())
    assert kept == card
    assert len(list(folder.glob("*.json"))) == 4


def test_what_is_finished_is_not_computed_again(request_, finished, monkeypatch):
    card, folder = finished

    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(type(request_.model), "calculator", refuse)
    told = []
    assert evaluate(request_, folder, told.append) == card
    assert [line.split(":")[0] for line in told] == ["accuracy", "static", "cost"]
    other = replace(request_, parts=["static"], structure=lithium_oxychloride(3.9))
    again = replace(request_, parts=["accuracy"], random_seed=1)
    for another in (other, again):
        with pytest.raises(AssertionError):
            evaluate(another, folder)


def test_a_part_that_fails_leaves_the_others(request_, tmp_path):
    stuck = replace(request_, parts=["accuracy", "static"], static=StaticSettings(steps_max=1))
    card = evaluate(stuck, tmp_path)
    assert card.static.status == "missing"
    assert "didn't relax in 1 steps" in card.static.reason
    assert card.accuracy.status == "done"
    assert not list(tmp_path.glob("static-*"))


def test_input_that_a_part_needs_is_asked_for(request_):
    with pytest.raises(EvaluationError, match="expected --data for the part accuracy"):
        replace(request_, data=[])
    with pytest.raises(EvaluationError, match="expected --structure for the part cost"):
        replace(request_, parts=["cost"], structure=None)
    with pytest.raises(EvaluationError, match=r"expected parts of accuracy.*got beauty"):
        replace(request_, parts=["beauty"])


def test_labels_of_other_elements_make_the_accuracy_missing(request_, tmp_path):
    atoms = unit_cells()
    atoms.symbols[0] = "S"
    path = tmp_path / "x.extxyz"
    label = read_whole_labels([write_labels(path, 2)])[0]
    frame = label.frame.model_copy(update={"symbols": atoms.get_chemical_symbols()})
    write_extxyz([label.model_copy(update={"frame": frame})], path)
    card = evaluate(replace(request_, parts=["accuracy"], data=[path]), None)
    assert card.accuracy.status == "missing"
    assert "got S" in card.accuracy.reason


class Nowhere(Calculator):
    """Forces that are no numbers."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=None):
        self.results = {"energy": 0.0, "forces": np.full((len(atoms), 3), np.nan)}


def test_numbers_that_are_none_are_refused():
    with pytest.raises(EvaluationError, match="frame 0: expected finite energy and forces"):
        predict(Nowhere(), [unit_cells()])


def test_a_calculator_without_stress_has_none():
    found = predict(Still(), [unit_cells()])
    assert found.stresses == [None]
    assert (found.energies.shape, found.forces[0].shape[0]) == ((1, 1), 1)


class Still(Calculator):
    """No forces at all, and no stress."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=None):
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}
