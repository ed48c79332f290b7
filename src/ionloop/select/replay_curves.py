"""What the trainings of a replay say: learning curves, and labels beside random's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ionloop.select.label_efficiency import labels_to_reach, mean_interval
from ionloop.select.replay_plan import ReplayPlan
from ionloop.select.schema import ReplayCurve, ReplayPoint


def compare(name: str, points: Sequence[ReplayPoint], targets: dict[int, float]) -> ReplayCurve:
    """Make one arm's learning curve, and what it needs beside the random arm.

    Parameters
    ----------
    name
        The arm.
    points
        All arms' points.
    targets
        Error to reach by seed, eV/Å.
    """
    own = [p for p in points if p.arm == name]
    counts = sorted({p.n_labels for p in own})
    at = [[p for p in own if p.n_labels == n] for n in counts]
    means = [mean_interval([p.rmse_mobile for p in here]) for here in at]
    needed = _needed(own, targets)
    random = _needed([p for p in points if p.arm == "random"], targets)
    shares = {seed: _ratio(n, random.get(seed)) for seed, n in needed.items()}
    known = [x for x in shares.values() if x is not None]
    mean, interval = (
        mean_interval(np.log(known).tolist()) if len(known) == len(shares) else (None, None)
    )
    return ReplayCurve(
        arm=name,
        n_labels=counts,
        rmse_mobile=[m for m, _ in means],
        interval=[i for _, i in means],
        rmse_by_openness={
            b: [float(np.mean([p.rmse_by_openness[b] for p in here])) for here in at]
            for b in own[0].rmse_by_openness
        },
        labels_to_target=needed,
        share_of_random=shares,
        mean_share=None if mean is None else math.exp(mean),
        share_interval=interval and (math.exp(interval[0]), math.exp(interval[1])),
    )


def _ratio(labels: float | None, others: float | None) -> float | None:
    return None if labels is None or others is None else labels / others


def _needed(points: Sequence[ReplayPoint], targets: dict[int, float]) -> dict[int, float | None]:
    """Return the labels that each seed needs for its target."""
    found = {}
    for seed in sorted({p.seed for p in points}):
        own = sorted((p for p in points if p.seed == seed), key=lambda p: p.n_labels)
        counts, errors = [p.n_labels for p in own], [p.rmse_mobile for p in own]
        found[seed] = labels_to_reach(counts, errors, targets[seed])
    return found


def targets_of(points: Sequence[ReplayPoint], plan: ReplayPlan) -> tuple[dict[int, float], str]:
    """Return the error to reach by seed, and where it comes from."""
    seeds = range(plan.first_seed, plan.first_seed + plan.seeds)
    if plan.target is not None:
        return dict.fromkeys(seeds, plan.target), "stated"
    last = plan.counts[-1]
    found = {p.seed: p.rmse_mobile for p in points if p.arm == "random" and p.n_labels == last}
    return found, f"random's error at {last} labels, seed by seed"
