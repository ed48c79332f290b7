"""One process at a time changes a campaign's workflow: FireWorks' lock, with the holder's name.

FireWorks' own changes honour any lock. Its lock doesn't say who holds it, so that one left by
a killed process stands until someone frees it; ours says so, and the next command frees it.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from fireworks import LaunchPad

from ionloop.engine.launchpad import workflow_of
from ionloop.processes import birth, is_alive

logger = logging.getLogger(__name__)

#: A lock is a dead process's if the workflow hasn't changed for so long while it stood, s:
#: FireWorks' changes take some ten ms, additions of thousands of jobs some seconds. Only time
#: in which the database answers counts: while it's away the holder waits as we do.
PATIENCE_S = 60.0
#: What the time between two looks counts at most, s.
_LOOK_MAX_S = 1.0
_POLL_S, _SHORT_POLL_S = 0.05, 0.01


@contextmanager
def locked_workflow(lp: LaunchPad, campaign_id: str) -> Iterator[dict[str, Any]]:
    """Hold the lock of a campaign's live workflow; yield the document as it then stands.

    Raises
    ------
    EngineError
        If there is no such campaign.
    """
    workflow = _acquire(lp, campaign_id)
    try:
        yield workflow
    finally:
        _free(lp, workflow)


@contextmanager
def workflow_if_free(
    lp: LaunchPad, campaign_id: str, patience_s: float
) -> Iterator[dict[str, Any] | None]:
    """Hold the lock as :func:`locked_workflow` does; yield None if others keep it for so long, s.

    Raises
    ------
    EngineError
        If there is no such campaign.
    """
    number = workflow_of(lp, campaign_id)["_id"]
    end = time.monotonic() + patience_s
    while (workflow := _take(lp, number)) is None and time.monotonic() < end:
        time.sleep(_SHORT_POLL_S)
    try:
        yield workflow
    finally:
        if workflow is not None:
            _free(lp, workflow)


def _free(lp: LaunchPad, workflow: dict[str, Any]) -> None:
    """Unlock a workflow, unless somebody took the lock from us.

    Where FireWorks replaced the document meanwhile, on our behalf, the lock has lost our name.
    """
    own = {"_id": workflow["_id"], "locked": {"$in": [workflow["locked"], True]}}
    if lp.workflows.update_one(own, {"$unset": {"locked": ""}}).matched_count == 0:
        logger.warning("workflow %s: its lock was taken from this process", workflow["_id"])


def _take(lp: LaunchPad, number: object) -> dict[str, Any] | None:
    """Lock a workflow document that isn't; return it with its lock, None if it is."""
    pid = os.getpid()
    at = datetime.now(UTC).isoformat()
    mine = {"host": socket.gethostname(), "pid": pid, "born": birth(pid), "at": at}
    free = {"_id": number, "locked": {"$exists": False}}
    found = lp.workflows.find_one_and_update(free, {"$set": {"locked": mine}})
    return None if found is None else {**found, "locked": mine}


class _Patience:
    """How long something has stood unchanged, in time during which the database answered."""

    def __init__(self) -> None:
        self.mark: object = None
        self.last = time.monotonic()
        self.waited_s = 0.0

    def look(self, mark: object) -> float:
        """Note how it stands now; return for how long it has, s."""
        now = time.monotonic()
        same = mark == self.mark
        self.waited_s = self.waited_s + min(now - self.last, _LOOK_MAX_S) if same else 0.0
        self.mark, self.last = mark, now
        return self.waited_s


def _acquire(lp: LaunchPad, campaign_id: str) -> dict[str, Any]:
    patience = _Patience()
    while True:
        found = workflow_of(lp, campaign_id)
        if workflow := _take(lp, found["_id"]):
            return workflow
        waited_s = patience.look((found["updated_on"], found.get("locked")))
        if "locked" in found and _is_stale(found["locked"], waited_s):
            logger.warning("campaign %s: freeing the lock of a dead process", campaign_id)
            stale = {"_id": found["_id"], "locked": found["locked"]}
            lp.workflows.update_one(stale, {"$unset": {"locked": ""}})
        else:
            time.sleep(_POLL_S)


def _is_stale(lock: object, waited_s: float) -> bool:
    """Whether a lock's holder is dead: known to be on this machine, elsewhere by its silence."""
    if not isinstance(lock, dict) or lock.get("host") != socket.gethostname():
        return waited_s > PATIENCE_S
    pid = int(lock["pid"])
    return not is_alive(pid) or birth(pid) != lock.get("born", birth(pid))


def apply_launch(lp: LaunchPad, fw_id: int) -> None:
    """Apply what a job's launch says of its end; the caller holds the workflow's lock."""
    # RUNNING makes the refresh see a change of state, and so apply the action.
    lp.fireworks.update_one({"fw_id": fw_id}, {"$set": {"state": "RUNNING"}})
    workflow = lp.get_wf_by_fw_id_lzyfw(fw_id)
    lp._update_wf(workflow, workflow.refresh(fw_id))  # noqa: SLF001


def free_nameless(lp: LaunchPad, campaign_id: str, patience_s: float) -> None:
    """Free FireWorks' own lock, which doesn't name its holder, if it still stands after so long, s.

    For a caller who knows that the workers that take such locks are dead. Locks of
    :func:`locked_workflow` are left alone: who waits for one finds out whether it is stale.
    """
    number = workflow_of(lp, campaign_id)["_id"]
    # FireWorks' lock is ``True``; comparing types tells it from a document with a name.
    nameless = {"_id": number, "locked": {"$exists": True, "$not": {"$type": "object"}}}
    patience = _Patience()
    while found := lp.workflows.find_one(nameless, {"updated_on": 1}):
        if patience.look(found["updated_on"]) >= patience_s:
            lp.workflows.update_one(nameless, {"$unset": {"locked": ""}})
            return
        time.sleep(_POLL_S)
