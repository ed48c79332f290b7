"""Held-out frames from trajectories that nobody trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ionloop.evaluate.accuracy import HOP_BINS, hop_bin
from ionloop.frame import Frame, Origin


def pick_test_frames(
    frames: Sequence[Frame], n_total: int, rng: np.random.Generator
) -> list[Frame]:
    """Pick test frames: three quarters on hops, evenly over hop bins, the rest random.

    Parameters
    ----------
    frames
        Candidates of test trajectories.
    n_total
        Frames wanted; fewer come back where there are fewer.
    rng
        Random generator.

    Returns
    -------
    list[Frame]
        Hop frames (near equilibrium, shoulder, saddle in turn), then random ones.
    """
    bins: dict[str, list[Frame]] = {name: [] for name in HOP_BINS}
    for frame in frames:
        if frame.hop is not None:
            bins[hop_bin(frame.hop.progress)].append(frame)
    queues = [list(rng.permutation(len(b))) for b in bins.values()]
    pools = list(bins.values())
    n_hops = round(0.75 * n_total)
    chosen: list[Frame] = []
    while len(chosen) < n_hops and any(queues):
        for pool, queue in zip(pools, queues, strict=True):
            if queue and len(chosen) < n_hops:
                chosen.append(pool[queue.pop()])
    random = [f for f in frames if f.origin is Origin.RANDOM and f.hop is None]
    order = rng.permutation(len(random))[: n_total - len(chosen)]
    return [*chosen, *(random[i] for i in order)]
