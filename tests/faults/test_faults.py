"""Faults at random moments of a fast campaign: nothing is lost, and nothing computed twice.

More of them: ``python -m fault_trials --help``, with tests/support on PYTHONPATH.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sys
from pathlib import Path

import engine_jobs
import pytest
from fault_trials.plan import CLUSTER_KINDS, KINDS, SETUPS, plan_of
from fault_trials.run import TRIALS, Bench, trials
from fault_trials.table import line, markdown, write
from fault_trials.trial import Trial

from ionloop.reference.schema import SinglePoint

#: A seed, kinds of fault and worker processes; together they have every kind.
SHORT = [
    (0, ("worker_kill", "duplicate_finish", "launcher_kill"), 2),
    (2, ("launcher_kill_workers_left",), 2),
    (3, ("mongod_kill", "second_launcher"), 2),
    (4, ("worker_term", "launcher_term"), 1),
    (5, ("disk_full",), 2),
    (6, ("connection_drop", "mongod_term"), 2),
    (7, ("connection_held", "late_finish"), 1),
    (8, ("second_machine",), 1),
    (9, ("machine_lost",), 1),
    (10, ("database_lost",), 1),
]
#: The same on a cluster; the others of its kinds are done by the long run.
SHORT_CLUSTER = [
    (11, ("cluster_worker_kill", "guard_kill")),
    (12, ("second_qlaunch", "disk_full")),
]
#: How long the connection is dropped or held, s.
SHORT_DROP_S, LONG_DROP_S = 2.0, 30.0


@pytest.fixture(scope="module")
def bench():
    with Bench(SHORT_DROP_S, generations=2) as made:
        yield made


def test_the_short_trials_have_every_kind_of_fault():
    kinds = [kind for _, some, _ in SHORT for kind in some]
    assert len(SHORT) >= 10
    assert sorted(kinds) == sorted(KINDS)


def test_the_plans_of_local_trials_stay_as_they_were():
    """The table in docs/reference/faults.md names their seeds."""
    plans = [(p.seed, p.faults, p.generations, p.workers) for p in map(plan_of, range(112))]
    digest = hashlib.sha256(repr(plans).encode()).hexdigest()
    assert digest.startswith("41d199ffc0f23d7d")


def test_a_cluster_has_kinds_of_its_own_and_two_workers():
    plans = [plan_of(seed, setup="cluster") for seed in range(32)]
    assert {kind for plan in plans for kind in plan.kinds} == set(CLUSTER_KINDS)
    assert all(sum(kind in plan.kinds for plan in plans) >= 4 for kind in CLUSTER_KINDS)
    assert {plan.workers for plan in plans} == {2}


def test_a_kind_that_a_setup_does_not_know_is_refused():
    with pytest.raises(ValueError, match="worker_kill"):
        next(trials(Bench(0.0), 1, 0, ("worker_kill",), "cluster"))


def test_the_seed_decides_the_plan_and_all_kinds_come_equally_often():
    plans = [plan_of(seed) for seed in range(10 * len(KINDS))]
    assert plans == [plan_of(seed) for seed in range(10 * len(KINDS))]
    assert all(sum(kind in plan.kinds for plan in plans) >= 10 for kind in KINDS)
    assert all(len(SETUPS & set(plan.kinds)) <= 1 for plan in plans)
    assert any(len(plan.kinds) == 3 for plan in plans)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("seed", "kinds", "workers"), SHORT, ids=str)
def test_a_campaign_survives(bench, seed, kinds, workers):
    outcome = bench.run(plan_of(seed, kinds, generations=2, workers=workers))
    assert outcome.violations == [], f"{line(outcome)}\n{outcome.notes}"
    assert sorted(outcome.done) == sorted(kinds)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("seed", "kinds"), SHORT_CLUSTER, ids=str)
def test_a_campaign_survives_on_a_cluster(bench, seed, kinds):
    outcome = bench.run(plan_of(seed, kinds, generations=2, setup="cluster"))
    assert outcome.violations == [], f"{line(outcome)}\n{outcome.notes}"
    assert sorted(outcome.done) == sorted(kinds)


class Tampered(Trial):
    """An undisturbed campaign of whose labels one was computed twice, and one is another."""

    def _drive(self) -> None:
        super()._drive()
        engine_jobs.note(str(self.ledger), "end", "0.1")
        self.may_pay_twice["0.2"] += 1  # of another label
        self.expected_hash = "another"


def test_a_trial_sees_what_is_wrong(bench, monkeypatch):
    monkeypatch.setitem(TRIALS, "local", Tampered)
    outcome = bench.run(plan_of(13, (), generations=2, workers=2))
    assert outcome.violations == [
        "labels computed twice: ['0.1']",
        "another dataset hash than the undisturbed run's",
    ]
    shutil.rmtree(outcome.notes[-1].partition("is kept: ")[2])


def test_a_dataset_hash_sees_each_number():
    point = SinglePoint(
        energy=1.0, forces=[[0.0, 0.0, 0.1]], converged=True, settings_hash="a", engine="b",
        wall_s=1.0, directory="c",
    )  # fmt: skip
    collect = engine_jobs.collect.original

    def digest(generation: int = 0, **fields: object) -> str:
        shard = collect(generation, [point.model_copy(update=fields)])
        return engine_jobs.dataset_hash([shard])

    same = digest(wall_s=2.0, directory="d")
    others = [
        digest(1), digest(energy=1.1), digest(forces=[[0.0, 0.0, 0.2]]), digest(settings_hash="x")
    ]  # fmt: skip
    assert digest() == same
    assert len({same, *others}) == 5


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(("setup", "usual"), [("local", 112), ("cluster", 32)])
def test_many_trials(capsys, setup, usual):
    """``IONLOOP_FAULT_TRIALS`` and ``IONLOOP_FAULT_SEED`` choose others."""
    n = int(os.environ.get("IONLOOP_FAULT_TRIALS", usual))
    seed = int(os.environ.get("IONLOOP_FAULT_SEED", random.SystemRandom().randrange(10**6)))
    out = Path(os.environ.get("IONLOOP_FAULT_OUT", "runs/fault-trials")) / setup
    outcomes = []
    with Bench(LONG_DROP_S) as bench:
        for outcome in trials(bench, n, seed, setup=setup):
            outcomes.append(outcome)
            with capsys.disabled():
                sys.stdout.write(f"\n{len(outcomes)}/{n} {line(outcome)}")
                sys.stdout.flush()
            write(outcomes, out)
    bad = [line(outcome) for outcome in outcomes if not outcome.survived]
    assert bad == [], markdown(outcomes)
