"""What can be said of D where too few ions hop: a bound, never a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ionloop.evaluate.displacements import Paths
from ionloop.units import diffusivity_to_cm2_per_s

#: Share of a run at either end over which positions are averaged, so that rattling is no hop.
END = 0.1
#: Probability that a bound holds.
LEVEL = 0.95


@dataclass(frozen=True)
class NetHops:
    """Hops that took ions away from where they began.

    Parameters
    ----------
    along
        Their number along each axis in all runs, shape [3]; the sum are the hops in all.
    frames
        Time of all ions that was looked at, in frames.
    n_ions
        Ions of all runs.
    together
        Ions that a hop takes along, 1 where they hop independently.
    """

    along: np.ndarray
    frames: float
    n_ions: int
    together: float


def net_hops(runs: Sequence[Paths], hop_distance: float) -> NetHops:
    r"""Count the hops along each axis that took ions away from where they began.

    .. math:: n_a = \sum_i \Delta_{ia}^2 / a^2, \quad
              g = |\sum_i \Delta_i|^2 / \sum_i |\Delta_i|^2

    with :math:`\Delta_i` between positions averaged over the first and the last tenth of each run,
    and g, the ions that a hop takes along, between 1 and their number.
    """
    hops, time, n, joint = np.zeros(3), 0.0, 0, 0.0
    for paths in runs:
        width = max(1, round(END * paths.n_frames))
        total = np.zeros(3)
        for x in paths.mobile():
            moved = x[-width:].mean(axis=0) - x[:width].mean(axis=0)
            hops += (moved**2).sum(axis=0) / hop_distance**2
            total += moved.sum(axis=0)
        joint += float((total**2).sum()) / hop_distance**2
        time += paths.n_mobile * (paths.n_frames - width)
        n += paths.n_mobile
    together = joint / hops.sum() if hops.sum() > 0 else 1.0
    return NetHops(hops, time, n, float(np.clip(together, 1.0, runs[0].n_mobile)))


def most_hops(n_hops: float, n_ions: float, n_dimensions: int) -> float:
    r"""Return the upper limit of the mean number of hops, given their squared net displacement.

    .. math:: n_{95} = r \frac{1 - q}{q}, \quad q = B^{-1}_{0.05}(r, n + 1), \quad r = \frac{d N}{2}

    of the negative binomial distribution: hops come as Poisson has it, and of few ions with several
    hops each the squared net displacement scatters as a gamma variate of shape r beside. For many
    ions it is Poisson's limit.

    Parameters
    ----------
    n_hops
        Squared net displacement of all ions over that of one hop, n.
    n_ions, n_dimensions
        N independent ions in d dimensions.
    """
    r = n_dimensions * n_ions / 2
    q = stats.beta.ppf(1 - LEVEL, r, max(n_hops, 0.0) + 1)
    return float(r * (1 - q) / q)


def upper_bound(
    n_hops: float,
    ion_time_fs: float,
    hop_distance: float,
    n_ions: float,
    *,
    together: float = 1.0,
    n_dimensions: int = 3,
) -> float:
    r"""Bound D from above at 95 % where hops are too few to fit, cm²/s.

    .. math:: D < g\, n_{95}(n / g, N / g) \frac{a^2}{2 d t}

    with the upper limit of :func:`most_hops` in the time t of all ions, of which each hop takes g
    along. Where nothing hopped g isn't known, and the bound is that of independent ions; for many
    of them it's 3 hops ("rule of three"). Hops shorter than a count for less than one, which only
    makes the bound larger than it need be.
    """
    limit = together * most_hops(n_hops / together, n_ions / together, n_dimensions)
    return diffusivity_to_cm2_per_s(limit * hop_distance**2 / (2 * n_dimensions * ion_time_fs))


def bound_of(net: NetHops, interval: float, hop_distance: float, n_eff: float) -> float:
    """Bound D by the net hops, or by ``n_eff`` effective ones if these are more, cm²/s."""
    n = float(np.maximum(net.along.sum(), n_eff))
    time = net.frames * interval
    return upper_bound(n, time, hop_distance, net.n_ions, together=net.together)


def bounds_along(net: NetHops, interval: float, hop_distance: float, n_eff: float) -> list[float]:
    """Bound D along x, y and z by the net hops along each, cm²/s.

    Effective hops beyond the net ones may have been along any axis: they count for each.
    """
    hops = net.along + max(0.0, n_eff - float(net.along.sum()))
    time, together = net.frames * interval, net.together
    return [
        upper_bound(float(n), time, hop_distance, net.n_ions, together=together, n_dimensions=1)
        for n in hops
    ]
