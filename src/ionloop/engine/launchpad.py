"""FireWorks' database, and what of a campaign is left to do there."""

from __future__ import annotations

import logging
from typing import Any

from fireworks import Firework, FWAction, FWorker, LaunchPad

from ionloop.errors import EngineError, UnsafePathError
from ionloop.paths import is_below
from ionloop.settings import Settings, get_settings
from ionloop.store.connection import database_uri, describe

logger = logging.getLogger(__name__)

#: States from which a campaign goes on.
ACTIVE = frozenset({"READY", "RESERVED", "RUNNING"})
#: Name under which local workers check out jobs.
LOCAL_WORKER = "ionloop-local"


class QuietLaunchPad(LaunchPad):
    """A launch pad that doesn't print its password; FireWorks' own is shown with its URI."""

    def __repr__(self) -> str:
        return f"LaunchPad({describe(self.host)}, {self.name!r})"

    def checkout_fw(
        self,
        fworker: FWorker,
        launch_dir: str,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[Firework | None, int | None]:
        """Check a job out; one that the database sends out of the work folder has failed."""
        fw, launch_id = super().checkout_fw(fworker, launch_dir, *args, **kwargs)
        there, root = fw and fw.spec.get("_launch_dir"), get_settings().work_dir
        if not there or root is None or is_below(root, there):
            return fw, launch_id
        name = f"{UnsafePathError.__module__}.{UnsafePathError.__qualname__}"
        why = (
            f"{name}: job {fw.fw_id}: expected a folder below {root}, got {str(there)[:100]!r}; "
            "if it is right, set IONLOOP_WORK_DIR to a folder above both"
        )
        logger.error(why)
        stored = {"_exception": {"_stacktrace": why, "_details": None}}
        self.complete_launch(launch_id, FWAction(stored_data=stored, exit=True), "FIZZLED")
        return None, None


def launchpad(settings: Settings | None = None) -> LaunchPad:
    """Connect FireWorks to ionloop's database; start its counters if they are new."""
    settings = settings or get_settings()
    lp = QuietLaunchPad(
        host=database_uri(settings), name=settings.db_name, uri_mode=True, strm_lvl="WARNING"
    )
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
