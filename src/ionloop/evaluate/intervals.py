"""90 % intervals of positive numbers that are sums of squares, such as diffusivities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.9
#: Least shape that an interval is given for: below it the upper end has no meaning.
SHAPE_MIN = 0.25
_TAILS = np.array([(1 + LEVEL) / 2, (1 - LEVEL) / 2])


@dataclass(frozen=True)
class Positive:
    """A positive number with its relative variance.

    Parameters
    ----------
    value
        In any unit.
    relative_variance
        Variance over value².
    dof
        Degrees of freedom that the variance itself was estimated with; inf if it's known.
    """

    value: float
    relative_variance: float
    dof: float = np.inf

    @property
    def error(self) -> float:
        """One standard error, same unit."""
        return float(self.value * np.sqrt(self.relative_variance))

    @property
    def shape(self) -> float:
        """Shape of the gamma distribution; for few degrees of freedom wider, as Student's t."""
        wider = stats.t.ppf(_TAILS[0], self.dof) / stats.norm.ppf(_TAILS[0])
        return max(float(1 / (self.relative_variance * wider**2)), SHAPE_MIN)

    @property
    def interval(self) -> tuple[float, float]:
        r"""90 % interval of the truth x, of which the value is distributed as a gamma.

        .. math:: \hat x / x \sim \Gamma(k, 1/k), \quad
                  k^{-1} = \frac{\mathrm{var}\,\hat x}{\hat x^2} \frac{t_\nu^2}{z^2}

        Sums of squares of normal displacements are gamma-distributed: an interval
        symmetric about the value would be too low. For many degrees of freedom it's the
        exact one, for a small variance it's Student's.
        """
        low, high = self.value * self.shape / stats.gamma.ppf(_TAILS, self.shape)
        return float(low), float(high)

    def over(self, other: Positive) -> tuple[float, float]:
        """90 % interval of the ratio of two independent numbers, by their F distribution."""
        shapes = 2 * self.shape, 2 * other.shape
        low, high = self.value / other.value / stats.f.ppf(_TAILS, *shapes)
        return float(low), float(high)
