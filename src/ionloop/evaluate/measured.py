"""What runs of one temperature show before anything is judged: curves, lines, dispersion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ionloop.evaluate.blocks import (
    Dispersion,
    OriginSums,
    block_lags,
    dispersion,
    origin_sums,
    second_estimate,
)
from ionloop.evaluate.displacements import Paths
from ionloop.evaluate.intervals import Positive
from ionloop.evaluate.msd import curves, pool
from ionloop.evaluate.regression import Fit, caged_walk, covariance, generalised, window_lags
from ionloop.evaluate.window import Window

#: Lags at which the error of the MSD is worked out; those between are interpolated.
ERROR_POINTS = 24
#: Ions move as one where they move against each other by less than this share of their MSD.
AS_ONE = 1e-9


@dataclass(frozen=True)
class Measured:
    """Pooled mean squared displacements of runs.

    Parameters
    ----------
    runs
        Paths of independent runs of one kind.
    tracer, collective
        Pooled tensors, shape [n_lags, 3, 3], Å²; see :class:`~ionloop.evaluate.msd.Curves`.
    """

    runs: Sequence[Paths]
    tracer: np.ndarray
    collective: np.ndarray

    @cached_property
    def msd(self) -> np.ndarray:
        """MSD of the mobile ions, shape [n_lags], Å²."""
        return np.trace(self.tracer, axis1=1, axis2=2)

    @property
    def lengths(self) -> list[int]:
        """Frames of each run."""
        return [paths.n_frames for paths in self.runs]

    @property
    def n_ions(self) -> int:
        """Mobile ions of one run."""
        return self.runs[0].n_mobile


def measure(runs: Sequence[Paths]) -> Measured:
    """Compute the curves of every run and pool them by their numbers of origins."""
    found = [curves(paths) for paths in runs]
    return Measured(runs, pool([c.tracer for c in found]), pool([c.collective for c in found]))


@dataclass(frozen=True)
class Lines:
    """Lines through the curves of :class:`Measured` in one window; slopes are Å² a frame."""

    measured: Measured
    window: Window

    @cached_property
    def lags(self) -> np.ndarray:
        """Fitted lags, shape [m]."""
        return window_lags(self.window.start, self.window.stop)

    @cached_property
    def sums(self) -> OriginSums:
        """Squared displacements by origin, for the blocks."""
        window = self.window
        lags = block_lags(self.measured.lengths, window.start, window.stop)
        return origin_sums(self.measured.runs, lags)

    @cached_property
    def total(self) -> Fit:
        """Line through the MSD."""
        return generalised(self.measured.msd[self.lags], self.lags, self._total_covariance)

    @cached_property
    def _total_covariance(self) -> np.ndarray:
        return self._covariance(self._principal(self.measured.tracer))

    @cached_property
    def spread(self) -> Dispersion:
        """Dispersion of the MSD's line."""
        return self._dispersion(self._principal(self.measured.tracer), slice(0, 3))

    def tracer(self) -> Positive:
        """Return the MSD's slope with its relative variance."""
        return self._positive(self.total, self.spread)

    def along(self, axis: int) -> Positive:
        """Return the slope of the mean squared displacement along one axis."""
        msd = self.measured.tracer[:, axis, axis]
        if msd[self.lags].max() <= 0:  # as of ions in a plane
            return Positive(0.0, 0.0)
        fit = self._fit(msd, msd[:, None])
        return self._positive(fit, self._dispersion(msd[:, None], slice(axis, axis + 1)))

    def summed(self) -> Positive:
        """Return the slope of the summed displacement's MSD over the number of ions.

        By the central limit theorem the sum of many ions' displacements is Gaussian, so that
        it's one Gaussian particle whatever its ions do together. One particle's line is too
        noisy to be the source of its own error, which would be small where the slope is small
        by chance: its error is that of a walk without a cage, of its mean size.
        """
        curve = self.measured.collective
        msd, lags = np.trace(curve, axis1=1, axis2=2)[self.lags], self.lags
        level = self._principal(curve)[lags].mean(axis=0)
        walk = np.maximum(level, 0) / lags.mean() * np.arange(lags[-1] + 1)[:, None]
        cov = covariance(walk, lags, self.measured.lengths)
        return self._positive(generalised(msd, lags, cov), None)

    def apart(self) -> Positive | None:
        """Return the slope of the MSD that ions make against their common centre, an ion's share.

        None where they move as one, or there is but one.
        """
        measured, n = self.measured, self.measured.n_ions
        if n == 1:
            return None
        tensor = (n * measured.tracer - measured.collective) / (n - 1)
        msd = np.trace(tensor, axis1=1, axis2=2)
        if msd[self.lags].max() <= AS_ONE * measured.msd[self.lags].max():
            return None
        curve = self._principal(tensor)
        spread = dispersion(self.sums.apart(), self._model(curve), measured.lengths, slice(0, 3))
        return self._positive(self._fit(msd, curve), spread, n - 1)

    def second(self) -> tuple[float, float, str]:
        """Return the MSD's slope by another estimator, its standard error, and its name."""
        measured = self.measured
        msd = measured.msd[self.lags]
        return second_estimate(self.spread, msd, self.lags, self._total_covariance, measured.n_ions)

    def tensor(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the slope of every component with its standard error, each of shape [3, 3]."""
        slopes = np.einsum("l,lab->ab", self.total.weights, self.measured.tracer[self.lags])
        # For Gaussian displacements var(ab) ∝ D_aa D_bb + D_ab², and the trace's is the sum.
        diagonal = np.diag(slopes)
        shape = np.outer(diagonal, diagonal) + slopes**2
        variance = self.total.variance / self.measured.n_ions * self.spread.factor
        return slopes, np.sqrt(np.maximum(shape, 0) * variance / (2 * (slopes**2).sum()))

    def msd_error(self, lags: np.ndarray) -> np.ndarray:
        """Return the standard error of the MSD at lags, shape [m], Å²."""
        curve = self._model(self._principal(self.measured.tracer))
        some = np.unique(np.geomspace(1, lags.max(), ERROR_POINTS).round().astype(int))
        # Each lag by itself: only its own variance is wanted.
        own = [covariance(curve, some[i : i + 1], self.measured.lengths) for i in range(len(some))]
        found = np.interp(lags, np.append(0, some), np.append(0.0, np.ravel(own)))
        return np.sqrt(found * self.spread.factor / self.measured.n_ions)

    def _principal(self, tensor: np.ndarray) -> np.ndarray:
        """Return the curves along the principal axes of their growth, shape [n_lags, 3], Å²."""
        growth = tensor[self.window.stop] - tensor[self.window.start]
        _, axes = np.linalg.eigh(growth)
        return np.einsum("lab,ac,bc->lc", tensor, axes, axes)

    def _model(self, curve: np.ndarray) -> np.ndarray:
        return caged_walk(curve, self.window.start, self.window.stop)

    def _covariance(self, curve: np.ndarray) -> np.ndarray:
        return covariance(self._model(curve), self.lags, self.measured.lengths)

    def _fit(self, msd: np.ndarray, curve: np.ndarray) -> Fit:
        return generalised(msd[self.lags], self.lags, self._covariance(curve))

    def _dispersion(self, curve: np.ndarray, axes: slice) -> Dispersion:
        return dispersion(self.sums, self._model(curve), self.measured.lengths, axes)

    def _positive(self, fit: Fit, spread: Dispersion | None, n: int | None = None) -> Positive:
        variance = fit.variance
        if spread is not None:
            variance *= spread.factor / (n or self.measured.n_ions)
        dof = np.inf if spread is None else spread.dof
        return Positive(fit.slope, variance / fit.slope**2 if fit.slope else np.inf, dof)
