"""Whether an uncertainty ranks errors, and whether it has their size."""

from __future__ import annotations

import numpy as np
from scipy.stats import chi, rankdata


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC curve of a score; NaN without both kinds.

    The probability that a positive one has the higher score, ties for a half (Hanley and
    McNeil, Radiology 143, 29 (1982)).

    Parameters
    ----------
    score, positive
        Both of shape [n].
    """
    n, p = len(score), int(positive.sum())
    if p in (0, n):
        return float("nan")
    return float((rankdata(score)[positive].sum() - p * (p + 1) / 2) / (p * (n - p)))


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's rank correlation of two arrays of shape [n]; NaN where one is constant."""
    ranks = np.array([rankdata(x), rankdata(y)])
    ranks -= ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((ranks**2).sum(axis=1))
    return float(ranks[0] @ ranks[1] / norms.prod()) if norms.all() else float("nan")


def worst_tenth(error: np.ndarray) -> np.ndarray:
    """Return which errors are in the worst tenth, shape [n]."""
    return np.asarray(error >= np.quantile(error, 0.9))


def miscalibration_area(sigma: np.ndarray, error: np.ndarray) -> float:
    """Return the area between expected and found shares of errors, 0 to 0.5.

    Error vectors are taken for normal with the variance sigma² / 3 along each axis, so that
    sqrt(3) error / sigma is of the chi distribution with 3 degrees of freedom. A share p of the
    errors is expected below its quantile p; what is found is averaged in its distance over all p
    (Tran et al., Mach. Learn.: Sci. Technol. 1, 025006 (2020)). NaN without errors.

    Parameters
    ----------
    sigma
        Expected root mean square length of the error vector, above 0, shape [n].
    error
        Its length, in the same unit, shape [n].
    """
    if not len(error):
        return float("nan")
    found = np.sort(chi.cdf(np.sqrt(3) * error / sigma, 3))
    # The found share is constant between two values: there the distance is |p - share|.
    edges = np.concatenate([[0.0], found, [1.0]])
    shares = np.arange(len(found) + 1) / len(found)
    low, high = edges[:-1] - shares, edges[1:] - shares
    crosses = (low < 0) & (high > 0)
    plain = np.abs(low + high) / 2 * (high - low)
    return float(np.where(crosses, (low**2 + high**2) / 2, plain).sum())
