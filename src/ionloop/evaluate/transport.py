r"""Tracer diffusivity with an honest error.

The window and the error follow He, Zhu & Mo, "Statistical variances of diffusional
properties from ab initio molecular dynamics simulations", npj Comput. Mater. 4, 18 (2018).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ionloop.errors import EvaluationError
from ionloop.evaluate.endings import doubt, early_endings
from ionloop.evaluate.msd import ion_msds, require_framework, time_averaged_msd
from ionloop.evaluate.schema import Diffusivity, Estimate
from ionloop.explore.hops import remove_drift
from ionloop.reference.schema import Trajectory
from ionloop.units import diffusivity_to_cm2_per_s

D_UNIT = "cm²/s"
CURVE_POINTS = 200
#: Fewer frames make no curve.
MIN_FRAMES = 4

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WindowRule:
    """Which lag times are fitted, and when the result may be believed.

    Parameters
    ----------
    lower_hops
        Fitted lags have an MSD above this multiple of a²: the cage is left behind.
    upper_fraction
        Fitted lags are below this share of a run: longer ones have too few origins.
    alpha_min
        Least d ln MSD / d ln t in the window: below it, motion isn't diffusive yet.
    span_min
        Least ratio of the last to the first fitted lag.
    cage_fs
        First lag, fs, where the rule of ``lower_hops`` leaves no window because carriers
        are dilute; such a result is never admissible.
    n_eff_min
        Fewer effective hops give no number. Counting alone then has a relative error above
        1/sqrt(5) = 45 %, so that a slope's sign isn't safe.
    rsd_max
        Above this relative error a number is given but not admissible: its interval holds 0.
        With the formula of :func:`relative_error`, 1 means 13 effective hops.
    framework_hops
        Largest framework MSD, as a multiple of a²: above it the framework itself moves. Of
        a few dozen ions one that leaves its site is enough; thermal motion stays far below.
    """

    lower_hops: float = 0.5
    upper_fraction: float = 0.7
    alpha_min: float = 0.9
    span_min: float = 2.0
    cage_fs: float = 500.0
    n_eff_min: float = 5.0
    rsd_max: float = 1.0
    framework_hops: float = 0.15


@dataclass(frozen=True)
class _Window:
    start: int
    stop: int
    note: str | None


@dataclass(frozen=True)
class _Line:
    slope: float
    intercept: float


def relative_error(n_eff: float) -> float:
    r"""Relative standard deviation of D from the effective number of hops.

    .. math:: RSD = 3.43 / \sqrt{N_{eff}} + 0.04

    He, Zhu & Mo, npj Comput. Mater. 4, 18 (2018). It tends to 0.04 however few ions there
    are, so that it's too small where every ion hops many times; :func:`diffusivity`
    therefore compares it with the scatter over ions.
    """
    return 3.43 / float(np.sqrt(n_eff)) + 0.04


def upper_bound(n_hops: float, n_ions: int, time_fs: float, hop_distance: float) -> float:
    r"""Bound D from above at 95 % where hops are too few to fit, cm²/s.

    .. math:: D < n_{95} a^2 / (6 N t), \quad n_{95} = \chi^2_{0.95}(2n + 2) / 2

    with the Poisson upper limit of the hops of ``n_ions`` ions in ``time_fs``.
    """
    n_95 = stats.chi2.ppf(0.95, 2 * max(n_hops, 0.0) + 2) / 2
    return diffusivity_to_cm2_per_s(n_95 * hop_distance**2 / (6 * n_ions * time_fs))


def _choose_window(
    msd: np.ndarray, interval: float, hop_distance: float, rule: WindowRule
) -> _Window | None:
    last = int(rule.upper_fraction * (len(msd) - 1))
    above = np.flatnonzero(msd[: last + 1] > rule.lower_hops * hop_distance**2)
    # From here on the MSD stays above the limit: one noisy lag must not open the window.
    below = np.flatnonzero(msd[: last + 1] <= rule.lower_hops * hop_distance**2)
    if len(above) and above[-1] > below[-1]:
        start = int(below[-1]) + 1
        if last >= rule.span_min * start and last - start >= 3:
            return _Window(start, last, None)
    start = max(1, round(rule.cage_fs / interval))
    if last < rule.span_min * start or last - start < 3:
        return None
    note = (
        f"the MSD passes {rule.lower_hops:g} a² too late or never, so that the fit starts at "
        f"{start * interval / 1000:.2g} ps, where the cage still counts; run longer"
    )
    return _Window(start, last, note)


def _fit(msd: np.ndarray, window: _Window, interval: float) -> _Line:
    lags = np.arange(window.start, window.stop + 1) * interval
    slope, intercept = np.polyfit(lags, msd[window.start : window.stop + 1], 1)
    return _Line(float(slope), float(intercept))


def _alpha(msd: np.ndarray, window: _Window) -> float | None:
    # Lags spaced evenly in ln t, since long lags, the noisiest, would else prevail.
    lags = np.unique(np.geomspace(window.start, window.stop, 50).round().astype(int))
    if msd[lags].min() <= 0:
        return None
    return float(np.polyfit(np.log(lags), np.log(msd[lags]), 1)[0])


def _pool(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Average the replicas' curves by origins, up to the shortest one's end."""
    n = min(map(len, curves))
    weights = np.array([len(c) - np.arange(n) for c in curves], float)
    return np.average([c[:n] for c in curves], axis=0, weights=weights)


