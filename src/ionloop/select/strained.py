"""Strained copies of what exploration found, as candidates."""

from __future__ import annotations

import numpy as np

from ionloop.frame import Frame, Origin
from ionloop.seed.displace import rattle, strain
from ionloop.seed.schema import Displacements


def strained_candidates(
    frames: list[Frame], plan: Displacements, sigma_hi: float, rng: np.random.Generator
) -> list[Frame]:
    """Strain frames that exploration found, hop frames among them.

    Frames above the uncertainty ceiling, eV/Å, aren't strained: the copy would pass it.

    They get no uncertainty and no fingerprint: a strained cell is wanted for its cell.
    Random frames aren't strained, since their copies would leak the calibration set.
    """
    frames = [
        frame
        for frame in frames
        if frame.origin is not Origin.RANDOM
        and (frame.origin is Origin.SADDLE or (frame.uncertainty or 0.0) <= sigma_hi)
    ]
    order = rng.permutation(len(frames))[: plan.n_strain]
    candidates = []
    for i in order:
        group = frames[i].group  # a strained copy stays on its parent's side of every split
        cell = strain(frames[i], plan.volume_fraction, plan.shear, rng, group=group)
        candidates.append(rattle(cell, plan.strain_rattle, rng, origin=Origin.STRAIN, group=group))
    return candidates
