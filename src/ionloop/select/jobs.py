"""Jobs of the select stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from jobflow import job

from ionloop.document import DATA_FIELDS, fetch_fields, fetch_outputs
from ionloop.explore.schema import BandSet, Exploration, FoundBands
from ionloop.frame import Origin
from ionloop.kept import Kept, atoms_bytes
from ionloop.label.schema import LabelShard, cost_of
from ionloop.profile import Profile
from ionloop.seed.schema import Displacements
from ionloop.select.diversity import choose
from ionloop.select.fingerprints import labelled_fingerprints
from ionloop.select.schema import Selection
from ionloop.select.strained import strained_candidates
from ionloop.train import mace
from ionloop.train.model_files import model_bytes
from ionloop.train.schema import Calibration


def _asked(shard: LabelShard) -> list[Atoms]:
    return [label.frame.to_atoms() for label in (*shard.labels, *shard.quarantined)]


def _bytes(frames: Sequence[Atoms]) -> int:
    return sum(map(atoms_bytes, frames))


#: Frames that were asked, of all batches that this process has selected against.
_KEPT = Kept(["labels", "quarantined"], _asked, _bytes)


def known_fingerprints(shards: Sequence[str], member: str, mobile_ion: str) -> Iterator[np.ndarray]:
    """Fingerprint all frames that were asked, by the committee's first member, shard by shard.

    Refused ones too: a frame very near one that the reference refused is likely to be refused.
    Shards and member are uuids; documents and fingerprints of one shard at a time are in memory.
    """
    calculator = None
    for frames in _KEPT.stream(shards):
        if frames:
            calculator = calculator or _load(member)
            yield labelled_fingerprints(frames, calculator, mobile_ion)


def _load(member: str) -> Calculator:
    return mace.committee_calculator([model_bytes(fetch_outputs([member])[0])])


@job(data=DATA_FIELDS, output_schema=Selection)
def select_frames(  # noqa: PLR0913
    explorations: list[list[Exploration]],
    bands: BandSet,
    found: FoundBands,
    calibration: Calibration,
    shards: list[str],
    profile: Profile,
    generation: int,
    plan: Displacements,
    min_distance: float,
    random_seed: int,
    members: list[str],
    reserve: int,
) -> Selection:
    """Choose what generation ``generation`` labels, within its budget.

    ``members`` are the uuids of the committee that made the candidates' fingerprints;
    ``reserve`` labels are kept back for the test set.
    """
    rng = np.random.default_rng([random_seed, generation, 23])
    batches = fetch_fields(shards, "frame_hashes", "purpose")
    known = {digest for shard in batches for digest in shard["frame_hashes"]}
    replicas = chain.from_iterable(explorations)
    frames = [*(f for e in replicas for f in e.frames), *bands.frames, *found.frames]
    tagged = [f.model_copy(update={"generation": generation}) for f in frames]
    strained = strained_candidates(tagged, plan, calibration.sigma_hi, rng)
    spent = sum(cost_of(shard["purpose"], shard["frame_hashes"]) for shard in batches)
    room = profile.budget.left(spent, reserve)
    selection = choose(
        [*tagged, *strained],
        known,
        profile.budget.shares,
        min(profile.budget.labels_per_generation, room),
        min_distance=min_distance,
        sigma_hi=calibration.sigma_hi,
        rng=rng,
        generation=generation,
        known_descriptors=known_fingerprints(shards, members[0], profile.mobile_ion),
        ceiling_exempt=(Origin.RANDOM, Origin.SADDLE),
    )
    return selection.model_copy(update={"budget_left": room})
