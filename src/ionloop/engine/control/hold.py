"""Pause a campaign, and let it go on.

While a campaign is held nothing of it starts, whoever's workers look, since each of its
fireworks that hasn't ended has FireWorks' state PAUSED: also those that run. FireWorks leaves
a paused firework alone when its launch ends, so that the jobs that it adds don't exist yet;
its result and its additions wait in the launch until :func:`release` applies them.

Who holds it and since when stands in the workflow's ``metadata.held``, written first and
removed last, so that a command that was killed half-way is done by the next.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from fireworks import LaunchPad

from ionloop.engine.control.rerun_steps import carry_out
from ionloop.engine.launchpad import campaign_query, remove_unlisted, workflow_of
from ionloop.engine.locking import locked_workflow
from ionloop.errors import EngineError
from ionloop.processes import user_name
from ionloop.store.schema import Held

#: States of fireworks from which no job starts or goes on.
ENDED = frozenset({"COMPLETED", "FIZZLED", "DEFUSED", "ARCHIVED"})
#: A worker takes some ten ms from choosing a job to noting that it runs; so long for a slow one.
_CHECKOUT_S = 5.0
_POLL_S = 0.05


def held(lp: LaunchPad, campaign_id: str) -> Held | None:
    """Return who holds a campaign; None if nobody does.

    Raises
    ------
    EngineError
        If there is no such campaign.
    """
    return _held(workflow_of(lp, campaign_id))


def _held(workflow: dict[str, Any]) -> Held | None:
    found = workflow["metadata"].get("held")
    return Held(**found) if found else None


def hold(lp: LaunchPad, campaign_id: str, state: str = "paused", why: str = "") -> Held:
    """Let nothing of a campaign start from now on; jobs that run end, and their results wait.

    Parameters
    ----------
    lp
        The launch pad.
    campaign_id
        The campaign. One that is held stays so; a paused one can be cancelled.
    state
        ``paused`` or ``cancelled``.
    why
        ``rerun`` where the hold is only for the time of a change.

    Raises
    ------
    EngineError
        If there is no such campaign, it has nothing left to run, or it is cancelled.
    """
    with locked_workflow(lp, campaign_id) as workflow:
        before = _held(workflow)
        if why != "rerun":
            _check(workflow, before, state)
        if before is None or before.state != state or (before.why and not why):
            before = Held(state=state, by=user_name(), at=_now(), why=why)
            _write(lp, workflow, {"metadata.held": before.model_dump(exclude={"schema_version"})})
        freeze(lp, workflow)
    hold_additions(lp, campaign_id)  # what a worker that was very slow made of its checkout
    return before


def _check(workflow: dict[str, Any], before: Held | None, state: str) -> None:
    campaign_id = workflow["metadata"]["campaign_id"]
    if set(workflow["fw_states"].values()) <= ENDED:
        msg = f"expected a campaign with jobs left to run, got {campaign_id}, which has none"
        raise EngineError(msg)
    if before and before.state == "cancelled" and state == "paused":
        msg = f"{campaign_id} is {before.line()}; `ionloop resume {campaign_id}` takes it up again"
        raise EngineError(msg)


def hold_additions(lp: LaunchPad, campaign_id: str) -> int:
    """Pause jobs of a held campaign that aren't yet; return their number, 0 if it isn't held.

    Workers call it after each job: a job whose worker reported it running while the campaign
    was being paused may have added others.
    """
    query = {"metadata.campaign_id": campaign_id, "metadata.held": {"$exists": True}}
    if lp.workflows.find_one(query, {"_id": 1}) is None:
        return 0
    states = ["WAITING", "READY", "RESERVED", "RUNNING"]
    loose = {**campaign_query(campaign_id), "state": {"$in": states}}
    found = int(lp.fireworks.count_documents(loose))
    if found:
        with locked_workflow(lp, campaign_id) as workflow:
            if _held(workflow):
                freeze(lp, workflow)
    return found


def freeze(lp: LaunchPad, workflow: dict[str, Any]) -> None:
    """Pause all fireworks of a locked workflow that haven't ended."""
    jobs = campaign_query(workflow["metadata"]["campaign_id"])
    paused = {"$set": {"state": "PAUSED", "updated_on": datetime.now(UTC)}}
    free = {**jobs, "state": {"$in": ["WAITING", "READY", "RUNNING"]}}
    end = time.monotonic() + _CHECKOUT_S
    while True:
        lp.fireworks.update_many(free, paused)
        # A worker that has chosen a job writes the firework back as running, or reserved.
        chosen = lp.fireworks.find({**jobs, "state": "RESERVED"}, ["launches"])
        if time.monotonic() > end or all(_reserved(lp, fw) for fw in chosen):
            break
        time.sleep(_POLL_S)
    lp.fireworks.update_many({**jobs, "state": "RESERVED"}, paused)
    # Not what a killed process has inserted: no workflow lists that.
    ids = set(lp.fireworks.distinct("fw_id", {**jobs, "state": "PAUSED"})) & set(workflow["nodes"])
    states = {f"fw_states.{fw_id}": "PAUSED" for fw_id in ids}
    _write(lp, workflow, {**states, "state": "PAUSED", "updated_on": datetime.now(UTC)})


