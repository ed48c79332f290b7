"""A small real MACE model with random weights: architecture, file and calculator are MACE's."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

#: What it knows: Li, O, Cl.
NUMBERS = [3, 8, 17]
#: Invariant features of an atom.
N_FEATURES = 8


def write_model(path: Path, seed: int = 0) -> Path:
    """Write a model; e3nn compiles it by TorchScript, which takes seconds."""
    import torch
    from mace import modules  # before e3nn, whose constants it makes loadable

    from e3nn import o3  # isort: skip
    from torch.nn.functional import silu

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    irreps = o3.Irreps(f"{N_FEATURES}x0e")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = modules.ScaleShiftMACE(
            r_max=3.8, num_bessel=6, num_polynomial_cutoff=5, max_ell=1, interaction_cls=block,
            interaction_cls_first=block, num_interactions=1, num_elements=len(NUMBERS), gate=silu,
            hidden_irreps=irreps, MLP_irreps=irreps, correlation=2,
            atomic_energies=np.zeros(len(NUMBERS)), avg_num_neighbors=20.0, atomic_numbers=NUMBERS,
            pair_repulsion=True, radial_MLP=[16], atomic_inter_scale=0.2, atomic_inter_shift=0.0,
        )  # fmt: skip
    torch.manual_seed(seed)
    for weights in model.parameters():
        weights.data = torch.randn_like(weights)
    torch.save(model, path)
    return path
