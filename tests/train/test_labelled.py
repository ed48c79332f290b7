"""Labels of a file: who has a group keeps it, and what becomes of others is said."""

from __future__ import annotations

import ase.io
import numpy as np
import pytest
from labelled_cells import labelled_cells

from ionloop.evaluate.error_bins import Compared, spread_of_rmse
from ionloop.train.labelled import read_whole_labels, ungrouped


@pytest.fixture
def files(tmp_path):
    """Four frames with a group and sixty without."""
    named, bare = labelled_cells(4), labelled_cells(2) * 30
    for i, atoms in enumerate(named):
        atoms.info["group"] = f"run {i // 2}"
    ase.io.write(tmp_path / "named.extxyz", named)
    ase.io.write(tmp_path / "bare.extxyz", bare)
    return tmp_path / "named.extxyz", tmp_path / "bare.extxyz"


def test_what_becomes_of_frames_without_a_group_is_said(files):
    named, bare = (read_whole_labels([path]) for path in files)
    assert ungrouped(named) is None
    assert ungrouped([]) is None
    assert len({label.frame.group for label in bare}) == 20
    said = ungrouped([*named, *bare])
    assert said.startswith("60 of 64 frames without group: treated as 20 blocks of consecutive")
    assert "at most 3 each" in said
    assert said.endswith("give group=… in the extxyz")


def held(memory: float, rng) -> float:
    """Share of 90 % intervals over 20 blocks of 20 frames that hold the true RMSE."""
    n_runs, n, keep = 200, 400, np.exp(-1 / memory)
    x = np.empty((n, n_runs))
    x[0] = rng.normal(size=n_runs)
    for i in range(1, n):
        x[i] = keep * x[i - 1] + np.sqrt(1 - keep**2) * rng.normal(size=n_runs)
    off = np.exp(0.5 * x)[:, :, None] * rng.normal(size=(n, n_runs, 60))
    truth = np.exp(0.25)
    zeros, inside = np.zeros(60), 0
    for run in range(n_runs):
        parts = [Compared(f"block {i // 20}", zeros, off[i, run]) for i in range(n)]
        low, high = spread_of_rmse(parts, rng)[1]
        inside += low < truth < high
    return inside / n_runs


def test_blocks_are_honest_for_short_memory_and_too_narrow_for_long():
    rng = np.random.default_rng(0)
    assert 0.78 < held(2.0, rng) < 0.93
    assert held(20.0, rng) < 0.72
