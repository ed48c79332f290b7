"""The scorecard: what is known of one calculator in parts, each with what computed it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ionloop.document import Document
from ionloop.evaluate.accuracy_schema import Accuracy
from ionloop.evaluate.schema import Check, Cost, Estimate, Stability, TransportAnalysis

PARTS = ("accuracy", "static", "expansion", "cost", "diffusion", "stability")


class ModelFacts(Document):
    """Who was evaluated."""

    name: str
    kind: Literal["mace", "force field", "lammps", "function", "dft"]
    sha256: str = Field(description="Hash of what decides its numbers, as far as that is known.")
    hashed: str = Field(description="What the hash is of.")
    files: list[str] = Field(default=[], description="Where it was found.")
    file_hashes: list[str] = Field(
        default=[], description="sha256 of each MACE model file: a campaign's members have them."
    )
    versions: dict[str, str] = Field(description="Packages that compute it.")


class Part(Document):
    """One part: done, or why there is none."""

    status: Literal["done", "not asked", "missing"]
    reason: str | None = Field(None, description="Why there is no result.")
    settings: dict[str, Any] = Field(default={}, description="All that was chosen.")
    versions: dict[str, str] = Field(default={}, description="Packages that computed it.")
    key: str | None = Field(None, description="Hash of model, input, settings and versions.")
    wall_s: float | None = Field(None, description="Wall time, s.")


class AccuracyPart(Part):
    """Errors on labelled frames."""

    result: Accuracy | None = None


class PolarModes(Document):
    """Modes at Γ with the field that long longitudinal waves make in an ionic crystal."""

    born_sha256: str = Field(description="Of the file of Born charges.")
    dielectric: list[list[float]] = Field(description="High-frequency tensor, [3, 3].")
    highest_without_field: float = Field(description="At Γ, THz.")
    highest_with_field: tuple[float, float, float] = Field(
        description="THz, of a wave vector that goes to 0 along a*, b* and c*."
    )
    without_field: list[float] = Field(default=[], description="All modes at Γ, THz.")
    with_field: list[list[float]] = Field(
        default=[], description="All modes along a*, b* and c*, THz."
    )


class Phonons(Document):
    """Harmonic frequencies at the q points that the supercell holds, without interpolation."""

    supercell: list[int] = Field(description="Repeats along the three axes.")
    n_displacements: int
    n_q: int = Field(description="Commensurate q points.")
    lowest: float = Field(description="Lowest frequency, THz; below 0 if imaginary.")
    highest: float = Field(description="THz.")
    n_modes: int = Field(description="Modes at all q points.")
    n_imaginary: int = Field(description="Of them, imaginary beyond the tolerance.")
    tolerance: float = Field(description="THz.")
    meaning: str = Field(description="What the imaginary modes say.")
    frequencies: list[float] = Field(description="Edges of the histogram's bins, THz.")
    counts: list[int] = Field(description="Modes in each bin.")
    polar: PolarModes | None = Field(None, description="None where no Born charges were given.")


class StaticProperties(Document):
    """The relaxed crystal."""

    formula: str
    n_atoms: int
    cell: list[list[float]] = Field(description="Relaxed lattice vectors as rows, Å.")
    lengths: tuple[float, float, float] = Field(description="a, b, c, Å.")
    angles: tuple[float, float, float] = Field(description="α, β, γ, degrees.")
    volume_per_atom: float = Field(description="Å³.")
    volume_change: float = Field(description="Relaxed over given volume, less 1.")
    density: float = Field(description="g/cm³.")
    bulk_modulus: Estimate = Field(description="B0 of the equation of state, GPa.")
    eos_volumes: list[float] = Field(default=[], description="Å³ of the cell.")
    eos_energies: list[float] = Field(default=[], description="eV of the cell.")
    elastic: list[list[float]] | None = Field(
        None, description="Elastic tensor of the given orientation, Voigt, [6, 6], GPa."
    )
    bulk_vrh: Estimate = Field(description="Hill's bulk modulus of the elastic tensor, GPa.")
    shear_vrh: Estimate = Field(description="Hill's shear modulus of the elastic tensor, GPa.")
    phonons: Phonons | None = None
    checks: list[Check] = Field(description="The rules, one by one.")


class StaticPart(Part):
    """Relaxed cell, equation of state, elastic tensor, phonons."""

    result: StaticProperties | None = None


class ExpansionPoint(Document):
    """The cell at one temperature and zero pressure."""

    temperature: float = Field(description="K.")
    picoseconds: float = Field(description="Length of the run, equilibration included, ps.")
    stopped: str | None = Field(description="Why it ended early; None if it didn't.")
    volume: Estimate = Field(description="Mean, Å³/atom.")
    lengths: list[Estimate] = Field(
        description="Mean a, b, c of the repeated cell, Å; empty if the run ended too early."
    )
    bulk_modulus: Estimate = Field(description="Isothermal, by the volume's fluctuations, GPa.")
    lindemann: float | None = Field(
        description="Vibrations over nearest distance, median over the framework's atoms."
    )


class Expansion(Document):
    """Thermal expansion by molecular dynamics at zero pressure."""

    repeats: list[int] = Field(description="Of the given structure, along the three axes.")
    n_atoms: int
    picoseconds: float = Field(description="Length of each run that was asked for, ps.")
    points: list[ExpansionPoint] = Field(description="One a temperature.")
    alpha_volume: Estimate = Field(description="d ln V / dT, 1e-6/K.")
    alpha_axes: list[Estimate] = Field(description="d ln a / dT of a, b, c, 1e-6/K.")
    checks: list[Check] = Field(description="The rules, one by one.")


class ExpansionPart(Part):
    """Molecular dynamics at zero pressure and several temperatures."""

    result: Expansion | None = None


class Crystal(Document):
    """What a campaign's committee makes of the perfect crystal."""

    model: ModelFacts
    static: StaticPart
    expansion: ExpansionPart


