"""A campaign as the store gives it back, and as reports and analysts read it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from ionloop.campaign.schema import Advance, CampaignStart
from ionloop.document import Document
from ionloop.evaluate.schema import Evaluation
from ionloop.evaluate.scorecard_schema import Scorecard
from ionloop.explore.schema import BandSet, Exploration, FoundBands
from ionloop.judge.schema import Judgement
from ionloop.label.schema import LabelShard
from ionloop.seed.schema import SeedFrames
from ionloop.select.schema import Selection
from ionloop.train.schema import Calibration, Foresight, Member


class JobRecord(Document):
    """One finished job of a campaign."""

    uuid: str = Field(description="uuid of the job.")
    index: int = Field(description="1, or more where a job replaced itself.")
    name: str = Field(description="Name of the job.")
    stage: str | None = Field(None, description="Stage of the loop, as in job.metadata.")
    generation: int | None = Field(None, description="Generation, as in job.metadata.")
    output_class: str | None = Field(None, description="Class of the output document.")
    completed_at: datetime = Field(description="When the output was stored, local time.")


class CampaignRecord(Document):
    """Everything that a campaign produced so far, in the order of generations.

    Model files, trajectories' arrays and candidate frames stay in GridFS: such a blob
    has empty ``content`` and such a list of frames is empty. Labels and bands are here.
    """

    campaign_id: str
    start: CampaignStart | None = Field(None, description="None before the first job ended.")
    seeds: SeedFrames | None = Field(None, description="Reference bands; frames left out.")
    shards: list[LabelShard] = Field(default=[], description="Labels, quarantined left out.")
    members: list[Member] = Field(default=[], description="All committees, models left out.")
    calibrations: list[Calibration] = Field(default=[], description="One a generation.")
    foresights: list[Foresight] = Field(
        default=[], description="How bounds held on new labels, one a generation after 0."
    )
    explorations: list[Exploration] = Field(default=[], description="Arrays left out.")
    band_sets: list[BandSet] = Field(default=[], description="Bands; candidate frames left out.")
    found_bands: list[FoundBands] = Field(
        default=[], description="Bands of hops that MD showed; candidate frames left out."
    )
    selections: list[Selection] = Field(default=[], description="Counts; frames left out.")
    advances: list[Advance] = Field(default=[], description="One a judged generation.")
    evaluation: Evaluation | None = Field(None, description="None until the campaign ended.")
    scorecard: Scorecard | None = Field(
        None, description="None until the campaign ended, or where it's from before there was one."
    )
    jobs: list[JobRecord] = Field(default=[], description="All finished jobs, by time.")

    @property
    def judgements(self) -> list[Judgement]:
        """The judge's verdicts, one a generation."""
        return [advance.judgement for advance in self.advances]
