r"""Tracer diffusivity with an honest error.

The window and the count of effective hops follow He, Zhu & Mo, "Statistical variances of
diffusional properties from ab initio molecular dynamics simulations", npj Comput. Mater. 4,
18 (2018), doi:10.1038/s41524-018-0074-y; the line and its error see
:mod:`ionloop.evaluate.regression` and :mod:`ionloop.evaluate.blocks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ionloop.errors import EvaluationError
from ionloop.evaluate.bounds import bound_of, bounds_along, net_hops
from ionloop.evaluate.checks import failures, verdicts
from ionloop.evaluate.conduction import bounds, conduction
from ionloop.evaluate.displacements import Paths
from ionloop.evaluate.measured import Lines, Measured, measure
from ionloop.evaluate.msd import at_lags
from ionloop.evaluate.schema import Diffusivity, Estimate
from ionloop.evaluate.window import WindowRule, choose_window, hopped_msd, log_slope
from ionloop.units import diffusivity_to_cm2_per_s

D_UNIT = "cm²/s"
CURVE_POINTS = 200
#: Fewer frames make no curve.
MIN_FRAMES = 4
ESTIMATOR = "GLS of the drift-corrected MSD"


def relative_error(n_eff: float) -> float:
    r"""Relative standard deviation of D from the effective number of hops.

    .. math:: RSD = 3.43 / \sqrt{N_{eff}} + 0.04

    He, Zhu & Mo, npj Comput. Mater. 4, 18 (2018). A rule of thumb for ordinary least
    squares: it's shown and held against a limit, but isn't the error of D.
    """
    return 3.43 / float(np.sqrt(n_eff)) + 0.04


def diffusivity(
    runs: Sequence[Paths],
    *,
    temperature: float,
    frame_interval_fs: float,
    hop_distance: float,
    rule: WindowRule | None = None,
    charge: float = 1.0,
) -> Diffusivity:
    r"""Estimate diffusion and conduction of the mobile ions at one temperature.

    .. math:: MSD(t) = c + 6 D t, \quad N_{eff} = N (MSD_{max} - c) / a^2

    in the window of ``rule``. The cage's part c, where positive, is taken from He, Zhu &
    Mo's count, since rattling is no hop.

    He, Zhu & Mo's a is *the* distance between neighbouring sites. Where hops of several
    lengths are enumerated, a campaign passes the longest for all: N_eff is then rather too
    small, the window late and the bound D < ... high. With the shortest, each hop of
    length b would count b²/a² times. For one class of hops (Li3OCl below 3 Å) both are
    exact.

    Parameters
    ----------
    runs
        Paths of independent runs of one kind.
    temperature
        Temperature of the runs, K.
    frame_interval_fs
        Time between frames, fs.
    hop_distance
        Length a of the elementary hop, Å; see above where there are several.
    rule
        Window and thresholds.
    charge
        Charge of the mobile ion, e.

    Returns
    -------
    Diffusivity
        D in cm²/s; None with a reason and a 95 % bound below ``rule.n_eff_min``.

    Raises
    ------
    EvaluationError
        If there are no runs, no ions, no framework, or fewer than four frames.
    """
    rule = rule or WindowRule()
    _check(runs, hop_distance, frame_interval_fs)
    measured = measure(runs)
    msd, last = measured.msd, int(rule.upper_fraction * (len(measured.msd) - 1))
    window = choose_window(msd, frame_interval_fs, hop_distance, rule)
    lines = Lines(measured, window) if window else None
    n_eff = hopped_msd(msd, lines.total.slope, lines.window.start, last) if lines else 0.0
    n_eff *= len(runs) * measured.n_ions / hop_distance**2
    alpha = log_slope(msd, window) if window else None
    ends = (window.start, window.stop) if window else (1, last)
    host = np.mean([at_lags(p.framework(), np.array([ends[1]]))[0] for p in runs])
    common: dict[str, Any] = {
        "temperature": temperature,
        "n_eff": n_eff,
        "alpha": alpha,
        "window_fs": (ends[0] * frame_interval_fs, ends[1] * frame_interval_fs),
        "framework_msd": float(host),
        "time_ps": sum(t - 1 for t in measured.lengths) * frame_interval_fs / 1000,
        "hop_distance": hop_distance,
        **_counts(measured),
        **_curve(measured, lines, frame_interval_fs),
    }
    if lines is None or n_eff < rule.n_eff_min:
        net = net_hops(runs, hop_distance)
        bound = bound_of(net, frame_interval_fs, hop_distance, n_eff)
        why = f"{n_eff:.1f} effective hops, expected {rule.n_eff_min:g} or more"
        d = _too_few_hops(bound, why)
        along = bounds_along(net, frame_interval_fs, hop_distance, n_eff)
        follows = bounds(runs, d, along, temperature, charge, why)
        return Diffusivity(d=d, conduction=follows, **common)
    found = Diffusivity(d=_estimate(lines, frame_interval_fs), **common)
    found = found.model_copy(update=_quality(lines, frame_interval_fs))
    checks = verdicts(found, lines, relative_error(n_eff), rule)
    reason = failures(checks)
    d = found.d.model_copy(update={"admissible": reason is None, "reason": reason})
    follows = conduction(lines, d, temperature, frame_interval_fs, charge, rule)
    return found.model_copy(update={"d": d, "checks": checks, "conduction": follows})


def _check(runs: Sequence[Paths], hop_distance: float, interval: float) -> None:
    if not runs or min(paths.n_frames for paths in runs) < MIN_FRAMES:
        msg = (
            "diffusivity expects runs of four or more frames, got "
            f"{[paths.n_frames for paths in runs]}; run longer or store frames more often"
        )
        raise EvaluationError(msg)
    if runs[0].n_mobile == 0:
        msg = "diffusivity expects mobile ions, got none; check Profile.mobile_ion"
        raise EvaluationError(msg)
    if runs[0].n_framework == 0:
        msg = "drift correction expects at least one framework ion, got none; name the mobile ion"
        raise EvaluationError(msg)
    if hop_distance <= 0 or interval <= 0:
        msg = (
            "diffusivity expects a hop distance and a frame interval above 0, "
            f"got {hop_distance} Å and {interval} fs"
        )
        raise EvaluationError(msg)


def _counts(measured: Measured) -> dict[str, int]:
    first = measured.runs[0]
    return {
        "n_mobile": first.n_mobile,
        "n_atoms": first.n_mobile + first.n_framework,
        "n_runs": len(measured.runs),
    }


def _curve(measured: Measured, lines: Lines | None, interval: float) -> dict[str, list[float]]:
    """Thin the MSD for pictures: evenly, and at short lags evenly in ln t too."""
    n = len(measured.msd)
    even = np.linspace(0, n - 1, CURVE_POINTS // 2)
    keep = np.unique(np.append(even, np.geomspace(1, n - 1, CURVE_POINTS // 2)).round().astype(int))
    return {
        "msd_time_fs": (keep * interval).tolist(),
        "msd": measured.msd[keep].tolist(),
        "msd_error": [] if lines is None else lines.msd_error(keep).tolist(),
    }


def _too_few_hops(bound: float, why: str) -> Estimate:
    return Estimate(
        value=None,
        upper_bound=bound,
        unit=D_UNIT,
        estimator="Poisson upper limit of the net hops",
        admissible=False,
        reason=f"{why}; D < {bound:.1e} {D_UNIT} (95 %); run longer, hotter or with more replicas",
    )


def _estimate(lines: Lines, interval: float) -> Estimate:
    slope = lines.tracer()
    scale = diffusivity_to_cm2_per_s(1 / (6 * interval))
    return Estimate(
        value=slope.value * scale,
        error=slope.error * scale,
        interval=(slope.interval[0] * scale, slope.interval[1] * scale),
        unit=D_UNIT,
        estimator=f"{ESTIMATOR}; error by {lines.spread.n_blocks} blocks",
        admissible=True,
    )


def _quality(lines: Lines, interval: float) -> dict[str, Any]:
    slope, error, how = lines.second()
    scale = diffusivity_to_cm2_per_s(1 / (6 * interval))
    second = Estimate(
        value=slope * scale, error=error * scale, unit=D_UNIT, estimator=how, admissible=True
    )
    spread, n = lines.spread, lines.measured.n_ions
    independent = n / spread.factor if spread.factor else None
    return {"second": second, "n_blocks": spread.n_blocks, "n_independent": independent}
