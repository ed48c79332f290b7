"""The rules that a diffusivity must meet to be believed, each with what was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ionloop.evaluate.measured import Lines
from ionloop.evaluate.schema import Check, Diffusivity
from ionloop.evaluate.window import WindowRule


def verdicts(
    found: Diffusivity, lines: Lines, expected_error: float, rule: WindowRule
) -> list[Check]:
    """Hold a diffusivity with a value against the rules.

    ``expected_error`` is He, Zhu & Mo's relative error.
    """
    d, error = found.d.value or 0.0, found.d.error or 0.0
    note, alpha = lines.window.note, found.alpha
    shown = "undefined" if alpha is None else f"{alpha:.2f}"
    slow = "" if alpha is not None and alpha > rule.alpha_min else ": not diffusive yet"
    host, limit = found.framework_msd or 0.0, rule.framework_limit(found.hop_distance or 0.0)
    return [
        Check(name="window", passed=note is None, detail=note or _window(found)),
        Check(
            name="log-log slope",
            passed=not slow,
            detail=f"α is {shown}, expected above {rule.alpha_min:g}{slow}",
        ),
        Check(
            name="effective hops",
            passed=expected_error <= rule.rsd_max,
            detail=f"{found.n_eff:.0f} effective hops, of which He, Zhu & Mo expect an error of "
            f"{expected_error:.0%} of D, expected at most {rule.rsd_max:.0%}",
        ),
        Check(
            name="relative error",
            passed=error <= rule.rsd_max * d,
            detail=f"the error is {error / d:.0%} of D, expected at most {rule.rsd_max:.0%}",
        ),
        Check(
            name="blocks",
            passed=lines.spread.n_blocks >= rule.blocks_min,
            detail=f"{lines.spread.n_blocks} blocks for the error, expected {rule.blocks_min} or "
            "more",
        ),
        Check(
            name="steady state",
            passed=lines.spread.trend_p >= rule.trend_p_min,
            detail=f"D {'drifts' if lines.spread.trend_p < rule.trend_p_min else 'is steady'} from "
            f"block to block (p = {lines.spread.trend_p:.2g} of a trend by chance, expected at "
            f"least {rule.trend_p_min:g})",
        ),
        _agreement(found, rule),
        _long_lags(lines, rule),
        Check(
            name="framework",
            passed=host <= limit,
            detail=f"the framework {'moves too' if host > limit else 'stays'} (MSD {host:.1f} Å², "
            f"expected at most {limit:.1f} Å²)",
        ),
    ]


def failures(checks: Sequence[Check]) -> str | None:
    """Say why a number isn't admissible; None if it is."""
    return "; ".join(check.detail for check in checks if not check.passed) or None


def _window(found: Diffusivity) -> str:
    low, high = found.window_fs or (np.nan, np.nan)
    return f"lags from {low / 1000:.3g} to {high / 1000:.3g} ps are fitted"


def _agreement(found: Diffusivity, rule: WindowRule) -> Check:
    """Compare the two estimates; both are of the same runs, so that this is no hard test."""
    one, other = found.d, found.second
    if other is None or one.value is None or other.value is None:
        return Check(name="two estimators", passed=False, detail="no second estimate was possible")
    combined = float(np.hypot(one.error or 0.0, other.error or 0.0))
    apart = abs(one.value - other.value) / combined if combined else np.inf
    return Check(
        name="two estimators",
        passed=apart <= rule.sigmas_max,
        detail=f"the {other.estimator} is {other.value:.2e} {other.unit}, {apart:.1f} combined σ "
        f"away, expected at most {rule.sigmas_max:g}",
    )


def _long_lags(lines: Lines, rule: WindowRule) -> Check:
    """Ask whether the MSD goes on as the line does, beyond the window."""
    msd, spread = lines.measured.msd, lines.tracer()
    last = int(rule.upper_fraction * (len(msd) - 1))
    lags = np.unique(np.geomspace(min(1.5 * lines.window.stop, last), last, 4).round().astype(int))
    line = lines.total.intercept + lines.total.slope * lags
    combined = np.hypot(lines.msd_error(lags), spread.error * lags)
    apart = np.abs(msd[lags] - line) / combined
    worst = int(np.argmax(apart))
    share = msd[lags[worst]] / line[worst] - 1
    return Check(
        name="long lags",
        passed=bool(apart[worst] <= rule.sigmas_max),
        detail=f"beyond the window the MSD is {share:+.0%} off the line, {apart[worst]:.1f} σ, "
        f"expected at most {rule.sigmas_max:g}",
    )
