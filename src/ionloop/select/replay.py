"""Choose from a pool of labels that are hidden until chosen: how few would have been enough."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ionloop.errors import EvaluationError, ProfileError
from ionloop.explore.bottleneck import OPEN_BINS, openness_bins
from ionloop.files import whole
from ionloop.randomness import derive_seed
from ionloop.select.arms import Arm, View, arms_named, pick
from ionloop.select.label_efficiency import labels_to_reach, mean_interval
from ionloop.select.schema import Replay, ReplayCurve, ReplayPoint
from ionloop.train import mace
from ionloop.train.calibration import mobile_ions
from ionloop.train.dataset import VALID_FRACTION, Sample
from ionloop.train.offline import Recipe, train_committee
from ionloop.train.schema import Hyperparameters

#: A model small enough for many trainings on a few cores; every arm has the same.
SMALL = Hyperparameters(
    hidden_irreps="16x0e", num_interactions=2, max_ell=2, correlation=2, radial_mlp=[32, 32],
    batch_size=4, lr=0.02, eval_interval=10, stress_weight=0, dtype="float32",
)  # fmt: skip


@dataclass(frozen=True)
class ReplayPlan:
    """What is compared.

    Parameters
    ----------
    mobile_ion
        Element of the mobile ion.
    arms
        Names of :data:`ionloop.select.arms.ARMS`.
    counts
        Numbers of labels, rising; the first are drawn at random, alike for all arms.
    seeds
        How many times, from ``first_seed`` on.
    target
        Error to reach, eV/Å; None takes random's at its last count, seed by seed.
    r_max
        Cut-off, Å.
    hyperparameters
        Of every training but for ``epochs``.
    steps
        Optimizer steps of each training, whatever the number of labels: equal cost.
    size
        Models of a committee.
    candidates
        At most so many of the pool, drawn anew each time, are looked at.
    """

    mobile_ion: str
    arms: Sequence[str] = ("random", "sigma", "diverse", "bottleneck", "loop")
    counts: Sequence[int] = (40, 80, 160, 320)
    seeds: int = 3
    first_seed: int = 0
    target: float | None = None
    r_max: float = 5.0
    hyperparameters: Hyperparameters = field(default_factory=lambda: SMALL)
    steps: int = 800
    size: int = 2
    candidates: int = 1000

    def __post_init__(self) -> None:
        """Check the plan.

        Raises
        ------
        ProfileError
            If arms aren't known, counts don't rise, or a number is too small.
        """
        arms_named(self.arms)
        if len(self.counts) < 2 or (np.diff(self.counts) <= 0).any() or min(self.counts) < 8:
            msg = f"expected two or more rising numbers of labels, from 8, got {list(self.counts)}"
            raise ProfileError(msg)
        for name in ("seeds", "steps", "candidates"):
            if getattr(self, name) < 1:
                msg = f"expected {name} of 1 or more, got {getattr(self, name)}"
                raise ProfileError(msg)
        if "random" not in self.arms and self.target is None:
            msg = f"expected the arm random or a target to compare with, got {list(self.arms)}"
            raise ProfileError(msg)
        if self.target is not None and self.target <= 0:
            msg = f"expected a target above 0 eV/Å, got {self.target:g}"
            raise ProfileError(msg)

    def recipe(self, n_labels: int, seed: int) -> Recipe:
        """Return how a committee of so many labels is trained."""
        batches = math.ceil(n_labels * (1 - VALID_FRACTION) / self.hyperparameters.batch_size)
        epochs = max(math.ceil(self.steps / batches), 1)
        return Recipe(
            self.mobile_ion,
            self.r_max,
            self.hyperparameters.model_copy(update={"epochs": epochs}),
            size=self.size,
            random_seed=seed,
        )


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
    targets, source = _targets(points, plan)
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
        for k, n in enumerate(self.plan.counts):
            path = self.folder / f"{name}-{seed}-{n}-{self._key(arm, k)}.json"
            if path.exists():
                point = ReplayPoint.model_validate_json(path.read_text())
            else:
                begin = time.perf_counter()
                chosen = [*before, *self._choose(name, arm, seed, before, n - len(before))]
                point = self._point(name, seed, chosen, begin)
                with whole(path) as scratch:
                    scratch.write_text(point.model_dump_json())
            yield point
            before = point.chosen

    def _choose(self, name: str, arm: Arm, seed: int, before: list[int], n: int) -> list[int]:
        """Choose the next labels; the first are one random draw for all arms of a seed."""
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
            load=lambda: self._committee(before, seed),
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
        dtype = self.plan.hyperparameters.dtype
        files = [folder / member.file for member in committee.members]
        return mace.committee_calculator(files, dtype=dtype)

    def _point(self, name: str, seed: int, chosen: list[int], begin: float) -> ReplayPoint:
        """Train on the chosen labels, and test."""
        test = self.test
        energies, forces = mace.predict(self._committee(chosen, seed), test.atoms)
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
                label: _rms(mobile[test.bins == b]) for b, label in enumerate(OPEN_BINS)
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
            "hyperparameters": plan.hyperparameters.model_dump(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def compare(name: str, points: Sequence[ReplayPoint], targets: dict[int, float]) -> ReplayCurve:
    """Make one arm's learning curve, and what it needs beside the random arm.

    Parameters
    ----------
    name
        The arm.
    points
        All arms' points.
    targets
        Error to reach by seed, eV/Å.
    """
    own = [p for p in points if p.arm == name]
    counts = sorted({p.n_labels for p in own})
    at = [[p for p in own if p.n_labels == n] for n in counts]
    means = [mean_interval([p.rmse_mobile for p in here]) for here in at]
    needed, random = (
        _needed(own, targets),
        _needed([p for p in points if p.arm == "random"], targets),
    )
    shares = {seed: _ratio(n, random.get(seed)) for seed, n in needed.items()}
    known = [x for x in shares.values() if x is not None]
    mean, interval = (
        mean_interval(np.log(known).tolist()) if len(known) == len(shares) else (None, None)
    )
    return ReplayCurve(
        arm=name,
        n_labels=counts,
        rmse_mobile=[m for m, _ in means],
        interval=[i for _, i in means],
        rmse_by_openness={
            b: [float(np.mean([p.rmse_by_openness[b] for p in here])) for here in at]
            for b in OPEN_BINS
        },
        labels_to_target=needed,
        share_of_random=shares,
        mean_share=None if mean is None else math.exp(mean),
        share_interval=interval and (math.exp(interval[0]), math.exp(interval[1])),
    )


def _ratio(labels: float | None, others: float | None) -> float | None:
    return None if labels is None or others is None else labels / others


def _needed(points: Sequence[ReplayPoint], targets: dict[int, float]) -> dict[int, float | None]:
    """Return the labels that each seed needs for its target."""
    found = {}
    for seed in sorted({p.seed for p in points}):
        own = sorted((p for p in points if p.seed == seed), key=lambda p: p.n_labels)
        counts, errors = [p.n_labels for p in own], [p.rmse_mobile for p in own]
        found[seed] = labels_to_reach(counts, errors, targets[seed])
    return found


def _targets(points: Sequence[ReplayPoint], plan: ReplayPlan) -> tuple[dict[int, float], str]:
    """Return the error to reach by seed, and where it comes from."""
    seeds = range(plan.first_seed, plan.first_seed + plan.seeds)
    if plan.target is not None:
        return dict.fromkeys(seeds, plan.target), "stated"
    last = plan.counts[-1]
    found = {p.seed: p.rmse_mobile for p in points if p.arm == "random" and p.n_labels == last}
    return found, f"random's error at {last} labels, seed by seed"


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
            digest.update(x.frame_hash.encode())
            digest.update(np.float64(x.atoms.info["REF_energy"]).tobytes())
            digest.update(x.atoms.arrays["REF_forces"].tobytes())
        digest.update(b"|")
    return digest.hexdigest()[:12]


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
