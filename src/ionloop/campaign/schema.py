"""Documents of the campaign."""

from __future__ import annotations

from pydantic import Field

from ionloop.document import Document
from ionloop.frame import Frame
from ionloop.judge.schema import Judgement, Metrics
from ionloop.seed.schema import Hop


class Material(Document):
    """The structure of a campaign, and what symmetry tells of its hops."""

    host: Frame = Field(description="The crystal without defects: sites and symmetry.")
    start: Frame = Field(description="The cell that is simulated, defects included.")
    hops: list[Hop] = Field(description="Distinct mobile-ion hops of the start cell.")
    hops_left_out: dict[str, str] = Field(
        default={}, description="Classes of hops within reach that have none, and why."
    )


class CampaignState(Document):
    """What passes from one generation to the next: small, by uuid."""

    campaign_id: str
    generation: int = Field(description="Generation that is about to run.")
    shards: list[str] = Field(default=[], description="uuids of the label shards, in order.")
    members: list[str] = Field(default=[], description="uuids of the last committee.")
    selection: str | None = Field(None, description="uuid of the frames to label next.")
    seeds: str | None = Field(None, description="uuid of the seed frames and bands.")
    calibration: str | None = Field(None, description="uuid of the last calibration.")
    band_set: str | None = Field(None, description="uuid of the committee's last bands.")
    found: str | None = Field(None, description="uuid of the last bands of hops that MD showed.")
    history: list[Metrics] = Field(default=[], description="Metrics of past generations.")


class CampaignStart(Document):
    """First document of a campaign: everything that makes it reproducible."""

    campaign_id: str
    profile: dict = Field(description="The profile, as validated.")
    campaign: dict = Field(description="The campaign Maker with all nested Makers.")
    reference: str = Field(description="Name of the reference.")
    settings: dict = Field(description="The reference's settings.")
    settings_hash: str
    hops: dict[str, int] = Field(
        default={}, description="Multiplicity of each class of hops that has a band."
    )
    hops_left_out: dict[str, str] = Field(
        default={}, description="Classes of hops within reach that have none, and why."
    )
    versions: dict[str, str] = Field(description="Package versions on the launching machine.")
    random_seed: int = Field(ge=0, description="Seed of every random choice.")


class Advance(Document):
    """What the campaign decided after a generation."""

    campaign_id: str
    generation: int
    judgement: Judgement
    next_step: str = Field(description="'generation' or 'evaluate'.")
    state: CampaignState
