"""Jobs of the train stage."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from jobflow import job

from ionloop.document import DATA_FIELDS, Blob, fetch_outputs
from ionloop.errors import TrainingError
from ionloop.frame import Origin
from ionloop.kept import Kept, atoms_bytes
from ionloop.label.schema import LabelShard
from ionloop.profile import Profile
from ionloop.randomness import derive_seed
from ionloop.train import mace
from ionloop.train.calibration import calibrate_on_labels
from ionloop.train.dataset import (
    VALID_FRACTION,
    L,
    Sample,
    bootstrap_weights,
    held_out,
    split_by_group,
    trained_from,
)
from ionloop.train.foresight import foresight
from ionloop.train.last_layer import describe
from ionloop.train.model_files import foundation_bytes, model_bytes, private_file
from ionloop.train.schema import (
    Calibration,
    Foresight,
    Hyperparameters,
    LastLayers,
    Member,
    ModelFile,
)

logger = logging.getLogger(__name__)

#: Origins that MD doesn't show.
DISPLACED = {Origin.RATTLE, Origin.STRAIN}
#: Training frames, drawn at random, that last layers are fitted to: a model has tens of features,
#: and a frame tens of mobile ions.
FITTED_MAX = 300


def _samples(shard: LabelShard) -> list[Sample]:
    return [Sample.of(label) for label in shard.labels]


def _bytes(samples: Sequence[Sample]) -> int:
    return sum(atoms_bytes(sample.atoms) for sample in samples)


#: Labels of all batches that this process has trained on.
_KEPT = Kept(["labels"], _samples, _bytes)


def read_samples(shards: Sequence[str], *, use_stress: bool = True) -> list[Sample]:
    """Read the labels of shards by their uuids, one shard's documents in memory at a time.

    What a process has read it reads only once; the samples' atoms are the caller's own.
    """
    found = chain.from_iterable(_KEPT.stream(shards))
    return [sample.copy(use_stress=use_stress) for sample in found]


def partition(
    labels: Sequence[L], generation: int, random_seed: int
) -> tuple[list[L], list[L], list[L]]:
    """Split labels into training, validation and held-out, alike for all members.

    A group keeps its side for good: a member that starts from its predecessor has seen
    all that the predecessor trained on.
    """
    usable, out = held_out(labels, generation)
    sides: dict[str, bool] = {}
    begins = [trained_from(x) for x in usable]
    for g in range(generation + 1):
        known = [x for x, begin in zip(usable, begins, strict=True) if begin <= g]
        rng = np.random.default_rng([random_seed, g, 17])
        train, valid = split_by_group(known, VALID_FRACTION, rng, sides)
        sides = {x.frame.group: False for x in train} | {x.frame.group: True for x in valid}
    if not train or not valid:
        msg = (
            f"expected labels from two or more trajectories to train and validate on, got "
            f"{len(train)} and {len(valid)}; add seed temperatures or frames"
        )
        raise TrainingError(msg)
    return train, valid, out


@job(data=DATA_FIELDS, output_schema=Member)
def train_member(  # noqa: PLR0913
    index: int,
    generation: int,
    shards: list[str],
    previous: str | None,
    hyperparameters: Hyperparameters,
    profile: Profile,
    e0s: dict[str, float],
    random_seed: int,
    n_new: int,
    foundation: ModelFile | None = None,
) -> Member:
    """Train one member, from its predecessor where there is one.

    ``n_new``, the labels of the last shard, is what makes the job wait for them.
    """
    logger.info("member %d: generation %d brings %d labels", index, generation, n_new)
    begin = time.perf_counter()
    use_stress = hyperparameters.stress_weight > 0
    samples = read_samples(shards, use_stress=use_stress)
    train, valid, _ = partition(samples, generation, random_seed)
    seed = derive_seed(random_seed, "train", generation, index)
    weights = bootstrap_weights(len(train), np.random.default_rng(seed))
    for sample, weight in zip(train, weights, strict=True):
        sample.atoms.info["config_weight"] = float(weight)
    start = parent_model(previous, foundation)
    task = mace.TrainingTask(
        train=[sample.atoms for sample in train],
        valid=[sample.atoms for sample in valid],
        hyperparameters=hyperparameters,
        r_max=profile.r_max,
        e0s=e0s,
        seed=seed,
    )
    with nullcontext() if start is None else private_file(start) as parent:
        path, log = mace.train_model(replace(task, foundation=parent), Path("mace"))
    blob = Blob.from_file(path)
    return Member(
        index=index,
        seed=seed,
        generation=generation,
        warm_start=start is not None,
        n_train=len(train),
        n_valid=len(valid),
        model_hash=blob.sha256,
        model_file=blob,
        log=log,
        hyperparameters=hyperparameters,
        mace_version=mace.mace_version(),
        wall_s=time.perf_counter() - begin,
    )


def parent_model(previous: str | None, foundation: ModelFile | None) -> bytes | None:
    """Return the checked model that a training starts from: its predecessor or a user's file."""
    if previous is not None:
        return model_bytes(fetch_outputs([previous])[0])
    return None if foundation is None else foundation_bytes(foundation)


