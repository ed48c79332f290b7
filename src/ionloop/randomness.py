"""Seeds that never meet: each random choice of a campaign has a stream of its own."""

from __future__ import annotations

import zlib

import numpy as np


def derive_seed(random_seed: int, *keys: int | str) -> int:
    """Return a seed of 31 bits for one purpose of a campaign.

    Parameters
    ----------
    random_seed
        The campaign's.
    keys
        What it's for, as in ``("explore", generation, i)``; words count by their CRC-32.
    """
    words = [zlib.crc32(k.encode()) if isinstance(k, str) else k for k in keys]
    state = np.random.SeedSequence([random_seed, *words]).generate_state(1)[0]
    return int(state) & 0x7FFFFFFF
