"""FireWorks' database, and what of a campaign is left to do there."""

from __future__ import annotations

from typing import Any

from fireworks import LaunchPad

from ionloop.errors import EngineError
from ionloop.settings import Settings, get_settings
from ionloop.store.connection import database_uri
from ionloop.store.outage import patient

#: States from which a campaign goes on.
ACTIVE = frozenset({"READY", "RESERVED", "RUNNING"})
#: Name under which local workers check out jobs.
LOCAL_WORKER = "ionloop-local"


def launchpad(settings: Settings | None = None, *, waits: bool = True) -> LaunchPad:
    """Connect FireWorks to ionloop's database; start its counters if they are new.

    It waits for a database that is away, unless the caller needs to know soon.
    """
    settings = settings or get_settings()
    uri = database_uri(settings)
    uri = patient(uri, settings) if waits else uri
    lp = LaunchPad(host=uri, name=settings.db_name, uri_mode=True, strm_lvl="WARNING")
    if lp.fw_id_assigner.find_one() is None:
        counters = {"next_fw_id": 1, "next_launch_id": 1}
        lp.fw_id_assigner.update_one({"_id": -1}, {"$setOnInsert": counters}, upsert=True)
    return lp


def campaign_query(campaign_id: str) -> dict[str, Any]:
    """Return the query of a campaign's fireworks: jobflow copies job.metadata into specs."""
    return {"spec.campaign_id": campaign_id}


def workflow_of(lp: LaunchPad, campaign_id: str) -> dict[str, Any]:
    """Return a campaign's workflow document.

    Raises
    ------
    EngineError
        If there is no such campaign.
    """
    workflow = lp.workflows.find_one({"metadata.campaign_id": campaign_id})
    if workflow is None:
        msg = f"unknown campaign {campaign_id!r}; `ionloop status` shows the latest"
        raise EngineError(msg)
    return dict(workflow)


def is_active(lp: LaunchPad, campaign_id: str) -> bool:
    """Whether a campaign has jobs that run or can run.

    The workflow document is asked, since FireWorks replaces it as the last write of a
    change: between a parent's COMPLETED and its child's READY the fireworks themselves
    show neither.
    """
    workflow = lp.workflows.find_one({"metadata.campaign_id": campaign_id}, {"fw_states": 1})
    return workflow is not None and not ACTIVE.isdisjoint(workflow["fw_states"].values())
