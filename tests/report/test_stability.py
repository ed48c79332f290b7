"""A potential that explodes or melts is told where nobody overlooks it."""

from __future__ import annotations

from made_record import make_stability

from ionloop.report.html import render
from ionloop.report.outcome import outcome
from ionloop.report.stability import alarms, stability_line, stability_table, stability_words


def unstable(record):
    why = "atoms at 0.31 of their covalent radii's sum"
    record.evaluation.stability[1] = make_stability(1, stopped=why)
    return record


def test_members_that_hold_are_no_alarm(record):
    assert alarms(record.evaluation) == []
    line = "stability: 3 of 3 members keep the solid for 500 ps at 1800 K"
    assert stability_line(record.evaluation) == line
    assert f"S{line[1:]}." in outcome(record)
    rows = stability_table(record.evaluation).rows
    assert [row[2] for row in rows] == ["stable"] * 3
    assert rows[0][1] == "500 of 500 ps, 38 atoms, 1800 K"
    assert rows[0][5:] == ["Li–O 1.62 Å", "+0.12 ± 0.03 in 10 ps"]
    assert "short" not in stability_words(record.evaluation)
    assert 'class="alarm"' not in render(record)


def test_one_that_explodes_stands_at_the_top(record):
    unstable(record)
    (alarm,) = alarms(record.evaluation)
    assert alarm.startswith("Unstable potential: mace member 1 2121 at 1800 K. The run stays ")
    assert "ended after 31 ps: atoms at 0.31" in alarm
    assert "ExploreMaker.md_steps" in alarm
    assert "UNSTABLE: 2 of 3 members" in stability_line(record.evaluation)
    html = render(record)
    assert 'class="alarm"' in html.split("<h2>Why</h2>")[0]
    assert stability_table(record.evaluation).rows[1][2].startswith("UNSTABLE: not “the run")


def test_a_short_run_says_so(record):
    runs = record.evaluation.stability
    record.evaluation.stability = [r.model_copy(update={"picoseconds": 10.0}) for r in runs]
    assert "These runs of 10 ps are short" in stability_words(record.evaluation)


def test_what_was_left_out_is_said(record, unfinished):
    record.evaluation.stability = []
    record.evaluation.stability_ps = 0.0
    assert "EvaluateMaker.stability_ps is 0" in stability_table(record.evaluation).missing
    assert "not tried" in stability_line(record.evaluation)
    assert "EvaluateMaker.stability_ps is 0" in render(record)
    record.evaluation.stability_ps = None
    assert "before stability was tried" in stability_table(record.evaluation).missing
    assert "hasn't been evaluated" in stability_table(unfinished.evaluation).missing
