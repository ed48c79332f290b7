r"""Straight lines through mean squared displacements whose lags are correlated.

MSDs at different lags are made of the same steps, so that ordinary least squares with its
textbook error is wrong several times over. For Gaussian displacements the covariance of
time averages is known from the MSD itself (Isserlis' theorem), and generalised least squares
with it is the best linear estimate: Bullerjahn, von Bülow & Hummer, J. Chem. Phys. 153,
024116 (2020), doi:10.1063/5.0008312; McCluskey, Coles & Morgan, J. Chem. Theory Comput. 21,
79 (2025), doi:10.1021/acs.jctc.4c01249, use the same covariance in their Bayesian regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Lags that are fitted; more are so alike that they add nothing.
LAGS = 12
#: Smallest eigenvalue of the lags' correlation, relative to the largest.
EIGENVALUE_MIN = 1e-3
#: Points in which a lag of the window's start is resolved in the sums over origins.
RESOLUTION = 24


@dataclass(frozen=True)
class Fit:
    """A line through an MSD.

    Parameters
    ----------
    slope
        Å² a frame.
    intercept
        Å².
    variance
        Of the slope for *one* independent Gaussian ion, (Å² a frame)².
    weights
        The slope is the sum of these times the MSD at the lags.
    """

    slope: float
    intercept: float
    variance: float
    weights: np.ndarray


def window_lags(start: int, stop: int) -> np.ndarray:
    """Return the fitted lags, evenly spaced in ln t, both ends included."""
    return np.unique(np.geomspace(start, stop, LAGS).round().astype(int))


def covariance(msd: np.ndarray, lags: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    r"""Return the covariance of time-averaged squared displacements of one Gaussian ion.

    .. math::
        \mathrm{cov}(M_n, M_m) = \frac{2}{N_n N_m} \sum_a \sum_{k,l} C_{a,nm}(k-l)^2, \quad
        C_{a,nm}(s) = \tfrac12 [V_a(s+n) + V_a(s-m) - V_a(s+n-m) - V_a(s)]

    with the mean squared displacement :math:`V_a(|t|)` along principal axis a, and
    :math:`N_n` time origins of lag n in all runs.

    Parameters
    ----------
    msd
        V at lags 0, 1, ... along each of d axes, shape [n_lags, d], Å²; beyond its end V goes
        on as the line that it ends with.
    lags
        Lags n, shape [m].
    lengths
        Frames of each run.

    Returns
    -------
    np.ndarray
        Shape [m, m], Å⁴.
    """
    first, last = int(lags[0]), int(lags[-1])
    # Runs hardly longer than a lag have few pairs of origins, of which none may be left out.
    fewest = min((t - last for t in lengths if t > last), default=1)
    grain = max(1, min(first, fewest) // RESOLUTION)
    reach = 2 * last + first
    v = _extended(msd, reach)
    origins = np.array([sum(max(0, t - n) for t in lengths) for n in lags], float)
    found = np.zeros((len(lags), len(lags)))
    for i, n in enumerate(lags):
        for j, m in enumerate(lags[: i + 1]):
            low = max(-int(n) - first, -(max(lengths) - 1) // grain * grain)
            high = min(int(m) + first, max(lengths)) + 1
            v1, v2, v3, v4 = (
                v[reach + low + shift : reach + high + shift : grain] for shift in (n, -m, n - m, 0)
            )
            c2 = ((0.5 * (v1 + v2 - v3 - v4)) ** 2).sum(axis=1)
            shifts = np.arange(low, high, grain)
            pairs = sum(
                np.maximum(0, np.minimum(t - n, t - m + shifts) - np.maximum(0, shifts))
                for t in lengths
            )
            found[i, j] = found[j, i] = 2 * grain * (pairs @ c2) / origins[i] / origins[j]
    return found


def _extended(msd: np.ndarray, reach: int) -> np.ndarray:
    """Return V at lags -reach to reach, shape [2 reach + 1, d]; beyond its end it's a line."""
    beyond = np.maximum(np.arange(reach + 1) - len(msd) + 1, 0)[:, None]
    half = msd[np.minimum(np.arange(reach + 1), len(msd) - 1)] + beyond * (msd[-1] - msd[-2])
    return np.concatenate([half[:0:-1], half])


def generalised(msd: np.ndarray, lags: np.ndarray, cov: np.ndarray) -> Fit:
    """Fit a line to the MSD at lags, both of shape [m], by generalised least squares."""
    scale = np.sqrt(np.diag(cov))
    values, vectors = np.linalg.eigh(cov / scale[:, None] / scale)
    # Neighbouring lags are nearly one measurement: what sets them apart isn't known so well.
    values = np.maximum(values, EIGENVALUE_MIN * values[-1])
    cov = (vectors * values) @ vectors.T * scale[:, None] * scale
    white = (vectors / np.sqrt(values)).T / scale
    return _line(msd, cov, np.linalg.pinv(white @ _design(lags)) @ white)


def ordinary(msd: np.ndarray, lags: np.ndarray, cov: np.ndarray) -> Fit:
    """Fit a line to the MSD at lags by ordinary least squares; its variance is still true."""
    return _line(msd, cov, np.linalg.pinv(_design(lags)))


def _design(lags: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(lags)), lags])


def _line(msd: np.ndarray, cov: np.ndarray, inverse: np.ndarray) -> Fit:
    intercept, slope = inverse @ msd
    weights = inverse[1]
    return Fit(float(slope), float(intercept), float(weights @ cov @ weights), weights)


def caged_walk(msd: np.ndarray, start: int, stop: int) -> np.ndarray:
    r"""Describe an MSD by a random walk and a cage, whose covariance is a true one.

    .. math:: V(t) = b\, (1 - e^{-t/\tau}) + m t, \quad b, m \ge 0

    The line is fitted from ``start`` to ``stop``; :math:`\tau` is where the MSD, less the
    walk's part, first passes :math:`(1 - 1/e)\, b`. The MSD itself won't do: at long lags it's
    mostly noise, which must not come back as its own covariance.

    Parameters
    ----------
    msd
        Shape [n_lags, d], Å².
    start, stop
        Lags of the line.

    Returns
    -------
    np.ndarray
        V at lags 0 to ``stop``, shape [stop + 1, d], Å².
    """
    lags = window_lags(start, stop)
    weights = 1 / np.sqrt(lags)[:, None]  # the error of an MSD grows with its lag
    line = np.linalg.lstsq(_design(lags) * weights, msd[lags] * weights, rcond=None)[0]
    # Through the middle of the window, so that a clipped slope or cage keeps the MSD's size.
    level, middle = msd[lags].mean(axis=0), lags.mean()
    slope = np.clip(line[1], 1e-6 * level / middle, level / middle)
    cage = level - slope * middle
    t = np.arange(stop + 1)[:, None]
    early = msd[: start + 1] - slope * t[: start + 1] >= (1 - 1 / np.e) * cage
    tau = np.maximum(np.argmax(early, axis=0), 0.1)
    return cage * -np.expm1(-t / tau) + slope * t
