"""The select stage."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobflow import Job, JobConfig, Maker, OutputReference

from ionloop.profile import Profile
from ionloop.seed.schema import Displacements
from ionloop.select.jobs import select_frames


@dataclass
class SelectMaker(Maker):
    """Choose frames by origin, uncertainty and diversity.

    Parameters
    ----------
    name
        Name of the job.
    min_distance
        Frames nearer than this in fingerprint to each other or to a labelled frame, in
        standard deviations of the pool, are near-duplicates.
    displacements
        How many candidates are strained, and how far.
    """

    name: str = "select"
    min_distance: float = 0.1
    displacements: Displacements = field(
        default_factory=lambda: Displacements(n_rattle=0, n_strain=6)  # type: ignore[call-arg]
    )

    def __post_init__(self) -> None:
        """Rebuild the document from its dictionary, as jobflow stores it."""
        if isinstance(self.displacements, dict):
            self.displacements = Displacements(**self.displacements)

    def make(  # noqa: PLR0913
        self,
        explorations: OutputReference,
        bands: OutputReference,
        found: OutputReference,
        calibration: OutputReference,
        shards: list[str],
        profile: Profile,
        generation: int,
        random_seed: int,
        members: list[str],
        reserve: int = 0,
    ) -> Job:
        """Make the job; its output is the ``Selection`` of the generation to come.

        ``members`` are the uuids of the committee that explored; ``reserve`` labels of the
        campaign's budget are kept back for the test set.
        """
        one = select_frames(
            explorations,
            bands,
            found,
            calibration,
            shards,
            profile,
            generation,
            self.displacements,
            self.min_distance,
            random_seed,
            members,
            reserve,
        )
        one.name = f"{self.name} for generation {generation}"
        one.config = JobConfig(expose_store=True)
        return one
