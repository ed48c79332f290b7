"""Diffusivity of runs as they come: some ended early, and the framework may have moved."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from ionloop.errors import EvaluationError
from ionloop.evaluate.displacements import paths_of_array
from ionloop.evaluate.endings import doubt, early_endings
from ionloop.evaluate.schema import Diffusivity, Estimate
from ionloop.evaluate.transport import D_UNIT, MIN_FRAMES, diffusivity
from ionloop.evaluate.window import WindowRule
from ionloop.reference.schema import Trajectory

logger = logging.getLogger(__name__)


def diffusivity_of_trajectories(
    trajectories: Sequence[Trajectory],
    mobile_ion: str,
    hop_distance: float,
    *,
    skip_fs: float = 0.0,
    rule: WindowRule | None = None,
    charge: float = 1.0,
) -> Diffusivity:
    """Pool trajectories of one temperature; ``skip_fs`` of each is equilibration.

    ``charge`` is the mobile ion's, e, for the conductivity.

    Where runs ended early (see :mod:`ionloop.evaluate.endings`), D isn't admissible, and
    the reason says how many and why. Of these, a run that leaves fewer than four frames is
    passed over; where all do, there is no D.

    Raises
    ------
    EvaluationError
        If the trajectories differ in temperature, interval or atoms.
    """
    kinds = {(t.temperature, t.frame_interval_fs, tuple(t.symbols)) for t in trajectories}
    if len(kinds) != 1:
        msg = (
            "expected replicas of one temperature, frame interval and composition, "
            f"got {len(kinds)} kinds; pool like with like"
        )
        raise EvaluationError(msg)
    temperature, interval, symbols = kinds.pop()
    is_mobile = np.array(symbols) == mobile_ion
    mobile, framework = np.flatnonzero(is_mobile), np.flatnonzero(~is_mobile)
    runs = [(t.positions[round(skip_fs / interval) :], t) for t in trajectories]
    usable = [
        paths_of_array(x, mobile, framework, np.array(t.cell))
        for x, t in runs
        if len(x) >= MIN_FRAMES
    ]
    if len(usable) < len(runs):
        logger.warning("%g K: %d of %d runs too short", temperature, len(runs) - len(usable),
                       len(runs))  # fmt: skip
    early = early_endings(trajectories)
    if runs and not usable:
        none = _no_runs(temperature, trajectories, skip_fs)
        return none.model_copy(update={"d": doubt(none.d, early)})
    found = diffusivity(
        usable,
        temperature=temperature,
        frame_interval_fs=interval,
        hop_distance=hop_distance,
        rule=rule,
        charge=charge,
    )
    return found.model_copy(update={"d": doubt(found.d, early)})


def _no_runs(temperature: float, trajectories: Sequence[Trajectory], skip_fs: float) -> Diffusivity:
    frames = [t.n_frames for t in trajectories]
    reason = (
        f"no run outlasts {skip_fs:g} fs of equilibration by {MIN_FRAMES} frames, got {frames} "
        "frames in all: runs ended early or are planned too short"
    )
    return Diffusivity(
        temperature=temperature,
        d=Estimate(value=None, unit=D_UNIT, estimator="none", admissible=False, reason=reason),
        n_eff=None,
        window_fs=None,
        msd_time_fs=[],
        msd=[],
        framework_msd=None,
        time_ps=0.0,
    )


def moving_framework(
    points: Sequence[Diffusivity], hop_distance: float, rule: WindowRule | None = None
) -> str | None:
    """Say at which temperatures the framework itself moved; None if it's not known to have."""
    limit = (rule or WindowRule()).framework_limit(hop_distance)
    known = [(p.framework_msd, p.temperature) for p in points if p.framework_msd is not None]
    moved = [f"{msd:.1f} Å² at {t:g} K" for msd, t in known if msd > limit]
    if not moved:
        return None
    where = ", ".join(moved)
    return f"the framework moves too (MSD {where}, expected at most {limit:.1f} Å²)"
