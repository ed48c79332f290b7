"""When a campaign will be done, from what its own jobs took; nothing where nothing was measured.

The jobs left of a generation are scheduled as workers would run them: of each kind as many at
once as were observed, one kind after the other. How long a job takes is the quartiles of the
durations of this campaign's finished jobs of the same stage and kind, all of them below five.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from ionloop.store.schema import Eta, Span

#: Of a stage and a kind of jobs.
Kind = tuple[str, str]
#: With fewer measurements their range stands for the quartiles.
_FEW = 5


@dataclass(frozen=True)
class TimedJob:
    """A job with its times, s; one that hasn't begun or ended has no such time."""

    generation: int
    stage: str
    kind: str
    start: float | None = None
    end: float | None = None

    @property
    def key(self) -> Kind:
        """Jobs of which key take alike."""
        return self.stage, self.kind


def estimate(
    jobs: Sequence[TimedJob],
    now: float,
    turns: Sequence[float] = (),
    turns_left: int | None = None,
) -> Eta:
    """Estimate when the latest generation, and at most when the campaign, will be done.

    Parameters
    ----------
    jobs
        Jobs of the latest generations; failed ones left out.
    now
        The time, s.
    turns
        Durations of whole generations of this campaign, s.
    turns_left
        Generations after this one up to the campaign's cap; None if unknown.

    Returns
    -------
    Eta
        Its spans are None where a kind of job is left that was never measured.
    """
    latest = max((job.generation for job in jobs), default=0)
    measured = durations(jobs)
    left = [job for job in jobs if job.generation == latest and job.end is None]
    left += expected(jobs, latest)
    at_once = concurrency(jobs)
    unmeasured = sorted({job.key for job in left} - set(measured))
    known = bool(left) and not unmeasured and at_once > 0
    rest = _rest(left, measured, now, at_once) if known else None
    return Eta(
        generation=rest,
        at_once=at_once,
        unmeasured=[f"{stage}: {kind}" for stage, kind in unmeasured],
        campaign_max_s=_at_most(rest, turns, turns_left),
        generations_left=turns_left,
    )


def durations(jobs: Iterable[TimedJob]) -> dict[Kind, list[float]]:
    """Return the durations of finished jobs by stage and kind, s."""
    found: dict[Kind, list[float]] = {}
    for job in jobs:
        if job.start is not None and job.end is not None:
            found.setdefault(job.key, []).append(job.end - job.start)
    return found


def expected(jobs: Sequence[TimedJob], latest: int) -> list[TimedJob]:
    """Return jobs that a stage will add as it did in the generation before.

    A batch of labels is one job until it spreads itself: of kinds that are missing in a stage
    that isn't done, as many are expected as there were.
    """
    here = {job.key for job in jobs if job.generation == latest}
    open_stages = {job.stage for job in jobs if job.generation == latest and job.end is None}
    return [
        TimedJob(latest, job.stage, job.kind)
        for job in jobs
        if job.generation == latest - 1 and job.stage in open_stages and job.key not in here
    ]


def concurrency(jobs: Iterable[TimedJob]) -> int:
    """Return how many jobs have run at once at most; one that ends as another begins doesn't."""
    steps = [(job.start, 1) for job in jobs if job.start is not None]
    steps += [(job.end, -1) for job in jobs if job.start is not None and job.end is not None]
    most = running = 0
    for _, change in sorted(steps):
        running += change
        most = max(most, running)
    return most


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile; of few values their range."""
    if len(values) < _FEW:
        return min(values), median(values), max(values)
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return low, middle, high


def makespan(times: Iterable[float], at_once: int) -> float:
    """Return how long jobs take, s, if the longest begin first and ``at_once`` run at once."""
    ends = [0.0] * at_once
    for time in sorted(times, reverse=True):
        heapq.heapreplace(ends, ends[0] + time)
    return max(ends)


def _rest(
    left: Sequence[TimedJob], measured: Mapping[Kind, Sequence[float]], now: float, at_once: int
) -> Span:
    """Schedule what is left: kind after kind, and for the lower end all of them side by side."""
    groups: dict[Kind, list[tuple[float, float, float]]] = {}
    for job in left:
        gone = now - job.start if job.start is not None else 0.0
        times = (max(time - gone, 0.0) for time in spread(measured[job.key]))
        low, middle, high = times
        groups.setdefault(job.key, []).append((low, middle, high))
    lows = [low for group in groups.values() for low, _, _ in group]
    ends = [
        makespan(lows, at_once),
        sum(makespan((m for _, m, _ in group), at_once) for group in groups.values()),
        sum(makespan((h for _, _, h in group), at_once) for group in groups.values()),
    ]
    low, middle, high = sorted(ends)  # longer jobs may be scheduled better
    return Span(low_s=low, expected_s=middle, high_s=high)


def _at_most(rest: Span | None, turns: Sequence[float], turns_left: int | None) -> float | None:
    """Bound the campaign by its longest generation; None before one was measured."""
    if not turns or turns_left is None:
        return None
    longest = max(turns)
    return (rest.high_s if rest else longest) + turns_left * longest