def diffusivity(
    replicas: Sequence[np.ndarray],
    *,
    temperature: float,
    mobile: np.ndarray,
    framework: np.ndarray,
    frame_interval_fs: float,
    hop_distance: float,
    rule: WindowRule | None = None,
) -> Diffusivity:
    r"""Estimate the tracer diffusivity of the mobile ions at one temperature.

    .. math:: MSD(t) = c + 6 D t, \quad N_{eff} = N (MSD_{max} - c) / a^2

    by ordinary least squares in the window of ``rule``. The cage's part c, where positive,
    is taken from He, Zhu & Mo's count, since rattling is no hop. The error is the largest
    of :func:`relative_error`, the standard error over the ions' own slopes (true for
    independent ions that each hop often) and, for several replicas, that over theirs.

    He, Zhu & Mo's a is *the* distance between neighbouring sites. Where hops of several
    lengths are enumerated, a campaign passes the longest for all: N_eff is then rather too
    small, the error too large, the window late and the bound D < ... high. With the
    shortest, each hop of length b would count b²/a² times. For one class of hops (Li3OCl
    below 3 Å) both are exact.

    Parameters
    ----------
    replicas
        Unwrapped positions of independent runs, each of shape [n_frames, n, 3], Å.
    temperature
        Temperature of the runs, K.
    mobile, framework
        Indices of the mobile ions, and of the ions that hold the lattice.
    frame_interval_fs
        Time between frames, fs.
    hop_distance
        Length a of the elementary hop, Å; see above where there are several.
    rule
        Window and thresholds.

    Returns
    -------
    Diffusivity
        D in cm²/s; None with a reason (and a 95 % bound in it) below ``rule.n_eff_min``.

    Raises
    ------
    EvaluationError
        If there are no replicas, no ions, or fewer than four frames.
    """
    rule = rule or WindowRule()
    _check(replicas, mobile, hop_distance, frame_interval_fs)
    require_framework(framework)
    fixed = [remove_drift(x, framework) for x in replicas]
    ions = [ion_msds(x[:, mobile]) for x in fixed]
    curves = [x.mean(axis=1) for x in ions]
    host = _pool([time_averaged_msd(x[:, framework]) for x in fixed])
    msd = _pool(curves)
    time_fs = sum(len(c) - 1 for c in curves) * frame_interval_fs
    window = _choose_window(msd, frame_interval_fs, hop_distance, rule)
    stop = window.stop if window else int(rule.upper_fraction * (len(msd) - 1))
    start = window.start if window else 1
    n_eff = _effective_hops(msd, window, stop, frame_interval_fs) / hop_distance**2
    n_eff *= len(mobile) * len(replicas)
    alpha = _alpha(msd, window) if window else None
    keep = np.unique(np.linspace(0, len(msd) - 1, CURVE_POINTS).round().astype(int))
    common = {
        "temperature": temperature,
        "n_eff": n_eff,
        "alpha": alpha,
        "window_fs": (start * frame_interval_fs, stop * frame_interval_fs),
        "msd_time_fs": (keep * frame_interval_fs).tolist(),
        "msd": msd[keep].tolist(),
        "framework_msd": float(host[stop]),
        "time_ps": time_fs / 1000,
    }
    if window is None or n_eff < rule.n_eff_min:
        bound = upper_bound(n_eff, len(mobile), time_fs, hop_distance)
        return Diffusivity(d=_too_few_hops(n_eff, bound, rule), **common)
    value, error, how = _value_and_error(ions, msd, window, frame_interval_fs, n_eff)
    reason = _objections(window, alpha, error / value, host[stop], hop_distance, rule)
    return Diffusivity(
        d=Estimate(
            value=value,
            error=error,
            unit=D_UNIT,
            estimator=how,
            admissible=reason is None,
            reason=reason,
        ),
        **common,
    )


def _check(
    replicas: Sequence[np.ndarray], mobile: np.ndarray, hop_distance: float, interval: float
) -> None:
    if not replicas or min(map(len, replicas)) < MIN_FRAMES:
        msg = (
            f"diffusivity expects runs of four or more frames, got {[len(x) for x in replicas]}; "
            "run longer or store frames more often"
        )
        raise EvaluationError(msg)
    if len(mobile) == 0:
        msg = "diffusivity expects mobile ions, got none; check Profile.mobile_ion"
        raise EvaluationError(msg)
    if hop_distance <= 0 or interval <= 0:
        msg = (
            "diffusivity expects a hop distance and a frame interval above 0, "
            f"got {hop_distance} Å and {interval} fs"
        )
        raise EvaluationError(msg)


