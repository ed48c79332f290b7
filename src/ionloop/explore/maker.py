"""The explore stage: MD at a ladder of temperatures, and bands, on the committee."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobflow import Flow, Job, JobConfig, Maker, OutputReference

from ionloop.explore.jobs import explore_bands, explore_found, explore_md
from ionloop.explore.schema import ExploreSettings
from ionloop.frame import Frame
from ionloop.profile import Profile
from ionloop.randomness import derive_seed
from ionloop.seed.schema import Hop
from ionloop.train.schema import Calibration, LastLayers


@dataclass
class ExploreMaker(Maker):
    """Explore with the committee.

    Parameters
    ----------
    name
        Name of the flow.
    md_steps
        Steps of each run.
    replicas
        Runs at each temperature, in one batch.
    settings
        How runs and bands are made and judged.
    """

    name: str = "explore"
    md_steps: int = 5000
    replicas: int = 1
    settings: ExploreSettings = field(default_factory=ExploreSettings)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        """Rebuild the document from its dictionary, as jobflow stores it."""
        if isinstance(self.settings, dict):
            self.settings = ExploreSettings(**self.settings)

    def make(  # noqa: PLR0913
        self,
        start: Frame,
        host: Frame,
        hops: list[Hop],
        members: list[str],
        calibration: OutputReference | Calibration,
        profile: Profile,
        generation: int,
        random_seed: int,
        last_layers: OutputReference | LastLayers | None = None,
        previous_found: str | None = None,
    ) -> Flow:
        """Make all runs and the bands of one generation.

        With ``last_layers`` each run is watched at every stored frame; ``previous_found`` is the
        uuid of the generation before's found bands, which come back until they have settled.

        Returns
        -------
        Flow
            Its output is ``{"explorations": [...], "bands": ..., "found": ...}``.
        """
        runs = self.runs(
            start,
            host,
            members,
            calibration,
            profile,
            generation,
            temperatures=profile.temperatures,
            n_steps=self.md_steps,
            replicas=self.replicas,
            random_seed=random_seed,
            first_member=generation,
            prefix=f"explore-{generation}",
            last_layers=last_layers,
        )
        bands = explore_bands(hops, members, calibration, profile, generation, self.settings)
        bands.name = f"bands generation {generation}"
        bands.config = JobConfig(expose_store=True)
        outputs = [run.output for run in runs]
        seed = derive_seed(random_seed, "found", generation)
        found = explore_found(
            outputs,
            members,
            calibration,
            profile,
            generation,
            self.settings,
            seed,
            previous_found,
        )
        found.name = f"bands of found hops generation {generation}"
        found.config = JobConfig(expose_store=True)
        return Flow(
            [*runs, bands, found],
            output={"explorations": outputs, "bands": bands.output, "found": found.output},
            name=f"{self.name} generation {generation}",
        )

    def runs(  # noqa: PLR0913
        self,
        start: Frame,
        host: Frame,
        members: list[str],
        calibration: OutputReference | Calibration | str,
        profile: Profile,
        generation: int,
        *,
        temperatures: list[float],
        n_steps: int,
        replicas: int,
        random_seed: int,
        first_member: int | None,
        prefix: str,
        settings: ExploreSettings | None = None,
        last_layers: OutputReference | LastLayers | None = None,
    ) -> list[Job]:
        """Make one MD job a temperature; hottest first, as it may take longest.

        Members take turns to steer, from ``first_member`` on: a run at one temperature is
        steered by another member in the next generation. With None the first member
        steers all runs, as properties of one model are wanted.
        """
        jobs = []
        for i, temperature in enumerate(sorted(temperatures, reverse=True)):
            run = explore_md(
                start,
                host,
                members,
                calibration,
                profile,
                generation,
                settings or self.settings,
                temperature,
                n_steps,
                derive_seed(random_seed, prefix, i),
                0 if first_member is None else (first_member + i) % len(members),
                f"{prefix}-{i}-{temperature:g}K",
                replicas,
                last_layers,
            )
            run.name = f"{prefix} {temperature:g} K"
            run.config = JobConfig(expose_store=True)
            jobs.append(run)
        return jobs
