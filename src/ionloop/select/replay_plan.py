"""What a replay compares: arms, numbers of labels, seeds, and how models are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ionloop.errors import ProfileError
from ionloop.select.arms import arms_named
from ionloop.train.offline import Recipe
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
        check_counts(self.counts)
        check_positive(self, "seeds", "steps", "candidates")
        if "random" not in self.arms and self.target is None:
            msg = f"expected the arm random or a target to compare with, got {list(self.arms)}"
            raise ProfileError(msg)
        if self.target is not None and self.target <= 0:
            msg = f"expected a target above 0 eV/Å, got {self.target:g}"
            raise ProfileError(msg)

    def recipe(self, n_labels: int, seed: int) -> Recipe:
        """Return how a committee of so many labels is trained."""
        recipe = Recipe(
            self.mobile_ion, self.r_max, self.hyperparameters, size=self.size, random_seed=seed
        )
        return recipe.for_steps(n_labels, self.steps)


def check_counts(counts: Sequence[int]) -> None:
    """Refuse numbers of labels that make no learning curve.

    Raises
    ------
    ProfileError
        If there are fewer than two, they don't rise, or one is below 8.
    """
    if len(counts) < 2 or (np.diff(counts) <= 0).any() or min(counts) < 8:
        msg = f"expected two or more rising numbers of labels, from 8, got {list(counts)}"
        raise ProfileError(msg)


def check_positive(plan: object, *names: str) -> None:
    """Refuse a plan with a number below 1.

    Raises
    ------
    ProfileError
        If one of the named fields is.
    """
    for name in names:
        if getattr(plan, name) < 1:
            msg = f"expected {name} of 1 or more, got {getattr(plan, name)}"
            raise ProfileError(msg)
