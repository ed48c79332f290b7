"""Averages over correlated series of a cell, and their line in temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ionloop.evaluate.intervals import LEVEL
from ionloop.evaluate.schema import Estimate
from ionloop.units import GPA_EV_PER_A3, KB_EV_PER_K

#: Blocks whose means give the error of a mean.
BLOCKS = 10
#: Below this probability of its χ², ln x isn't a line, or a parabola, in T.
LINE_P_MIN = 0.01
#: Temperatures that a line needs.
TEMPERATURES_MIN = 3
#: A bulk modulus with a larger relative error isn't believed.
RELATIVE_MAX = 0.5
PER_K = "1e-6/K"


def _blocks(series: np.ndarray) -> list[np.ndarray]:
    return np.array_split(series, BLOCKS)


def trend(series: np.ndarray) -> float:
    """Return the probability of a stronger rank correlation of block means with time by chance."""
    means = [block.mean() for block in _blocks(series)]
    if np.ptp(means) == 0:
        return 1.0
    return float(stats.spearmanr(range(BLOCKS), means).pvalue)


def mean_of(series: np.ndarray, unit: str, reason: str | None = None) -> Estimate:
    """Average a series; the error is that of ten blocks' means, the interval Student's.

    Parameters
    ----------
    series
        Shape [n_frames].
    unit
        Of the series.
    reason
        What speaks against it.
    """
    means = np.array([block.mean() for block in _blocks(series)])
    value, error = float(series.mean()), float(stats.sem(means))
    half = float(stats.t.ppf((1 + LEVEL) / 2, BLOCKS - 1)) * error
    return Estimate(
        value=value,
        error=error,
        interval=(value - half, value + half),
        unit=unit,
        estimator=f"mean of {BLOCKS} blocks",
        admissible=reason is None,
        reason=reason,
    )


def bulk_modulus(volumes: np.ndarray, temperature: float, reason: str | None = None) -> Estimate:
    r"""Return the isothermal bulk modulus by the fluctuations of the cell's volume.

    .. math:: B_T = k_B T \langle V \rangle / (\langle V^2 \rangle - \langle V \rangle^2)

    Its relative error is that of the variance; the interval is that of χ² with as many degrees
    of freedom as the series is worth, see :func:`freedom`.

    Parameters
    ----------
    volumes
        Of the whole cell, shape [n_frames], Å³.
    temperature
        K.
    reason
        What speaks against the run.
    """
    value = float(KB_EV_PER_K * temperature * volumes.mean() / volumes.var() / GPA_EV_PER_A3)
    worth = freedom(volumes)
    relative = float(np.sqrt(2 / worth))
    low, high = stats.chi2.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], worth) / worth
    if reason is None and relative > RELATIVE_MAX:
        reason = f"known to {100 * relative:.0f} %, expected {100 * RELATIVE_MAX:.0f} %: run longer"
    return Estimate(
        value=value,
        error=value * relative,
        interval=(value * float(low), value * float(high)),
        unit="GPa",
        estimator="fluctuations of the volume, error by their autocorrelation",
        admissible=reason is None,
        reason=reason,
    )


def freedom(series: np.ndarray) -> float:
    r"""Return the degrees of freedom of the variance of a correlated normal series.

    .. math:: \nu = n \Big/ \Big(1 + 2 \sum_{k=1}^{n/2} \hat\rho_k^2\Big)

    The variance's own variance by Bartlett (J. R. Stat. Soc. Suppl. 8, 27 (1946)). A cell swings
    in its barostat for longer than a block that is short enough to make ten: blocks left out in
    turn give intervals that are too narrow. The noise of :math:`\hat\rho` widens them a little.
    """
    n = len(series)
    spectrum = np.fft.rfft(series - series.mean(), 2 * n)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[: n // 2]
    rho = correlation / correlation[0]
    return float(n / (1 + 2 * (rho[1:] ** 2).sum()))


def slope(temperatures: np.ndarray, values: Sequence[Estimate]) -> Estimate:
    r"""Fit :math:`d \ln x / dT` of estimates at temperatures, shape [n], K, in 1e-6/K.

    .. math:: \mathrm{var} = (X^T W X)^{-1} \max(1, \chi^2 / \nu), \quad W = \mathrm{diag}(x/s)^2

    A line; where :math:`\chi^2` speaks against it and four temperatures or more are there, a
    parabola, whose slope is taken at the mean temperature. Crystals expand more when hot, and the
    longer the runs, the less a line holds.
    """
    n = len(temperatures)
    if n < TEMPERATURES_MIN:
        few = (
            f"{n} temperatures can be used, expected {TEMPERATURES_MIN} or more; run longer, or "
            "choose others"
        )
        estimator = f"weighted line of ln x in T, {n} temperatures"
        return Estimate(value=None, unit=PER_K, estimator=estimator, admissible=False, reason=few)
    x = np.array([one.value for one in values], float)
    weights = x / np.array([one.error for one in values], float)
    fit = _fit(temperatures, np.log(x), weights, 1)
    if fit.p_value < LINE_P_MIN and n >= TEMPERATURES_MIN + 1:
        fit = _fit(temperatures, np.log(x), weights, 2)
    value, error = 1e6 * fit.slope, 1e6 * fit.error
    half = float(stats.norm.ppf((1 + LEVEL) / 2)) * error
    curve = "line" if fit.degree == 1 else f"parabola at {temperatures.mean():g} K"
    reason = None
    if fit.p_value < LINE_P_MIN:
        name = "line" if fit.degree == 1 else "parabola"
        reason = f"ln x isn't a {name} in T (p = {fit.p_value:.1e}): look for a transition"
    return Estimate(
        value=value,
        error=error,
        interval=(value - half, value + half),
        unit=PER_K,
        estimator=f"weighted {curve} of ln x in T, {n} temperatures",
        admissible=reason is None,
        reason=reason,
    )


@dataclass(frozen=True)
class _Fit:
    """A polynomial's slope at the mean temperature, its error, 1/K, and χ²'s probability."""

    degree: int
    slope: float
    error: float
    p_value: float


def _fit(temperatures: np.ndarray, y: np.ndarray, weights: np.ndarray, degree: int) -> _Fit:
    t = temperatures - temperatures.mean()
    fit, covariance = np.polyfit(t, y, degree, w=weights, cov="unscaled")
    chi2 = float((((y - np.polyval(fit, t)) * weights) ** 2).sum())
    freedom = len(t) - degree - 1
    error = float(np.sqrt(covariance[-2, -2] * max(1.0, chi2 / freedom)))
    return _Fit(degree, float(fit[-2]), error, float(stats.chi2.sf(chi2, freedom)))
