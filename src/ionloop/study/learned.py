"""A committee of the comparison: its own bands, what it explores, and its score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ionloop.explore.detector import hop_detector
from ionloop.explore.driver import CommitteeDriver
from ionloop.explore.judged import candidates, guards_of, plan_of
from ionloop.explore.md import run_md
from ionloop.explore.saddles import BandPlan, committee_bands
from ionloop.explore.schema import BandSet
from ionloop.explore.uncertainty import CommitteeUncertainty
from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label
from ionloop.randomness import derive_seed
from ionloop.study.plan import ArmsPlan
from ionloop.train import mace
from ionloop.train.dataset import Sample
from ionloop.train.offline import checked_models, train_committee
from ionloop.train.schema import TrainedCommittee


@dataclass(frozen=True)
class Explored:
    """Candidates of the committee's own MD.

    Parameters
    ----------
    frames
        Candidates, judged and described.
    n_hops, n_ended
        Hops in the runs, and runs that ended early.
    """

    frames: list[Frame]
    n_hops: int
    n_ended: int


class Learned:
    """A committee that was trained on so many labels.

    Parameters
    ----------
    plan
        What is compared.
    labels
        Admitted labels.
    n_labels
        Labels that were asked.
    seed
        Of training and exploration.
    folder
        Where models are.
    """

    def __init__(
        self,
        plan: ArmsPlan,
        labels: Sequence[Label],
        n_labels: int,
        seed: int,
        folder: Path,
        *,
        fine_tuned: bool,
        workers: int,
    ) -> None:
        self.plan, self.n_labels, self.seed = plan, n_labels, seed
        self.labels = list(labels)
        samples = [Sample.of(label) for label in self.labels]
        recipe = plan.recipe(len(samples), seed, fine_tuned=fine_tuned)
        self.trained: TrainedCommittee = train_committee(samples, recipe, folder, workers)
        self._models = checked_models(folder, self.trained.members)
        symbols = np.array(plan.material.start.symbols)
        self.mobile = np.flatnonzero(symbols == plan.profile.mobile_ion)
        self._explored: dict[int, Explored] = {}

    @property
    def digest(self) -> str:
        """What tells this committee from others."""
        return "-".join(member.sha256[:8] for member in self.trained.members)

    @cached_property
    def judge(self) -> CommitteeUncertainty:
        """Judges frames."""
        calculator = mace.committee_calculator(self._models, dtype=self.plan.hyperparameters.dtype)
        return CommitteeUncertainty(calculator, self.mobile, self.trained.calibration.scale)

    @cached_property
    def bands(self) -> BandSet:
        """Bands of the enumerated hops, relaxed on the committee's mean."""
        return committee_bands(
            self.plan.material.hops,
            self.judge.calculator,
            self.judge,
            BandPlan.of(self.plan.settings),
            generation=0,
            model_hash=self.digest,
        )

    def _explore(self, n: int) -> Explored:
        """Run MD at each temperature, members in turn, and pick at least ``n`` of each origin."""
        plan = self.plan
        runs = len(plan.profile.temperatures) * plan.replicas
        each = math.ceil(n / runs) + 1
        settings = plan.settings.unbiased().model_copy(
            update={
                "max_events": max(plan.settings.max_events, each),
                "n_uncertain": max(plan.settings.n_uncertain, each),
                "n_random": max(plan.settings.n_random, each),
            }
        )
        rng = np.random.default_rng(derive_seed(self.seed, "explored", self.n_labels))
        start, host = plan.material.start, plan.material.host
        interval = settings.time_step * settings.store_every
        seed = derive_seed(self.seed, "md", self.n_labels)
        detector = hop_detector(start, host, plan.profile, interval)
        frames: list[Frame] = []
        n_hops = n_ended = 0
        for i, temperature in enumerate(plan.profile.temperatures):
            done = run_md(
                [start.to_atoms()] * plan.replicas,
                CommitteeDriver(
                    self.judge.calculator,
                    [i % len(self.trained.members)],
                    n_atoms=len(start.symbols),
                ),
                plan_of(
                    settings,
                    temperature,
                    plan.md_steps,
                    derive_seed(seed, i),
                ),
                guards_of(settings, plan.profile, self.trained.calibration),
                self.judge.per_replica,
            )
            for k, run in enumerate(done):
                analysis = detector.analyse(np.array(run.positions), temperature)
                n_hops += len(analysis.events)
                n_ended += run.stopped is not None
                tags = {
                    "group": f"explore-{self.n_labels}-{temperature:g}K-r{k}",
                    "temperature": temperature,
                }
                frames += candidates(start, run, analysis, self.judge, settings, tags, rng)
        return Explored(frames, n_hops, n_ended)

    def candidates(self, n: int, origins: Sequence[Origin]) -> Explored:
        """Return explored frames, and images of bands where they are wanted.

        All arms that begin with this committee share its runs.
        """
        if n not in self._explored:
            self._explored[n] = self._explore(n)
        found = self._explored[n]
        images = self.bands.frames if Origin.SADDLE in origins else []
        return Explored([*found.frames, *images], found.n_hops, found.n_ended)
