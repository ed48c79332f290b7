"""Where mobile ions are found: their density on a grid, and its peaks.

Peaks serve as sites where the crystal has no good ones, as in superionic phases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates, maximum_filter
from scipy.spatial import cKDTree

from ionloop.explore.positions import assign_sites, periodic_copies

#: Visits that are put on the grid, all symmetry operations together; more move no peak.
VISITS_MAX = 3_000_000
#: Grid points that centres are computed from.
POINTS_MAX = 100_000
#: Points on the line between two peaks at which the density is read.
LINE_POINTS = 15


@dataclass(frozen=True)
class Density:
    """A density on a grid whose points lie at (k + ½) / n of the lattice vectors."""

    values: np.ndarray  #: Visits per frame and Å³, shape [n_1, n_2, n_3].
    cell: np.ndarray  #: Lattice vectors as rows, shape [3, 3], Å.

    def at(self, points: np.ndarray) -> np.ndarray:
        """Interpolate linearly between grid points; points shape [..., 3] in Å."""
        shape = np.array(self.values.shape)
        index = (points @ np.linalg.inv(self.cell)) * shape - 0.5
        flat = index.reshape(-1, 3).T
        return map_coordinates(self.values, flat, order=1, mode="grid-wrap").reshape(
            points.shape[:-1]
        )


def density(
    visits: np.ndarray,
    n_frames: int,
    cell: np.ndarray,
    operations: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    *,
    spacing: float = 0.2,
    width: float = 0.3,
) -> Density:
    r"""Estimate the density of mobile ions by Gaussian kernels.

    .. math:: \rho(r) = \frac{1}{n_f n_g} \sum_{v, g} N(r - g v; w)

    summed over visits v and symmetry operations g; the kernel is multiplied on in
    reciprocal space, so that it is round in any cell (Silverman, *Density Estimation*,
    1986, § 3.5).

    Parameters
    ----------
    visits
        Positions of ions at some frames, shape [n, 3], Å, free of the framework's drift.
    n_frames
        Frames that the visits come from.
    cell
        Lattice vectors as rows, shape [3, 3], Å.
    operations
        Rotation [3, 3] and translation [3], fractional, under which the density is made
        equal; none takes the identity alone.
    spacing
        Largest distance of grid points, Å.
    width
        Standard deviation of the kernel, Å.
    """
    shape = np.ceil(np.linalg.norm(cell, axis=1) / spacing).astype(int)
    turns = list(operations) or [(np.eye(3), np.zeros(3))]
    stride = max(1, len(visits) * len(turns) // VISITS_MAX)
    fractional = visits @ np.linalg.inv(cell)
    places = []
    for k, (rotation, translation) in enumerate(turns):
        # Each operation takes other visits, so that none is left out.
        image = (fractional[k % stride :: stride] @ np.asarray(rotation).T + translation) % 1.0
        index = np.minimum((image * shape).astype(int), shape - 1)
        places.append(np.ravel_multi_index(tuple(index.T), tuple(shape)))
    counts = np.bincount(np.concatenate(places), minlength=shape.prod())
    volume = abs(np.linalg.det(cell)) / counts.size
    scale = len(visits) / (max(counts.sum(), 1) * n_frames * volume)
    smooth = _smooth(scale * counts.reshape(shape), cell, width)
    return Density(smooth, np.asarray(cell, float))


def _smooth(values: np.ndarray, cell: np.ndarray, width: float) -> np.ndarray:
    """Convolve a periodic grid with a Gaussian that is round in space."""
    n = values.shape
    waves = np.stack(
        np.meshgrid(
            np.fft.fftfreq(n[0], 1 / n[0]),
            np.fft.fftfreq(n[1], 1 / n[1]),
            np.fft.rfftfreq(n[2], 1 / n[2]),
            indexing="ij",
        ),
        axis=-1,
    )
    squares = ((2 * np.pi * waves @ np.linalg.inv(cell).T) ** 2).sum(axis=-1)
    spectrum = np.fft.rfftn(values) * np.exp(-0.5 * width**2 * squares)
    return np.maximum(np.fft.irfftn(spectrum, s=n, axes=(0, 1, 2)), 0.0)


def find_peaks(
    found: Density,
    *,
    separation: float = 1.0,
    depth: float = 1.0,
    merge_distance: float = 2.5,
    floor: float = 0.01,
) -> np.ndarray:
    r"""Find the density's peaks that are sites of their own.

    Of two peaks the lower is none if it lies within ``separation`` of the higher, or if
    the density between them, on the straight line, falls by less than :math:`e^{-d}` of
    the lower one: with :math:`F = -kT \ln \rho`, an ion passes a barrier of less than d kT
    without noticing.

    Parameters
    ----------
    found
        The density.
    separation
        Smallest distance between peaks, Å.
    depth
        Smallest barrier d between peaks, kT.
    merge_distance
        Peaks farther apart than this are never one, Å.
    floor
        Peaks below this share of the highest are noise.

    Returns
    -------
    np.ndarray
        Peaks from the highest to the lowest, shape [M, 3], Å; none where there are no ions.
    """
    values = found.values
    top = maximum_filter(values, size=3, mode="wrap")
    peaks = np.argwhere((values == top) & (values > floor * values.max()))
    heights = values[tuple(peaks.T)]
    order = np.argsort(-heights, kind="stable")
    places, heights = (peaks[order] + 0.5) / values.shape @ found.cell, heights[order]
    if not len(places):
        return np.zeros((0, 3))
    tree = cKDTree(periodic_copies(places, found.cell))
    near = tree.query_ball_point(_home(places, found.cell), merge_distance)
    copies = tree.data
    kept: list[int] = []
    taken = np.zeros(len(places), bool)
    for n, place in enumerate(_home(places, found.cell)):
        higher = [k for k in near[n] if taken[k % len(places)]]
        if higher and _joined(found, place, copies[higher], heights[n], (separation, depth)):
            continue
        taken[n] = True
        kept.append(n)
    return places[kept]


def _home(places: np.ndarray, cell: np.ndarray) -> np.ndarray:
    return (places @ np.linalg.inv(cell) % 1.0) @ cell


def _joined(
    found: Density,
    place: np.ndarray,
    others: np.ndarray,
    height: float,
    limits: tuple[float, float],
) -> bool:
    """Tell whether a peak is but a shoulder of one of the higher ones near it."""
    separation, depth = limits
    if np.linalg.norm(others - place, axis=1).min() < separation:
        return True
    t = np.linspace(0, 1, LINE_POINTS)[:, None, None]
    saddles = found.at(place + t * (others - place)[None]).min(axis=0)
    return bool(saddles.max() > np.exp(-depth) * height)


def centre_peaks(
    found: Density, peaks: np.ndarray, radius: float = 1.5, n_steps: int = 15
) -> np.ndarray:
    """Move each peak to the centre of the density that is nearest to it.

    A peak of two maxima with next to no barrier between them lands in their middle.

    Parameters
    ----------
    found
        The density.
    peaks
        Its peaks, shape [M, 3], Å.
    radius
        Density farther away belongs to paths, Å.
    n_steps
        Largest number of steps; it ends when no peak moves by 0.02 Å.
    """
    shape = found.values.shape
    used = np.argwhere(found.values > 0.1 * found.values.max())
    used = used[:: 1 + len(used) // POINTS_MAX]
    weights = found.values[tuple(used.T)]
    points = (used + 0.5) / shape @ found.cell
    for _ in range(n_steps):
        nearest, copies = assign_sites(points[None], peaks, found.cell)
        offsets = points - copies[0]
        close = (offsets**2).sum(axis=1) < radius**2
        index, w = nearest[0, close], weights[close]
        total = np.maximum(np.bincount(index, w, minlength=len(peaks)), 1e-12)
        step = (
            np.stack(
                [np.bincount(index, w * offsets[close, k], minlength=len(peaks)) for k in range(3)],
                axis=1,
            )
            / total[:, None]
        )
        peaks = peaks + step
        if np.abs(step).max(initial=0.0) < 0.02:
            break
    return peaks
