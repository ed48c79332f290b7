"""Documents of the judge stage."""

from pydantic import Field

from ionloop.document import Document


class HopRate(Document):
    """Hops counted at one temperature."""

    temperature: float = Field(description="K.")
    n_hops: int = Field(description="Hops, residence-filtered.")
    ion_time_ps: float = Field(description="Mobile ions times simulated time, ps.")
    n_effective: float | None = Field(
        None,
        description="Independent hops that these are worth, since hops come in events; None "
        "where that wasn't counted: all of them.",
    )

    @property
    def independent(self) -> tuple[float, float]:
        """Count and time, ps, of independent hops with this rate, known as well as it is."""
        if self.n_effective is None or self.n_hops == 0:
            return self.n_hops, self.ion_time_ps
        return self.n_effective, self.ion_time_ps * self.n_effective / self.n_hops


class Metrics(Document):
    """What one generation showed; the judge compares two of these."""

    generation: int
    n_labels: int = Field(description="Admitted labels so far.")
    n_spent: int | None = Field(
        None, description="Labels asked so far, refused ones too; None where it wasn't counted."
    )
    barriers: dict[str, float] = Field(
        description="Committee barrier by path class, eV; of converged bands only."
    )
    unconverged_bands: list[str] = Field(
        default=[], description="Path classes whose bands didn't converge."
    )
    barrier_spread: dict[str, float] = Field(description="Spread over members, eV.")
    found_barriers: list[tuple[str, float, float]] = Field(
        default=[],
        description="Hops that MD showed and that came back: class, barrier before and now, eV.",
    )
    found_unconverged: int = Field(
        0, description="Such hops that have no converged band on this committee."
    )
    hop_rates: list[HopRate] = Field(description="Hop counts by temperature.")
    trusted_share: float = Field(description="Share of judged frames below sigma_lo.")
    unphysical_events: int = Field(description="Runs and bands that ended early.")
    rmse_forces: float = Field(description="Held-out force RMSE of mobile ions, eV/Å.")
    coverage_90: float = Field(description="Coverage of the calibrated 90 % bound.")
    n_selected: int = Field(description="Frames chosen for the next generation.")


class Limits(Document):
    """When a campaign counts as converged."""

    barrier_change: float = Field(
        0.010, gt=0, description="Largest change of a barrier between generations, eV."
    )
    barrier_spread: float = Field(
        0.030, gt=0, description="Largest spread of a barrier over the committee, eV."
    )
    rate_factor: float = Field(
        1.5, gt=1, description="Factor between hop rates that passes however well they are known."
    )
    rate_confidence: float = Field(
        0.90, gt=0, lt=1, description="Confidence of the interval that a change must lie in."
    )
    min_hops: int = Field(
        10, ge=1, description="Hops of each generation, below which rates can't be settled."
    )
    trusted_share: float = Field(
        0.95, ge=0, le=1, description="Least share of judged frames below sigma_lo."
    )
    unphysical_events: int = Field(
        0, ge=0, description="Runs and bands of a generation that may end early."
    )


class Criterion(Document):
    """One test of convergence, in words and numbers."""

    name: str
    passed: bool
    value: float | None = Field(description="None where it can't be judged yet.")
    limit: float
    unit: str
    reason: str = Field(description="The verdict in words.")


class Judgement(Document):
    """Stop or go on, and why."""

    generation: int
    converged: bool = Field(description="Whether every criterion passed.")
    stop: bool = Field(description="Whether the campaign ends here, converged or not.")
    reasons: list[str] = Field(description="The judge's reasons, in words.")
    criteria: list[Criterion]
    metrics: Metrics