@job(data=DATA_FIELDS, output_schema=Calibration)
def calibrate_committee(
    members: list[Member],
    generation: int,
    shards: list[str],
    profile: Profile,
    random_seed: int,
) -> Calibration:
    """Calibrate the committee on labels that it wasn't trained on."""
    _, valid, out = partition(read_samples(shards), generation, random_seed)
    truth = [*as_md_visits(valid), *out]
    calculator = mace.committee_calculator([model_bytes(member) for member in members])
    atoms = [sample.atoms for sample in truth]
    _, forces = mace.predict(calculator, atoms)
    return calibrate_on_labels(
        forces,
        atoms,
        profile.mobile_ion,
        generation=generation,
        held_out=(
            f"{len(truth) - len(out)} validation labels, which chose the best epoch, and "
            f"{len(out)} random ones that no training saw"
        ),
    )


@job(data=DATA_FIELDS, output_schema=Foresight)
def check_foresight(
    members: list[str],
    calibration: str,
    shard: str,
    generation: int,
    profile: Profile,
    random_seed: int,
    n_new: int,
) -> Foresight:
    """Hold the new labels to the bounds of the committee that chose them.

    ``n_new``, the labels of the shard, is what makes the job wait for them.
    """
    logger.info("generation %d brings %d labels", generation, n_new)
    samples = read_samples([shard])
    committee = mace.committee_calculator([model_bytes(m) for m in fetch_outputs(members)])
    _, forces = mace.predict(committee, [sample.atoms for sample in samples])
    known = fetch_outputs([calibration])[0]
    rng = np.random.default_rng(derive_seed(random_seed, "foresight", generation))
    found = foresight(samples, forces, known, profile.mobile_ion, generation, rng)
    for one in found.origins:
        if one.warning:
            logger.warning("labels of origin %s: %s", one.origin, one.warning)
    return found


def as_md_visits(valid: Sequence[L]) -> list[L]:
    """Leave out rattles and strains, which err on another scale, unless there is nothing else."""
    return [x for x in valid if x.frame.origin not in DISPLACED] or list(valid)


@job(data=DATA_FIELDS, output_schema=LastLayers)
def fit_last_layers(
    members: list[Member],
    generation: int,
    shards: list[str],
    profile: Profile,
    random_seed: int,
) -> LastLayers:
    """Learn what is unusual to each member, for runs that it steers."""
    train, valid, out = partition(read_samples(shards), generation, random_seed)
    rng = np.random.default_rng(derive_seed(random_seed, "last layers", generation))
    few = rng.permutation(len(train))[:FITTED_MAX]
    return describe(
        mace.committee_calculator([model_bytes(member) for member in members]),
        [train[i].atoms for i in sorted(few)],
        [sample.atoms for sample in (*as_md_visits(valid), *out)],
        profile.mobile_ion,
        generation,
    )
