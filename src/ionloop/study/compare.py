"""The comparison: each arm and seed a small loop, with its labels counted."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ionloop.files import whole
from ionloop.label.schema import Label
from ionloop.randomness import derive_seed
from ionloop.reference.base import hash_settings
from ionloop.seed.schema import Displacements
from ionloop.study.arms import LoopArm, arms_named
from ionloop.study.choice import Choice, choose_labels
from ionloop.study.curves import curve
from ionloop.study.learned import Learned
from ionloop.study.plan import ArmsPlan
from ionloop.study.schema import ArmPoint, ArmScore, ArmStudy
from ionloop.study.scores import score
from ionloop.study.truth import TestSet, Truth, plan_key
from ionloop.train import mace

#: Points of another number were made by another procedure, and are made anew.
PROCEDURE = 3
#: Strained candidates of arms that have a share for them.
STRAINED = Displacements(n_rattle=0, n_strain=12)


def compare_arms(
    plan: ArmsPlan,
    folder: Path,
    workers: int = 1,
    done: Callable[[ArmPoint], None] | None = None,
) -> ArmStudy:
    """Run all arms and seeds at equal labels.

    Everything that is finished is kept in the folder, and none of the same plan is done twice.

    Parameters
    ----------
    plan
        What is compared.
    folder
        Where models, labels and points go; made if it isn't there.
    workers
        Trainings side by side.
    done
        Called for each point.

    Raises
    ------
    EvaluationError
        If the reference shows no hops, or a band of it doesn't converge.
    """
    truth = Truth(plan, folder / "reference")
    test = truth.test_set()
    run = _Run(plan, truth, test, folder, workers, {})
    points = []
    for seed in range(plan.first_seed, plan.first_seed + plan.seeds):
        run.committees.clear()
        for name, arm in arms_named(plan.arms).items():
            for point in run.loop(name, arm, seed):
                points.append(point)
                if done is not None:
                    done(point)
    return ArmStudy(
        material=plan.profile.name,
        mobile_ion=plan.profile.mobile_ion,
        reference=plan.reference.teacher.name,
        seed_temperatures=list(plan.seeding.temperatures),
        temperatures=plan.profile.temperatures,
        test_temperatures=list(plan.testing.temperatures),
        n_test=test.count(),
        barriers={name: band.barrier for name, band in test.bands.items()},
        curves=[curve(name, points) for name in arms_named(plan.arms)],
        points=points,
    )


@dataclass(frozen=True)
class _Run:
    """A plan, its truth and its folder; committees of the seed that is at work."""

    plan: ArmsPlan
    truth: Truth
    test: TestSet
    folder: Path
    workers: int
    committees: dict[str, Learned]

    def loop(self, name: str, arm: LoopArm, seed: int) -> Iterator[ArmPoint]:
        """Label, train and test, count after count; what the folder has isn't done again."""
        labels: list[Label] = []
        for k, n in enumerate(self.plan.counts):
            stem = self.folder / f"{name}-{seed}-{n}-{self._key(arm, k)}"
            path, journal = stem.with_suffix(".json"), stem.with_suffix(".jsonl")
            if path.exists() and journal.exists():
                labels += _read(journal)
                yield ArmPoint.model_validate_json(path.read_text())
                continue
            begin = time.perf_counter()
            choice, own = self._chosen(name, arm, seed, labels, n, journal)
            labels += own
            learned = self._learned(labels, seed, fine_tuned=arm.fine_tuned)
            point = ArmPoint(
                arm=name,
                seed=seed,
                n_labels=len(labels),
                n_refused=sum(bool(x.reasons) for x in labels),
                origins=dict(Counter(x.frame.origin.value for x in labels)),
                n_filled=choice.n_filled,
                n_hops=choice.n_hops,
                n_ended=choice.n_ended,
                score=self._score(learned),
                wall_s=time.perf_counter() - begin,
            )
            with whole(path) as scratch:
                scratch.write_text(point.model_dump_json())
            yield point

    def _chosen(
        self, name: str, arm: LoopArm, seed: int, labels: list[Label], n: int, journal: Path
    ) -> tuple[Choice, list[Label]]:
        """Choose the next frames and label them."""
        missing = n - len(labels)
        aimd = self.truth.aimd(self.plan.counts[-1], seed)
        if not labels or not arm.explores:
            choice = Choice(aimd[len(labels) : n])
        else:
            learned = self._learned(labels, seed, fine_tuned=arm.fine_tuned)
            rng = np.random.default_rng(derive_seed(seed, name, len(labels)))
            known = [label.frame for label in labels]
            choice = choose_labels(arm, learned, known, missing, STRAINED, rng)
            choice = choice.filled_up(missing, aimd, known)
        own = self.truth.label(choice.frames)
        with whole(journal) as scratch:
            scratch.write_text("".join(label.model_dump_json() + "\n" for label in own))
        return choice, own

    def _learned(self, labels: Sequence[Label], seed: int, *, fine_tuned: bool) -> Learned:
        """Train on the labels that were admitted, or take the committee that is there."""
        admitted = [label for label in labels if not label.reasons]
        key = hashlib.sha256("".join(x.frame_hash for x in admitted).encode()).hexdigest()
        key += str(fine_tuned)
        if key not in self.committees:
            self.committees[key] = Learned(
                self.plan,
                admitted,
                len(labels),
                seed,
                self.folder / "models",
                fine_tuned=fine_tuned,
                workers=self.workers,
            )
        return self.committees[key]

    def _score(self, learned: Learned) -> ArmScore:
        """Test a committee once, whichever arms begin with it."""
        path = self.folder / f"score-{learned.digest}-{hash_settings(self._truth_key())}.json"
        if path.exists():
            return ArmScore.model_validate_json(path.read_text())
        found = score(learned, self.test)
        with whole(path) as scratch:
            scratch.write_text(found.model_dump_json())
        return found

    def _truth_key(self) -> dict[str, Any]:
        settings = self.plan.settings.model_dump(mode="json")
        return {**plan_key(self.plan), "settings": settings, "procedure": PROCEDURE}

    def _key(self, arm: LoopArm, k: int) -> str:
        """Hash all that decides a point."""
        plan = self.plan
        shares = sorted(arm.shares_of(plan.profile.budget.shares).items())
        foundation = plan.foundation if arm.fine_tuned else None
        return hash_settings(
            {
                **self._truth_key(),
                "arm": [shares if arm.explores else None, arm.every_frame],
                **self._pulling(arm),
                "foundation": foundation and hashlib.sha256(foundation.read_bytes()).hexdigest(),
                "counts": list(plan.counts[: k + 1]),
                "md": [plan.md_steps, plan.replicas, plan.profile.temperatures],
                "recipe": [plan.steps, plan.size, plan.min_distance],
                "hyperparameters": [
                    plan.recipe(n, 0, fine_tuned=False).hyperparameters.model_dump()
                    for n in plan.counts[: k + 1]
                ],
                "mace": mace.mace_version(),
            }
        )

    def _pulling(self, arm: LoopArm) -> dict[str, Any]:
        if not arm.pulled:
            return {}
        plan = self.plan
        settings = plan.pulling.model_dump(mode="json")
        return {"pulled": [plan.pulled_runs, plan.hops_wanted, settings]}


def _read(journal: Path) -> list[Label]:
    return [Label.model_validate_json(line) for line in journal.read_text().splitlines()]
