"""Documents of the judge stage."""

from pydantic import Field

from ionloop.document import Document


class HopRate(Document):
    """Hops counted at one temperature."""

    temperature: float = Field(description="K.")
    n_hops: int = Field(description="Hops, residence-filtered.")
    ion_time_ps: float = Field(description="Mobile ions times simulated time, ps.")


class Metrics(Document):
    """What one generation showed; the judge compares two of these."""

    generation: int
    n_labels: int = Field(description="Admitted labels so far.")
    barriers: dict[str, float] = Field(description="Committee barrier by path class, eV.")
    barrier_spread: dict[str, float] = Field(description="Spread over members, eV.")
    hop_rates: list[HopRate] = Field(description="Hop counts by temperature.")
    trusted_share: float = Field(description="Share of judged frames below sigma_lo.")
    unphysical_events: int = Field(description="Runs and bands that became unphysical.")
    rmse_forces: float = Field(description="Held-out force RMSE of mobile ions, eV/Å.")
    coverage_90: float = Field(description="Coverage of the calibrated 90 % bound.")
    n_selected: int = Field(description="Frames chosen for the next generation.")


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
