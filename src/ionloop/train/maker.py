"""The train stage: a committee, side by side, then its calibration."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from jobflow import Flow, Job, JobConfig, Maker, OutputReference

from ionloop.errors import TrainingError
from ionloop.profile import Profile
from ionloop.train.jobs import (
    calibrate_committee,
    check_foresight,
    fit_last_layers,
    train_member,
)
from ionloop.train.model_files import describe_model, foundation_bytes
from ionloop.train.schema import Hyperparameters, ModelFile


@dataclass
class CommitteeMaker(Maker):
    """Train several MACE models on the same labels, weighted differently.

    Parameters
    ----------
    name
        Name of the flow.
    size
        Members, 2 or more; 4 is the published practice.
    hyperparameters
        What every member is trained with.
    foundation
        A MACE model file that generation 0 starts from, on a path that the workers see;
        its architecture then counts, and ``r_max`` must be the profile's. None starts
        from nothing.
    foundation_sha256
        Hash of that file; None takes the file's own when the campaign is made. Workers
        refuse another file.
    """

    name: str = "train"
    size: int = 4
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)  # type: ignore[arg-type]
    foundation: str | None = None
    foundation_sha256: str | None = None

    def __post_init__(self) -> None:
        """Refuse a committee of one.

        Raises
        ------
        TrainingError
            If ``size`` is below 2.
        """
        if isinstance(self.hyperparameters, dict):
            self.hyperparameters = Hyperparameters(**self.hyperparameters)
        if self.size < 2:
            msg = f"committee needs >= 2 models, got {self.size}; raise CommitteeMaker.size"
            raise TrainingError(msg)

    def check(self) -> None:
        """Check that the foundation model is there, before anything is computed.

        Raises
        ------
        TrainingError
            If the file is missing, or isn't the one that was stated.
        """
        if self.foundation is not None and not Path(self.foundation).is_file():
            msg = (
                f"expected a MACE model at {self.foundation}, found none; give the path of a "
                ".model file, or leave CommitteeMaker.foundation out"
            )
            raise TrainingError(msg)
        if (found := self._foundation()) is not None:
            foundation_bytes(found)

    def pinned(self) -> Self:
        """Return this Maker with the hash of its foundation model, which workers hold it to."""
        found = self._foundation()
        return self if found is None else replace(self, foundation_sha256=found.sha256)

    def _foundation(self) -> ModelFile | None:
        """Describe the foundation model; its file is read where no hash is stated."""
        if self.foundation is None:
            return None
        path = Path(self.foundation)
        if self.foundation_sha256 is None:
            return describe_model(path)
        return ModelFile(path=str(path.resolve()), sha256=self.foundation_sha256)

    def make(
        self,
        generation: int,
        shards: list[str],
        previous: list[str],
        profile: Profile,
        e0s: dict[str, float] | OutputReference,
        random_seed: int,
        n_new: int | OutputReference,
    ) -> Flow:
        """Make one job a member, one for the calibration, and one for their last layers.

        Returns
        -------
        Flow
            Its output is ``{"members": [...], "calibration": ..., "last_layers": ...}``.
        """
        foundation = self._foundation() if len(previous) < self.size else None
        members = []
        for index in range(self.size):
            one = train_member(
                index,
                generation,
                shards,
                previous[index] if index < len(previous) else None,
                self.hyperparameters,
                profile,
                e0s,
                random_seed,
                n_new,
                foundation,
            )
            one.name = f"{self.name} member {index} generation {generation}"
            one.config = JobConfig(expose_store=True)
            members.append(one)
        calibration = calibrate_committee(
            [m.output for m in members], generation, shards, profile, random_seed
        )
        calibration.name = f"calibrate generation {generation}"
        layers = fit_last_layers(
            [m.output for m in members], generation, shards, profile, random_seed
        )
        layers.name = f"last layers generation {generation}"
        for job in (calibration, layers):
            job.config = JobConfig(expose_store=True)
        return Flow(
            [*members, calibration, layers],
            output={
                "members": [m.output for m in members],
                "calibration": calibration.output,
                "last_layers": layers.output,
            },
            name=f"{self.name} generation {generation}",
        )

    def foresight(
        self,
        generation: int,
        shard: str,
        previous: list[str],
        calibration: str,
        profile: Profile,
        random_seed: int,
        n_new: int | OutputReference,
    ) -> Job:
        """Make the job that holds a generation's labels to the committee that chose them."""
        one = check_foresight(previous, calibration, shard, generation, profile, random_seed, n_new)
        one.name = f"bounds of the committee on labels of generation {generation}"
        one.config = JobConfig(expose_store=True)
        return one
