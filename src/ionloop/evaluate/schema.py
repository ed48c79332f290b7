"""Documents of the evaluate stage: every number with its error, unit and estimator."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ionloop.document import Document
from ionloop.evaluate.accuracy_schema import Accuracy
from ionloop.judge.schema import HopRate


class Estimate(Document):
    """A number that doesn't stand alone."""

    value: float | None = Field(description="None where it can't be given; see reason.")
    error: float | None = Field(None, description="One standard error, same unit.")
    interval: tuple[float, float] | None = Field(
        None, description="90 % interval, same unit; None where it isn't known."
    )
    upper_bound: float | None = Field(
        None, description="95 % upper bound where there is no value, same unit."
    )
    unit: str
    estimator: str = Field(description="How it was estimated.")
    admissible: bool = Field(description="Whether the rules for this estimate hold.")
    reason: str | None = Field(None, description="Why it isn't admissible or is missing.")


class Check(Document):
    """One rule that a number must meet to be believed."""

    name: str
    passed: bool
    detail: str = Field(description="What was found, and what was expected.")


class Contact(Document):
    """How near two elements came."""

    pair: tuple[str, str]
    distance: float = Field(description="Å.")


class Stability(Document):
    """What becomes of the solid in long, hot molecular dynamics."""

    temperature: float = Field(description="K.")
    repeats: list[int] = Field(description="Of the given structure, along the three axes.")
    n_atoms: int
    picoseconds: float = Field(description="Length that was asked for, ps.")
    survived_ps: float = Field(description="Length until it ended or was unphysical, ps.")
    stopped: str | None = Field(description="Why it ended early; None if it didn't.")
    lindemann: float = Field(
        description="Vibrations over nearest distance, median over the framework's atoms."
    )
    wandering: float = Field(
        description="Share of the framework's atoms beyond the limit: they hopped, turn or flow."
    )
    contacts: list[Contact] = Field(
        description="Smallest distances by elements, within 3 Å, in all stored frames and in the "
        "one that ended a run."
    )
    nve_ps: float = Field(description="Length of the run without a bath, ps.")
    drift: Estimate | None = Field(description="Of the total energy without a bath.")
    scatter: float | None = Field(description="RMS of the total energy around it, meV/atom.")
    checks: list[Check] = Field(description="The rules, one by one.")
    steered_by: str | None = Field(None, description="Which model; None where a scorecard says.")

    @property
    def failures(self) -> list[Check]:
        """The rules that don't hold."""
        return [check for check in self.checks if not check.passed]


class Conduction(Document):
    """What follows from a diffusivity: per axis, collective, conductivity, Haven ratio."""

    tensor: list[list[float]] | None = Field(
        None, description="Tracer diffusivity tensor, [3, 3], cm²/s, in the cell's own frame."
    )
    tensor_error: list[list[float]] | None = Field(
        None, description="One standard error of each component, cm²/s."
    )
    axes: list[Estimate] = Field(default=[], description="Tracer D along x, y and z, cm²/s.")
    collective: Estimate = Field(description="D of the ions' summed displacement, cm²/s.")
    sigma: Estimate = Field(description="Nernst-Einstein conductivity of tracer D, mS/cm.")
    sigma_collective: Estimate = Field(description="Conductivity of collective D, mS/cm.")
    haven_ratio: Estimate = Field(description="Tracer over collective D.")


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
        description="Standard error of the MSD, Å²; empty in documents from before it was kept.",
    )
    framework_msd: float | None = Field(
        description="Framework MSD at the longest lag, Å²; None where nothing was measured."
    )
    time_ps: float = Field(description="Length of what was analysed, ps, all replicas.")
    n_mobile: int | None = Field(None, description="Mobile ions of one run.")
    n_atoms: int | None = Field(None, description="Atoms of one run.")
    n_runs: int | None = Field(None, description="Runs that were pooled.")
    n_blocks: int | None = Field(None, description="Blocks that the error's dispersion is from.")
    n_independent: float | None = Field(
        None,
        description="Ions that would scatter as much as all of them do, were they independent.",
    )
    hop_distance: float | None = Field(None, description="a, Å.")
    second: Estimate | None = Field(None, description="D by another estimator, cm²/s.")
    checks: list[Check] = Field(default=[], description="The rules, one by one.")
    conduction: Conduction | None = Field(
        None, description="Bounds where too few hops; None where nothing was measured."
    )


