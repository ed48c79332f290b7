"""What a campaign cost: wall time, core-hours and labels."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from ionloop.document import Document
from ionloop.evaluate.scorecard_schema import SpeedUp


class Spent(Document):
    """Time of some attempts at jobs; an attempt is one launch."""

    n_attempts: int = Field(0, description="Launches.")
    wall_s: float = Field(0.0, description="Wall time, s, summed over launches.")
    core_hours: float = Field(0.0, description="Cores times wall time where cores are known, h.")
    wall_unknown_s: float = Field(0.0, description="Wall time on an unknown number of cores, s.")


class LedgerLine(Document):
    """What one stage, generation or kind of jobs cost."""

    name: str
    n_jobs: int = Field(0, description="Jobs that have begun.")
    total: Spent = Field(description="All attempts, those that run included.")
    lost: Spent = Field(
        description="Of the total: attempts that failed, whose workers were lost, or whose jobs "
        "ran again."
    )
    n_failed: int = Field(0, description="Attempts that ended in an error.")
    n_lost: int = Field(0, description="Attempts whose worker was gone; to its last sign of life.")
    n_redone: int = Field(0, description="Attempts that ended well and were repeated.")
    n_running: int = Field(0, description="Attempts that run; up to now.")


class LabelsSpent(Document):
    """Labels and what they cost."""

    n_admitted: int = Field(0, description="Admitted labels that the reference computed.")
    n_quarantined: int = Field(0, description="Computed, and refused.")
    n_imported: int = Field(0, description="Admitted labels that cost nothing here.")
    by_origin: dict[str, int] = Field(default={}, description="Admitted computed ones by origin.")
    calculations_wall_s: float = Field(
        0.0, description="Wall time of the calculations by their own outputs, s."
    )
    calculations_core_hours: float | None = Field(
        None, description="The same times their cores, h; None if a batch's cores aren't known."
    )
    core_hours_per_label: float | None = Field(
        None,
        description="Core-hours of the jobs that compute labels, lost ones included, by admitted "
        "label; None if some of their cores aren't known.",
    )


class Ledger(Document):
    """What ``ionloop ledger --json`` prints."""

    kind: Literal["ionloop ledger"] = "ionloop ledger"
    campaign_id: str
    backend: Literal["FireWorks", "jobflow-remote"] = Field(description="Who keeps the times.")
    at: datetime = Field(description="When it was asked, UTC.")
    total: LedgerLine
    stages: list[LedgerLine] = Field(description="In the order of the loop.")
    generations: list[LedgerLine] = Field(description="By generation.")
    kinds: list[LedgerLine] = Field(description="By kind of job, the reference's first.")
    reference_share: float | None = Field(
        None, description="Share of core-hours that the reference's jobs took; None if unknown."
    )
    label_cost: LabelsSpent
    speed_up: list[SpeedUp] = Field(
        default=[], description="As the evaluation measured it; empty before it."
    )
    notes: list[str] = Field(default=[], description="What isn't known.")
