"""Jobs of the select stage."""

from __future__ import annotations

from itertools import chain

import numpy as np
from jobflow import job

from ionloop.document import DATA_FIELDS, fetch_outputs
from ionloop.explore.schema import BandSet, Exploration
from ionloop.frame import Frame, Origin
from ionloop.profile import Profile
from ionloop.seed.displace import rattle, strain
from ionloop.seed.schema import Displacements
from ionloop.select.diversity import choose
from ionloop.select.schema import Selection
from ionloop.train.schema import Calibration


def strained_candidates(
    frames: list[Frame], plan: Displacements, rng: np.random.Generator
) -> list[Frame]:
    """Strain frames that exploration found, hop frames among them.

    They get no uncertainty and no fingerprint: a strained cell is wanted for its cell.
    Random frames aren't strained, since their copies would leak the calibration set.
    """
    frames = [frame for frame in frames if frame.origin is not Origin.RANDOM]
    order = rng.permutation(len(frames))[: plan.n_strain]
    candidates = []
    for i in order:
        group = frames[i].group  # a strained copy stays on its parent's side of every split
        cell = strain(frames[i], plan.volume_fraction, plan.shear, rng, group=group)
        candidates.append(rattle(cell, plan.strain_rattle, rng, origin=Origin.STRAIN, group=group))
    return candidates


@job(data=DATA_FIELDS, output_schema=Selection)
def select_frames(  # noqa: PLR0913
    explorations: list[Exploration],
    bands: BandSet,
    calibration: Calibration,
    shards: list[str],
    profile: Profile,
    generation: int,
    plan: Displacements,
    min_distance: float,
    random_seed: int,
) -> Selection:
    """Choose what generation ``generation`` labels, within its budget."""
    rng = np.random.default_rng([random_seed, generation, 23])
    known = set(chain.from_iterable(fetch_outputs(shards, "frame_hashes")))
    found = [*(f for e in explorations for f in e.frames), *bands.frames]
    tagged = [f.model_copy(update={"generation": generation}) for f in found]
    strained = strained_candidates(tagged, plan, rng)
    room = max(profile.budget.labels_max - len(known), 0)
    return choose(
        [*tagged, *strained],
        known,
        profile.budget.shares,
        min(profile.budget.labels_per_generation, room),
        min_distance=min_distance,
        sigma_hi=calibration.sigma_hi,
        rng=rng,
        generation=generation,
        ceiling_exempt=(Origin.RANDOM, Origin.SADDLE),
    )
