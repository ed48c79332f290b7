"""Documents of the explore stage."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ionloop.document import Document
from ionloop.errors import ExplorationError
from ionloop.frame import Frame
from ionloop.reference.schema import Band, Trajectory

#: Strengths that were measured to do, see docs/theory/hops.md: tau, dimensionless, and eV/Å.
BIAS_STRENGTH = {"uncertainty": 1.0, "tilt": 0.2}


class HopEvent(Document):
    """One hop that molecular dynamics showed, recrossings removed."""

    ion: int = Field(description="Index of the mobile ion.")
    site_from: int = Field(description="Old site.")
    site_to: int = Field(description="New site.")
    t_leave_fs: float = Field(description="Last time on the old site, fs.")
    t_arrive_fs: float = Field(description="First time on the new site, fs.")
    distance: float = Field(description="Distance between the sites, Å.")
    path_class: str = Field(description="Symmetry class of the hop.")
    temperature: float | None = Field(None, description="Temperature of the run, K.")
    event: int | None = Field(
        None, description="Hops of one trajectory with one number belong together."
    )
    n_ions: int = Field(1, description="Ions of the event; two or more: concerted.")
    progress: list[float] = Field(
        default=[],
        description="Progress s at evenly spaced times from leaving to arriving, both included.",
    )


class SiteChoice(Document):
    """Where the sites of a hop analysis came from, and how well they describe the ions."""

    source: Literal["crystal", "density"] = Field(description="What the sites are.")
    reason: str = Field(description="Why these, in words.")
    n_sites: int = Field(description="Sites in the cell.")
    n_ions: int = Field(description="Mobile ions in the cell.")
    radius: float = Field(description="An ion within this distance is at its site, Å.")
    share_within: float = Field(description="Share of ions and time at a site.")
    share_double: float = Field(
        description="Share of ions and time at a site whose cell another ion is in, too."
    )
    symmetry: int = Field(1, description="Symmetry operations that the sites obey.")


class Exploration(Document):
    """One molecular-dynamics run on the committee."""

    generation: int = Field(description="Generation of the committee.")
    temperature: float = Field(description="Set temperature, K.")
    group: str = Field(description="Name of the trajectory.")
    n_mobile: int = Field(description="Mobile ions in the cell.")
    time_ps: float = Field(description="Time that was simulated before any stop, ps.")
    stopped: str | None = Field(None, description="Why it stopped early; None if it did not.")
    unphysical: bool = Field(description="Whether it ended in an unphysical state.")
    hops: list[HopEvent] = Field(description="Hops, residence-filtered.")
    n_checked: int = Field(description="Frames that the committee judged.")
    n_trusted: int = Field(description="Of these, below sigma_lo.")
    sigma_quantiles: list[float] = Field(
        description="Calibrated uncertainty at 0, 25, 50, 75, 90, 100 %, eV/Å."
    )
    sites: SiteChoice | None = Field(
        None, description="Where the hops' sites came from; None: the crystal, not asked."
    )
    frames: list[Frame] = Field(description="Candidates for labelling.")
    trajectory: Trajectory = Field(description="What was run.")
    wall_s: float = Field(description="Wall time, s; that of a batch is shared out evenly.")
    bias: str | None = Field(
        None,
        description="What made hops frequent, with its strength; such a run gives candidates, and "
        "counts for no rate, D or share. None: nothing did.",
    )


class Saddle(Document):
    """A band's highest image, refined to the saddle point; its atoms are a candidate's."""

    path_class: str = Field(description="Class of the band's hop.")
    method: str = Field(description="Program and version.")
    energy: float = Field(description="Energy, eV.")
    barrier: float = Field(description="Energy above the band's first image, eV.")
    fmax: float | None = Field(None, description="Largest force left on an atom, eV/Å.")
    converged: bool = Field(default=False, description="Whether forces fell below the threshold.")
    moved: float = Field(
        0.0, description="Largest displacement of an atom from the highest image, Å."
    )
    n_imaginary: int | None = Field(
        None, description="Imaginary modes; None where they weren't counted."
    )
    n_force_calls: int = Field(0, description="Force evaluations, those of the modes included.")
    rejected: str | None = Field(
        description="Why the band's highest image counts instead; None if this does."
    )
    frame_hash: str = Field(description="Hash of its frame, a candidate unless rejected.")


def barrier_of(band: Band, saddle: Saddle | None) -> float:
    """Return the refined barrier, or the band's where no refined saddle counts, eV."""
    return band.barrier if saddle is None or saddle.rejected else saddle.barrier


