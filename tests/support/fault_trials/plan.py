"""What is done to a campaign, and when: all of it follows from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

#: The kinds of fault; a function of this name in ``faults.py`` does each.
KINDS = (
    "worker_kill",
    "launcher_kill",
    "launcher_kill_workers_left",
    "mongod_kill",
    "launcher_term",
    "worker_term",
    "mongod_term",
    "disk_full",
    "connection_drop",
    "connection_held",
    "database_lost",
    "duplicate_finish",
    "late_finish",
    "second_launcher",
    "second_machine",
    "machine_lost",
)
#: The same on a cluster, where workers are `ionloop work` and nobody launches; a function in
#: ``cluster_faults.py`` or ``faults.py`` does each.
CLUSTER_KINDS = (
    "guard_kill",
    "cluster_worker_kill",
    "guard_stop",
    "mongod_kill",
    "connection_drop",
    "duplicate_finish",
    "second_qlaunch",
    "disk_full",
)
#: What can happen where.
MENUS = {"local": KINDS, "cluster": CLUSTER_KINDS}
#: Kinds that decide how the whole trial is set up, and so come alone of their sort.
SETUPS = {
    "launcher_kill_workers_left", "disk_full", "connection_drop", "connection_held",
    "database_lost",
    "second_machine", "machine_lost",
}  # fmt: skip
#: Size of a trial's campaign: labels a generation, and what one takes, s.
LABELS, LABEL_S = 3, 0.1


@dataclass(frozen=True)
class Moment:
    """When so many calculations have begun, and so many seconds later."""

    begun: int
    delay_s: float


@dataclass(frozen=True)
class Plan:
    """The faults of a trial in their order, each with its moment."""

    seed: int
    faults: tuple[tuple[str, Moment], ...]
    generations: int = 3
    workers: int = 2
    setup: str = "local"

    @property
    def names(self) -> list[str]:
        """The labels of the campaign."""
        return [f"{g}.{i}" for g in range(self.generations) for i in range(LABELS)]

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind, _ in self.faults)


def plan_of(
    seed: int,
    kinds: tuple[str, ...] | None = None,
    generations: int = 3,
    workers: int | None = None,
    setup: str = "local",
) -> Plan:
    """Make a trial's plan; without ``kinds`` the seed chooses them, one to three.

    The first kind goes round with the seed, so that any range of seeds has all kinds
    about equally often.
    """
    rng, menu = random.Random(seed), MENUS[setup]
    chosen = None
    if kinds is None:
        chosen = [menu[seed % len(menu)]]
        while len(chosen) < 3 and rng.random() < 0.35:
            more = rng.choice(menu)
            if not (more in SETUPS and SETUPS & set(chosen)):
                chosen.append(more)
        rng.shuffle(chosen)
        kinds = tuple(chosen)
    # Chosen kinds come early, since each of them has to come in time.
    latest = generations * LABELS // (2 if chosen is None else 1)
    begun = sorted(rng.randint(0, latest) for _ in kinds)
    moments = [Moment(n, rng.uniform(0, 0.3)) for n in begun]
    workers = workers or (rng.choice([1, 2, 2, 3]) if setup == "local" else 2)
    return Plan(seed, tuple(zip(kinds, moments, strict=True)), generations, workers, setup)
