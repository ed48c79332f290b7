"""The clock must measure real calls, without the first one."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from ionloop.cores import thread_cores
from ionloop.errors import EvaluationError
from ionloop.evaluate.cost import cost_of, time_calculator
from ionloop.evaluate.jobs import model_cost, reference_cost
from ionloop.explore.driver import CommitteeDriver
from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label, LabelShard


class Sleeper(Calculator):
    """Sleeps 0.2 s at first and 0.01 s later."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls = getattr(self, "calls", 0) + 1
        time.sleep(0.2 if self.calls == 1 else 0.01)
        self.results = {"energy": 0.0, "forces": np.zeros((len(self.atoms), 3))}


def test_median_leaves_out_the_first_call():
    made = []

    def make():
        made.append(Sleeper())
        return made[-1]

    atoms = bulk("Cu")
    before = atoms.positions.copy()
    cost = time_calculator(atoms, make, 5, np.random.default_rng(0), name="sleeper", note="x")
    assert 0.01 <= cost.seconds_per_step < 0.1
    assert made[0].calls == 6
    assert 0.01 <= cost.quartiles[0] <= cost.seconds_per_step <= cost.quartiles[1] < 0.1
    assert (cost.n_timed, cost.n_atoms, cost.calculator, cost.note) == (5, 1, "sleeper", "x")
    assert np.array_equal(atoms.positions, before)
    assert atoms.calc is None


def test_a_real_calculator_is_never_answered_from_its_cache():
    atoms = bulk("Cu", cubic=True).repeat(2)
    cost = time_calculator(atoms, EMT, 3, np.random.default_rng(0), name="EMT")
    assert cost.seconds_per_step > 1e-4
    assert cost.n_atoms == 32


def test_no_timed_call_is_refused():
    with pytest.raises(EvaluationError, match="n_timed >= 1"):
        time_calculator(bulk("Cu"), EMT, 0, np.random.default_rng(0), name="EMT")


def test_median_and_quartiles_of_known_times():
    found = cost_of([5.0, 1.0, 2.0, 4.0, 3.0], n_atoms=7, name="x")
    assert (found.seconds_per_step, found.quartiles, found.n_timed) == (3.0, (2.0, 4.0), 5)
    assert cost_of([1.0, 2.0, 3.0], n_atoms=7, name="x").quartiles is None
    with pytest.raises(EvaluationError, match="cost of x: expected wall times, got none"):
        cost_of([], n_atoms=7, name="x")


def test_cost_of_the_reference_comes_from_its_labels():
    frame = Frame(
        symbols=["Li"], positions=[[0, 0, 0]], cell=np.eye(3).tolist(), origin=Origin.AIMD,
        group="a",
    )  # fmt: skip
    labels = [
        Label(
            frame=frame, frame_hash=frame.frame_hash, energy=0.0, forces=[[0, 0, 0]],
            settings_hash="x", engine="cp2k 2026.1", wall_s=s, cores=8, directory="",
        )
        for s in (10.0, 20.0, 30.0, 40.0, 900.0)
    ]  # fmt: skip
    shard = LabelShard(
        generation=0, purpose="test", labels=labels, quarantined=[], frame_hashes=[],
        n_admitted=5, n_quarantined=0, reasons={}, counts={}, settings_hash="x", wall_s=0.0,
    )  # fmt: skip
    assert reference_cost(shard, 39) == []  # labels of another size
    (found,) = reference_cost(shard, 1)
    assert (found.seconds_per_step, found.quartiles, found.n_timed) == (30.0, (20.0, 40.0), 5)
    assert (found.calculator, found.n_atoms) == ("reference (cp2k 2026.1)", 1)
    assert "start-up and stress included, perhaps on other hardware" in found.note
    assert found.cores == 8
    shard.labels[0].cores = None
    assert [one.cores for one in reference_cost(shard, 1)] == [None]


def test_models_are_timed_by_the_driver_that_md_runs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "support")
    from untrained_mace import write_model

    called = []
    calculate = CommitteeDriver.calculate

    def counted(driver, *args, **kwargs):
        called.append(len(driver.models))
        calculate(driver, *args, **kwargs)

    monkeypatch.setattr(CommitteeDriver, "calculate", counted)
    paths = [write_model(tmp_path / f"{seed}.model", seed) for seed in (0, 1)]
    atoms = bulk("LiCl", "rocksalt", 5.1, cubic=True)
    found = model_cost(atoms, paths, 3, np.random.default_rng(0))
    assert [c.calculator for c in found] == ["one MACE model", "committee of 2"]
    assert {c.cores for c in found} == {thread_cores()}
    assert called == [1] * 4 + [2] * 4  # the first of each isn't timed
    for cost in found:
        assert (cost.n_atoms, cost.n_timed) == (8, 3)
        assert cost.seconds_per_step > 1e-4
        assert "other jobs may run beside" in cost.note


def test_an_empty_test_set_has_no_cost():
    """Every run may have ended at once: what else was computed isn't lost."""
    shard = LabelShard(
        generation=0, purpose="test", labels=[], quarantined=[], frame_hashes=[],
        n_admitted=0, n_quarantined=0, reasons={}, counts={}, settings_hash="x", wall_s=0.0,
    )  # fmt: skip
    assert reference_cost(shard, 39) == []
