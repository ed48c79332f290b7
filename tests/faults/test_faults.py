"""Faults at random moments of a fast campaign: nothing is lost, and nothing computed twice.

More of them: ``python -m fault_trials --help``, with tests/support on PYTHONPATH.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest
from fault_trials.plan import KINDS, SETUPS, plan_of
from fault_trials.run import Bench, trials
from fault_trials.table import line, markdown, write

#: A seed, kinds of fault and worker processes; together they have every kind.
SHORT = [
    (0, ("worker_kill", "duplicate_finish"), 2),
    (1, ("launcher_kill",), 2),
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
#: How long the connection is dropped or held, s.
SHORT_DROP_S, LONG_DROP_S = 3.0, 30.0


@pytest.fixture(scope="module")
def bench():
    with Bench(SHORT_DROP_S, generations=2) as made:
        yield made


def test_the_short_trials_have_every_kind_of_fault():
    kinds = [kind for _, some, _ in SHORT for kind in some]
    assert len(SHORT) >= 10
    assert sorted(kinds) == sorted(KINDS)


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


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_a_hundred_trials(capsys):
    """``IONLOOP_FAULT_TRIALS`` and ``IONLOOP_FAULT_SEED`` choose others."""
    n = int(os.environ.get("IONLOOP_FAULT_TRIALS", "112"))
    seed = int(os.environ.get("IONLOOP_FAULT_SEED", random.SystemRandom().randrange(10**6)))
    out = Path(os.environ.get("IONLOOP_FAULT_OUT", "runs/fault-trials"))
    outcomes = []
    with Bench(LONG_DROP_S) as bench:
        for outcome in trials(bench, n, seed):
            outcomes.append(outcome)
            with capsys.disabled():
                sys.stdout.write(f"\n{len(outcomes)}/{n} {line(outcome)}")
                sys.stdout.flush()
            write(outcomes, out)
    bad = [line(outcome) for outcome in outcomes if not outcome.survived]
    assert bad == [], markdown(outcomes)
