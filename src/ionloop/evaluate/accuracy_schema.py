"""Documents of errors on labels: of forces, energies and stress, of bands, and of uncertainty."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ionloop.document import Document


class Bounded(Document):
    """A number with an interval by a bootstrap over trajectories."""

    value: float | None = Field(description="None where it isn't defined.")
    interval: tuple[float, float] | None = Field(
        None, description="90 % bootstrap interval over groups; None for one group."
    )


class ErrorBin(Document):
    """Force errors of a group of held-out labels."""

    name: str = Field(description="Origin, species, temperature, or bin of the hop coordinate.")
    n_frames: int
    n_groups: int | None = Field(
        None, description="Trajectories or bands; intervals of fewer than about ten are too narrow."
    )
    n_forces: int = Field(description="Force components.")
    rmse_forces: float = Field(description="eV/Å.")
    mae_forces: float = Field(description="eV/Å.")
    rmse_error: float | None = Field(
        description="Bootstrap standard error of the RMSE over groups, eV/Å; None for one group."
    )
    interval: tuple[float, float] | None = Field(
        None, description="90 % bootstrap interval of the RMSE over groups, eV/Å."
    )
    rms_reference: float = Field(description="RMS of the reference forces, eV/Å.")


class StressErrors(Document):
    """Errors of the nine stress components of neutral cells, eV/Å³."""

    n_frames: int = Field(description="Frames with a stress by model and label.")
    rmse: float
    interval: tuple[float, float] | None = Field(
        description="90 % bootstrap interval over groups; None for one group."
    )
    rms_reference: float = Field(description="RMS of the reference stress.")


class FrameErrors(Document):
    """Errors of numbers that a frame has as a whole: its energy, its stress."""

    by: Literal["origin", "temperature", "hop"] = Field(description="What parts the frames.")
    name: str = Field(description="Origin, temperature, or bin of the hop coordinate.")
    n_frames: int = Field(description="Neutral cells that have the number.")
    n_groups: int = Field(description="Trajectories or bands.")
    rmse: float
    interval: tuple[float, float] | None = Field(
        description="90 % bootstrap interval over groups; None for one group."
    )


class BandErrors(Document):
    """Errors along the reference's bands of one class of hops, at the reference's own images.

    Energies of a band are relative to its first labelled image, as a barrier is.
    """

    path_class: str = Field(description="Symmetry class of the hop.")
    n_bands: int
    n_images: int = Field(description="Labelled images, the first ones included.")
    energy_rmse: float = Field(description="Of relative energies, first images left out, eV.")
    energy_max: float = Field(description="Largest error of a relative energy, signed, eV.")
    energy_spread: float | None = Field(
        None,
        description="RMS of the members' standard deviation of relative energies, uncalibrated, "
        "eV; None for one model.",
    )
    rmse_forces: float = Field(description="Of all atoms' force components, eV/Å.")
    rmse_ion: float = Field(description="Of the hopping ion's force components, eV/Å.")
    rms_reference: float = Field(description="RMS of the reference's force components, eV/Å.")


class UncertaintyQuality(Document):
    """What the committee's spread on mobile ions says of its errors, on held-out labels."""

    origin: str = Field(description="Origin of the frames; 'all' for all together.")
    n_frames: int
    n_groups: int = Field(description="Trajectories; intervals of fewer than ten are too narrow.")
    n_ions: int = Field(description="Mobile ions of all frames.")
    coverage_90: Bounded = Field(description="Share of errors within the calibrated 90 % bound.")
    miscalibration: Bounded = Field(
        description="Area between shares expected of normal errors and found ones, 0 to 0.5."
    )
    spearman: Bounded = Field(description="Rank correlation of spread and error.")
    auroc: Bounded = Field(
        description="Area under the ROC curve: the spread as a test for the worst tenth of errors."
    )
    error_ratio: Bounded = Field(
        description="RMS error over the RMS of the calibrated spread; 1 if it's right."
    )


class Accuracy(Document):
    """Errors on held-out labels."""

    n_frames: int
    forces_by_origin: list[ErrorBin] = Field(description="All atoms, by origin.")
    forces_by_hop_bin: list[ErrorBin] = Field(
        description="Hopping ions: near equilibrium, shoulder, saddle."
    )
    forces_by_species: list[ErrorBin] = Field(default=[], description="Atoms of one element.")
    forces_by_temperature: list[ErrorBin] = Field(
        default=[], description="All atoms of frames whose temperature is known."
    )
    forces_by_openness: list[ErrorBin] = Field(
        default=[], description="Mobile ions: near equilibrium, shoulder, bottleneck."
    )
    openness_limits: tuple[float, float] | None = Field(
        None, description="q that parts these bins: its 70 % and 95 % quantiles."
    )
    openness_missing: str | None = Field(None, description="Why openness isn't defined.")
    energy_rmse: float | None = Field(None, description="eV/atom; None for charged cells.")
    energy_rmse_error: float | None = Field(
        None, description="Bootstrap standard error over groups, eV/atom; None for one group."
    )
    energy_interval: tuple[float, float] | None = Field(
        None, description="90 % bootstrap interval of the RMSE over groups, eV/atom."
    )
    energy_shift: float | None = Field(
        None, description="Mean of model less label, eV/atom: an offset that no force knows."
    )
    energy_rmse_shifted: float | None = Field(
        None, description="RMSE less that one offset for all frames, eV/atom."
    )
    energy_shifted_interval: tuple[float, float] | None = Field(
        None, description="Its 90 % bootstrap interval over groups, at the offset of all frames."
    )
    energy_mae: float | None = Field(None, description="eV/atom; None for charged cells.")
    energy_mae_error: float | None = Field(
        None, description="Bootstrap standard error over groups, eV/atom; None for one group."
    )
    energies: list[FrameErrors] = Field(
        default=[], description="Energies less that offset, eV/atom, by origin and so on."
    )
    stress: StressErrors | None = Field(None, description="None where it wasn't compared.")
    stresses: list[FrameErrors] = Field(
        default=[], description="Stress components, eV/Å³, by origin and so on."
    )
    saddle_ratio: Bounded | None = Field(
        None,
        description="RMSE of the hopping ion's force at the saddle over that near equilibrium; "
        "None where one of them has no frame.",
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
    progress_energies: list[tuple[float, float]] = Field(
        default=[], description="Hop coordinate and energy error less the mean one, eV/atom."
    )
    uncertainty: list[UncertaintyQuality] = Field(
        default=[], description="What the committee's spread says of its errors: all, by origin."
    )
    uncertainty_missing: str | None = Field(
        None, description="Why that isn't known; None if it is, or in documents from before."
    )
    along_bands: list[BandErrors] = Field(
        default=[], description="Errors along the reference's bands, one a class of hops."
    )
    grouped: str | None = Field(
        None, description="How frames without a group were treated; None if all have one."
    )
    bands_unclear: int = Field(
        0, description="Bands that were left out, since their labels may be of several bands."
    )