def _reserved(lp: LaunchPad, fw: dict[str, Any]) -> bool:
    """Whether a queue's job will run a reserved firework, not a worker that chooses just now."""
    query = {"launch_id": {"$in": fw["launches"]}, "state": "RESERVED"}
    return lp.launches.find_one(query, {"_id": 1}) is not None


def release(lp: LaunchPad, campaign_id: str) -> Held | None:
    """Let a held campaign go on; return who held it, None if nobody did.

    What ended meanwhile is applied: its jobs are added, and what waited for it is ready. A
    rerun that was killed half-way is done first.

    Raises
    ------
    EngineError
        If there is no such campaign.
    """
    if held(lp, campaign_id) is None:
        return None
    with locked_workflow(lp, campaign_id) as workflow:
        before = _held(workflow)
        if before is None:
            return None
        if "rerun" in workflow["metadata"]:
            freeze(lp, workflow)
            carry_out(lp, workflow)
        remove_unlisted(lp, campaign_id)
        _thaw(lp, workflow_of(lp, campaign_id))
    return before


def _thaw(lp: LaunchPad, workflow: dict[str, Any]) -> None:
    """Give the fireworks of a locked workflow the states that their launches and parents say."""
    ids = sorted(int(i) for i, state in workflow["fw_states"].items() if state == "PAUSED")
    launched = {"fw_id": {"$in": ids}, "launches.0": {"$exists": True}}
    _forget_reservations(lp, launched)
    lp.fireworks.update_many(
        {"fw_id": {"$in": ids}, "state": "PAUSED"}, {"$set": {"state": "WAITING"}}
    )
    begun = set(lp.fireworks.distinct("fw_id", launched))
    # The newest: an older one may stand in an archive too, if a compaction was killed half-way.
    wf = lp.get_wf_by_fw_id_lzyfw(max(workflow["nodes"]))
    updated: set[int] = set()
    for fw_id in ids:
        wf.fw_states[fw_id] = "RUNNING" if fw_id in begun else "WAITING"
        if fw_id in begun:  # so that the refresh sees a change of state, and applies the action
            wf.id_fw[fw_id].state = "RUNNING"
            updated.add(fw_id)
    parents = wf.links.parent_links
    for fw_id in ids:
        over = all(wf.fw_states[p] in ENDED for p in parents.get(fw_id, []))
        if fw_id in begun or over:
            updated |= wf.refresh(fw_id, updated)
    for key in ("held", "rerun"):
        wf.metadata.pop(key, None)
    lp._update_wf(wf, updated)  # noqa: SLF001 - its last write is the workflow: the commit


def _forget_reservations(lp: LaunchPad, launched: dict[str, Any]) -> None:
    """Make reserved fireworks free: the queue's jobs that wanted them found them paused."""
    fws = lp.fireworks.find(launched, ["launches"])
    query = {"launch_id": {"$in": [i for fw in fws for i in fw["launches"]]}, "state": "RESERVED"}
    reserved = [launch["launch_id"] for launch in lp.launches.find(query, ["launch_id"])]
    if reserved:
        lp.fireworks.update_many(
            {"launches": {"$in": reserved}}, {"$pull": {"launches": {"$in": reserved}}}
        )
        lp.launches.delete_many({"launch_id": {"$in": reserved}})


def _write(lp: LaunchPad, workflow: dict[str, Any], fields: dict[str, Any]) -> None:
    lp.workflows.update_one({"_id": workflow["_id"]}, {"$set": fields})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
