"""Hops that belong together: several ions at about one time and place, or one ion at once again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.geometry import find_mic
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

#: Longest time between hops of one event, fs: about two periods of an ion in its cage.
WINDOW_FS = 200.0
#: Longest distance between the ends of hops of one event, Å: they share a site.
REACH = 1.0


@dataclass(frozen=True)
class Hops:
    """The hops of one trajectory as arrays; hop k is row k of each."""

    ions: np.ndarray  #: Which ion, shape [n].
    times: np.ndarray  #: Last time on the old site, first on the new one, shape [n, 2], fs.
    ends: np.ndarray  #: Old and new site, shape [n, 2, 3], Å.


def group_hops(
    hops: Hops, cell: np.ndarray, window_fs: float = WINDOW_FS, reach: float = REACH
) -> np.ndarray:
    """Give each hop the number of the event that it belongs to.

    Two hops are linked if no more than ``window_fs`` lies between the end of one and the
    begin of the other, and an end of one, old or new, within ``reach`` of an end of the
    other: an ion that moves into the site that another leaves, or one that hops on or
    back at once. What is linked, by however many links, is one event.

    Parameters
    ----------
    hops
        Hops of one trajectory.
    cell
        Lattice vectors as rows, shape [3, 3], Å.
    window_fs, reach
        Longest time, fs, and distance, Å, between linked hops.

    Returns
    -------
    np.ndarray
        Event of each hop, numbered in order of the first hop's leaving, shape [n].
    """
    n = len(hops.ions)
    if n == 0:
        return np.zeros(0, int)
    first, second = _pairs_in_time(hops.times, window_fs)
    between = hops.ends[first][:, :, None] - hops.ends[second][:, None]
    if len(first):
        _, lengths = find_mic(between.reshape(-1, 3), cell, pbc=True)
        near = lengths.reshape(-1, 4).min(axis=1) <= reach
        first, second = first[near], second[near]
    graph = coo_matrix((np.ones(len(first), bool), (first, second)), shape=(n, n))
    labels = connected_components(graph, directed=False)[1]
    begins = np.full(labels.max() + 1, np.inf)
    np.minimum.at(begins, labels, hops.times[:, 0])
    return np.argsort(np.argsort(begins, kind="stable"))[labels]


def _pairs_in_time(times: np.ndarray, window: float) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of hops with at most ``window`` between them."""
    order = np.argsort(times[:, 0], kind="stable")
    begins = times[order, 0]
    until = np.searchsorted(begins, times[order, 1] + window + 1e-6, side="right")
    n_after = until - np.arange(len(order)) - 1
    first = np.repeat(np.arange(len(order)), n_after)
    offset = np.arange(len(first)) - np.repeat(np.cumsum(n_after) - n_after, n_after)
    return order[first], order[first + offset + 1]


def ions_of_events(ions: np.ndarray, events: np.ndarray) -> np.ndarray:
    """Count the ions of each event, shape [n_events]."""
    pairs = np.unique(np.column_stack([events, ions]), axis=0)
    return np.bincount(pairs[:, 0].astype(int))


def concerted_share(ions: np.ndarray, events: np.ndarray) -> float:
    """Return the share of hops whose event has two ions or more; nan without hops."""
    if not len(events):
        return float("nan")
    return float((ions_of_events(ions, events)[events] > 1).mean())


def share_by_chance(
    hops: Hops,
    cell: np.ndarray,
    duration_fs: float,
    rng: np.random.Generator,
    *,
    window_fs: float = WINDOW_FS,
    reach: float = REACH,
    n_shifts: int = 20,
) -> tuple[float, float]:
    """Estimate the concerted share, were the ions independent.

    Each ion's whole history is shifted in time by a random amount, around the end, so that
    its own hops keep their places and their order, and lose their relation to the others'.

    Parameters
    ----------
    hops
        Hops of one trajectory.
    cell
        Lattice vectors as rows, shape [3, 3], Å.
    duration_fs
        Length of the trajectory, fs.
    rng
        Random generator.
    window_fs, reach
        As for :func:`group_hops`.
    n_shifts
        Random shifts of all ions.

    Returns
    -------
    tuple[float, float]
        Mean share and its standard deviation over the shifts; nan without hops.
    """
    if not len(hops.ions):
        return float("nan"), float("nan")
    ion = np.unique(hops.ions, return_inverse=True)[1]
    shares = []
    for _ in range(n_shifts):
        shift = rng.uniform(0, duration_fs, size=ion.max() + 1)[ion]
        begins = (hops.times[:, 0] + shift) % duration_fs
        lengths = hops.times[:, 1] - hops.times[:, 0]
        moved = Hops(hops.ions, np.column_stack([begins, begins + lengths]), hops.ends)
        shares.append(concerted_share(hops.ions, group_hops(moved, cell, window_fs, reach)))
    return float(np.mean(shares)), float(np.std(shares))
