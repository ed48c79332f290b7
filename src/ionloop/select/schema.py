"""Documents of the select stage."""

from pydantic import Field

from ionloop.document import Document
from ionloop.frame import Frame


class Selection(Document):
    """The frames that the next generation labels."""

    generation: int = Field(description="Generation that will label them.")
    frames: list[Frame] = Field(description="Chosen frames.")
    counts: dict[str, int] = Field(description="Chosen frames by origin.")
    budget_left: int | None = Field(
        None, description="Labels that could be given away at most, the test set's kept back."
    )
    candidates: dict[str, int] = Field(description="Candidates by origin.")
    n_known: int = Field(description="Candidates dropped because they have a label.")
    n_duplicates: int = Field(description="Candidates dropped as near-duplicates.")
    n_untrusted: int = Field(description="Candidates dropped above the uncertainty ceiling.")


class ReplayPoint(Document):
    """One training of a replay: what so many labels, chosen so, are worth on the test set."""

    arm: str = Field(description="How the labels were chosen.")
    seed: int = Field(description="Seed of first draw, trainings and selection.")
    n_labels: int = Field(description="Labels, validation's included.")
    chosen: list[int] = Field(description="Indices in the pool, in the order of choice.")
    rmse_mobile: float = Field(description="Force RMSE of mobile ions on the test set, eV/Å.")
    rmse_forces: float = Field(description="Force RMSE of all atoms on the test set, eV/Å.")
    rmse_energy: float = Field(
        description="Energy RMSE on the test set, after the mean error is taken off, eV/atom."
    )
    rmse_by_openness: dict[str, float] = Field(
        description="Force RMSE of mobile ions by how open their surroundings are, eV/Å."
    )
    wall_s: float = Field(description="Training, test and selection, s.")


class ReplayCurve(Document):
    """One arm's learning curve over seeds."""

    arm: str = Field(description="How the labels were chosen.")
    n_labels: list[int] = Field(description="Labels.")
    rmse_mobile: list[float] = Field(description="Mean over seeds, eV/Å.")
    interval: list[tuple[float, float] | None] = Field(
        description="90 % interval of the mean by Student's t; None of a single seed."
    )
    rmse_by_openness: dict[str, list[float]] = Field(description="Means over seeds, eV/Å.")
    labels_to_target: dict[int, float | None] = Field(
        description="Labels that reach the target by seed; None where that never happens."
    )
    share_of_random: dict[int, float | None] = Field(
        description="Labels beside those of the random arm of the same seed; None where the arm "
        "doesn't reach the target, or random doesn't."
    )
    mean_share: float | None = Field(
        None, description="Geometric mean over seeds; None unless all seeds reach the target."
    )
    share_interval: tuple[float, float] | None = Field(
        None, description="Its 90 % interval by Student's t on the logarithm."
    )


class Replay(Document):
    """What labels would have been enough: a pool of labels, chosen from as a campaign does."""

    mobile_ion: str = Field(description="Element of the mobile ion.")
    n_pool: int = Field(description="Different frames in the pool.")
    n_repeated: int = Field(description="Frames left out as repeats of others.")
    n_test: int = Field(description="Test frames.")
    openness_limits: tuple[float, float] = Field(
        description="Openness of test ions that parts near equilibrium, shoulder and bottleneck."
    )
    targets: dict[int, float] = Field(description="Error to reach by seed, eV/Å.")
    target_source: str = Field(description="Where the targets come from.")
    curves: list[ReplayCurve] = Field(description="One an arm.")
    points: list[ReplayPoint] = Field(description="All trainings.")
