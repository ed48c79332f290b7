"""Documents of the evaluate stage: every number with its error, unit and estimator."""

from __future__ import annotations

from pydantic import Field

from ionloop.document import Document
from ionloop.judge.schema import HopRate


class Estimate(Document):
    """A number that doesn't stand alone."""

    value: float | None = Field(description="None where it can't be given; see reason.")
    error: float | None = Field(None, description="One standard error, same unit.")
    unit: str
    estimator: str = Field(description="How it was estimated.")
    admissible: bool = Field(description="Whether the rules for this estimate hold.")
    reason: str | None = Field(None, description="Why it isn't admissible or is missing.")


class ErrorBin(Document):
    """Force errors of a group of held-out labels."""

    name: str = Field(description="Origin, or bin of the hop coordinate.")
    n_frames: int
    n_forces: int = Field(description="Force components.")
    rmse_forces: float = Field(description="eV/Å.")
    mae_forces: float = Field(description="eV/Å.")
    rmse_error: float | None = Field(
        description="Bootstrap standard error of the RMSE over groups, eV/Å; None for one group."
    )
    rms_reference: float = Field(description="RMS of the reference forces, eV/Å.")


class Accuracy(Document):
    """Errors on held-out labels."""

    n_frames: int
    forces_by_origin: list[ErrorBin] = Field(description="All atoms, by origin.")
    forces_by_hop_bin: list[ErrorBin] = Field(
        description="Hopping ions: near equilibrium, shoulder, saddle."
    )
    energy_rmse: float | None = Field(None, description="eV/atom; None for charged cells.")
    energy_rmse_error: float | None = Field(
        None, description="Bootstrap standard error over groups, eV/atom; None for one group."
    )
    energy_mae: float | None = Field(None, description="eV/atom; None for charged cells.")
    energy_mae_error: float | None = Field(
        None, description="Bootstrap standard error over groups, eV/atom; None for one group."
    )
    parity_forces: list[tuple[float, float]] = Field(
        description="Reference and model force components, thinned, eV/Å."
    )
    parity_energies: list[tuple[float, float]] = Field(
        description="Reference and model energies less their means, eV/atom."
    )
    progress_errors: list[tuple[float, float]] = Field(
        description="Hop coordinate and force error norm of the hopping ion, eV/Å."
    )


class Diffusivity(Document):
    """Tracer diffusivity at one temperature."""

    temperature: float = Field(description="K.")
    d: Estimate = Field(description="D in cm²/s, or an upper bound where too few hops.")
    n_eff: float | None = Field(
        description="Effective number of hops, max TMSD / a², a the longest enumerated hop; None "
        "where nothing was measured."
    )
    alpha: float | None = Field(None, description="d ln MSD / d ln t in the window.")
    window_fs: tuple[float, float] | None = Field(
        description="Lag times of the fit, fs; None where nothing was measured."
    )
    msd_time_fs: list[float] = Field(description="Lag times of the curve, fs.")
    msd: list[float] = Field(description="Drift-corrected MSD of mobile ions, Å².")
    msd_error: list[float] = Field(
        default=[],
        description="Standard error of the MSD over ions, or over replicas where larger, Å²; "
        "empty for one ion of one run, and in documents from before it was kept.",
    )
    framework_msd: float | None = Field(
        description="Framework MSD at the longest lag, Å²; None where nothing was measured."
    )
    time_ps: float = Field(description="Length of what was analysed, ps, all replicas.")


class Transport(Document):
    """Diffusion of one calculator."""

    calculator: str
    points: list[Diffusivity]
    activation_energy: Estimate = Field(description="E_a, eV.")
    ln_d0: float | None = Field(None, description="Intercept of ln(D / cm² s⁻¹).")
    hop_rates: list[HopRate] = Field(default=[], description="Hops counted by temperature.")
    hop_activation_energy: Estimate | None = Field(
        None, description="Activation energy of the hop rate, eV; None where not counted."
    )
    covariance: list[list[float]] | None = Field(None, description="Of (ln D0, E_a); E_a in eV.")


class Cost(Document):
    """Wall time of a step, or of a reference's label; the note says which, and where."""

    calculator: str
    n_atoms: int
    seconds_per_step: float = Field(description="Median wall time of energy and forces, s.")
    quartiles: tuple[float, float] | None = Field(
        None, description="First and third quartile of the wall times, s; None below 4 calls."
    )
    n_timed: int
    note: str = ""


class BarrierComparison(Document):
    """One hop, by the model and by the reference, with the same estimator."""

    path_class: str
    model: float | None = Field(description="Committee CI-NEB barrier, eV.")
    model_spread: float | None = Field(description="Spread over members, eV.")
    reference: float | None = Field(description="Reference CI-NEB barrier, eV.")
    model_converged: bool | None = Field(
        None, description="Whether the model's band and its ends converged; None if unknown."
    )
    reference_converged: bool | None = Field(
        None, description="Whether the reference's band and its ends converged; None if unknown."
    )
    estimator: str = Field("CI-NEB", description="How both barriers were computed.")


class Evaluation(Document):
    """The scorecard of a campaign's last committee."""

    generation: int
    accuracy: Accuracy
    barriers: list[BarrierComparison]
    model_transport: Transport
    reference_transport: Transport | None = Field(
        None, description="None where the reference is too dear to run."
    )
    cost: list[Cost]
