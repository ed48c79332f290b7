"""Run a stage of the latest generation again."""

from __future__ import annotations

from typing import Any

from fireworks import LaunchPad

from ionloop.engine.control.hold import freeze, held, hold, release
from ionloop.engine.control.rerun_plan import RerunPlan, journal, plan_rerun
from ionloop.engine.control.rerun_steps import carry_out
from ionloop.engine.launchpad import workflow_of
from ionloop.engine.locking import locked_workflow
from ionloop.errors import EngineError
from ionloop.store.schema import Held

__all__ = ["RerunPlan", "finish_rerun", "plan_rerun", "rerun_stage"]


def rerun_stage(lp: LaunchPad, campaign_id: str, shown: RerunPlan) -> Held | None:
    """Put the jobs of a plan in order to run again; workers or a resume then run them.

    The campaign is held meanwhile. If the command is killed, the next rerun or resume does
    the rest.

    Parameters
    ----------
    lp
        The launch pad.
    campaign_id
        The campaign.
    shown
        What someone has agreed to.

    Returns
    -------
    Held | None
        Who holds the campaign, so that nothing starts before a resume; None if nobody does.

    Raises
    ------
    EngineError
        If the campaign has moved on since the plan was made.
    """
    before = _hold(lp, campaign_id)
    try:
        with locked_workflow(lp, campaign_id) as workflow:
            freeze(lp, workflow)
            plan = plan_rerun(lp, campaign_id, shown.stage, shown.generation)
            if journal(plan) != journal(shown):
                msg = f"{campaign_id} has moved on since the plan was made; look at it again"
                raise EngineError(msg)
            noted = journal(plan)
            lp.workflows.update_one({"_id": workflow["_id"]}, {"$set": {"metadata.rerun": noted}})
            workflow["metadata"]["rerun"] = noted
            carry_out(lp, workflow)
            if before:
                _forget(lp, workflow)
    finally:
        if before is None:
            release(lp, campaign_id)
    return before


def finish_rerun(lp: LaunchPad, campaign_id: str) -> str | None:
    """Finish a rerun whose command was killed; return its stage.

    None if there was none, or it was killed before anything was changed.
    """
    workflow = workflow_of(lp, campaign_id)
    noted = workflow["metadata"].get("rerun")
    if workflow["metadata"].get("held", {}).get("why") == "rerun":
        release(lp, campaign_id)
    elif noted:
        with locked_workflow(lp, campaign_id) as locked:
            if "rerun" in locked["metadata"]:
                carry_out(lp, locked)
                _forget(lp, locked)
    return str(noted["stage"]) if noted else None


def _hold(lp: LaunchPad, campaign_id: str) -> Held | None:
    """Hold a campaign for the time of a change; return who held it before, None if nobody."""
    before = held(lp, campaign_id)
    if before is None:
        hold(lp, campaign_id, why="rerun")
    return before


def _forget(lp: LaunchPad, workflow: dict[str, Any]) -> None:
    lp.workflows.update_one({"_id": workflow["_id"]}, {"$unset": {"metadata.rerun": ""}})
