"""The covariance of lags and the line against closed forms and repeats."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.evaluate.blocks import block_length, origin_sums
from ionloop.evaluate.displacements import paths_of_array
from ionloop.evaluate.intervals import Positive
from ionloop.evaluate.msd import msd_tensor
from ionloop.evaluate.regression import (
    caged_walk,
    covariance,
    generalised,
    ordinary,
    window_lags,
)


def test_the_covariance_is_that_of_the_double_sum():
    """Against all pairs of origins, with the displacements' covariance written out."""
    d, lags, lengths = 0.7, np.array([2, 3, 5]), [9, 7]
    v = 2 * d * np.arange(40)[:, None]
    found = covariance(v, lags, lengths)
    for i, n in enumerate(lags):
        for j, m in enumerate(lags):
            total = 0.0
            for t in lengths:
                for k in range(t - n):
                    for x in range(t - m):
                        shared = max(0, min(k + n, x + m) - max(k, x))
                        total += 2 * (2 * d * shared) ** 2
            origins = [sum(t - lag for t in lengths) for lag in (n, m)]
            assert found[i, j] == pytest.approx(total / origins[0] / origins[1], rel=1e-9)


@pytest.mark.parametrize("cage", [0.0, 0.8])
def test_the_stated_variance_is_that_of_repeats(cage):
    rng, n, n_frames = np.random.default_rng(3), 20, 300
    best, plain, expected = [], [], []
    for _ in range(150):
        x = np.cumsum(rng.normal(size=(n_frames, n, 3)), axis=0)
        v = np.einsum("laa->la", msd_tensor(x + rng.normal(scale=cage, size=x.shape)))
        lags = window_lags(6, 60)
        cov = covariance(caged_walk(v, 6, 60), lags, [n_frames])
        fits = [fit(v.sum(axis=1)[lags], lags, cov) for fit in (generalised, ordinary)]
        best.append(fits[0].slope)
        plain.append(fits[1].slope)
        expected.append([f.variance / n for f in fits])
    assert np.mean(best) == pytest.approx(3.0, rel=0.02)
    stated = np.sqrt(np.mean(expected, axis=0))
    assert np.std(best) == pytest.approx(stated[0], rel=0.2)
    assert np.std(plain) == pytest.approx(stated[1], rel=0.2)
    # Ordinary least squares gives the long, noisy lags as much weight as the short ones.
    assert np.std(plain) > 1.5 * np.std(best)


def test_a_caged_walk_is_found_again():
    t = np.arange(401)[:, None]
    v = 0.9 * -np.expm1(-t / 7.0) + np.array([[0.01, 0.02, 0.0]]) * t
    found = caged_walk(v, 60, 400)
    assert found[60:, :2] == pytest.approx(v[60:, :2], rel=1e-3)
    assert found[7] == pytest.approx(v[7], rel=0.1)


def test_blocks_are_as_long_as_a_line_needs_where_runs_allow():
    assert block_length([1000], 10) == (50, True)
    assert block_length([1000], 30) == (91, True)
    assert block_length([140, 140], 40) == (41, False)
    # Many short runs: a block never reaches over the end of one.
    assert block_length([100] * 50, 10) == (100, True)


def test_sums_by_origin_give_the_msd_of_blocks():
    x = np.cumsum(np.random.default_rng(0).normal(size=(50, 4, 3)), axis=0)
    paths = paths_of_array(np.concatenate([x, np.zeros((50, 1, 3))], axis=1), np.arange(4),
                           np.array([4]))  # fmt: skip
    lags = np.array([2, 4])
    found = origin_sums([paths, paths], lags).blocks(12, lags)
    assert found.shape == (8, 2, 3)
    second = x[12:24]
    assert found[1, 1] == pytest.approx(((second[4:] - second[:-4]) ** 2).mean(axis=(0, 1)))
    assert found[5] == pytest.approx(found[1])


def test_a_well_known_number_has_the_normal_interval():
    low, high = Positive(2.0, 1e-4).interval
    assert (low, high) == pytest.approx((2 - 1.645 * 0.02, 2 + 1.645 * 0.02), rel=1e-3)


def test_the_interval_of_a_mean_square_is_that_of_chi_squared():
    # The mean of n squares has a relative variance of 2/n and a χ² interval.
    low, high = Positive(1.0, 2 / 10).interval
    assert (low, high) == pytest.approx((10 / 18.307, 10 / 3.940), rel=1e-3)


def test_few_degrees_of_freedom_widen_the_interval_as_students_t():
    low, high = Positive(1.0, 1e-6, dof=4).interval
    assert (high - low) / 2 == pytest.approx(2.132e-3, rel=2e-3)


def test_a_ratio_has_an_interval_of_f():
    one, other = Positive(2.0, 0.02), Positive(4.0, 0.1)
    low, high = one.over(other)
    rng = np.random.default_rng(1)
    ratios = 0.5 * rng.gamma(10, 0.1, 20000) / rng.gamma(50, 0.02, 20000)
    assert np.percentile(ratios, [5, 95]) == pytest.approx([low, high], rel=0.03)
