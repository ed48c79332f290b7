"""A small real committee, not trained: architecture, files and calculators are MACE's."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.spacegroup import crystal

from ionloop.train.mace import committee_calculator


def untrained_model() -> Any:
    """Make a MACE model; e3nn compiles it by TorchScript, which takes seconds."""
    from mace import modules  # before e3nn, whose constants it makes loadable

    from e3nn import o3  # isort: skip
    from torch.nn.functional import silu

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return modules.ScaleShiftMACE(
            r_max=3.8, num_bessel=6, num_polynomial_cutoff=5, max_ell=1, interaction_cls=block,
            interaction_cls_first=block, num_interactions=1, num_elements=3, gate=silu,
            hidden_irreps=o3.Irreps("8x0e"), MLP_irreps=o3.Irreps("8x0e"), correlation=2,
            atomic_energies=np.zeros(3), avg_num_neighbors=20.0, atomic_numbers=[3, 8, 17],
            pair_repulsion=True, radial_MLP=[16], atomic_inter_scale=0.2, atomic_inter_shift=0.0,
        )  # fmt: skip


@pytest.fixture(scope="session")
def model_paths(tmp_path_factory) -> list[Path]:
    """Files of three models with different weights."""
    import torch

    model, paths = untrained_model(), []
    for seed in range(3):
        torch.manual_seed(seed)
        for weights in model.parameters():
            weights.data = torch.randn_like(weights)
        paths.append(tmp_path_factory.mktemp("models") / f"{seed}.model")
        torch.save(model, paths[-1])
    return paths


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
