"""Real processes step real calculators; laws and limits on made-up times."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ase.build import bulk
from made_cards import card, scaling
from untrained_mace import write_model

from ionloop.cli.card_tables import show_card
from ionloop.errors import EvaluationError
from ionloop.evaluate.cost import cost_of
from ionloop.evaluate.cost_scaling import (
    CostSettings,
    atoms_per_gb,
    cpu_speed_ups,
    exponents,
    growing,
    measure_scaling,
    on_gpu,
    speed_ups,
)
from ionloop.evaluate.machine import cpu_seconds, peak_mb
from ionloop.evaluate.models import resolve_model
from ionloop.evaluate.scorecard_schema import Scaling
from ionloop.report.scorecard_rows import quantities

SOURCE = """
import time
import numpy as np
from ase.calculators.calculator import Calculator

class Slow(Calculator):
    implemented_properties = ("energy", "forces")
    seconds, kept, limit = 0.0, 0, 10**9

    def calculate(self, atoms=None, properties=None, system_changes=None):
        if len(atoms) > self.limit:
            raise MemoryError("too many atoms")
        time.sleep(self.seconds * len(atoms))
        ballast = np.ones(self.kept * len(atoms))
        self.results = {"energy": ballast[:1].sum(), "forces": np.zeros((len(atoms), 3))}

def fast():
    found = Slow()
    found.seconds = 2e-5
    return found

def slow():
    found = Slow()
    found.seconds, found.kept = 8e-5, 10**5
    return found

