r"""Tracer diffusivity with an honest error.

The window and the error follow He, Zhu & Mo, "Statistical variances of diffusional
properties from ab initio molecular dynamics simulations", npj Comput. Mater. 4, 18 (2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ionloop.errors import EvaluationError
from ionloop.evaluate.msd import (
    ion_msds,
    pool,
    pooled_error,
    require_framework,
    time_averaged_msd,
)
from ionloop.evaluate.schema import Diffusivity, Estimate
from ionloop.evaluate.window import Window, WindowRule, choose_window, fit, hopped_msd, log_slope
from ionloop.explore.positions import remove_drift
from ionloop.units import diffusivity_to_cm2_per_s

D_UNIT = "cm²/s"
CURVE_POINTS = 200
#: Fewer frames make no curve.
MIN_FRAMES = 4


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
    host = pool([time_averaged_msd(x[:, framework]) for x in fixed])
    msd = pool(curves)
    time_fs = sum(len(c) - 1 for c in curves) * frame_interval_fs
    window = choose_window(msd, frame_interval_fs, hop_distance, rule)
    stop = window.stop if window else int(rule.upper_fraction * (len(msd) - 1))
    start = window.start if window else 1
    n_eff = hopped_msd(msd, window, stop, frame_interval_fs) / hop_distance**2
    n_eff *= len(mobile) * len(replicas)
    alpha = log_slope(msd, window) if window else None
    keep = np.unique(np.linspace(0, len(msd) - 1, CURVE_POINTS).round().astype(int))
    spread = pooled_error(ions, keep)
    common = {
        "temperature": temperature,
        "n_eff": n_eff,
        "alpha": alpha,
        "window_fs": (start * frame_interval_fs, stop * frame_interval_fs),
        "msd_time_fs": (keep * frame_interval_fs).tolist(),
        "msd": msd[keep].tolist(),
        "msd_error": [] if spread is None else spread.tolist(),
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
    ions: Sequence[np.ndarray], msd: np.ndarray, window: Window, interval: float, n_eff: float
) -> tuple[float, float, str]:
    value = diffusivity_to_cm2_per_s(fit(msd, window, interval).slope / 6)
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
    window: Window,
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
    if framework_msd > rule.framework_limit(hop_distance):
        found.append(f"the framework moves too (MSD {framework_msd:.1f} Å²)")
    return "; ".join(found) or None
