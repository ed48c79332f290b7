"""Documents of the comparison of arms."""

from __future__ import annotations

from pydantic import Field

from ionloop.document import Document
from ionloop.evaluate.schema import RateError


class ArmScore(Document):
    """What a committee is worth on the reference's own hops."""

    rmse_by_hop_bin: dict[str, float] = Field(
        description="Force RMSE of hopping ions by bin of the hop coordinate, eV/Å."
    )
    rmse_random: float = Field(description="Force RMSE of mobile ions of random frames, eV/Å.")
    saddle_ratio: float = Field(description="RMSE at saddles over that near equilibrium.")
    barriers: dict[str, float | None] = Field(
        description="The committee's barrier by path class, eV; None where the band broke down."
    )
    barrier_errors: dict[str, float | None] = Field(
        description="Distance of the committee's barriers from the reference's by path class, eV; "
        "None where its band is missing or didn't converge."
    )
    barrier_error: float | None = Field(
        description="Largest difference from the reference's barriers, eV; None where one is "
        "missing or its band didn't converge."
    )
    rate_errors: list[RateError] = Field(description="By temperature.")
    rate_bound: float = Field(description="Largest of their bounds: rates are right within exp.")


class ArmPoint(Document):
    """One committee of the comparison."""

    arm: str = Field(description="How the labels were chosen.")
    seed: int = Field(description="Seed of first labels, trainings, runs and choices.")
    n_labels: int = Field(description="Labels that were asked, refused ones too.")
    n_refused: int = Field(description="Of these, refused: not trained on.")
    origins: dict[str, int] = Field(description="Labels by origin.")
    n_filled: int = Field(
        description="Labels of the last choice for which the arm found no candidates: other "
        "explored frames, then the next of the reference's MD."
    )
    n_hops: int | None = Field(None, description="Hops in the runs that the last were chosen from.")
    n_ended: int | None = Field(None, description="Of these runs, ended early.")
    score: ArmScore = Field(description="On the common test set.")
    wall_s: float = Field(description="Exploration, choice, training and test, s.")


class MeanOverSeeds(Document):
    """One number at each count of labels."""

    mean: list[float | None] = Field(description="Mean over seeds; None if a seed has none.")
    interval: list[tuple[float, float] | None] = Field(
        description="90 % interval of the mean by Student's t; None of a single seed."
    )


class ArmCurve(Document):
    """One arm's learning curves."""

    arm: str = Field(description="How the labels were chosen.")
    n_labels: list[int] = Field(description="Labels.")
    rmse_by_hop_bin: dict[str, MeanOverSeeds] = Field(description="eV/Å.")
    saddle_ratio: MeanOverSeeds = Field(description="Dimensionless.")
    barrier_errors: dict[str, MeanOverSeeds] = Field(description="By path class, eV.")
    barrier_error: MeanOverSeeds = Field(description="The largest, eV.")
    rate_bound: MeanOverSeeds = Field(description="Of ln k.")


class ArmStudy(Document):
    """Ways to choose labels, at equal labels, against a reference that is known."""

    material: str = Field(description="Name of the profile.")
    mobile_ion: str = Field(description="Element of the mobile ion.")
    reference: str = Field(description="Who computes the truth.")
    seed_temperatures: list[float] = Field(description="Of the reference's MD, K.")
    temperatures: list[float] = Field(description="Of the committee's MD, K.")
    test_temperatures: list[float] = Field(description="Of the test set, K.")
    n_test: dict[str, int] = Field(description="Test frames by bin of the hop coordinate.")
    barriers: dict[str, float] = Field(description="The reference's, eV.")
    curves: list[ArmCurve] = Field(description="One an arm.")
    points: list[ArmPoint] = Field(description="All trainings.")
