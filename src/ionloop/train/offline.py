"""A committee trained on a file of labels, without a campaign and without a database."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ionloop.errors import TrainingError
from ionloop.files import whole
from ionloop.randomness import derive_seed
from ionloop.train import mace
from ionloop.train.calibration import calibrate_on_labels
from ionloop.train.dataset import (
    VALID_FRACTION,
    Sample,
    bootstrap_weights,
    label_bytes,
    split_by_group,
)
from ionloop.train.labelled import fit_e0s
from ionloop.train.schema import Calibration, Hyperparameters, TrainedCommittee, TrainedModel


@dataclass(frozen=True)
class Recipe:
    """How a committee is trained.

    Parameters
    ----------
    mobile_ion
        Element of the mobile ion, on which the spread is calibrated.
    r_max
        Cut-off, Å.
    hyperparameters
        What every member is trained with.
    size
        Members, 2 or more.
    random_seed
        Decides the split, the weights of the bootstrap and of the networks.
    e0s
        Isolated-atom energies by symbol, eV; None fits them to the labels.
    foundation
        A model file to start from, of whose content the caller is sure; None starts from nothing.
    """

    mobile_ion: str
    r_max: float
    hyperparameters: Hyperparameters
    size: int = 4
    random_seed: int = 0
    e0s: dict[str, float] | None = None
    foundation: Path | None = None

    def __post_init__(self) -> None:
        """Refuse a committee of one.

        Raises
        ------
        TrainingError
            If ``size`` is below 2.
        """
        if self.size < 2:
            msg = f"expected a committee of 2 models or more, got {self.size}"
            raise TrainingError(msg)

    def for_steps(self, n_labels: int, steps: int) -> Recipe:
        """Return the recipe with as many epochs as make so many optimizer steps.

        Validation, which chooses the best epoch, comes at least ten times where there are as
        many epochs, and after each of fewer.
        """
        batches = math.ceil(n_labels * (1 - VALID_FRACTION) / self.hyperparameters.batch_size)
        epochs = max(math.ceil(steps / batches), 1)
        interval = max(min(self.hyperparameters.eval_interval, epochs // 10), 1)
        update = {"epochs": epochs, "eval_interval": interval}
        return replace(self, hyperparameters=self.hyperparameters.model_copy(update=update))


def train_committee(
    samples: Sequence[Sample],
    recipe: Recipe,
    folder: Path,
    workers: int = 1,
    done: Callable[[TrainedModel], None] | None = None,
) -> TrainedCommittee:
    """Train the members, ``workers`` at a time, and calibrate their spread.

    What is finished isn't trained again when the same is asked of the same folder: a member's
    folder carries a hash of all that decides it. One that was killed goes on from its checkpoint.

    Parameters
    ----------
    samples
        Labels; some are kept back to validate, by whole groups.
    recipe
        How to train.
    folder
        Where models and logs go; made if it isn't there.
    workers
        Trainings side by side, one thread each.
    done
        Called for each member that is ready.

    Raises
    ------
    TrainingError
        If labels come from a single group, lack the mobile ion, or a training fails.
    """
    train, valid = split(samples, recipe)
    e0s = recipe.e0s or fit_e0s(samples)
    folder.mkdir(parents=True, exist_ok=True)

    def one(index: int) -> TrainedModel:
        made = _train_one(index, train, valid, replace(recipe, e0s=e0s), folder)
        if done is not None:
            done(made)
        return made

    with ThreadPoolExecutor(workers) as pool:
        members = list(pool.map(one, range(recipe.size)))
    models = checked_models(folder, members)
    committee = TrainedCommittee(
        mobile_ion=recipe.mobile_ion,
        r_max=recipe.r_max,
        e0s=e0s,
        hyperparameters=recipe.hyperparameters,
        members=members,
        calibration=_calibration(models, valid, recipe.mobile_ion),
    )
    with whole(folder / "committee.json") as scratch:
        scratch.write_text(committee.model_dump_json(indent=1))
    return committee


def split(samples: Sequence[Sample], recipe: Recipe) -> tuple[list[Sample], list[Sample]]:
    """Split labels into training and validation by whole groups, as the recipe's seed says.

    Raises
    ------
    TrainingError
        If there is one group only, or a label lacks the mobile ion.
    """
    rng = np.random.default_rng([recipe.random_seed, 0, 17])
    train, valid = split_by_group(samples, VALID_FRACTION, rng)
    if not train or not valid:
        groups = sorted({x.frame.group for x in samples})
        msg = f"expected labels of two groups or more to train and validate on, got {groups}"
        raise TrainingError(msg)
    if lacking := [x for x in samples if recipe.mobile_ion not in x.atoms.symbols]:
        found = sorted(set(lacking[0].atoms.get_chemical_symbols()))
        msg = (
            f"expected the mobile ion {recipe.mobile_ion} in every label, got {len(lacking)} "
            f"without it, one of {found}"
        )
        raise TrainingError(msg)
    return train, valid


def _train_one(
    index: int, train: list[Sample], valid: list[Sample], recipe: Recipe, folder: Path
) -> TrainedModel:
    """Train one member, or take the one that the folder has of the very same task."""
    seed = derive_seed(recipe.random_seed, "train", 0, index)
    weights = bootstrap_weights(len(train), np.random.default_rng(seed))
    task = mace.TrainingTask(
        train=[_weighted(x, w) for x, w in zip(train, weights, strict=True)],
        valid=[x.atoms for x in valid],
        hyperparameters=recipe.hyperparameters,
        r_max=recipe.r_max,
        e0s=recipe.e0s or {},
        seed=seed,
        foundation=recipe.foundation,
    )
    name = f"member-{index}-{_digest(recipe, seed, train, valid)}"
    model, document = folder / f"{name}.model", folder / f"{name}.json"
    if model.exists() and document.exists():
        return TrainedModel.model_validate_json(document.read_text())
    here = folder / name
    here.mkdir(exist_ok=True, mode=0o700)
    begin = time.perf_counter()
    path, log = mace.train_model(task, here)
    content = path.read_bytes()
    made = TrainedModel(
        index=index,
        file=model.name,
        sha256=hashlib.sha256(content).hexdigest(),
        seed=seed,
        n_train=len(train),
        n_valid=len(valid),
        log=log,
        mace_version=mace.mace_version(),
        wall_s=time.perf_counter() - begin,
    )
    with whole(model) as scratch:
        scratch.write_bytes(content)
    with whole(document) as scratch:
        scratch.write_text(made.model_dump_json(indent=1))
    shutil.rmtree(here)  # checkpoints; the model is whole
    return made


def _weighted(sample: Sample, weight: float) -> Atoms:
    atoms = sample.atoms.copy()
    atoms.info["config_weight"] = float(weight)
    return atoms


def _digest(recipe: Recipe, seed: int, train: Sequence[Sample], valid: Sequence[Sample]) -> str:
    """Hash all that decides a member: labels by content, the recipe, MACE's version."""
    parts = {
        "hyperparameters": recipe.hyperparameters.model_dump(),
        "r_max": recipe.r_max,
        "e0s": recipe.e0s,
        "foundation": recipe.foundation
        and hashlib.sha256(recipe.foundation.read_bytes()).hexdigest(),
        "seed": seed,
        "mace": mace.mace_version(),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for side in (train, valid):
        for sample in side:
            digest.update(label_bytes(sample))
        digest.update(b"|")
    return digest.hexdigest()[:12]


def _calibration(models: Sequence[bytes], valid: Sequence[Sample], mobile_ion: str) -> Calibration:
    """Calibrate on the validation labels, which chose the best epoch."""
    atoms = [x.atoms for x in valid]
    _, forces = mace.predict(mace.committee_calculator(models), atoms)
    return calibrate_on_labels(
        forces,
        atoms,
        mobile_ion,
        generation=0,
        held_out=f"{len(valid)} validation labels, which chose the best epoch",
    )


def checked_models(folder: Path, members: Sequence[TrainedModel]) -> list[bytes]:
    """Read models, which are pickles, and hold each to the hash of when it was trained.

    Raises
    ------
    TrainingError
        If one is another.
    """
    return [_checked(folder, member) for member in members]


def _checked(folder: Path, member: TrainedModel) -> bytes:
    content = (folder / member.file).read_bytes()
    if hashlib.sha256(content).hexdigest() != member.sha256:
        msg = (
            f"{folder / member.file}: expected the model that was trained (sha256 "
            f"{member.sha256[:12]}...), got another; remove it, and it is trained again"
        )
        raise TrainingError(msg)
    return content
