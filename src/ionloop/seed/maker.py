"""The seed stage: AIMD and NEB by the reference, rattles and strains."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobflow import Flow, JobConfig, Maker, OnMissing

from ionloop.frame import Frame
from ionloop.profile import Profile
from ionloop.randomness import derive_seed
from ionloop.reference.base import Reference
from ionloop.seed.jobs import collect_seeds
from ionloop.seed.schema import Displacements, Hop


@dataclass
class SeedMaker(Maker):
    """Make the first frames.

    Parameters
    ----------
    name
        Name of the flow.
    md_steps, time_step, store_every
        AIMD steps at each temperature, fs a step, and steps between stored frames.
    stride, skip
        Every ``stride``-th stored frame is labelled, after the first ``skip``.
    n_images, fmax, max_steps
        The reference's bands: moving images, eV/Å, optimizer steps.
    max_bands
        Distinct hops, shortest first, whose bands the reference relaxes.
    displacements
        Rattles and strains.
    """

    name: str = "seed"
    md_steps: int = 1000
    time_step: float = 2.0
    store_every: int = 10
    stride: int = 5
    skip: int = 5
    n_images: int = 5
    fmax: float = 0.05
    max_steps: int = 80
    max_bands: int = 3
    displacements: Displacements = field(default_factory=Displacements)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        """Rebuild the document from its dictionary, as jobflow stores it."""
        if isinstance(self.displacements, dict):
            self.displacements = Displacements(**self.displacements)

    def make(
        self,
        start: Frame,
        hops: list[Hop],
        reference: Reference,
        profile: Profile,
        random_seed: int,
    ) -> Flow:
        """Make one AIMD job a temperature, one band a hop, and the collection.

        Returns
        -------
        Flow
            Its output is a ``SeedFrames``.
        """
        runs = []
        for i, temperature in enumerate(profile.seed_temperatures):
            run = reference.md(
                start,
                temperature=temperature,
                n_steps=self.md_steps,
                time_step=self.time_step,
                store_every=self.store_every,
                seed=derive_seed(random_seed, "aimd", i),
                group=f"aimd-{i}-{temperature:g}K",
            )
            run.name = f"aimd {temperature:g} K"
            runs.append(run)
        bands = []
        for hop in hops[: self.max_bands]:
            band = reference.neb(
                hop, n_images=self.n_images, fmax=self.fmax, max_steps=self.max_steps
            )
            band.name = f"reference band {hop.path_class}"
            bands.append(band)
        collect = collect_seeds(
            start,
            [run.output for run in runs],
            [band.output for band in bands],
            self.displacements,
            self.stride,
            self.skip,
            random_seed,
        )
        collect.name = "collect seeds"
        collect.config = JobConfig(on_missing_references=OnMissing.NONE)
        # Bands go first: they are the longest single jobs.
        return Flow([*bands, *runs, collect], output=collect.output, name=self.name)
