"""The explore stage: MD at a ladder of temperatures, and bands, on the committee."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Job, JobConfig, Maker, OutputReference

from ionloop.errors import ExplorationError
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
        How runs and bands are made and judged, and what biases the biased runs.
    biased_runs
        Biased runs at each temperature, in one batch, once the plain ones there are done.
    hops_wanted
        Where the plain runs of a temperature show as many hops together, no biased one is made.
    """

    name: str = "explore"
    md_steps: int = 5000
    replicas: int = 1
    settings: ExploreSettings = field(default_factory=ExploreSettings)  # type: ignore[arg-type]
    biased_runs: int = 0
    hops_wanted: int = 10

    def __post_init__(self) -> None:
        """Rebuild the document from its dictionary, as jobflow stores it.

        Raises
        ------
        ExplorationError
            If there are biased runs without a bias, or a bias without biased runs.
        """
        if isinstance(self.settings, dict):
            self.settings = ExploreSettings(**self.settings)
        if (self.biased_runs > 0) != (self.settings.bias != "none"):
            msg = (
                "ExploreMaker: expected biased_runs above 0 and a settings.bias, or neither; got "
                f"{self.biased_runs} and {self.settings.bias!r}; set both"
            )
            raise ExplorationError(msg)

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
        material = (start, host, members, calibration, profile, generation)
        common: dict[str, Any] = {
            "temperatures": profile.temperatures,
            "n_steps": self.md_steps,
            "random_seed": random_seed,
            "first_member": generation,
        }
        runs = self.runs(
            *material,
            **common,
            replicas=self.replicas,
            prefix=f"explore-{generation}",
            last_layers=last_layers,
            settings=self.settings.unbiased(),
        )
        if self.biased_runs:
            runs += self.runs(
                *material,
                **common,
                replicas=self.biased_runs,
                prefix=f"biased-{generation}",
                plain=runs,
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
        plain: list[Job] | None = None,
    ) -> list[Job]:
        """Make one MD job a temperature; hottest first, as it may take longest.

        Members take turns to steer, from ``first_member`` on: a run at one temperature is
        steered by another member in the next generation. With None the first member
        steers all runs, as properties of one model are wanted. Runs that come after ``plain``
        ones, temperature by temperature, are left out where those show ``hops_wanted`` hops.
        """
        jobs = []
        for i, temperature in enumerate(sorted(temperatures, reverse=True)):
            after: dict[str, Any] = {}
            if plain is not None:
                after = {"plain": plain[i].output, "hops_wanted": self.hops_wanted}
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
                **after,
            )
            run.name = f"{prefix} {temperature:g} K"
            run.config = JobConfig(expose_store=True)
            jobs.append(run)
        return jobs
