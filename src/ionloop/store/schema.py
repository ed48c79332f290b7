"""How far a campaign is; what it produced is a :class:`ionloop.report.schema.CampaignRecord`."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from ionloop.document import Document
from ionloop.report.schema import CampaignRecord, JobRecord

__all__ = [
    "CampaignRecord",
    "CampaignStatus",
    "Eta",
    "Failure",
    "Held",
    "JobRecord",
    "LiveStatus",
    "RunningJob",
    "Span",
    "StageCount",
]


class Failure(Document):
    """A job that failed, in one line."""

    fw_id: int = Field(description="Number of the firework.")
    name: str = Field(description="Name of the job.")
    message: str = Field(description="Last line of its traceback.")
    directory: str = Field(description="Folder where it ran.")
    pauses: bool = Field(
        default=False, description="Whether it waits for a decision: nothing is broken."
    )


class StageCount(Document):
    """Jobs of one stage and generation by state."""

    generation: int | None = None
    stage: str | None = None
    states: dict[str, int] = Field(description="Jobs by FireWorks state.")


class Held(Document):
    """Who keeps a campaign from starting jobs; stands in its workflow's ``metadata.held``."""

    state: str = Field(description="'paused', or 'cancelled': running jobs were ended too.")
    by: str = Field(description="User who asked for it.")
    at: str = Field(description="When, UTC.")
    why: str = Field("", description="'rerun' while `ionloop rerun` changes the campaign.")

    def line(self) -> str:
        """Say it in a few words."""
        return f"{self.state} by {self.by} since {self.at}"


class CampaignStatus(Document):
    """How far a campaign is."""

    campaign_id: str
    name: str = Field(description="Name of the flow.")
    state: str = Field(
        description="'finished', 'failed', 'paused', 'cancelled', 'running' or 'waiting'."
    )
    held: Held | None = Field(
        None, description="Who paused or cancelled it; None where a batch of labels paused it."
    )
    created_on: datetime = Field(description="When it was submitted, UTC.")
    updated_on: datetime = Field(description="When a job last changed its state, UTC.")
    jobs: dict[str, int] = Field(description="Jobs by FireWorks state.")
    stages: list[StageCount] = Field(description="Jobs by generation and stage.")
    generation: int | None = Field(None, description="Latest generation that has jobs.")
    n_labels: int = Field(0, description="Admitted labels so far.")
    n_quarantined: int = Field(0, description="Labels that were refused.")
    failures: list[Failure] = Field(default=[], description="Failed jobs that hold it up.")
    tolerated: list[Failure] = Field(
        default=[], description="Failed jobs without whose outputs all their children went on."
    )

    def line(self) -> str:
        """Where the campaign stands, in one line."""
        running = [
            f"{row.stage or '?'} x{row.states['RUNNING']}"
            for row in self.stages
            if row.states.get("RUNNING")
        ]
        generation = "-" if self.generation is None else self.generation
        queued = self.jobs.get("RESERVED", 0)
        return (
            f"generation {generation}  {self.jobs.get('COMPLETED', 0)}/{sum(self.jobs.values())} "
            f"jobs done  {self.jobs.get('FIZZLED', 0)} failed  {self.n_labels} labels  "
            f"running: {', '.join(running) or '-'}{f'  queued: {queued}' if queued else ''}"
        )


class Span(Document):
    """How long something will take."""

    low_s: float = Field(description="Lower end: quartiles, and all workers busy, s.")
    expected_s: float = Field(description="By the medians, s.")
    high_s: float = Field(description="Upper end: quartiles, and one kind after the other, s.")


class Eta(Document):
    """When a campaign will be done, as far as anything was measured."""

    generation: Span | None = Field(
        None, description="Rest of the latest generation; None if nothing is left or measured."
    )
    at_once: int = Field(description="Jobs that have run at once.")
    unmeasured: list[str] = Field(
        default=[], description="Kinds of jobs that are left and were never measured."
    )
    campaign_max_s: float | None = Field(
        None,
        description="Upper bound up to the cap on generations, without the evaluation, s; None "
        "before a whole generation was measured.",
    )
    generations_left: int | None = Field(None, description="After this one, up to the cap.")


class RunningJob(Document):
    """A job that runs, and where."""

    name: str
    stage: str | None = None
    generation: int | None = None
    worker: str = Field(description="Name of its worker.")
    host: str | None = Field(
        None, description="Machine that it runs on; None with jobflow-remote, which keeps none."
    )
    since: datetime = Field(description="When it began, UTC.")
    directory: str = Field(description="Folder where it runs.")


class LiveStatus(CampaignStatus):
    """How far a campaign is, who works on it, and how long it will take."""

    running: list[RunningJob] = Field(default=[], description="Jobs that run, the oldest first.")
    eta: Eta | None = Field(None, description="None once there is nothing left to run.")
