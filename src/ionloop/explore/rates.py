r"""Hop rates with errors, of hops that come in events.

Hops of one event aren't independent, so that their number scatters more than Poisson's.
With event k bringing :math:`m_k` hops, n hops are as well known as

.. math:: n_\mathrm{eff} = \frac{(\sum_k m_k)^2}{\sum_k m_k^2}

independent ones: the scaled Poisson approximation of a compound Poisson process (Bohm &
Zech, Nucl. Instrum. Methods A 748, 1 (2014)). Where all events are of one size,
:math:`n_\mathrm{eff}` is the number of events; else it is smaller.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from ionloop.errors import ExplorationError
from ionloop.explore.schema import HopEvent
from ionloop.explore.survey_schema import ClassRate

#: Class that stands for all hops together.
ALL = "all"
#: Confidence of the intervals, two-sided.
CONFIDENCE = 0.90


def effective_count(sizes: Sequence[int] | np.ndarray) -> float:
    """Return how many independent hops events of these sizes are worth; 0 for none."""
    m = np.asarray(sizes, float)
    return float(m.sum() ** 2 / (m**2).sum()) if len(m) else 0.0


def poisson_interval(n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    r"""Return the two-sided interval of a Poisson mean.

    .. math:: \tfrac12 \chi^2_{\alpha/2}(2n) \le \mu \le \tfrac12 \chi^2_{1-\alpha/2}(2n + 2)

    (Garwood, Biometrika 28, 437 (1936)): it covers at least as often as it says. n need not
    be whole; for n = 0 it begins at 0.

    Raises
    ------
    ExplorationError
        If n is negative, or the confidence isn't between 0 and 1.
    """
    if n < 0 or not 0 < confidence < 1:
        msg = (
            "expected a count of 0 or more and a confidence between 0 and 1, got "
            f"{n:g} and {confidence:g}"
        )
        raise ExplorationError(msg)
    tail = (1 - confidence) / 2
    low = stats.chi2.ppf(tail, 2 * n) / 2 if n > 0 else 0.0
    return float(low), float(stats.chi2.isf(tail, 2 * n + 2) / 2)


def event_sizes(hops: Iterable[HopEvent]) -> list[int]:
    """Return how many hops each event of one trajectory has; a hop without one is its own."""
    grouped = Counter(hop.event for hop in hops)
    alone = grouped.pop(None, 0)
    return [*grouped.values(), *[1] * alone]


def rate_of(
    sizes: Sequence[int],
    ion_time_ps: float,
    path_class: str = ALL,
    *,
    distance: float | None = None,
    confidence: float = CONFIDENCE,
) -> ClassRate:
    """Estimate a rate from events.

    Parameters
    ----------
    sizes
        Hops of each event, those of all trajectories together.
    ion_time_ps
        Mobile ions times simulated time, ps.
    path_class, distance
        What the hops have in common; distance in Å.
    confidence
        Of the two-sided interval.

    Returns
    -------
    ClassRate
        Hops per ion and ps with their interval. Without hops the size of events isn't
        known, and the upper end is that for single ones.

    Raises
    ------
    ExplorationError
        If the time isn't above 0.
    """
    if not ion_time_ps > 0:
        msg = f"expected a simulated time above 0 ps, got {ion_time_ps:g}; run longer"
        raise ExplorationError(msg)
    n, effective = int(sum(sizes)), effective_count(sizes)
    low, high = poisson_interval(effective, confidence)
    size = n / effective if n else 1.0
    return ClassRate(
        path_class=path_class,
        distance=distance,
        n_hops=n,
        n_events=len(sizes),
        n_effective=effective,
        ion_time_ps=ion_time_ps,
        rate=n / ion_time_ps,
        low=low * size / ion_time_ps,
        high=high * size / ion_time_ps,
        confidence=confidence,
    )


def class_rates(
    trajectories: Sequence[Sequence[HopEvent]],
    ion_time_ps: float,
    confidence: float = CONFIDENCE,
) -> list[ClassRate]:
    """Estimate the rate of each path class, and that of all hops together first.

    Within a class, hops of one event are counted together; hops of an event that are of
    several classes make each class's count by itself right, but the classes dependent.

    Parameters
    ----------
    trajectories
        Hops of each trajectory at one temperature.
    ion_time_ps
        Mobile ions times simulated time, all trajectories together, ps.
    confidence
        Of the two-sided intervals.
    """
    by_class: dict[str, list[list[HopEvent]]] = defaultdict(list)
    for hops in trajectories:
        of_this: dict[str, list[HopEvent]] = defaultdict(list)
        for hop in hops:
            of_this[hop.path_class].append(hop)
        for name, found in of_this.items():
            by_class[name].append(found)
    everything = [size for hops in trajectories for size in event_sizes(hops)]
    rates = [rate_of(everything, ion_time_ps, confidence=confidence)]
    for name, parts in by_class.items():
        sizes = [size for part in parts for size in event_sizes(part)]
        mean = float(np.mean([hop.distance for part in parts for hop in part]))
        rates.append(rate_of(sizes, ion_time_ps, name, distance=mean, confidence=confidence))
    return [rates[0], *sorted(rates[1:], key=lambda rate: (-rate.n_hops, rate.path_class))]
