"""Averages over correlated series of a cell, and their line in temperature."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ionloop.evaluate.intervals import LEVEL
from ionloop.evaluate.schema import Estimate
from ionloop.units import GPA_EV_PER_A3, KB_EV_PER_K

#: Blocks whose means give the error of a mean.
BLOCKS = 10
#: Below this probability of its χ², ln x isn't a line in T.
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
    """
    estimator = f"weighted line of ln x in T, {len(temperatures)} temperatures"
    if len(temperatures) < TEMPERATURES_MIN:
        few = (
            f"{len(temperatures)} temperatures can be used, expected {TEMPERATURES_MIN} or more; "
            "run longer, or choose others"
        )
        return Estimate(value=None, unit=PER_K, estimator=estimator, admissible=False, reason=few)
    x = np.array([one.value for one in values], float)
    weights = x / np.array([one.error for one in values], float)
    fit, covariance = np.polyfit(temperatures, np.log(x), 1, w=weights, cov="unscaled")
    chi2 = float((((np.log(x) - np.polyval(fit, temperatures)) * weights) ** 2).sum())
    freedom = len(x) - 2
    p_value = float(stats.chi2.sf(chi2, freedom))
    value = 1e6 * float(fit[0])
    error = 1e6 * float(np.sqrt(covariance[0, 0] * max(1.0, chi2 / freedom)))
    half = float(stats.norm.ppf((1 + LEVEL) / 2)) * error
    reason = None
    if p_value < LINE_P_MIN:
        reason = f"ln x isn't a line in T (p = {p_value:.1e}): look for a transition or a curve"
    return Estimate(
        value=value,
        error=error,
        interval=(value - half, value + half),
        unit=PER_K,
        estimator=estimator,
        admissible=reason is None,
        reason=reason,
    )
