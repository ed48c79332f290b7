"""Mean squared displacements, averaged over time origins, ions and replicas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from ionloop.evaluate.displacements import Paths

#: Rows and columns of a symmetric tensor's six components.
ROWS, COLUMNS = np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2])


@dataclass(frozen=True)
class Curves:
    """Mean squared displacements of one run, or of several pooled, as tensors.

    Parameters
    ----------
    tracer
        Mean over ions, shape [n_lags, 3, 3], Å²; its trace is the MSD.
    collective
        Of the ions' summed displacement, over their number, shape [n_lags, 3, 3], Å².
    """

    tracer: np.ndarray
    collective: np.ndarray


def curves(paths: Paths) -> Curves:
    """Compute a run's mean squared displacements at lags 0 to n_frames - 1."""
    total = np.zeros((paths.n_frames, 3))
    squares = _Squares(paths.n_frames)
    for group in paths.mobile():
        squares.add(group)
        total += (group - group[0]).sum(axis=1)
    one = _Squares(paths.n_frames)
    one.add(total[:, None])
    return Curves(squares.tensor() / paths.n_mobile, one.tensor() / paths.n_mobile)


def msd_tensor(positions: np.ndarray) -> np.ndarray:
    r"""Average products of displacements over all time origins and ions.

    .. math:: M_{ab}(m) = \frac{1}{N (T-m)} \sum_{i,k} \Delta_a \Delta_b, \quad
              \Delta = r_i(k+m) - r_i(k)

    by the FFT algorithm of Calandrini et al., Collection SFN 12, 201 (2011), eq. 4.15.

    Parameters
    ----------
    positions
        Unwrapped positions, shape [n_frames, n, 3], Å.

    Returns
    -------
    np.ndarray
        M at lags 0 to n_frames - 1, shape [n_frames, 3, 3], Å².
    """
    squares = _Squares(len(positions))
    squares.add(positions)
    return squares.tensor() / positions.shape[1]


class _Squares:
    """Sums over ions of what the FFT algorithm needs, so that ions come in groups."""

    def __init__(self, n_frames: int) -> None:
        self.n = n_frames
        self.padded = fft.next_fast_len(2 * n_frames, real=True)
        self.spectrum = np.zeros((6, self.padded // 2 + 1))
        self.products = np.zeros((6, n_frames))

    def add(self, positions: np.ndarray) -> None:
        # Centring keeps the cancellation between the sums small.
        r = np.moveaxis(positions - positions.mean(axis=0), 0, -1)
        x = fft.rfft(r, n=self.padded, axis=-1)
        for c, (a, b) in enumerate(zip(ROWS, COLUMNS, strict=True)):
            self.spectrum[c] += (x[:, a] * x[:, b].conj()).real.sum(axis=0)
            self.products[c] += (r[:, a] * r[:, b]).sum(axis=0)

    def tensor(self) -> np.ndarray:
        """Return the mean over origins, summed over ions, shape [n_frames, 3, 3], Å²."""
        correlation = fft.irfft(self.spectrum, n=self.padded, axis=1)[:, : self.n]
        left = np.cumsum(self.products, axis=1)[:, ::-1]
        right = np.cumsum(self.products[:, ::-1], axis=1)[:, ::-1]
        found = (left + right - 2 * correlation) / np.arange(self.n, 0, -1)
        found[:, 0] = 0.0
        found[:3] = np.maximum(found[:3], 0.0)
        tensor = np.empty((self.n, 3, 3))
        tensor[:, ROWS, COLUMNS] = tensor[:, COLUMNS, ROWS] = found.T
        return tensor


def at_lags(groups: Iterable[np.ndarray], lags: np.ndarray) -> np.ndarray:
    """Return the MSD at some lags by differences, mean over ions, shape [m], Å²."""
    sums, n = np.zeros(len(lags)), 0
    for x in groups:
        n += x.shape[1]
        sums += [((x[m:] - x[: len(x) - m]) ** 2).sum() / (len(x) - m) for m in lags]
    return sums / n


def pool(runs: Sequence[np.ndarray]) -> np.ndarray:
    """Average curves by their numbers of origins, up to the shortest one's end."""
    n = min(map(len, runs))
    origins = np.array([len(run) - np.arange(n) for run in runs], float)
    shares = origins / origins.sum(axis=0)
    return np.einsum("rl,rl...->l...", shares, np.array([run[:n] for run in runs]))