def _no_runs(temperature: float, trajectories: Sequence[Trajectory], skip_fs: float) -> Diffusivity:
    frames = [t.n_frames for t in trajectories]
    reason = (
        f"no run outlasts {skip_fs:g} fs of equilibration by {MIN_FRAMES} frames, got {frames} "
        "frames in all: runs ended early or are planned too short"
    )
    return Diffusivity(
        temperature=temperature,
        d=Estimate(value=None, unit=D_UNIT, estimator="none", admissible=False, reason=reason),
        n_eff=0.0,
        window_fs=(0.0, 0.0),
        msd_time_fs=[],
        msd=[],
        framework_msd=0.0,
        time_ps=0.0,
    )


def _effective_hops(msd: np.ndarray, window: _Window | None, stop: int, interval: float) -> float:
    """Return the largest MSD less the cage's part, Å²; at most 0 for motion in a cage."""
    if window is None:
        return 0.0
    line = _fit(msd, window, interval)
    if line.slope <= 0:
        return 0.0
    gain = line.slope * stop * interval
    return float(min(msd[window.start : stop + 1].max(), gain))


def _too_few_hops(n_eff: float, bound: float, rule: WindowRule) -> Estimate:
    return Estimate(
        value=None,
        unit=D_UNIT,
        estimator="Poisson upper limit of the effective hops",
        admissible=False,
        reason=(
            f"{n_eff:.1f} effective hops, expected {rule.n_eff_min:g} or more; "
            f"D < {bound:.1e} {D_UNIT} (95 %); run longer, hotter or with more replicas"
        ),
    )


def _value_and_error(
    ions: Sequence[np.ndarray], msd: np.ndarray, window: _Window, interval: float, n_eff: float
) -> tuple[float, float, str]:
    value = diffusivity_to_cm2_per_s(_fit(msd, window, interval).slope / 6)
    lags = np.arange(window.start, window.stop + 1) * interval
    slopes = [np.polyfit(lags, x[window.start : window.stop + 1], 1)[0] / 6 for x in ions]
    errors = {
        "3.43/√N_eff + 0.04": relative_error(n_eff) * value,
        "scatter over ions": diffusivity_to_cm2_per_s(_standard_error(np.concatenate(slopes))),
    }
    if len(ions) > 1:
        errors[f"scatter of {len(ions)} replicas"] = diffusivity_to_cm2_per_s(
            _standard_error(np.array([x.mean() for x in slopes]))
        )
    largest = max(errors, key=errors.__getitem__)
    return value, errors[largest], f"OLS of the drift-corrected MSD; error by {largest}"


def _standard_error(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _objections(
    window: _Window,
    alpha: float | None,
    rsd: float,
    framework_msd: float,
    hop_distance: float,
    rule: WindowRule,
) -> str | None:
    found = [] if window.note is None else [window.note]
    if alpha is None or alpha <= rule.alpha_min:
        shown = "undefined" if alpha is None else f"{alpha:.2f}"
        found.append(f"α is {shown}, expected above {rule.alpha_min:g}: not diffusive yet")
    if rsd > rule.rsd_max:
        found.append(f"the error is {rsd:.0%} of D, expected at most {rule.rsd_max:.0%}")
    if framework_msd > rule.framework_hops * hop_distance**2:
        found.append(f"the framework moves too (MSD {framework_msd:.1f} Å²)")
    return "; ".join(found) or None


def moving_framework(
    points: Sequence[Diffusivity], hop_distance: float, rule: WindowRule | None = None
) -> str | None:
    """Say at which temperatures the framework itself moved; None if it held everywhere."""
    limit = (rule or WindowRule()).framework_hops * hop_distance**2
    moved = [p for p in points if p.framework_msd > limit]
    if not moved:
        return None
    where = ", ".join(f"{p.framework_msd:.1f} Å² at {p.temperature:g} K" for p in moved)
    return f"the framework moves too (MSD {where}, expected at most {limit:.1f} Å²)"


def diffusivity_of_trajectories(
    trajectories: Sequence[Trajectory],
    mobile_ion: str,
    hop_distance: float,
    *,
    skip_fs: float = 0.0,
    rule: WindowRule | None = None,
) -> Diffusivity:
    """Pool trajectories of one temperature; ``skip_fs`` of each is equilibration.

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
    runs = [t.positions[round(skip_fs / interval) :] for t in trajectories]
    usable = [x for x in runs if len(x) >= MIN_FRAMES]
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
        mobile=np.flatnonzero(is_mobile),
        framework=np.flatnonzero(~is_mobile),
        frame_interval_fs=interval,
        hop_distance=hop_distance,
        rule=rule,
    )
    return found.model_copy(update={"d": doubt(found.d, early)})
