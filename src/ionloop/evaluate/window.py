"""Lag times of a fit, the straight line through them, and the hops they show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WindowRule:
    """Which lag times are fitted, and when the result may be believed.

    Parameters
    ----------
    lower_hops
        Fitted lags have an MSD above this multiple of a²: the cage is left behind.
    upper_fraction
        Fitted lags are below this share of a run: longer ones have too few origins.
    reach
        Fitted lags are below this multiple of the first: longer ones add next to nothing to
        the best estimate, and much noise to others.
    delay
        How many times later than the first lag above ``lower_hops`` a window may start.
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
        With the formula of ``transport.relative_error``, 1 means 13 effective hops.
    blocks_min
        Least number of blocks that an error is from: of fewer, their scatter says too little.
    trend_p_min
        Below this probability of its rank correlation, D drifts with time: not equilibrated.
    sigmas_max
        Most that two estimators may differ by, in combined standard errors.
    framework_hops
        Largest framework MSD, as a multiple of a²: above it the framework itself moves. Of
        a few dozen ions one that leaves its site is enough; thermal motion stays far below.
    """

    lower_hops: float = 0.5
    upper_fraction: float = 0.7
    reach: float = 10.0
    delay: float = 5.0
    alpha_min: float = 0.9
    span_min: float = 2.0
    cage_fs: float = 500.0
    n_eff_min: float = 5.0
    rsd_max: float = 1.0
    blocks_min: int = 4
    trend_p_min: float = 0.001
    sigmas_max: float = 3.0
    framework_hops: float = 0.15

    def framework_limit(self, hop_distance: float) -> float:
        """Return the largest MSD of a framework at rest, Å²; ``hop_distance`` is a, Å."""
        return self.framework_hops * hop_distance**2


@dataclass(frozen=True)
class Window:
    """Indices of the first and the last fitted lag, and what speaks against them."""

    start: int
    stop: int
    note: str | None


def choose_window(
    msd: np.ndarray, interval: float, hop_distance: float, rule: WindowRule
) -> Window | None:
    """Choose the fitted lags of an MSD, shape [n_frames], Å², by a rule; None if it's too short.

    The first lag is the earliest above ``rule.lower_hops`` whose window has a logarithmic
    slope above ``rule.alpha_min``; where none has, the earliest. ``interval`` is the time
    between frames, fs, and ``hop_distance`` the rule's a, Å.
    """
    last = int(rule.upper_fraction * (len(msd) - 1))
    above = np.flatnonzero(msd[: last + 1] > rule.lower_hops * hop_distance**2)
    # From here on the MSD stays above the limit: one noisy lag must not open the window.
    below = np.flatnonzero(msd[: last + 1] <= rule.lower_hops * hop_distance**2)
    if len(above) and above[-1] > below[-1]:
        windows = list(_windows(int(below[-1]) + 1, last, rule))
        for window in windows:
            alpha = log_slope(msd, window)
            if alpha is not None and alpha > rule.alpha_min:
                return window
        if windows:
            return windows[0]
    start = max(1, round(rule.cage_fs / interval))
    if not _is_wide(start, last, rule):
        return None
    note = (
        f"the MSD passes {rule.lower_hops:g} a² too late or never, so that the fit starts at "
        f"{start * interval / 1000:.2g} ps, where the cage still counts; run longer"
    )
    return Window(start, last, note)


def _windows(start: int, last: int, rule: WindowRule) -> Iterator[Window]:
    """Give windows that start later and later."""
    latest = rule.delay * start
    while _is_wide(start, last, rule) and start <= latest:
        yield Window(start, min(last, max(int(rule.reach * start), start + 3)), None)
        start = max(start + 1, round(1.25 * start))


def _is_wide(start: int, last: int, rule: WindowRule) -> bool:
    return last >= rule.span_min * start and last - start >= 3


def log_slope(msd: np.ndarray, window: Window) -> float | None:
    """Return α = d ln MSD / d ln t in the window; None where the MSD is 0."""
    # Lags spaced evenly in ln t, since long lags, the noisiest, would else prevail.
    lags = np.unique(np.geomspace(window.start, window.stop, 50).round().astype(int))
    if msd[lags].min() <= 0:
        return None
    return float(np.polyfit(np.log(lags), np.log(msd[lags]), 1)[0])


def hopped_msd(msd: np.ndarray, slope: float, start: int, last: int) -> float:
    """Return the MSD that hops made by lag ``last``, Å²; 0 for a cage alone.

    The least of three: the largest MSD, what the fitted ``slope``, Å² a frame, makes of
    ``last``, and what the growth from ``start`` to the longest lags makes of it, since a cage
    that swings has a slope somewhere but doesn't grow.
    """
    late = np.arange(max(start + 1, (2 * last) // 3), last + 1)
    if len(late) == 0:
        return 0.0
    secant = (msd[late].mean() - msd[start]) / (late.mean() - start)
    largest = float(msd[1 : last + 1].max())
    return max(0.0, min(largest, slope * last, float(secant) * last))
