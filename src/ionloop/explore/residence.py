"""Lasting changes in a sequence of sites: recrossings and excursions are none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def find_hops(sites: np.ndarray, n_residence: int) -> list[tuple[int, int]]:
    """Find lasting changes in one ion's sequence of sites.

    Stays shorter than ``n_residence`` that end where they began are excursions and
    join the stay around them, the shortest first. What is still too short is transit.
    A hop leads from one long stay to the next on another site.

    Parameters
    ----------
    sites
        Site at each frame, shape [n_frames].
    n_residence
        Frames that make a stay.

    Returns
    -------
    list[tuple[int, int]]
        Last frame on the old site and first frame on the new one, of each hop.
    """
    cuts = np.flatnonzero(np.diff(sites)) + 1
    edges = [0, *cuts.tolist(), len(sites)]
    runs = [(int(sites[a]), a, b) for a, b in pairwise(edges)]
    while (short := _shortest_excursion(runs, n_residence)) is not None:
        before, after = runs[short - 1], runs[short + 1]
        runs[short - 1 : short + 2] = [(before[0], before[1], after[2])]
    stays: list[tuple[int, int, int]] = []
    for run in runs:
        if run[2] - run[1] < n_residence:
            continue
        if stays and stays[-1][0] == run[0]:
            stays[-1] = (run[0], stays[-1][1], run[2])
        else:
            stays.append(run)
    return [(a[2] - 1, b[1]) for a, b in pairwise(stays)]


def _shortest_excursion(runs: list[tuple[int, int, int]], n_residence: int) -> int | None:
    """Return the shortest run below ``n_residence`` between two runs on one site."""
    found = [
        (runs[k][2] - runs[k][1], k)
        for k in range(1, len(runs) - 1)
        if runs[k - 1][0] == runs[k + 1][0] and runs[k][2] - runs[k][1] < n_residence
    ]
    return min(found)[1] if found else None
