"""Farthest points as a campaign picks them, held against scikit-matter's.

    python benchmarks/compare_selection.py [--candidates 1000] [--known 200] [--picks 100]

scikit-matter is a cross-check and no dependency: run this in an environment of its own, ``pip
install skmatter`` beside ionloop. Fingerprints are made: clusters of unequal size, as a run gives
them. Both start from the same known points. ``covering radius`` is the largest distance of a
candidate to the nearest known or chosen one. CPU time of one process; three seeds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.spatial.distance import cdist
from skmatter.sample_selection import FPS

from ionloop.frame import Frame, Origin
from ionloop.select.picker import Picker

DIMENSIONS, CLUSTERS = 32, 20


def fingerprints(n: int, rng: np.random.Generator) -> np.ndarray:
    """Make clusters whose sizes fall off, shape [n, d]."""
    centres = rng.normal(size=(CLUSTERS, DIMENSIONS))
    shares = 1 / np.arange(1, CLUSTERS + 1)
    which = rng.choice(CLUSTERS, size=n, p=shares / shares.sum())
    return centres[which] + 0.2 * rng.normal(size=(n, DIMENSIONS))


def by_ionloop(points: np.ndarray, known: np.ndarray, n: int, seed: int) -> list[int]:
    """Pick as the strained share of a campaign does, which has no other rule."""
    cell = (10 * np.eye(3)).tolist()
    frames = [
        Frame(symbols=["Li"], positions=[[0.0, 0.0, 0.0]], cell=cell, origin=Origin.STRAIN,
              group="made", descriptor=point.tolist())
        for point in points
    ]  # fmt: skip
    picker = Picker(frames, 0.0, np.random.default_rng(seed), known)
    while len(picker.chosen) < n and picker.pick(Origin.STRAIN):
        pass
    return picker.chosen


def by_skmatter(points: np.ndarray, known: np.ndarray, n: int) -> list[int]:
    """Pick the farthest of points and known ones together; the known come first."""
    scale = points.std(axis=0) * np.sqrt(points.shape[1])
    together = np.concatenate([known, points]) / scale
    found = FPS(n_to_select=len(known) + n, initialize=list(range(len(known))))
    found.fit(together)
    return [int(i) - len(known) for i in found.selected_idx_[len(known) :]]


def radius(points: np.ndarray, known: np.ndarray, chosen: list[int]) -> float:
    """Return the covering radius in standard deviations."""
    scale = points.std(axis=0) * np.sqrt(points.shape[1])
    taken = np.concatenate([known, points[chosen]]) / scale
    return float(cdist(points / scale, taken).min(axis=1).max())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--known", type=int, default=200)
    parser.add_argument("--picks", type=int, default=100)
    options = parser.parse_args()
    table = Table("seed", "way", "same picks", "covering radius", "CPU, s")
    for seed in range(3):
        rng = np.random.default_rng(seed)
        points = fingerprints(options.candidates, rng)
        known = fingerprints(options.known, rng)
        chosen: dict[str, tuple[list[int], float]] = {}
        for name, way in (
            ("ionloop", lambda p, k, n: by_ionloop(p, k, n, seed)),  # noqa: B023
            ("scikit-matter", by_skmatter),
            ("random", lambda p, _, n: rng.permutation(len(p))[:n].tolist()),  # noqa: B023
        ):
            begun = time.process_time()
            chosen[name] = way(points, known, options.picks), time.process_time() - begun
        truth = set(chosen["scikit-matter"][0])
        for name, (picks, seconds) in chosen.items():
            table.add_row(
                str(seed), name, f"{len(truth & set(picks))} of {len(truth)}",
                f"{radius(points, known, picks):.3f}", f"{seconds:.2f}",
            )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