def limited():
    found = Slow()
    found.limit = 150
    return found
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    (tmp_path / "timed_potential.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: resolve_model([f"timed_potential:{name}"])


def times(name, law):
    return [cost_of([law(n)], n_atoms=n, name=name) for n in (100, 200, 400, 800)]


def test_cells_double_and_stay_compact():
    cells = list(growing(bulk("Cu", "fcc", a=3.6, cubic=True), 100, 1100))
    assert [len(x) for x in cells] == [128, 256, 512, 1024]
    assert max(cells[-1].cell.lengths()) <= 2 * min(cells[-1].cell.lengths())
    assert [len(x) for x in growing(bulk("Cu", cubic=True), 4, 3)] == []


def test_the_exponent_is_that_of_the_largest_sizes():
    costs = times("a", lambda n: 1e-3 * n**1.5) + times("b", lambda n: 2e-3 * n)
    costs[0].seconds_per_step = 99.0  # a start-up that isn't fitted
    assert exponents(costs) == pytest.approx({"a": 1.5, "b": 1.0})
    assert exponents(costs[:1]) == {}
    found = speed_ups(times("b", lambda n: 1.0 * n) + times("a", lambda n: 0.1 * n), ["a", "b"])
    assert found == [(n, pytest.approx(10)) for n in (100, 200, 400, 800)]
    assert speed_ups(costs, ["a"]) == []


def test_the_speed_up_by_cpu_time_needs_both_and_has_quartiles():
    costs = times("a", lambda n: 1.0 * n) + times("b", lambda n: 1.0 * n)
    for cost in costs[1:]:
        cost.cpu_seconds = cost.seconds_per_step * (4 if cost.calculator == "b" else 1)
        cost.cpu_quartiles = 0.9 * cost.cpu_seconds, 1.1 * cost.cpu_seconds
    costs[-1].cpu_quartiles = None
    unknown, *found = cpu_speed_ups(costs, ["a", "b"])
    assert (unknown.ratio, unknown.missing) == (None, "cores not known, not alike, or a GPU: a")
    assert [(one.n_atoms, one.ratio) for one in found] == [
        (n, pytest.approx(4)) for n in (200, 400, 800)
    ]
    assert found[0].quartiles == pytest.approx((4 * 0.9 / 1.1, 4 * 1.1 / 0.9))
    assert found[-1].quartiles is None
    assert cpu_speed_ups(costs, ["a"]) == []


def test_mace_on_a_gpu_has_no_cpu_time_to_compare(tmp_path, monkeypatch):
    mace = resolve_model([str(write_model(tmp_path / "0.model"))])
    assert not on_gpu(mace)
    monkeypatch.setenv("IONLOOP_DEVICE", "cuda:0")
    assert on_gpu(mace)
    assert not on_gpu(resolve_model(["buckingham"]))


def test_speed_ups_by_cpu_time_are_shown_with_quartiles_or_the_reason(capsys):
    costs = times("model", lambda n: 1.0 * n) + times("reference", lambda n: 3.0 * n)
    for known in (True, False):
        for cost in costs:
            cost.cpu_seconds = cost.seconds_per_step if known else None
            cost.cpu_quartiles = (0.9 * cost.seconds_per_step, 1.1 * cost.seconds_per_step)
        found = cpu_speed_ups(costs, ["model", "reference"])
        one = card("x", 1.0)
        one.cost.result = scaling(1.0).model_copy(update={"speed_ups": found})
        row = [row for row in quantities(one, "cost") if "CPU" in row.name][-1]
        show_card(one)
        shown = capsys.readouterr().out
        if known:
            assert (row.value, row.interval) == ("3.00", "quartiles 2.45 to 3.67")
            assert "3 (quartiles 2.45 to 3.67) times less CPU time" in shown
        else:
            reason = "cores not known, not alike, or a GPU: model, reference"
            assert (row.value, row.reason) == ("", reason)
            assert f"not known, {reason}" in shown


def test_a_document_with_ratios_alone_is_read_and_shown():
    old = scaling(1.0).model_dump(mode="json", exclude={"speed_ups"})
    old |= {"speed_up": [[100, 250.0]]}
    one = card("old", 1.0)
    one.cost.result = Scaling.model_validate(old)
    rows = {row.name: row.value for row in quantities(one, "cost")}
    assert rows["reference's over the model's wall time, 100 atoms"] == "250"
    assert not any("CPU time" in name for name in rows)


def test_a_reference_of_dft_is_called_so():
    costs = [
        cost_of([x], n_atoms=100, name=name).model_copy(update={"cpu_seconds": x})
        for name, x in (("model", 1.0), ("reference", 40.0))
    ]
    (one,) = cpu_speed_ups(costs, ["model", "reference"], dft=True)
    assert (one.over, one.ratio) == ("DFT", 40.0)
    assert cpu_speed_ups(costs, ["model", "reference"])[0].over == "the reference"


def test_programs_that_run_count_for_time_and_memory():
    """Python as CP2K's shell: half a second of CPU and 200 MB, in a process of its own."""
    source = (
        "import time, sys\nx = b'x' * 200_000_000\n"
        "while time.process_time() < 0.6: pass\nprint('done', flush=True)\nsys.stdin.read()"
    )
    cpu, memory = cpu_seconds(), peak_mb()
    with subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline() == "done\n"
        assert 0.5 < cpu_seconds() - cpu < 2.0
        assert peak_mb() - memory > 190


def test_atoms_a_gb_leave_out_what_libraries_take():
    costs = times("a", lambda n: 1e-3 * n) + times("b", lambda n: 1e-3 * n)
    for cost in costs:
        cost.peak_mb = 300 + 0.5 * cost.n_atoms if cost.calculator == "a" else 300.0
    assert atoms_per_gb(costs) == pytest.approx({"a": 2048})
    assert atoms_per_gb(costs[:1]) == {}


def test_time_and_memory_are_each_calculators_own(model):
    models = {"model": model("fast"), "reference": model("slow")}
    settings = CostSettings(seconds=60, atoms_max=300, n_timed=4)
    told = []
    found = measure_scaling(bulk("Cu", "fcc", a=3.6, cubic=True), models, settings, told.append)
    assert [(c.calculator, c.n_atoms) for c in found.costs] == [
        ("model", 128), ("reference", 128), ("model", 256), ("reference", 256),
    ]  # fmt: skip
    by = {(c.calculator, c.n_atoms): c for c in found.costs}
    assert by["model", 128].seconds_per_step >= 128 * 2e-5
    assert by["reference", 256].seconds_per_step >= 256 * 8e-5
    assert [n for n, _ in found.speed_up] == [128, 256]
    assert all(ratio > 1.5 for _, ratio in found.speed_up)
    for one in found.speed_ups:
        own, theirs = (by[name, one.n_atoms] for name in ("model", "reference"))
        assert one.ratio == pytest.approx(theirs.cpu_seconds / own.cpu_seconds)
        assert one.quartiles[0] <= one.ratio <= one.quartiles[1]
        assert own.cpu_quartiles[0] <= own.cpu_seconds <= own.cpu_quartiles[1]
    # 256 atoms hold 10⁵ numbers of 8 bytes each.
    big, small = by["reference", 256], by["model", 256]
    assert big.peak_mb - big.base_mb == pytest.approx(256 * 0.8 / 1.048576, rel=0.3)
    assert small.peak_mb - small.base_mb < 40
    assert found.stopped == "300 atoms are the stated limit"
    assert told == ["cost of 128 atoms", "cost of 256 atoms"]
    assert peak_mb() > 10


def test_a_size_beyond_the_limit_of_time_is_not_begun(model):
    found = measure_scaling(
        bulk("Cu", "fcc", a=3.6, cubic=True), {"model": model("slow")}, CostSettings(seconds=0.1)
    )
    assert [c.n_atoms for c in found.costs] == [128]
    assert "256 atoms were foreseen to pass the limit of time, 0.1 s" in found.stopped


def test_a_calculator_that_gives_up_ends_the_curve_or_the_part(model):
    start = bulk("Cu", "fcc", a=3.6, cubic=True)
    found = measure_scaling(start, {"model": model("limited")}, CostSettings())
    assert [c.n_atoms for c in found.costs] == [128]
    assert "256 atoms failed: model: expected a step's time, got MemoryError" in found.stopped
    with pytest.raises(EvaluationError, match="too many atoms"):
        measure_scaling(start * (2, 2, 1), {"model": model("limited")}, CostSettings(atoms_min=200))
