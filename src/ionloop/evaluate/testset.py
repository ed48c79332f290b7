"""Held-out frames from trajectories that nobody trained on.

Three quarters lie on hops, evenly over the bins of the hop coordinate; one eighth are of
those the committee was least sure of; the rest are random, as MD meets them. The shares are
fixed, so that errors over all frames can be compared between campaigns, but such an error
is no thermal average: it's above that of the random frames. Errors by origin tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ionloop.evaluate.hop_bins import HOP_BINS, hop_bin
from ionloop.frame import Frame, Origin

#: Shares of the test set; random frames are the rest, and stand in for what is missing.
HOP_SHARE, UNCERTAIN_SHARE = 0.75, 0.125


def pick_test_frames(
    frames: Sequence[Frame], n_total: int, rng: np.random.Generator
) -> list[Frame]:
    """Pick test frames on hops, uncertain and random ones, in the shares of this module.

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
        Hop frames (near equilibrium, shoulder, saddle in turn), uncertain, then random ones;
        a frame that lies on a hop counts as that, whatever it was taken for.
    """
    bins: dict[str, list[Frame]] = {name: [] for name in HOP_BINS}
    for frame in frames:
        if frame.hop is not None:
            bins[hop_bin(frame.hop.progress)].append(frame)
    queues = [list(rng.permutation(len(b))) for b in bins.values()]
    pools = list(bins.values())
    n_hops = round(HOP_SHARE * n_total)
    chosen: list[Frame] = []
    while len(chosen) < n_hops and any(queues):
        for pool, queue in zip(pools, queues, strict=True):
            if queue and len(chosen) < n_hops:
                chosen.append(pool[queue.pop()])
    wanted = min(round(UNCERTAIN_SHARE * n_total), n_total - len(chosen))
    chosen += _draw(frames, Origin.UNCERTAIN, wanted, rng)
    return [*chosen, *_draw(frames, Origin.RANDOM, n_total - len(chosen), rng)]


def _draw(frames: Sequence[Frame], origin: Origin, n: int, rng: np.random.Generator) -> list[Frame]:
    """Draw at most ``n`` frames of an origin that don't lie on a hop."""
    pool = [f for f in frames if f.origin is origin and f.hop is None]
    return [pool[i] for i in rng.permutation(len(pool))[:n]]
