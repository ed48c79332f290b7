"""The judge stage."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobflow import Job, JobConfig, Maker, OutputReference

from ionloop.judge.jobs import judge_generation
from ionloop.judge.schema import Limits, Metrics
from ionloop.profile import Profile


@dataclass
class JudgeMaker(Maker):
    """Decide whether the campaign has converged.

    Parameters
    ----------
    name
        Name of the job.
    limits
        What counts as settled.
    """

    name: str = "judge"
    limits: Limits = field(default_factory=Limits)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        """Rebuild the document from its dictionary, as jobflow stores it."""
        if isinstance(self.limits, dict):
            self.limits = Limits(**self.limits)

    def make(  # noqa: PLR0913
        self,
        explorations: OutputReference,
        bands: OutputReference,
        calibration: OutputReference,
        selected: OutputReference,
        shards: list[str],
        history: list[Metrics],
        profile: Profile,
        generation: int,
        reserve: int = 0,
        found: OutputReference | None = None,
    ) -> Job:
        """Make the job; its output is a ``Judgement``.

        ``reserve`` labels of the campaign's budget are kept back for the test set; ``found`` are
        the bands of hops that MD showed.
        """
        one = judge_generation(
            explorations,
            bands,
            calibration,
            selected,
            shards,
            history,
            profile.budget,
            self.limits,
            reserve,
            found,
        )
        one.name = f"{self.name} generation {generation}"
        one.config = JobConfig(expose_store=True)
        return one
