"""What can be said of D where too few ions hop: a bound, never a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ionloop.evaluate.displacements import Paths
from ionloop.units import diffusivity_to_cm2_per_s

#: Share of a run at either end over which positions are averaged, so that rattling is no hop.
END = 0.1


def net_hops(runs: Sequence[Paths], hop_distance: float) -> tuple[float, float]:
    r"""Count the hops that took ions away from where they began.

    .. math:: n = \sum_i |\bar r_i(\mathrm{end}) - \bar r_i(\mathrm{start})|^2 / a^2

    with positions averaged over the first and the last tenth of each run.

    Returns
    -------
    tuple[float, float]
        n in all runs, and the time of all ions between the two averages, in frames.
    """
    hops = time = 0.0
    for paths in runs:
        width = max(1, round(END * paths.n_frames))
        for x in paths.mobile():
            moved = x[-width:].mean(axis=0) - x[:width].mean(axis=0)
            hops += float((moved**2).sum()) / hop_distance**2
        time += paths.n_mobile * (paths.n_frames - width)
    return hops, time


def upper_bound(n_hops: float, ion_time_fs: float, hop_distance: float) -> float:
    r"""Bound D from above at 95 % where hops are too few to fit, cm²/s.

    .. math:: D < n_{95} a^2 / (6 N t), \quad n_{95} = \chi^2_{0.95}(2n + 2) / 2

    with the Poisson upper limit of n hops in the time N t of all ions. Without one it's 3
    hops ("rule of three").
    """
    n_95 = stats.chi2.ppf(0.95, 2 * max(n_hops, 0.0) + 2) / 2
    return diffusivity_to_cm2_per_s(float(n_95) * hop_distance**2 / (6 * ion_time_fs))


def bound_of(runs: Sequence[Paths], interval: float, hop_distance: float, n_eff: float) -> float:
    """Bound D of runs by their net hops, or by ``n_eff`` effective ones if these are more."""
    hops, frames = net_hops(runs, hop_distance)
    return upper_bound(float(np.maximum(hops, n_eff)), frames * interval, hop_distance)
