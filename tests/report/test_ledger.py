"""What a campaign cost, from groups of launches that are known."""

from __future__ import annotations

import pytest

from ionloop.report.ledger import (
    AIMD,
    LABELS,
    NEB,
    REST,
    TRAINING,
    Group,
    by_generation,
    by_kind,
    by_stage,
    core_hours_per_label,
    kind_of,
    line,
    reference_share,
)
from ionloop.report.ledger_table import core_time

LABEL = "ionloop.reference.cp2k.makers.Cp2kStaticMaker"
TRAIN = "ionloop.train.jobs.train_member"


def group(function=LABEL, outcome="done", hours=1.0, cores=4, n=1, stage="label", generation=0):
    wall_s = 3600 * hours
    return Group(
        stage=stage, generation=generation, function=function, outcome=outcome,
        n_jobs=n, n_attempts=n, wall_s=wall_s,
        core_s=wall_s * (cores or 0), unknown_s=0.0 if cores else wall_s,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("ionloop.reference.forcefield.teacher_labels", LABELS),
        ("ionloop.reference.forcefield.teacher_md", AIMD),
        ("ionloop.reference.forcefield.teacher_band", NEB),
        ("ionloop.reference.cp2k.makers.Cp2kStaticMaker", LABELS),
        ("ionloop.reference.cp2k.md.Cp2kMdMaker", AIMD),
        ("ionloop.reference.cp2k.neb.cp2k_band", NEB),
        ("ionloop.reference.vasp.makers.VaspStaticMaker", LABELS),
        ("ionloop.reference.vasp.md.VaspMdMaker", AIMD),
        ("ionloop.reference.vasp.neb.VaspRelaxMaker", NEB),
        ("ionloop.reference.vasp.neb.VaspImagesMaker", NEB),
        ("ionloop.reference.vasp.band.vasp_band", NEB),
        ("ionloop.train.jobs.train_member", TRAINING),
        ("ionloop.label.jobs.label_frames", REST),
        ("jobflow.core.job.store_inputs", REST),
    ],
)
def test_kinds_of_jobs(function, kind):
    assert kind_of(function) == kind


def test_lost_attempts_are_part_of_the_whole_and_shown_apart():
    groups = [
        group(hours=2.0, n=3),
        group(outcome="failed", hours=0.5),
        group(outcome="lost", hours=0.25),
        group(outcome="redone", hours=1.0),
        group(outcome="running", hours=0.1),
    ]
    found = line("label", groups)
    assert found.total.wall_s == pytest.approx(3600 * 3.85)
    assert found.total.core_hours == pytest.approx(4 * 3.85)
    assert found.lost.core_hours == pytest.approx(4 * 1.75)
    assert (found.total.n_attempts, found.lost.n_attempts) == (7, 3)
    assert (found.n_failed, found.n_lost, found.n_redone, found.n_running) == (1, 1, 1, 1)


def test_stages_stand_in_the_order_of_the_loop_and_generations_by_number():
    groups = [
        group(stage=stage, generation=g)
        for stage, g in (("evaluate", 10), ("label", 2), ("seed", 0), ("own", None), (None, 2))
    ]
    assert [x.name for x in by_stage(groups)] == ["seed", "label", "evaluate", "other", "own"]
    assert [x.name for x in by_generation(groups)] == ["0", "2", "10", "none"]
    assert sum(x.total.wall_s for x in by_stage(groups)) == line("all", groups).total.wall_s
    assert sum(x.total.wall_s for x in by_generation(groups)) == line("all", groups).total.wall_s


def test_the_references_share_and_a_labels_cost():
    kinds = by_kind([group(hours=3.0), group(TRAIN, hours=1.0, stage="train")])
    assert [one.name for one in kinds] == [LABELS, TRAINING]
    assert reference_share(kinds) == pytest.approx(0.75)
    assert core_hours_per_label(kinds, 24) == pytest.approx(0.5)
    assert core_hours_per_label(kinds, 0) is None
    assert core_hours_per_label(kinds[1:], 24) is None


def test_unknown_cores_leave_the_wall_time_and_no_share():
    kinds = by_kind([group(hours=3.0, cores=None), group(hours=1.0), group(TRAIN, stage="train")])
    labels = kinds[0].total
    assert (labels.wall_s, labels.core_hours, labels.wall_unknown_s) == (4 * 3600, 4.0, 3 * 3600)
    assert reference_share(kinds) is None
    assert core_hours_per_label(kinds, 24) is None
    assert core_time(labels) == "≥ 4 h"
    assert core_time(line("old", [group(cores=None)]).total) == "–"
