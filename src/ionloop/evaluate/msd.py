"""Mean squared displacements, drift-corrected and averaged over time origins."""

from __future__ import annotations

import numpy as np

from ionloop.errors import EvaluationError
from ionloop.explore.hops import remove_drift


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


def mean_squared_displacement(
    positions: np.ndarray,
    mobile: np.ndarray,
    framework: np.ndarray,
    masses: np.ndarray | None = None,
) -> np.ndarray:
    """Return the drift-corrected, time-averaged MSD of the mobile ions, shape [n_frames], Å².

    Parameters are those of :func:`ionloop.explore.hops.remove_drift`; ``mobile`` are the
    mobile ions' indices.

    Raises
    ------
    EvaluationError
        If there is no framework ion.
    """
    require_framework(framework)
    return time_averaged_msd(remove_drift(positions, framework, masses=masses)[:, mobile])
