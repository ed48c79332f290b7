"""The one line must be true to the documents."""

from __future__ import annotations

import re

import pytest

from ionloop.report.summary import barriers_of, summarize, summary_line

LINE = re.compile(
    r"^demo: converged=(true|false) generations=(\d+) labels=(\d+) "
    r"barrier_meV=(\d+|n/a)/(\d+|n/a) ea_eV=(\S+)/(\S+) wall_s=(\d+) report=(\S+)$"
)


def test_line_of_a_finished_campaign(record):
    line = summary_line(record, wall_s=412.4, report="/tmp/r.html")
    assert LINE.match(line)
    assert line.startswith("demo: converged=true generations=3 labels=96 barrier_meV=319/332 ")
    assert line.endswith(" wall_s=412 report=/tmp/r.html")
    ours = record.evaluation.model_transport.activation_energy
    assert f"ea_eV={ours.value:.3f}±{ours.error:.3f}/0.330±" in line


def test_line_of_an_unfinished_campaign(unfinished):
    line = summary_line(unfinished, wall_s=1.0, report="r.html")
    assert "converged=false generations=1 labels=36 barrier_meV=212/332 ea_eV=n/a/n/a " in line


def test_line_of_a_campaign_that_only_started(newborn):
    line = summary_line(newborn, wall_s=0.0, report="r.html", name="run")
    assert line.startswith("run: converged=false generations=0 labels=0 barrier_meV=n/a/n/a ")


def test_energy_without_a_number_is_not_available(record):
    energy = record.evaluation.model_transport.activation_energy
    energy.value = energy.error = None
    assert summarize(record).ea_model_ev == "n/a"


@pytest.mark.parametrize("converged", [False, None])
def test_a_barrier_of_an_unconverged_band_is_not_available(record, converged):
    for pair in record.evaluation.barriers:
        pair.model_converged = converged
    assert summarize(record).barrier_model_mev == "n/a"
    assert summarize(record).barrier_reference_mev == "332"


def test_an_energy_that_breaks_a_rule_is_not_available(record):
    record.evaluation.model_transport.activation_energy.admissible = False
    record.evaluation.reference_transport.activation_energy.admissible = False
    found = summarize(record)
    assert (found.ea_model_ev, found.ea_reference_ev) == ("n/a", "n/a")


def test_barriers_come_from_the_bands_until_there_is_an_evaluation(record):
    record.evaluation.barriers[0].model = 0.4
    assert barriers_of(record)[0].model == 0.4
    record.evaluation = None
    assert barriers_of(record)[0].model == pytest.approx(0.332 - 0.12 / 9)
