"""Jobs of the campaign: its first document, and the step to the next generation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobflow import Response, job

from ionloop.campaign.schema import Advance, CampaignStart, CampaignState, Material
from ionloop.judge.schema import Judgement

if TYPE_CHECKING:
    from ionloop.campaign.maker import CampaignMaker


@job(output_schema=CampaignStart)
def start_campaign(start: CampaignStart) -> CampaignStart:
    """Store what makes the campaign reproducible."""
    return start


@job(output_schema=Advance)
def advance(
    judgement: Judgement, state: CampaignState, material: Material, maker: CampaignMaker
) -> Response:
    """Add the next generation, or the evaluation where the judge stops."""
    history = [*state.history, judgement.metrics]
    following = state.model_copy(update={"generation": state.generation + 1, "history": history})
    if judgement.stop:
        step, state_out = "evaluate", state.model_copy(update={"history": history})
        addition = maker.evaluation(material, state_out)
    else:
        step, state_out = "generation", following
        addition = maker.generation(material, following)
    return Response(
        output=Advance(
            campaign_id=state.campaign_id,
            generation=state.generation,
            judgement=judgement,
            next_step=step,
            state=state_out,
        ),
        addition=addition,
    )
