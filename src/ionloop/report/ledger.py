"""Sum up what a campaign cost, from groups of launches that a database has summed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ionloop.report.ledger_schema import LedgerLine, Spent

#: Done: the launch that counts. Redone: it ended well, and its job ran again.
Outcome = Literal["done", "failed", "lost", "redone", "running"]

STAGES = ("start", "seed", "label", "train", "explore", "select", "judge", "advance", "evaluate")
AIMD, NEB, LABELS = "AIMD", "NEB", "labels"
TRAINING, EXPLORATION, REST = "training", "exploration", "everything else"
#: Kinds that the reference computes, and all of them.
OF_REFERENCE = (AIMD, NEB, LABELS)
KINDS = (*OF_REFERENCE, TRAINING, EXPLORATION, REST)
#: What a job is by its function; the first words that fit. The reference's jobs run its MD, its
#: bands, and else labels.
_BY_MODULE = {"ionloop.train.": TRAINING, "ionloop.explore.": EXPLORATION}
_OF_REFERENCE = ("ionloop.reference.", "atomate2.")


@dataclass(frozen=True)
class Group:
    """Launches that a database has summed.

    Parameters
    ----------
    stage, generation
        Of their jobs; None if they have none.
    function
        Dotted name of their jobs' function or Maker.
    outcome
        What became of them.
    n_jobs
        Jobs of which the first launch is among them.
    n_attempts
        Launches.
    wall_s, core_s, unknown_s
        Wall time; cores times wall time where cores are known; wall time where they aren't, s.
    """

    stage: str | None
    generation: int | None
    function: str
    outcome: Outcome
    n_jobs: int
    n_attempts: int
    wall_s: float
    core_s: float
    unknown_s: float


def kind_of(function: str) -> str:
    """Return the kind of a job by its function.

    >>> kind_of("ionloop.reference.cp2k.md.Cp2kMdMaker"), kind_of("ionloop.train.jobs.train_member")
    ('AIMD', 'training')
    """
    for module, kind in _BY_MODULE.items():
        if function.startswith(module):
            return kind
    if not function.startswith(_OF_REFERENCE):
        return REST
    last = ".".join(function.split(".")[-2:]).lower()
    if "band" in last or "neb" in last or "relax" in last or "image" in last:
        return NEB
    return AIMD if "md" in last.replace("cmd", "") else LABELS


def line(name: str, groups: Iterable[Group]) -> LedgerLine:
    """Sum groups up."""
    some = list(groups)
    n = {o: sum(g.n_attempts for g in some if g.outcome == o) for o in (x.outcome for x in some)}
    return LedgerLine(
        name=name,
        n_jobs=sum(g.n_jobs for g in some),
        total=spent(some),
        lost=spent(g for g in some if g.outcome in ("failed", "lost", "redone")),
        n_failed=n.get("failed", 0),
        n_lost=n.get("lost", 0),
        n_redone=n.get("redone", 0),
        n_running=n.get("running", 0),
    )


def spent(groups: Iterable[Group]) -> Spent:
    """Sum up times."""
    some = list(groups)
    return Spent(
        n_attempts=sum(g.n_attempts for g in some),
        wall_s=sum(g.wall_s for g in some),
        core_hours=sum(g.core_s for g in some) / 3600,
        wall_unknown_s=sum(g.unknown_s for g in some),
    )


def by_stage(groups: Sequence[Group]) -> list[LedgerLine]:
    """Sum up by stage, in the order of the loop; others behind."""
    names = {g.stage or "other" for g in groups}
    ordered = [s for s in STAGES if s in names] + sorted(names - set(STAGES))
    return [line(s, (g for g in groups if (g.stage or "other") == s)) for s in ordered]


def by_generation(groups: Sequence[Group]) -> list[LedgerLine]:
    """Sum up by generation; jobs without one behind."""
    names = sorted({g.generation for g in groups if g.generation is not None})
    found = [line(str(n), (g for g in groups if g.generation == n)) for n in names]
    rest = [g for g in groups if g.generation is None]
    return found + ([line("none", rest)] if rest else [])


def by_kind(groups: Sequence[Group]) -> list[LedgerLine]:
    """Sum up by kind of job, those that there are."""
    found = {kind: [g for g in groups if kind_of(g.function) == kind] for kind in KINDS}
    return [line(kind, some) for kind, some in found.items() if some]


def reference_share(kinds: Sequence[LedgerLine]) -> float | None:
    """Return the share of core-hours of the reference's jobs; None if cores are unknown."""
    whole = sum(one.total.core_hours for one in kinds)
    if not whole or any(one.total.wall_unknown_s for one in kinds):
        return None
    return sum(one.total.core_hours for one in kinds if one.name in OF_REFERENCE) / whole


def core_hours_per_label(kinds: Sequence[LedgerLine], n_labels: int) -> float | None:
    """Return core-hours of jobs that compute labels by label; None if any of it is unknown."""
    found = next((one for one in kinds if one.name == LABELS), None)
    if found is None or not n_labels or found.total.wall_unknown_s:
        return None
    return found.total.core_hours / n_labels
