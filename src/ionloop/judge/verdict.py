"""Whether a campaign has converged, judged on physics, with reasons in words."""

from __future__ import annotations

from collections.abc import Sequence

from ionloop.errors import EvaluationError
from ionloop.judge.criteria import (
    barrier_change,
    barrier_spread,
    found_change,
    hop_rate_change,
    trusted_share,
    unphysical_events,
)
from ionloop.judge.schema import Criterion, Judgement, Limits, Metrics
from ionloop.profile import Budget


def judge(
    history: Sequence[Metrics], budget: Budget, limits: Limits, reserve: int = 0
) -> Judgement:
    """Decide whether the campaign stops, and why.

    It has converged if every criterion passes; a criterion that compares generations
    can't pass in the first one. It also stops at the cap on generations or on labels,
    or when nothing is left to label.

    Parameters
    ----------
    history
        Metrics of all generations so far, in order.
    budget
        The caps.
    limits
        Limits of the criteria.
    reserve
        Labels that are kept for the test set.

    Returns
    -------
    Judgement
        One reason a criterion, then the verdict.

    Raises
    ------
    EvaluationError
        If the history is empty or out of order.
    """
    generations = [metrics.generation for metrics in history]
    if not generations or generations != sorted(set(generations)):
        msg = f"expected metrics of one or more generations in order, got {generations}"
        raise EvaluationError(msg)
    now, before = history[-1], history[-2] if len(history) > 1 else None
    criteria = [
        barrier_change(before, now, limits),
        barrier_spread(now, limits),
        found_change(now, limits),
        hop_rate_change(before, now, limits),
        trusted_share(now, limits),
        unphysical_events(now, limits),
    ]
    converged = all(criterion.passed for criterion in criteria)
    caps = _caps(now, budget, reserve)
    return Judgement(
        generation=now.generation,
        converged=converged,
        stop=converged or bool(caps),
        reasons=[*(c.reason for c in criteria), *_verdict(criteria, caps)],
        criteria=criteria,
        metrics=now,
    )


def _caps(now: Metrics, budget: Budget, reserve: int) -> list[str]:
    """Return why the campaign must end here, whatever the criteria say.

    Metrics that don't say what was spent, as early ones, count their admitted labels.
    """
    spent = now.n_labels if now.n_spent is None else now.n_spent
    spent_up = budget.left(spent, reserve) == 0
    caps = []
    if now.generation + 1 >= budget.generations_max:
        caps.append(
            f"generation {now.generation} is the last of {budget.generations_max} "
            "(Budget.generations_max)"
        )
    if spent_up:
        kept = f", and {reserve} are kept for the test set" if reserve else ""
        caps.append(f"{spent} labels are spent, of {budget.labels_max} (Budget.labels_max){kept}")
    if now.n_selected == 0 and not spent_up:
        caps.append("no new frame was found worth a label")
    return caps


def _verdict(criteria: list[Criterion], caps: list[str]) -> list[str]:
    failed = [criterion.name for criterion in criteria if not criterion.passed]
    if not failed:
        return [f"converged: all {len(criteria)} criteria pass"]
    not_yet = f"not converged: {', '.join(failed)}"
    return [not_yet, *(f"stopped: {cap}" for cap in caps)] if caps else [f"{not_yet}; going on"]
