"""Mean squared displacements, averaged over time origins, ions and replicas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ionloop.errors import EvaluationError


def require_framework(framework: np.ndarray) -> None:
    """Refuse a cell without framework ions: drift can't be told from diffusion then.

    Raises
    ------
    EvaluationError
        If there is no framework ion.
    """
    if len(framework) == 0:
        msg = "drift correction expects at least one framework ion, got none; name the mobile ion"
        raise EvaluationError(msg)


def time_averaged_msd(positions: np.ndarray) -> np.ndarray:
    r"""Average squared displacements over all time origins and ions.

    .. math:: MSD(m) = \frac{1}{N (T-m)} \sum_{i,k} |r_i(k+m) - r_i(k)|^2

    by the FFT algorithm of Calandrini et al., Collection SFN 12, 201 (2011), eq. 4.15.

    Parameters
    ----------
    positions
        Unwrapped positions, shape [n_frames, n, 3], Å.

    Returns
    -------
    np.ndarray
        MSD at lags 0 to n_frames - 1, shape [n_frames], Å².
    """
    return ion_msds(positions).mean(axis=1)


def ion_msds(positions: np.ndarray) -> np.ndarray:
    """Return :func:`time_averaged_msd` of every ion by itself, shape [n_frames, n], Å²."""
    n = len(positions)
    # Centring keeps the cancellation between the two sums small.
    r = positions - positions.mean(axis=0)
    spectrum = np.fft.rfft(r, n=2 * n, axis=0)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2, n=2 * n, axis=0)[:n].sum(axis=2)
    squares = (r**2).sum(axis=2)
    left = np.cumsum(squares, axis=0)[::-1]
    right = np.cumsum(squares[::-1], axis=0)[::-1]
    origins = np.arange(n, 0, -1)[:, None]
    msd = (left + right - 2 * correlation) / origins
    msd[0] = 0.0
    return np.maximum(msd, 0.0)


def pool(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Average curves by their numbers of origins, up to the shortest one's end."""
    n = min(map(len, curves))
    return np.average([c[:n] for c in curves], axis=0, weights=_origins(curves, np.arange(n)))


def pooled_error(replicas: Sequence[np.ndarray], lags: np.ndarray) -> np.ndarray | None:
    r"""Return the standard error of the pooled MSD, Å²; None for one ion of one run.

    .. math:: SE^2 = \frac{k}{k-1} \sum_i w_i^2 (x_i - \bar x)^2, \quad \sum_i w_i = 1

    over all k ions and, for several replicas, over those, whichever is larger: ions that
    hop in concert are one event, and the first alone would be too small. Lags share
    their frames, so that errors of neighbouring lags are correlated.

    Parameters
    ----------
    replicas
        :func:`ion_msds` of each run, shape [n_frames, n], Å².
    lags
        Indices of the lags wanted, shape [m], within the shortest run.
    """
    ions = [x[:, i] for x in replicas for i in range(x.shape[1])]
    groups = [ions, [x.mean(axis=1) for x in replicas]]
    errors = [_standard_error(curves, lags) for curves in groups if len(curves) > 1]
    return np.max(errors, axis=0) if errors else None


def _standard_error(curves: Sequence[np.ndarray], lags: np.ndarray) -> np.ndarray:
    share = _origins(curves, lags)
    share /= share.sum(axis=0)
    values = np.array([c[lags] for c in curves])
    scatter = share * (values - (share * values).sum(axis=0))
    return np.sqrt((scatter**2).sum(axis=0) * len(curves) / (len(curves) - 1))


def _origins(curves: Sequence[np.ndarray], lags: np.ndarray) -> np.ndarray:
    """Return the time origins of each curve's lags, shape [k, m]."""
    return np.array([len(c) - lags for c in curves], float)
