"""A small real committee, not trained, and a cell: fixtures that folders of tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.spacegroup import crystal
from untrained_mace import write_model

from ionloop.train.mace import committee_calculator


@pytest.fixture(scope="session")
def model_paths(tmp_path_factory) -> list[Path]:
    """Files of three models with different weights."""
    folder = tmp_path_factory.mktemp("models")
    return [write_model(folder / f"{seed}.model", seed) for seed in range(3)]


@pytest.fixture(scope="session")
def committee(model_paths):
    """MACE's calculator of the three, in double precision."""
    return committee_calculator(model_paths, dtype="float64")


@pytest.fixture(scope="session")
def one_cell() -> Atoms:
    """Li3OCl 2x2x2 with one Li less: 39 atoms, rattled a little."""
    atoms = crystal(
        ["O", "Cl", "Li"], [(0.5, 0.5, 0.5), (0, 0, 0), (0, 0.5, 0.5)], spacegroup=221,
        cellpar=[3.9] * 3 + [90] * 3,
    ) * (2, 2, 2)  # fmt: skip
    del atoms[[int(np.flatnonzero(atoms.symbols == "Li")[0])]]
    atoms.rattle(0.05, rng=np.random.default_rng(0))
    return atoms


@pytest.fixture
def cell(one_cell) -> Atoms:
    """A copy that a test may change."""
    return one_cell.copy()
