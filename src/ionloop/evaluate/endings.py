"""Runs that ended early: what they leave out makes an estimate one of the survivors.

A run ends early where the model breaks down or the committee loses confidence, which is
where ions move most. Its hops stop being counted just then, so that neither D nor a hop
rate from such runs is admissible, however well the rest is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence

from ionloop.evaluate.schema import Estimate
from ionloop.reference.schema import Trajectory

#: Reasons that are quoted; runs end by numbers, so that each words its own.
QUOTED_MAX = 3


def early_endings(trajectories: Sequence[Trajectory]) -> str | None:
    """Say how many runs ended early, at which temperatures, and why; None if none did.

    A run ended early if it says so (``Trajectory.stopped``), or if it's shorter than the
    longest at its temperature and frame interval. One that gives no reason and has no
    longer sibling counts as whole.
    """
    longest: dict[tuple[float, float], int] = {}
    for run in trajectories:
        kind = run.temperature, run.frame_interval_fs
        longest[kind] = max(longest.get(kind, 0), run.n_frames)
    early = [
        run
        for run in trajectories
        if run.stopped is not None or run.n_frames < longest[run.temperature, run.frame_interval_fs]
    ]
    if not early:
        return None
    where = ", ".join(f"{t:g}" for t in sorted({run.temperature for run in early}))
    causes = list(dict.fromkeys(run.stopped or "shorter than its siblings" for run in early))
    quoted = "; ".join(causes[:QUOTED_MAX])
    more = f"; and {len(causes) - QUOTED_MAX} more" if len(causes) > QUOTED_MAX else ""
    return (
        f"{len(early)} of {len(trajectories)} runs ended early (at {where} K: {quoted}{more}), "
        "so that only what didn't end a run was seen"
    )


def doubt(estimate: Estimate, reason: str | None) -> Estimate:
    """Return an estimate that isn't admissible for one more reason; the same for None."""
    if reason is None:
        return estimate
    words = f"{estimate.reason}; {reason}" if estimate.reason else reason
    return estimate.model_copy(update={"admissible": False, "reason": words})
