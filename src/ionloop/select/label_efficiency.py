"""How many labels an error costs, and what seeds leave open."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from ionloop.errors import EvaluationError


def labels_to_reach(counts: Sequence[int], errors: Sequence[float], target: float) -> float | None:
    """Return the number of labels at which a learning curve first comes down to an error.

    Between two counts the curve is taken as a power law, a line in log-log.

    Parameters
    ----------
    counts
        Numbers of labels, rising.
    errors
        The error at each, above 0, eV/Å.
    target
        The error to reach, eV/Å.

    Returns
    -------
    float | None
        None if it isn't reached; the first count if that is good enough already.

    Raises
    ------
    EvaluationError
        If counts don't rise, differ in number from errors, or an error isn't above 0.
    """
    n, e = np.asarray(counts, float), np.asarray(errors, float)
    if len(n) != len(e) or len(n) == 0 or (np.diff(n) <= 0).any() or (e <= 0).any():
        msg = f"expected rising counts with an error above 0 each, got {counts} and {errors}"
        raise EvaluationError(msg)
    below = np.flatnonzero(e <= target)
    if not len(below):
        return None
    k = int(below[0])
    if k == 0:
        return float(n[0])
    part = np.log(e[k - 1] / target) / np.log(e[k - 1] / e[k])
    return float(n[k - 1] * (n[k] / n[k - 1]) ** part)


def mean_interval(
    values: Sequence[float], confidence: float = 0.9
) -> tuple[float, tuple[float, float] | None]:
    """Return the mean over seeds and its interval by Student's t; None of one value."""
    x = np.asarray(values, float)
    mean = float(x.mean())
    if len(x) < 2:
        return mean, None
    half = float(student.ppf(0.5 + confidence / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return mean, (mean - half, mean + half)
