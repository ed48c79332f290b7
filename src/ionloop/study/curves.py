"""Learning curves over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ionloop.evaluate.hop_bins import HOP_BINS
from ionloop.select.label_efficiency import mean_interval
from ionloop.study.schema import ArmCurve, ArmPoint, ArmScore, MeanOverSeeds


def curve(arm: str, points: Sequence[ArmPoint]) -> ArmCurve:
    """Make an arm's learning curves of its own points."""
    counts = sorted({p.n_labels for p in points if p.arm == arm})
    at = [[p.score for p in points if p.arm == arm and p.n_labels == n] for n in counts]

    def over(number: Callable[[ArmScore], float | None]) -> MeanOverSeeds:
        return over_seeds([[number(score) for score in here] for here in at])

    return ArmCurve(
        arm=arm,
        n_labels=counts,
        rmse_by_hop_bin={
            name: over_seeds([[s.rmse_by_hop_bin[name] for s in here] for here in at])
            for name in HOP_BINS
        },
        saddle_ratio=over(lambda s: s.saddle_ratio),
        barrier_errors={
            name: over_seeds([[s.barrier_errors[name] for s in here] for here in at])
            for name in at[0][0].barrier_errors
        },
        barrier_error=over(lambda s: s.barrier_error),
        rate_bound=over(lambda s: s.rate_bound),
    )


def over_seeds(values: Sequence[Sequence[float | None]]) -> MeanOverSeeds:
    """Take means and intervals; where a seed has no number, the count has none."""
    means: list[float | None] = []
    intervals: list[tuple[float, float] | None] = []
    for here in values:
        known = [x for x in here if x is not None]
        whole = len(known) == len(here) and len(known) > 0
        mean, interval = mean_interval(known) if whole else (None, None)
        means.append(mean)
        intervals.append(interval)
    return MeanOverSeeds(mean=means, interval=intervals)