class Room(Document):
    """Diffusion at 300 K."""

    how: str = Field(description="direct, from runs there, or extrapolated.")
    d: Estimate = Field(description="D, cm²/s.")
    sigma: Estimate | None = Field(None, description="Nernst-Einstein conductivity, mS/cm.")
    decades: float = Field(description="Width of D's 90 % interval, powers of ten.")


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
    transition: str | None = Field(
        None, description="Where ln D breaks, as at a phase transition; the fit stays below."
    )
    room: Room | None = Field(None, description="300 K; None without runs there or a fit.")


class Cost(Document):
    """Wall time of a step, or of a reference's label; the note says which, and where."""

    calculator: str
    n_atoms: int
    seconds_per_step: float = Field(description="Median wall time of energy and forces, s.")
    quartiles: tuple[float, float] | None = Field(
        None, description="First and third quartile of the wall times, s; None below 4 calls."
    )
    peak_mb: float | None = Field(
        None, description="Largest resident memory of a process with this calculator alone, MB."
    )
    base_mb: float | None = Field(
        None, description="The same before the first step: libraries and the model, MB."
    )
    cpu_seconds: float | None = Field(
        None,
        description="Median CPU time of a step, all threads and programs, s; None where it "
        "wasn't taken, or on a GPU.",
    )
    cpu_quartiles: tuple[float, float] | None = Field(
        None, description="First and third quartile of the CPU times, s; None below 4 calls."
    )
    n_timed: int
    cores: int | None = Field(
        None, description="Cores that each call had; None if unknown, not alike, or on a GPU."
    )
    hardware: str | None = Field(
        None, description="Processor; None where a scorecard says, or it isn't known."
    )
    note: str = ""


class RateError(Document):
    """Bracket of ln(k_model / k_ref), see :mod:`ionloop.evaluate.rate_error`."""

    temperature: float = Field(description="K.")
    n_path: int = Field(description="Frames on hops.")
    n_equilibrium: int = Field(description="Frames drawn at random.")
    low: float = Field(description="Lower end of ln(k_model / k_ref).")
    high: float = Field(description="Upper end.")
    first_order: float = Field(description="Its value to first order in beta dV.")

    @property
    def bound(self) -> float:
        """Farther end from 0: the rate is right within a factor of exp(bound)."""
        return max(abs(self.low), abs(self.high))


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
    stability: list[Stability] = Field(
        default=[], description="Long hot runs, one a member of the committee."
    )
    stability_ps: float | None = Field(
        None,
        description="Length of these runs that was asked for, ps: 0 leaves them out; None in "
        "documents from before there were any.",
    )


class TransportInput(Document):
    """One trajectory that was analysed."""

    file: str
    temperature: float = Field(description="K.")
    n_frames: int = Field(description="Frames that were used.")
    n_skipped: int = Field(description="Frames of equilibration left out.")
    n_mobile: int
    n_framework: int
    volume: float = Field(description="Mean volume of the cell, Å³.")


class FiniteSize(Document):
    """D of two cells at one temperature."""

    temperature: float = Field(description="K.")
    n_atoms: tuple[int, int] = Field(description="Atoms of the smaller and of the larger cell.")
    ratio: float | None = Field(description="D of the larger over D of the smaller cell.")
    p_value: float | None = Field(description="Probability of a larger difference by chance.")
    passed: bool | None = Field(description="Whether they agree; None where D is missing.")
    detail: str


class TransportAnalysis(Document):
    """What ``ionloop transport --json`` prints."""

    kind: Literal["ionloop transport"] = "ionloop transport"
    mobile_ion: str
    charge: float = Field(description="Of the mobile ion, e.")
    frame_interval_fs: float = Field(description="Time between frames, fs.")
    hop_distance: float = Field(description="a of the window's rule and of effective hops, Å.")
    hop_distance_from: str = Field(description="Where a is from.")
    inputs: list[TransportInput]
    transport: Transport = Field(description="One point a temperature, of the largest cell.")
    smaller_cells: list[Diffusivity] = Field(description="Points of smaller cells.")
    finite_size: list[FiniteSize] = Field(description="Smaller cells against the largest.")
