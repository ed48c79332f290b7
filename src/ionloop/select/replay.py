"""Choose from a pool of labels that are hidden until chosen: how few would have been enough."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ionloop.errors import EvaluationError
from ionloop.explore.bottleneck import OPEN_BINS, openness_bins
from ionloop.files import whole
from ionloop.randomness import derive_seed
from ionloop.select.arms import Arm, View, arms_named, pick
from ionloop.select.replay_curves import compare, targets_of
from ionloop.select.replay_plan import ReplayPlan
from ionloop.select.schema import Replay, ReplayPoint
from ionloop.train import mace
from ionloop.train.calibration import mobile_ions
from ionloop.train.dataset import Sample, label_bytes
from ionloop.train.offline import checked_models, train_committee


@dataclass(frozen=True)
class _Test:
    """Test frames with the bins of their mobile ions."""

    atoms: list[Atoms]
    ions: list[np.ndarray]
    bins: np.ndarray
    limits: tuple[float, float]

    @classmethod
    def of(cls, samples: Sequence[Sample], mobile_ion: str) -> _Test:
        atoms = [x.atoms for x in samples]
        bins, limits = openness_bins(atoms, mobile_ion)
        ions = [mobile_ions(a, mobile_ion) for a in atoms]
        return cls(atoms, ions, bins, limits)


def replay(
    pool: Sequence[Sample],
    test: Sequence[Sample],
    plan: ReplayPlan,
    folder: Path,
    workers: int = 1,
    done: Callable[[ReplayPoint], None] | None = None,
) -> Replay:
    """Run all arms and seeds, and compare what they need.

    Every training is kept in the folder, and none of the same plan is done twice.

    Parameters
    ----------
    pool
        Labels to choose from; frames that are there twice count once.
    test
        Labels that are never chosen, of other trajectories than the pool's.
    plan
        What is compared.
    folder
        Where models and points go; made if it isn't there.
    workers
        Trainings side by side.
    done
        Called for each point.

    Raises
    ------
    EvaluationError
        If the pool has fewer frames than labels are asked for, or shares frames with the test.
    """
    unique = list({x.frame_hash: x for x in reversed(pool)}.values())[::-1]
    _check(unique, test, plan)
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(unique, _Test.of(test, plan.mobile_ion), plan, folder, workers, _key(unique, test))
    points = []
    for seed in range(plan.first_seed, plan.first_seed + plan.seeds):
        for name, arm in arms_named(plan.arms).items():
            for point in run.curve(name, arm, seed):
                points.append(point)
                if done is not None:
                    done(point)
    targets, source = targets_of(points, plan)
    return Replay(
        mobile_ion=plan.mobile_ion,
        n_pool=len(unique),
        n_repeated=len(pool) - len(unique),
        n_test=len(test),
        openness_limits=run.test.limits,
        targets=targets,
        target_source=source,
        curves=[compare(name, points, targets) for name in arms_named(plan.arms)],
        points=points,
    )


@dataclass(frozen=True)
class _Run:
    """A pool, its test set and the plan."""

    pool: list[Sample]
    test: _Test
    plan: ReplayPlan
    folder: Path
    workers: int
    data_key: str

    def curve(self, name: str, arm: Arm, seed: int) -> Iterator[ReplayPoint]:
        """Choose, train and test, count after count; what the folder has isn't done again."""
        before: list[int] = []
        known: Calculator | None = None  # the committee of the labels before
        for k, n in enumerate(self.plan.counts):
            path = self.folder / f"{name}-{seed}-{n}-{self._key(arm, k)}.json"
            if path.exists():
                point, known = ReplayPoint.model_validate_json(path.read_text()), None
            else:
                begin = time.perf_counter()
                chosen = [*before, *self._choose(name, arm, seed, before, n, known)]
                known = self._committee(chosen, seed)
                point = self._point(name, seed, chosen, known, begin)
                with whole(path) as scratch:
                    scratch.write_text(point.model_dump_json())
            yield point
            before = point.chosen

    def _choose(
        self,
        name: str,
        arm: Arm,
        seed: int,
        before: list[int],
        until: int,
        known: Calculator | None,
    ) -> list[int]:
        """Choose the next labels; the first are one random draw for all arms of a seed."""
        n = until - len(before)
        if not before:
            rng = np.random.default_rng(derive_seed(seed, "replay"))
            return rng.permutation(len(self.pool))[:n].tolist()
        rng = np.random.default_rng(derive_seed(seed, "candidates", len(before)))
        left = np.setdiff1d(np.arange(len(self.pool)), before)
        open_ = rng.permutation(left)[: max(self.plan.candidates, n)]
        view = View(
            candidates=[self._structure(i) for i in open_],
            groups=[self.pool[i].frame.group for i in open_],
            labelled=[self._structure(i) for i in before],
            mobile_ion=self.plan.mobile_ion,
            load=lambda: known or self._committee(before, seed),
        )
        own = np.random.default_rng(derive_seed(seed, name, len(before)))
        return [int(open_[i]) for i in pick(arm, view, n, own)]

    def _structure(self, i: int) -> Atoms:
        """Return a frame of the pool without its label."""
        atoms = self.pool[i].atoms
        return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)

    def _committee(self, chosen: Sequence[int], seed: int) -> Calculator:
        """Train on what was chosen, unless the folder has that committee."""
        samples = [self.pool[i] for i in chosen]
        folder = self.folder / "models"
        recipe = self.plan.recipe(len(samples), seed)
        committee = train_committee(samples, recipe, folder, self.workers)
        models = checked_models(folder, committee.members)
        return mace.committee_calculator(models, dtype=self.plan.hyperparameters.dtype)

    def _point(
        self, name: str, seed: int, chosen: list[int], committee: Calculator, begin: float
    ) -> ReplayPoint:
        """Test the committee of the chosen labels."""
        test = self.test
        energies, forces = mace.predict(committee, test.atoms)
        wrong = [
            f.mean(axis=0) - a.arrays["REF_forces"] for f, a in zip(forces, test.atoms, strict=True)
        ]
        mobile = np.concatenate([w[m] for w, m in zip(wrong, test.ions, strict=True)])
        off = np.array(
            [
                (e.mean() - a.info["REF_energy"]) / len(a)
                for e, a in zip(energies, test.atoms, strict=True)
            ]
        )
        return ReplayPoint(
            arm=name,
            seed=seed,
            n_labels=len(chosen),
            chosen=chosen,
            rmse_mobile=_rms(mobile),
            rmse_forces=_rms(np.concatenate(wrong)),
            rmse_energy=float(off.std()),
            rmse_by_openness={
                label: _rms(mobile[test.bins == b])
                for b, label in enumerate(OPEN_BINS)
                if (test.bins == b).any()  # a handful of ions may leave one empty
            },
            wall_s=time.perf_counter() - begin,
        )

    def _key(self, arm: Arm, k: int) -> str:
        """Hash all that decides a point."""
        plan = self.plan
        parts = {
            "data": self.data_key,
            "arm": [arm.min_distance, arm.describes, sorted(arm.shares.items())],
            "counts": list(plan.counts[: k + 1]),
            "recipe": [plan.mobile_ion, plan.r_max, plan.steps, plan.size, plan.candidates],
            "hyperparameters": [
                plan.recipe(n, 0).hyperparameters.model_dump() for n in plan.counts[: k + 1]
            ],
            "mace": mace.mace_version(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def _check(pool: Sequence[Sample], test: Sequence[Sample], plan: ReplayPlan) -> None:
    if len(pool) < plan.counts[-1]:
        msg = f"expected {plan.counts[-1]} different frames or more in the pool, got {len(pool)}"
        raise EvaluationError(msg)
    if shared := {x.frame_hash for x in pool} & {x.frame_hash for x in test}:
        msg = (
            f"expected test frames that aren't in the pool, got {len(shared)} that are; split by "
            "whole trajectories"
        )
        raise EvaluationError(msg)


def _key(pool: Sequence[Sample], test: Sequence[Sample]) -> str:
    """Hash pool and test by content."""
    digest = hashlib.sha256()
    for side in (pool, test):
        for x in side:
            digest.update(x.frame.group.encode())
            digest.update(label_bytes(x))
        digest.update(b"|")
    return digest.hexdigest()[:12]


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
