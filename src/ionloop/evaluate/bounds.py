"""What can be said of D where too few ions hop: a bound, never a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ionloop.evaluate.displacements import Paths
from ionloop.units import diffusivity_to_cm2_per_s

#: Share of a run at either end over which positions are averaged, so that rattling is no hop.
END = 0.1


def net_hops(runs: Sequence[Paths], hop_distance: float) -> tuple[np.ndarray, float]:
    r"""Count the hops along each axis that took ions away from where they began.

    .. math:: n_a = \sum_i (\bar r_{ia}(\mathrm{end}) - \bar r_{ia}(\mathrm{start}))^2 / a^2

    with positions averaged over the first and the last tenth of each run.

    Returns
    -------
    tuple[np.ndarray, float]
        n of each axis in all runs, shape [3], whose sum are the hops in all; and the time of all
        ions between the two averages, in frames.
    """
    hops, time = np.zeros(3), 0.0
    for paths in runs:
        width = max(1, round(END * paths.n_frames))
        for x in paths.mobile():
            moved = x[-width:].mean(axis=0) - x[:width].mean(axis=0)
            hops += (moved**2).sum(axis=0) / hop_distance**2
        time += paths.n_mobile * (paths.n_frames - width)
    return hops, time


def upper_bound(
    n_hops: float, ion_time_fs: float, hop_distance: float, n_dimensions: int = 3
) -> float:
    r"""Bound D from above at 95 % where hops are too few to fit, cm²/s.

    .. math:: D < n_{95} a^2 / (2 d N t), \quad n_{95} = \chi^2_{0.95}(2n + 2) / 2

    with the Poisson upper limit of n hops in the time N t of all ions, in d dimensions. Without
    one it's 3 hops ("rule of three"). Hops shorter than a count for less than one, which only
    makes the bound larger than it need be.
    """
    n_95 = stats.chi2.ppf(0.95, 2 * max(n_hops, 0.0) + 2) / 2
    share = float(n_95) * hop_distance**2 / (2 * n_dimensions * ion_time_fs)
    return diffusivity_to_cm2_per_s(share)


def bound_of(runs: Sequence[Paths], interval: float, hop_distance: float, n_eff: float) -> float:
    """Bound D of runs by their net hops, or by ``n_eff`` effective ones if these are more."""
    hops, frames = net_hops(runs, hop_distance)
    return upper_bound(float(np.maximum(hops.sum(), n_eff)), frames * interval, hop_distance)


def bounds_along(
    runs: Sequence[Paths], interval: float, hop_distance: float, n_eff: float
) -> list[float]:
    """Bound D along x, y and z by the net hops along each, cm²/s.

    Effective hops beyond the net ones may have been along any axis: they count for each.
    """
    hops, frames = net_hops(runs, hop_distance)
    hops += max(0.0, n_eff - float(hops.sum()))
    return [upper_bound(float(n), frames * interval, hop_distance, 1) for n in hops]