class BandSet(Document):
    """Bands of all enumerated hops on the committee, with spread."""

    generation: int = Field(description="Generation of the committee.")
    bands: list[Band] = Field(description="One band a distinct hop.")
    saddles: list[Saddle] = Field(
        default=[], description="The refined saddle of each band; empty where none was refined."
    )
    not_refined: str | None = Field(
        None, description="Why saddles weren't refined although they should have been."
    )
    barriers: dict[str, float] = Field(
        description="Barrier by path class, eV: of the refined saddle, or else of the band."
    )
    barrier_spread: dict[str, float] = Field(
        description="Standard deviation of the barrier over members, eV, uncalibrated."
    )
    frames: list[Frame] = Field(description="Images as candidates, origin saddle.")
    n_unphysical: int = Field(description="Bands that broke down.")
    wall_s: float = Field(description="Wall time, s.")


class Repeated(Document):
    """A found hop's band, relaxed again on a newer committee."""

    index: int = Field(description="Which of the bands.")
    first: int = Field(description="Generation that found the hop.")
    before: float = Field(description="Barrier on the committee before, eV.")
    now: float = Field(description="Barrier now, eV.")

    @property
    def change(self) -> float:
        """How far the barrier moved, eV."""
        return abs(self.now - self.before)


class FoundBands(Document):
    """Bands of hops that molecular dynamics showed, between quenched end points."""

    generation: int = Field(description="Generation of the committee.")
    bands: list[Band] = Field(
        description="One band an event whose sides differ, then those that were repeated."
    )
    repeated: list[Repeated] = Field(
        default=[], description="Which bands are of hops that earlier generations found."
    )
    n_lost: int = Field(
        0, description="Hops of earlier generations that have no band on this committee."
    )
    saddles: list[Saddle] = Field(
        default=[], description="The refined saddle of each band; empty where none was refined."
    )
    not_refined: str | None = Field(
        None, description="Why saddles weren't refined although they should have been."
    )
    n_imaginary: list[int] = Field(
        description="Imaginary modes of each band's refined saddle, or of its highest image "
        "where that counts; 1 at a saddle."
    )
    frames: list[Frame] = Field(description="Images as candidates, origin saddle.")
    n_events: int = Field(description="Events that were quenched.")
    n_returned: int = Field(description="Of these, both sides fell into one minimum.")
    n_broken: int = Field(description="Of these, the band broke down.")
    wall_s: float = Field(description="Wall time, s.")

    @property
    def refined(self) -> list[Saddle | None]:
        """The refined saddle of each band; None where none was refined."""
        return [*self.saddles] or [None] * len(self.bands)


