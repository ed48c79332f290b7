"""A committee of the comparison: its own bands, what it explores, and its score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ionloop.explore.detector import hop_detector
from ionloop.explore.judged import candidates, driver_of, guards_of, plan_of
from ionloop.explore.md import run_md
from ionloop.explore.saddles import BandPlan, committee_bands
from ionloop.explore.schema import BandSet, ExploreSettings
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
    hops_by_run
        Hops in each batch of runs.
    n_ended
        Runs that ended early.
    """

    frames: list[Frame]
    hops_by_run: list[int]
    n_ended: int

    @property
    def n_hops(self) -> int:
        """Hops in all runs."""
        return sum(self.hops_by_run)

    @classmethod
    def joined(cls, parts: Sequence[Explored]) -> Explored:
        """Put several together."""
        return cls(
            [frame for part in parts for frame in part.frames],
            [n for part in parts for n in part.hops_by_run],
            sum(part.n_ended for part in parts),
        )


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
        self._explored: dict[tuple[int, bool], Explored] = {}

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
        settings = self._picking(n, self.plan.settings.unbiased())
        rng = np.random.default_rng(derive_seed(self.seed, "explored", self.n_labels))
        seed = derive_seed(self.seed, "md", self.n_labels)
        temperatures = self.plan.profile.temperatures
        return Explored.joined(
            [
                self._runs(settings, self.plan.replicas, i, derive_seed(seed, i), "explore", rng)
                for i in range(len(temperatures))
            ]
        )

    def _pull(self, n: int) -> Explored:
        """Pull ions at each temperature whose own runs show fewer hops than are wanted."""
        settings = self._picking(n, self.plan.pulling)
        rng = np.random.default_rng(derive_seed(self.seed, "pulled", self.n_labels))
        seed = derive_seed(self.seed, "pulled md", self.n_labels)
        own = self._found(n, pulled=False).hops_by_run
        return Explored.joined(
            [
                self._runs(settings, self.plan.pulled_runs, i, derive_seed(seed, i), "pulled", rng)
                for i, n_hops in enumerate(own)
                if n_hops < self.plan.hops_wanted
            ]
        )

    def _picking(self, n: int, settings: ExploreSettings) -> ExploreSettings:
        """Let runs give so many candidates that an arm of any share finds ``n``."""
        runs = len(self.plan.profile.temperatures) * self.plan.replicas
        each = math.ceil(n / runs) + 1
        return settings.model_copy(
            update={
                "max_events": max(settings.max_events, each),
                "n_uncertain": max(settings.n_uncertain, each),
                "n_random": max(settings.n_random, each),
            }
        )

    def _runs(
        self,
        settings: ExploreSettings,
        replicas: int,
        i: int,
        seed: int,
        prefix: str,
        rng: np.random.Generator,
    ) -> Explored:
        """Run one batch at the profile's ``i``-th temperature, and pick its candidates."""
        plan = self.plan
        start, temperature = plan.material.start, plan.profile.temperatures[i]
        interval = settings.time_step * settings.store_every
        detector = hop_detector(start, plan.material.host, plan.profile, interval)
        member = i % len(self.trained.members)
        done = run_md(
            [start.to_atoms()] * replicas,
            driver_of(settings, self.judge.calculator, member, detector, seed),
            plan_of(settings, temperature, plan.md_steps, seed),
            guards_of(settings, plan.profile, self.trained.calibration, detector),
            self.judge.per_replica,
        )
        frames: list[Frame] = []
        n_hops = 0
        for k, run in enumerate(done):
            analysis = detector.analyse(np.array(run.positions), temperature)
            n_hops += len(analysis.events)
            group = f"{prefix}-{self.n_labels}-{temperature:g}K-r{k}"
            tags = {"group": group, "temperature": temperature}
            frames += candidates(start, run, analysis, self.judge, settings, tags, rng)
        return Explored(frames, [n_hops], sum(run.stopped is not None for run in done))

    def _found(self, n: int, *, pulled: bool) -> Explored:
        if (n, pulled) not in self._explored:
            self._explored[n, pulled] = self._pull(n) if pulled else self._explore(n)
        return self._explored[n, pulled]

    def candidates(self, n: int, origins: Sequence[Origin], *, pulled: bool = False) -> Explored:
        """Return explored frames, and images of bands where they are wanted.

        All arms that begin with this committee share its runs; ``pulled`` adds those in which
        ions are pulled.
        """
        parts = [self._found(n, pulled=False)]
        if pulled:
            parts.append(self._found(n, pulled=True))
        images = self.bands.frames if Origin.SADDLE in origins else []
        return Explored.joined([*parts, Explored(images, [], 0)])
