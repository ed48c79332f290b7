"""Distances between fingerprints: their scale, and points far from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

from ionloop.errors import ProfileError
from ionloop.frame import Frame


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
    """Distance of each point from the nearest of the others, infinite without any."""
    if others is None or len(others) == 0 or len(points) == 0:
        return np.full(len(points), np.inf)
    return cdist(points, others).min(axis=1)


def farthest_points(
    descriptors: np.ndarray,
    k: int,
    start: np.ndarray | None = None,
    min_distance: float = 0.0,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, int]:
    """Choose points that are far from each other, greedily.

    Parameters
    ----------
    descriptors
        Candidates, shape [n, d].
    k
        Points wanted.
    start
        Points that are already chosen, shape [m, d]; without them the first point is
        drawn by ``rng``, or is candidate 0.
    min_distance
        Candidates nearer than this to a chosen point are near-duplicates.
    rng
        Draws the first point.

    Returns
    -------
    tuple[np.ndarray, int]
        Indices of at most ``k`` candidates in order of choice, and the number of
        candidates that are left as near-duplicates of a chosen point.
    """
    nearest = distances_to(descriptors, start)
    chosen: list[int] = []
    while len(chosen) < min(k, len(descriptors)):
        if np.isinf(nearest).all():
            best = 0 if rng is None else int(rng.integers(len(descriptors)))
        else:
            free = nearest.copy()
            free[chosen] = -1.0
            best = int(free.argmax())
            if free[best] < min_distance:
                break
        chosen.append(best)
        nearest = np.minimum(nearest, distances_to(descriptors, descriptors[[best]]))
    left = np.setdiff1d(np.arange(len(descriptors)), chosen)
    return np.array(chosen, dtype=int), int((nearest[left] < min_distance).sum())
