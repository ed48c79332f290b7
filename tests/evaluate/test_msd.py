"""The FFT against the double loop; the pooled error against textbook formulas; drift."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.evaluate.msd import ion_msds, pool, pooled_error, time_averaged_msd
from ionloop.explore.positions import remove_drift


def test_msd_equals_the_double_loop():
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=(40, 3, 3)), axis=0) + 1000.0
    direct = [0.0]
    direct += [((x[m:] - x[:-m]) ** 2).sum(axis=2).mean() for m in range(1, 40)]
    assert time_averaged_msd(x) == pytest.approx(np.array(direct), rel=1e-9, abs=1e-12)


def test_ballistic_motion_goes_as_t_squared():
    x = np.arange(50)[:, None, None] * np.array([0.3, -0.2, 0.1])
    assert time_averaged_msd(x)[1:] == pytest.approx(0.14 * np.arange(1, 50) ** 2, rel=1e-9, abs=0)


def test_drift_is_the_plain_mean_of_the_framework():
    x = np.zeros((2, 3, 3))
    x[1, 1], x[1, 2] = (3.0, 0, 0), (0.0, 0, 0)
    assert remove_drift(x, np.array([1, 2]))[1, 0] == pytest.approx([-1.5, 0, 0])


def test_the_error_of_one_run_is_the_standard_error_over_ions():
    x = np.random.default_rng(2).random((20, 7))
    lags = np.array([0, 3, 19])
    expected = x[lags].std(axis=1, ddof=1) / np.sqrt(7)
    assert pooled_error([x], lags) == pytest.approx(expected)


def test_replicas_that_differ_more_than_their_ions_widen_the_error():
    """Three runs of equal ions at 1, 2 and 6: over ions 0.76, over runs 1.53."""
    runs = [np.full((10, 4), level) for level in (1.0, 2.0, 6.0)]
    expected = np.std([1.0, 2.0, 6.0], ddof=1) / np.sqrt(3)
    assert pooled_error(runs, np.arange(10)) == pytest.approx(np.full(10, expected))


def test_a_short_run_weighs_less_in_mean_and_error():
    """At lag 1 runs of 11 and 6 frames have 10 and 5 origins."""
    runs = [np.zeros((11, 1)), np.ones((6, 1))]
    assert pool([x[:, 0] for x in runs])[1] == pytest.approx(1 / 3)
    share, mean = np.array([2 / 3, 1 / 3]), 1 / 3
    expected = np.sqrt(2 * ((share * (np.array([0.0, 1.0]) - mean)) ** 2).sum())
    assert pooled_error(runs, np.array([1])) == pytest.approx([expected])


def test_one_ion_of_one_run_has_no_error():
    assert pooled_error([np.ones((10, 1))], np.arange(10)) is None


def test_the_error_covers_the_truth_as_often_as_it_should():
    """Independent walks: about two thirds of the pooled MSDs lie within one error."""
    rng, lag, hits = np.random.default_rng(3), 40, 0
    for _ in range(200):
        x = ion_msds(np.cumsum(rng.normal(size=(100, 20, 3)), axis=0))
        error = pooled_error([x], np.array([lag]))[0]
        hits += abs(x[lag].mean() - 3 * lag) < error
    assert 0.58 < hits / 200 < 0.77
