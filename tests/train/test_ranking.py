"""Ranks and sizes of uncertainty against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, spearmanr

from ionloop.train.ranking import auroc, miscalibration_area, spearman, worst_tenth


def vectors(rng, sigma):
    """Lengths of normal vectors whose root mean square length is sigma."""
    return np.linalg.norm(rng.normal(size=(len(sigma), 3)), axis=1) * sigma / np.sqrt(3)


def test_auroc_counts_pairs():
    score, positive = np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True])
    # Pairs (positive, negative): 2>1, 2=2, 3>1, 3>2.
    assert auroc(score, positive) == pytest.approx(3.5 / 4)
    assert np.isnan(auroc(score, np.zeros(4, bool)))


def test_auroc_of_two_shifted_normals():
    rng = np.random.default_rng(0)
    positive = np.arange(20_000) < 10_000
    score = rng.normal(size=20_000) + positive
    assert auroc(score, positive) == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.01)


def test_spearman_is_scipy_s():
    rng = np.random.default_rng(1)
    x = rng.normal(size=300).round(1)  # ties
    y = (x + rng.normal(size=300)).round(1)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert np.isnan(spearman(x, np.ones(300)))


def test_the_worst_tenth():
    assert worst_tenth(np.arange(100.0)).sum() == 10


def test_normal_errors_of_the_right_size_are_calibrated():
    rng = np.random.default_rng(2)
    sigma = rng.gamma(3, 0.1, size=20_000)
    assert miscalibration_area(sigma, vectors(rng, sigma)) < 0.01


@pytest.mark.parametrize(("factor", "limit"), [(1e9, 0.5), (1e-9, 0.5)])
def test_the_worst_area_is_a_half(factor, limit):
    rng = np.random.default_rng(3)
    sigma = np.ones(50)
    assert miscalibration_area(factor * sigma, vectors(rng, sigma)) == pytest.approx(limit)


def test_the_area_of_few_errors_by_hand():
    """Shares are 0 below the value's own quantile u, and 1 above: (u² + (1-u)²) / 2."""
    from scipy.stats import chi

    u = chi.cdf(np.sqrt(3) * 0.8, 3)
    found = miscalibration_area(np.array([1.0]), np.array([0.8]))
    assert found == pytest.approx((u**2 + (1 - u) ** 2) / 2)
    grid = np.linspace(0, 1, 200_001)
    error = np.array([0.2, 0.9, 1.4])
    shares = np.searchsorted(np.sort(chi.cdf(np.sqrt(3) * error, 3)), grid, side="right") / 3
    expected = np.abs(shares - grid).mean()
    assert miscalibration_area(np.ones(3), error) == pytest.approx(expected, abs=1e-5)
    assert np.isnan(miscalibration_area(np.empty(0), np.empty(0)))
