"""Distances between fingerprints, and their scale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.spatial.distance import cdist

from ionloop.errors import ProfileError
from ionloop.frame import Frame

#: Distances that are in memory at a time: 32 MB.
_PAIRS = 4_000_000


def standardise(
    frames: Sequence[Frame], known: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scale descriptors so that distances are root mean squares in standard deviations.

    Components that don't vary are dropped, and the rest are divided by the square root
    of their number.

    Parameters
    ----------
    frames
        Candidates.
    known
        Other descriptors to scale alike, shape [m, d].

    Returns
    -------
    tuple[np.ndarray, np.ndarray | None]
        Scaled descriptors, shape [n, d'], NaN for frames without one, and the others.

    Raises
    ------
    ProfileError
        If descriptors differ in length.
    """
    found = [frame.descriptor for frame in frames if frame.descriptor is not None]
    lengths = {len(d) for d in found} | ({known.shape[1]} if known is not None else set())
    if len(lengths) > 1:
        msg = (
            f"expected descriptors of one length, got {sorted(lengths)}; "
            "compute them with one committee"
        )
        raise ProfileError(msg)
    if not found:
        return np.full((len(frames), 1), np.nan), None
    blank = [np.nan] * lengths.pop()
    raw = np.array([blank if f.descriptor is None else f.descriptor for f in frames])
    spread = np.nanstd(raw, axis=0)
    varies = spread > 1e-12 * (1.0 + np.abs(np.nanmean(raw, axis=0)))
    if not varies.any():
        varies[:], spread = True, np.ones_like(spread)
    scale = spread[varies] * np.sqrt(varies.sum())
    return raw[:, varies] / scale, None if known is None else known[:, varies] / scale


def distances_to(points: np.ndarray, others: np.ndarray | None) -> np.ndarray:
    """Distance of each point from the nearest of the others, infinite without any.

    The others come in blocks: all pairs at once would take gigabytes where thousands of
    frames are labelled.
    """
    nearest = np.full(len(points), np.inf)
    if others is None or len(points) == 0:
        return nearest
    step = max(_PAIRS // len(points), 1)
    for i in range(0, len(others), step):
        nearest = np.minimum(nearest, cdist(points, others[i : i + step]).min(axis=1))
    return nearest


def nearest_known(
    frames: Sequence[Frame], known: np.ndarray | Iterable[np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Scale descriptors, and measure how far each is from the known ones.

    Parameters
    ----------
    frames
        Candidates.
    known
        Descriptors, shape [m, d], or several such arrays, of which one at a time is in memory.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        :func:`standardise`'s descriptors, shape [n, d'], and distances, shape [n].
    """
    blocks = [known] if known is None or isinstance(known, np.ndarray) else known
    points, nearest = standardise(frames)[0], np.full(len(frames), np.inf)
    for block in blocks:
        scaled = standardise(frames, block)[1]
        nearest = np.fmin(nearest, distances_to(points, scaled))
    nearest[np.isnan(points).any(axis=1)] = np.inf
    return points, nearest
