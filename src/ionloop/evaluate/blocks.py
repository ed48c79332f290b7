"""How much more runs scatter than independent ions would: the dispersion of their blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import stats

from ionloop.evaluate.displacements import Paths
from ionloop.evaluate.regression import Fit, covariance, generalised, ordinary, window_lags

#: Blocks that runs are cut into, where they are long enough.
BLOCKS = 20
#: Fewer blocks with a line each tell too little; shorter ones with one lag each are taken.
BLOCKS_MIN = 6
#: A block with a line of its own is this many times as long as the window's first lag.
LENGTH_MIN = 3


@dataclass(frozen=True)
class Dispersion:
    """What blocks say of an estimate.

    Parameters
    ----------
    factor
        Variance between blocks over that of independent Gaussian ions; 1 for these, N for
        ions that all move together.
    dof
        Degrees of freedom of ``factor``.
    n_blocks
        Number of blocks.
    mean, error
        Mean of the blocks' own slopes by ordinary least squares and its standard error,
        Å² a frame; None where blocks are too short for a line.
    trend_p
        Probability, were D the same all the time, of a stronger trend with the blocks' time
        in their runs; 1 for too few blocks.
    """

    factor: float
    dof: float
    n_blocks: int
    mean: float | None
    error: float | None
    trend_p: float


@dataclass(frozen=True)
class OriginSums:
    """Squared displacements by their time origin, summed over ions.

    Parameters
    ----------
    lags
        Lags, shape [m].
    runs
        For each run and lag, shape [n_frames - lag, 3], Å².
    n_ions
        Ions that were summed.
    together
        Of ``runs`` the part that all ions make together: that of their summed displacement,
        over their number, same shapes.
    """

    lags: np.ndarray
    runs: list[list[np.ndarray]]
    n_ions: int
    together: list[list[np.ndarray]] = field(default_factory=list)

    def apart(self) -> OriginSums:
        """Return what ions move against their common centre, which is N - 1 ions' worth."""
        pairs = zip(self.runs, self.together, strict=True)
        rest = [[a - b for a, b in zip(all_, common, strict=True)] for all_, common in pairs]
        return OriginSums(self.lags, rest, self.n_ions - 1)

    def blocks(self, length: int, lags: np.ndarray) -> np.ndarray:
        """Return the MSD of every block of ``length`` frames, shape [n_blocks, m, 3], Å²."""
        columns = [int(np.flatnonzero(self.lags == lag)[0]) for lag in lags]
        found = []
        for run, i in self._places(length):
            span = slice(i * length, (i + 1) * length)
            found.append([run[c][span][: length - self.lags[c]].mean(axis=0) for c in columns])
        return np.array(found).reshape(-1, len(lags), 3) / self.n_ions

    def times(self, length: int) -> np.ndarray:
        """Return how many blocks went before each in its run, shape [n_blocks]."""
        return np.array([i for _, i in self._places(length)], float)

    def _places(self, length: int) -> Iterator[tuple[list[np.ndarray], int]]:
        for run in self.runs:
            for i in range((len(run[0]) + int(self.lags[0])) // length):
                yield run, i


def block_length(lengths: Sequence[int], start: int) -> tuple[int, bool]:
    """Return frames of a block, and whether it's long enough for a line of its own."""
    length = max(LENGTH_MIN * start + 1, min(sum(lengths) // BLOCKS, *lengths))
    if sum(t // length for t in lengths) >= BLOCKS_MIN:
        return length, True
    return start + 1, False


def block_lags(lengths: Sequence[int], start: int, stop: int) -> np.ndarray:
    """Return the lags that blocks need, all within a block."""
    length, has_line = block_length(lengths, start)
    return window_lags(start, min(stop, 2 * length // 3)) if has_line else np.array([start])


def origin_sums(runs: Sequence[Paths], lags: np.ndarray) -> OriginSums:
    """Sum squared displacements over the mobile ions, for every origin."""
    found, together = [], []
    for paths in runs:
        sums = [np.zeros((max(0, paths.n_frames - m), 3)) for m in lags]
        total = np.zeros((paths.n_frames, 3))
        for x in paths.mobile():
            total += (x - x[0]).sum(axis=1)
            for i, m in enumerate(lags):
                sums[i] += ((x[m:] - x[: len(x) - m]) ** 2).sum(axis=1)
        found.append(sums)
        moved = [total[m:] - total[: len(total) - m] for m in lags]
        together.append([step**2 / paths.n_mobile for step in moved])
    return OriginSums(lags, found, runs[0].n_mobile, together)


def dispersion(
    sums: OriginSums, msd: np.ndarray, lengths: Sequence[int], axes: slice
) -> Dispersion:
    """Compare the scatter of blocks with that of independent Gaussian ions.

    Whatever makes ions move together, in bursts, or at different rates in different runs,
    shows as a larger scatter; the ratio of variances is then applied to the whole.

    Parameters
    ----------
    sums
        Squared displacements at :func:`block_lags`.
    msd
        Mean squared displacement along each axis, as
        :func:`~ionloop.evaluate.regression.covariance` takes it, shape [n_lags, d], Å².
    lengths
        Frames of each run.
    axes
        Which of the three axes are summed.
    """
    start = int(sums.lags[0])
    length, has_line = block_length(lengths, start)
    values = sums.blocks(length, sums.lags)[:, :, axes].sum(axis=2)
    cov = covariance(msd, sums.lags, [length])
    times = sums.times(length)
    if not has_line:
        return _spread(values[:, 0], cov[0, 0] / sums.n_ions, times)
    pooled = values.mean(axis=0)
    best, plain = (fit(pooled, sums.lags, cov) for fit in (generalised, ordinary))
    slopes = values @ plain.weights
    error = float(np.std(slopes, ddof=1) / np.sqrt(len(slopes)))
    spread = _spread(values @ best.weights, best.variance / sums.n_ions, times)
    return replace(spread, mean=float(slopes.mean()), error=error)


def _spread(values: np.ndarray, expected: float, times: np.ndarray) -> Dispersion:
    n = len(values)
    if n < 2:
        return Dispersion(1.0, 0.0, n, None, None, 1.0)
    variance = float(np.var(values, ddof=1))
    # Blocks of few independent moves are skewed as a gamma, whose excess kurtosis is six
    # times its relative variance: their own variance is known the worse.
    kurtosis = 6 * variance / values.mean() ** 2 if values.mean() else 0.0
    dof = 2 / (2 / (n - 1) + kurtosis / n)
    varies = n > 2 and np.ptp(times) > 0 and variance > 0
    trend = float(stats.spearmanr(times, values).pvalue) if varies else 1.0
    return Dispersion(variance / expected, float(dof), n, None, None, trend)


def second_estimate(
    found: Dispersion, msd: np.ndarray, lags: np.ndarray, cov: np.ndarray, n_ions: int
) -> tuple[float, float, str]:
    """Return another slope, its standard error, Å² a frame, and how it was found.

    Blocks with lines of their own give their mean; where runs are too short for these it's
    the ordinary least squares of the pooled MSD, with the error that the lags' covariance
    and the dispersion give.
    """
    if found.mean is not None and found.error is not None:
        return found.mean, found.error, f"mean of OLS slopes of {found.n_blocks} blocks"
    fit: Fit = ordinary(msd, lags, cov)
    error = float(np.sqrt(fit.variance / n_ions * found.factor))
    return fit.slope, error, "OLS of the pooled MSD"