class ExploreSettings(Document):
    """How the committee is explored, apart from temperatures."""

    time_step: float = Field(2.0, gt=0, description="fs.")
    equilibration_fs: float = Field(
        300.0, ge=0, description="Warming up under a strong bath, left out of the run, fs."
    )
    store_every: int = Field(5, ge=1, description="Steps between stored frames.")
    check_every: int = Field(
        20,
        ge=1,
        description="Steps between the committee's judgements, a multiple of store_every.",
    )
    ceiling_factor: float | None = Field(
        2.0,
        gt=0,
        description="A run ends above this many times sigma_hi; None: uncertainty ends no run.",
    )
    max_events: int = Field(8, ge=0, description="Hops of a run whose windows are candidates.")
    n_uncertain: int = Field(8, ge=0, description="Most uncertain frames of a run.")
    n_random: int = Field(6, ge=0, description="Random frames of a run.")
    fingerprints: bool = Field(
        default=True, description="Whether candidates get the fingerprint that selection needs."
    )
    n_images: int = Field(5, ge=1, description="Moving images of a band.")
    max_found: int = Field(
        4,
        ge=0,
        description="Hops of molecular dynamics that get a band between their quenched sides, "
        "each generation; 0: none.",
    )
    max_repeated: int = Field(
        4,
        ge=0,
        description="Bands of earlier generations' found hops that are relaxed again, each "
        "generation.",
    )
    settled: float = Field(
        0.010,
        gt=0,
        description="A found hop's band is repeated until its barrier moves by less, eV.",
    )
    fmax: float = Field(0.05, gt=0, description="Largest band force, eV/Å.")
    max_steps: int = Field(80, ge=2, description="Optimizer steps of a band.")
    end_fmax: float = Field(0.01, gt=0, description="Largest force of a band's relaxed ends, eV/Å.")
    refine: Literal["sella", "none"] = Field(
        "sella",
        description="Who refines the bands' highest images to saddle points. Where Sella isn't "
        "installed none is, and the bands say so.",
    )
    bias: Literal["none", "uncertainty", "tilt"] = Field(
        "none",
        description="What makes rare hops frequent in the runs that ExploreMaker.biased_runs adds: "
        "a bias towards where members disagree, or a pull on one ion at a time to a vacant site.",
    )
    bias_strength: float | None = Field(
        None,
        gt=0,
        description="Of uncertainty: its factor tau, dimensionless; of tilt: the force, eV/Å. "
        "None: what was measured to do, see docs/theory/hops.md.",
    )
    bias_cap: float = Field(0.3, gt=0, description="Largest bias force on an ion, eV/Å.")
    bias_ramp_fs: float = Field(
        100.0, ge=0, description="Time in which a bias rises to full strength, fs."
    )
    bias_patience_fs: float = Field(
        2000.0, gt=0, description="Time after which an ion that a tilt pulls in vain is let go, fs."
    )

    @property
    def strength(self) -> float:
        """The bias's strength: what was asked for, or what was measured to do."""
        return self.bias_strength or BIAS_STRENGTH.get(self.bias, 0.0)

    @property
    def bias_words(self) -> str | None:
        """The bias in words; None without one."""
        if self.bias == "none":
            return None
        unit = " eV/Å" if self.bias == "tilt" else ""
        return f"{self.bias} {self.strength:g}{unit}, at most {self.bias_cap:g} eV/Å on an ion"

    @model_validator(mode="after")
    def _judged_frames_are_stored(self) -> Self:
        if self.check_every % self.store_every:
            msg = (
                "ExploreSettings: expected check_every to be a multiple of store_every "
                f"({self.store_every}), got {self.check_every}; the committee judges stored frames"
            )
            raise ExplorationError(msg)
        return self

    @model_validator(mode="after")
    def _a_tilt_is_within_its_cap(self) -> Self:
        if self.bias == "tilt" and self.strength > self.bias_cap:
            msg = (
                f"ExploreSettings: expected a tilt of at most bias_cap ({self.bias_cap:g} eV/Å), "
                f"got {self.strength:g}; lower bias_strength"
            )
            raise ExplorationError(msg)
        return self

    def unbiased(self) -> ExploreSettings:
        """Return settings for plain runs."""
        return self.model_copy(update={"bias": "none"})

    def for_properties(self) -> ExploreSettings:
        """Return settings for runs that measure the model as it is.

        Uncertainty is recorded, more rarely, and ends no run: that would end the hops that
        are to be counted. Their frames are a test set, which needs no fingerprints.
        """
        update = {
            "bias": "none",
            "ceiling_factor": None,
            "check_every": 5 * self.check_every,
            "fingerprints": False,
        }
        return self.model_copy(update=update)
