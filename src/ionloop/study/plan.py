"""What is compared: material, reference, arms, numbers of labels, seeds, and the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ionloop.campaign.schema import Material
from ionloop.errors import ProfileError
from ionloop.explore.schema import ExploreSettings
from ionloop.profile import Profile
from ionloop.reference.base import Reference
from ionloop.reference.forcefield import ForceFieldReference
from ionloop.select.replay_plan import check_counts, check_positive
from ionloop.study.arms import DEFAULT, arms_named
from ionloop.train.offline import Recipe
from ionloop.train.schema import Hyperparameters


@dataclass(frozen=True)
class ReferenceRuns:
    """MD of the reference.

    Parameters
    ----------
    temperatures
        K.
    n_steps
        Steps of a run; of those that are labelled as many are run as labels need.
    stride
        Steps between frames that are labelled.
    skip
        Steps left out at the start.
    time_step, store_every
        fs, and steps between stored frames.
    """

    temperatures: Sequence[float]
    n_steps: int = 20_000
    stride: int = 100
    skip: int = 500
    time_step: float = 2.0
    store_every: int = 5


@dataclass(frozen=True)
class ArmsPlan:
    """What is compared.

    Parameters
    ----------
    profile, material, reference
        As of a campaign; the reference must be cheap, since the test set is its own long MD.
    seeding
        The reference's MD that gives the first labels, and all of the arm ``aimd``.
    testing
        The reference's MD that gives the test set, one for all seeds and arms.
    settings, md_steps, replicas
        Exploration by the committee at each of ``profile.temperatures``, as of a campaign.
    pulled_runs, hops_wanted
        Of arms that pull ions: such runs at each temperature, where the others there showed fewer
        hops than are wanted. Pulled as ``settings`` say, or as a campaign's tilt is by default.
    hyperparameters
        Of every training but for ``epochs``.
    arms, counts, seeds, first_seed
        Arms, rising numbers of labels of which the first is common to all arms, repeats.
    steps
        Optimizer steps of each training, whatever the number of labels: equal cost.
    size
        Models of a committee.
    n_test
        Test frames of each temperature.
    min_distance
        Near-duplicates are within this, as in a campaign's selection.
    foundation
        Model that the arm ``fine-tune`` starts from.
    """

    profile: Profile
    material: Material
    reference: ForceFieldReference
    seeding: ReferenceRuns
    testing: ReferenceRuns
    settings: ExploreSettings
    hyperparameters: Hyperparameters
    md_steps: int = 1000
    replicas: int = 2
    pulled_runs: int = 2
    hops_wanted: int = 10
    arms: Sequence[str] = DEFAULT
    counts: Sequence[int] = (40, 80, 120)
    seeds: int = 3
    first_seed: int = 0
    steps: int = 1000
    size: int = 2
    n_test: int = 60
    min_distance: float = 0.1
    foundation: Path | None = None

    def __post_init__(self) -> None:
        """Check the plan.

        Raises
        ------
        ProfileError
            If arms aren't known, counts don't rise, a number is too small, or ``fine-tune``
            has no model.
        """
        arms = arms_named(self.arms)
        check_counts(self.counts)
        check_positive(self, "seeds", "steps", "md_steps", "replicas", "pulled_runs", "n_test")
        if any(arm.fine_tuned for arm in arms.values()) and self.foundation is None:
            msg = "the arm fine-tune: expected a foundation model, got none; give --foundation"
            raise ProfileError(msg)

    @property
    def pulling(self) -> ExploreSettings:
        """How runs of arms that pull ions are made."""
        if self.settings.bias == "tilt":
            return self.settings
        return ExploreSettings(
            **{**self.settings.model_dump(), "bias": "tilt", "bias_strength": None}
        )

    def recipe(self, n_labels: int, seed: int, *, fine_tuned: bool) -> Recipe:
        """Return how a committee of so many labels is trained."""
        symbols = sorted(set(self.material.start.symbols))
        recipe = Recipe(
            self.profile.mobile_ion,
            self.profile.r_max,
            self.hyperparameters,
            size=self.size,
            random_seed=seed,
            e0s=self.profile.e0s or self.reference.isolated_atom_energies(symbols),
            foundation=self.foundation if fine_tuned else None,
        )
        return recipe.for_steps(n_labels, self.steps)


def reference_of(reference: Reference) -> ForceFieldReference:
    """Return a reference that is cheap enough.

    Raises
    ------
    ProfileError
        If it is DFT.
    """
    if not isinstance(reference, ForceFieldReference):
        msg = (
            f"expected a force field as reference, since the arms are held to its own long MD, got "
            f"{reference.name}; for labels of DFT that are there already use ionloop replay"
        )
        raise ProfileError(msg)
    return reference
