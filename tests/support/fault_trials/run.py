"""Many trials, one after another, on one server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self

from pymongo import MongoClient

from fault_trials.cluster import ClusterTrial
from fault_trials.plan import MENUS, Plan, plan_of
from fault_trials.server import Server
from fault_trials.trial import Outcome, Trial
from fault_trials.zygote import Zygote

#: What runs a campaign under faults, by setup.
TRIALS = {"local": Trial, "cluster": ClusterTrial}


class Bench:
    """A server, a zygote and the undisturbed run's dataset hash: what trials share."""

    def __init__(self, drop_s: float, generations: int = 3) -> None:
        self.drop_s = drop_s
        self.generations = generations
        self.dataset_hash = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.zygote = Zygote()
        self._stack.callback(self.zygote.close)
        self.server = self._stack.enter_context(Server())
        undisturbed = self.run(Plan(-1, (), self.generations))
        if not undisturbed.survived:
            self._stack.close()
            msg = f"the undisturbed run: {undisturbed.violations}"
            raise RuntimeError(msg)
        self.dataset_hash = undisturbed.dataset_hash
        self.undisturbed_s = undisturbed.wall_s
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, plan: Plan) -> Outcome:
        """Run one trial; its database is dropped."""
        trial = TRIALS[plan.setup](
            plan, self.server, self.zygote, drop_s=self.drop_s, expected_hash=self.dataset_hash
        )
        outcome = trial.run()
        if self.server.process.poll() is not None:
            self.server.start()
        with MongoClient(self.server.uri) as client:
            client.drop_database(trial.env["IONLOOP_DB_NAME"])
        return outcome


def trials(
    bench: Bench, n: int, seed: int, kinds: tuple[str, ...] = (), setup: str = "local"
) -> Iterator[Outcome]:
    """Run n trials of the seeds from ``seed``; with ``kinds`` only those, one a trial.

    Raises
    ------
    ValueError
        If the setup knows no such kind.
    """
    if unknown := set(kinds) - set(MENUS[setup]):
        msg = f"expected kinds of {MENUS[setup]}, got {sorted(unknown)}"
        raise ValueError(msg)
    for number in range(seed, seed + n):
        only = (kinds[number % len(kinds)],) if kinds else None
        yield bench.run(plan_of(number, only, bench.generations, setup=setup))