class SpeedUp(Document):
    """Core-seconds an atom of the reference's label or step over those of the model's step."""

    model: str = Field(description="Who is faster.")
    reference: str = Field(description="Than whom.")
    over: str = Field(description="'DFT', or 'the reference' where a force field is the teacher.")
    n_atoms: int | None = Field(None, description="Atoms of the cell that both were timed on.")
    ratio: float | None = Field(None, description="Of the medians; None where it isn't known.")
    quartiles: tuple[float, float] | None = Field(
        None,
        description="The reference's first quartile over the model's third, and the other way "
        "round; None where one has fewer than four times.",
    )
    missing: str | None = Field(None, description="Why there is no ratio.")


class Scaling(Document):
    """Cost against the number of atoms."""

    costs: list[Cost] = Field(
        description="One a number of atoms and calculator, `model` or `reference`."
    )
    exponents: dict[str, float] = Field(
        description="b of s = a n^b over the three largest sizes, of `model` and `reference`."
    )
    atoms_per_gb: dict[str, float] = Field(
        default={},
        description="Atoms that one more GB of memory holds, by the three largest sizes, of "
        "`model` and `reference`.",
    )
    speed_up: list[tuple[int, float]] = Field(
        default=[], description="Number of atoms, and the reference's over the model's wall time."
    )
    speed_ups: list[SpeedUp] = Field(
        default=[],
        description="Over `reference`, one a number of atoms that both have, by their CPU time: "
        "what counts where one of them uses more cores than the other.",
    )
    stopped: str = Field(description="Why there is no larger size.")
    cores: int | None = Field(
        description="Cores that the calculators may use; None if unknown, or on a GPU."
    )
    hardware: str | None = Field(description="Processor; None if unknown.")


class CostPart(Part):
    """Time and memory of a step."""

    result: Scaling | None = None


class Rdf(Document):
    """Radial distribution of one pair of elements in molecular dynamics."""

    pair: tuple[str, str]
    temperature: float = Field(description="K.")
    n_frames: int = Field(description="Frames in the mean.")
    r: list[float] = Field(description="Middles of the shells, Å.")
    g: list[float] = Field(description="Density over the mean density.")


class Dynamics(Document):
    """What the calculator's own molecular dynamics gives."""

    repeats: list[int] = Field(description="Of the given structure, along the three axes.")
    n_atoms: int
    transport: TransportAnalysis
    rdf: list[Rdf] = Field(description="The mobile ion's, at the lowest temperature.")


class DiffusionPart(Part):
    """Diffusion of the calculator's own molecular dynamics."""

    result: Dynamics | None = None


class StabilityPart(Part):
    """A long run at high temperature, and one without a bath."""

    result: Stability | None = None


class Scorecard(Document):
    """What ``ionloop evaluate --json`` prints."""

    kind: Literal["ionloop evaluate"] = "ionloop evaluate"
    material: str = Field(description="Name of the profile.")
    mobile_ion: str
    model: ModelFacts
    reference: ModelFacts | None = Field(None, description="Beside whom the cost was measured.")
    structure: str | None = Field(None, description="Formula of the structure.")
    accuracy: AccuracyPart
    static: StaticPart
    expansion: ExpansionPart = ExpansionPart(status="not asked")
    cost: CostPart
    diffusion: DiffusionPart
    stability: StabilityPart = StabilityPart(status="not asked")
