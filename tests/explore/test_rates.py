"""Rates with errors: intervals cover what they promise, also where hops come in events."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.errors import ExplorationError
from ionloop.explore.rates import (
    ALL,
    class_rates,
    effective_count,
    event_sizes,
    poisson_interval,
    rate_of,
)
from ionloop.explore.schema import HopEvent


def hop(event: int | None, path_class: str = "a", distance: float = 2.0) -> HopEvent:
    return HopEvent(
        ion=0, site_from=0, site_to=1, t_leave_fs=0, t_arrive_fs=1, distance=distance,
        path_class=path_class, event=event,
    )  # fmt: skip


def test_equal_events_are_worth_their_number_and_unequal_ones_less() -> None:
    assert effective_count([1] * 7) == pytest.approx(7)
    assert effective_count([3] * 7) == pytest.approx(7)
    assert effective_count([1, 9]) == pytest.approx(100 / 82)
    assert effective_count([]) == 0.0


def test_garwood_s_interval_at_known_values() -> None:
    """Tables of the exact Poisson limits (90 %, two-sided)."""
    assert poisson_interval(0) == pytest.approx((0.0, 2.9957), abs=1e-4)
    assert poisson_interval(5) == pytest.approx((1.9701, 10.5130), abs=1e-4)
    assert poisson_interval(5, 0.95) == pytest.approx((1.6235, 11.6683), abs=1e-4)


@pytest.mark.parametrize("mean", [0.7, 4.0, 25.0])
def test_single_hops_are_covered_at_least_as_often_as_promised(mean: float) -> None:
    rng = np.random.default_rng(1)
    counts = rng.poisson(mean, size=1000)
    hits = 0
    for n in counts:
        rate = rate_of([1] * n, ion_time_ps=20.0)
        hits += rate.low <= mean / 20.0 <= rate.high
    assert hits / 1000 >= 0.88  # 90 %, less two standard errors


@pytest.mark.parametrize(("n_events", "least"), [(8.0, 0.81), (40.0, 0.87)])
def test_hops_in_events_are_covered_and_counted_one_by_one_they_would_not_be(
    n_events: float, least: float
) -> None:
    """A compound Poisson process with events of 1 to 8 hops; few unequal ones are the worst."""
    rng = np.random.default_rng(3)
    n_repeats, time = 600, 50.0
    mean_size = np.mean([1, 1, 2, 3, 8])
    hits, naive = 0, 0
    for _ in range(n_repeats):
        sizes = rng.choice([1, 1, 2, 3, 8], size=rng.poisson(n_events)).tolist()
        true = n_events * mean_size / time
        rate = rate_of(sizes, time)
        hits += rate.low <= true <= rate.high
        low, high = poisson_interval(sum(sizes))
        naive += low <= true * time <= high
    assert least <= hits / n_repeats <= 0.97
    assert naive / n_repeats < 0.75


def test_classes_are_told_apart_and_events_counted_within_each() -> None:
    runs = [
        [hop(0), hop(0), hop(1, "b", 3.0), hop(2)],
        [hop(0), hop(0, "b", 4.0)],  # another trajectory: another event 0
    ]
    found = {rate.path_class: rate for rate in class_rates(runs, ion_time_ps=10.0)}
    assert list(found) == [ALL, "a", "b"]
    assert (found[ALL].n_hops, found[ALL].n_events) == (6, 4)
    assert (found["a"].n_hops, found["a"].n_events) == (4, 3)
    assert (found["b"].n_hops, found["b"].n_events) == (2, 2)
    assert found["b"].distance == pytest.approx(3.5)
    assert found["a"].rate == pytest.approx(0.4)
    assert found["a"].n_effective == pytest.approx(16 / 6)


def test_hops_of_old_documents_are_events_of_their_own() -> None:
    assert sorted(event_sizes([hop(None), hop(None), hop(3), hop(3)])) == [1, 1, 2]


def test_no_hops_give_an_upper_bound() -> None:
    (rate,) = class_rates([[]], ion_time_ps=100.0)
    assert (rate.n_hops, rate.rate, rate.low) == (0, 0.0, 0.0)
    assert rate.high == pytest.approx(0.029957, abs=1e-5)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ExplorationError, match="above 0 ps"):
        rate_of([1], 0.0)
    with pytest.raises(ExplorationError, match="confidence"):
        poisson_interval(3, 1.0)
    with pytest.raises(ExplorationError, match="0 or more"):
        poisson_interval(-1)
