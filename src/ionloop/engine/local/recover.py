"""Put a campaign's workflow in order after its workers were killed.

FireWorks changes a workflow in this order: the launch with its action; the new
fireworks; the changed fireworks; last, the workflow document, which lists them all.
That document is therefore the commit, and four things may be left half-done:

- fireworks that no workflow lists: their addition was never committed, and no worker
  can have run them, since a checkout waits for the workflow that lists it. They are
  deleted; the launch still holds the action, and applying it makes them anew.
- a launch that ended while its workflow doesn't know: the stored action is applied.
- a launch that its dead worker left running, whose job stored its whole output and by
  its class adds no jobs: the launch is completed without running it again.
- any other launch that a dead worker left running: it is run again in its old folder,
  where the job finds its own checkpoints.

A resume also runs failed jobs again; and where a batch of labels is below its share, the
jobs of its failed labels, though they ended without an error of their own.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fireworks import FWAction, LaunchPad

from ionloop.engine.compact import compact
from ionloop.engine.final import has_final_output
from ionloop.engine.launchpad import LOCAL_WORKER, campaign_query, remove_unlisted, workflow_of
from ionloop.engine.locking import apply_launch, free_nameless, locked_workflow
from ionloop.store.attempts import FOUND
from ionloop.store.queries import failures, jobs_to_retry, mark_outdated
from ionloop.store.times import as_utc

logger = logging.getLogger(__name__)

_SETTLED = frozenset({"COMPLETED", "DEFUSED", "ARCHIVED", "PAUSED"})
_LOCK_PATIENCE_S = 30.0
#: A worker takes some ten ms from choosing a job to its launch; so long for a slow one.
_CHOICE_S = 2.0


@dataclass
class Recovery:
    """What was put in order; jobs by firework number."""

    deleted: int = 0
    replayed: list[int] = field(default_factory=list)
    completed: list[int] = field(default_factory=list)
    rerun: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{len(self.rerun)} jobs to run again, {len(self.completed) + len(self.replayed)} "
            f"found finished, {self.deleted} half-made jobs removed"
        )


def recover(lp: LaunchPad, campaign_id: str, *, rerun_failed: bool) -> Recovery:
    """Repair a campaign whose local workers are all dead.

    Parameters
    ----------
    lp
        The launch pad.
    campaign_id
        The campaign; the caller holds its lease, so that no other local run of it lives, on
        this machine or another. Launches of a cluster's workers are left alone.
    rerun_failed
        Whether failed jobs run again too.
    """
    report = Recovery()
    foreign = _others_may_write(lp, campaign_id)
    free_nameless(lp, campaign_id, _LOCK_PATIENCE_S if foreign else 0.0)
    with locked_workflow(lp, campaign_id):
        pass  # a living command ends its change; a dead one's lock is freed
    _free_reserved(lp, campaign_id)
    if not foreign:
        report.deleted = remove_unlisted(lp, campaign_id)
    workflow = workflow_of(lp, campaign_id)
    fws = _fireworks(lp, workflow)
    launches = _launches(lp, fws)
    for fw in fws:
        if (known := workflow["fw_states"][str(fw["fw_id"])]) not in _SETTLED:
            own = [launches[i] for i in fw["launches"] if i in launches]
            _mend(lp, campaign_id, fw, own, report)
            if not own and fw["state"] == "READY" != known:
                # So that the workflow knows it too. Not else: FireWorks would undo a checkout
                # that takes place meanwhile.
                lp._refresh_wf(fw["fw_id"])  # noqa: SLF001
    if rerun_failed:
        _rerun_failed(lp, campaign_id, report)
    compact(lp, campaign_id)
    logger.info("campaign %s: %s", campaign_id, report)
    return report


def free_dead_lock(lp: LaunchPad, campaign_id: str) -> None:
    """Free the lock that a dead local worker left, where no other worker may hold it.

    As for :func:`recover` the caller holds the campaign's lease. Who takes the lock before it
    recovers would else wait until the lock counts as a dead process's.
    """
    if not _others_may_write(lp, campaign_id):
        free_nameless(lp, campaign_id, 0.0)


def _others_may_write(lp: LaunchPad, campaign_id: str) -> bool:
    """Whether a cluster's worker runs a job of the campaign, or has just ended one."""
    launches = _launches(lp, _fireworks(lp, workflow_of(lp, campaign_id)))
    return any(
        not _is_local(launch) and (launch["state"] == "RUNNING" or _just_ended(launch))
        for launch in launches.values()
    )


def _fireworks(lp: LaunchPad, workflow: dict[str, Any]) -> list[dict[str, Any]]:
    fields = ["fw_id", "state", "launches", "spec._tasks.job.uuid", "spec._tasks.job.index"]
    query = {"fw_id": {"$in": workflow["nodes"]}, "state": {"$nin": ["WAITING"]}}
    return list(lp.fireworks.find(query, fields).sort("fw_id", 1))


def _launches(lp: LaunchPad, fws: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    ids = [i for fw in fws for i in fw["launches"]]
    fields = ["launch_id", "state", "launch_dir", "fworker.name", "time_end"]
    found = lp.launches.find({"launch_id": {"$in": ids}}, fields)
    return {launch["launch_id"]: launch for launch in found}


def _is_local(launch: dict[str, Any]) -> bool:
    """Whether a launch was a local worker's; wherever it ran, it's dead: we hold the lease."""
    return bool(launch["fworker"]["name"] == LOCAL_WORKER)


def _just_ended(launch: dict[str, Any]) -> bool:
    """Whether a launch ended so lately that its worker may still be writing what it adds."""
    if not launch.get("time_end"):
        return False
    return (datetime.now(UTC) - as_utc(launch["time_end"])).total_seconds() < _LOCK_PATIENCE_S


def _free_reserved(lp: LaunchPad, campaign_id: str) -> None:
    """Make jobs ready again whose workers were killed between their choice and a launch.

    A living worker elsewhere takes some ten ms for that, and isn't disturbed.
    """
    chosen = {**campaign_query(campaign_id), "state": "RESERVED", "launches": []}
    first = set(lp.fireworks.distinct("fw_id", chosen))
    end = time.monotonic() + _CHOICE_S
    while left := first.intersection(lp.fireworks.distinct("fw_id", chosen)):
        if time.monotonic() >= end:
            stale = {**chosen, "fw_id": {"$in": list(left)}}
            lp.fireworks.update_many(stale, {"$set": {"state": "READY"}})
            return
        time.sleep(_CHOICE_S / 20)


def _mend(
    lp: LaunchPad,
    campaign_id: str,
    fw: dict[str, Any],
    launches: list[dict[str, Any]],
    report: Recovery,
) -> None:
    """Bring one firework that isn't settled to a state from which work goes on."""
    fw_id = fw["fw_id"]
    running = [launch for launch in launches if launch["state"] == "RUNNING"]
    if any(launch["state"] in ("COMPLETED", "FIZZLED") for launch in launches):
        with locked_workflow(lp, campaign_id) as workflow:
            # A cluster's worker may have looked after it since.
            if workflow["fw_states"][str(fw_id)] in _SETTLED:
                return
            apply_launch(lp, fw_id)
        report.replayed.append(fw_id)
    elif running and _is_local(running[-1]):
        if has_final_output(lp, fw):
            action = FWAction(stored_data={FOUND: True})
            lp.complete_launch(running[-1]["launch_id"], action, "COMPLETED")
            report.completed.append(fw_id)
        else:
            _rerun(lp, fw_id, running[-1]["launch_id"])
            report.rerun.append(fw_id)


def _rerun(lp: LaunchPad, fw_id: int, launch_id: int | None) -> None:
    """Run a job again in its old folder; in a new one if it died before its task began.

    Or if the folder isn't there: it was on another machine, or somebody cleaned up.
    """
    recovery = None if launch_id is None else lp.get_recovery(launch_id)
    if recovery and Path(recovery["_prev_dir"]).is_dir():
        lp.rerun_fw(fw_id, recover_launch="last", recover_mode="prev_dir")
    else:
        if recovery:  # or FireWorks would make the folder anew, wherever it was
            lp.fireworks.update_one({"fw_id": fw_id}, {"$unset": {"spec._launch_dir": ""}})
        lp.rerun_fw(fw_id)


def _rerun_failed(lp: LaunchPad, campaign_id: str, report: Recovery) -> None:
    """Run failed jobs again, unless a job that bears missing inputs has gone on without them.

    Where a batch of labels paused the campaign, the jobs of its failed labels run again too.
    """
    workflow = workflow_of(lp, campaign_id)
    links = workflow["links"]
    pausing = {f.fw_id for f in failures(campaign_id, lp.db) if f.pauses}
    # Failed jobs in archives are settled: all that waited for them has gone on without.
    query = {"fw_id": {"$in": workflow["nodes"]}, "state": "FIZZLED"}
    for fw_id in lp.fireworks.distinct("fw_id", query):
        fw = lp.fireworks.find_one({"fw_id": fw_id, "state": "FIZZLED"}, ["launches"])
        if fw is None:  # a parent that runs again has reset it
            continue
        children = links.get(str(fw_id), [])
        going_on = {"fw_id": {"$in": children}, "state": {"$in": ["RUNNING", "COMPLETED"]}}
        if lp.fireworks.find_one(going_on, {"_id": 1}) is None:
            again = _retry(lp, campaign_id, fw_id) if fw_id in pausing else []
            if not again:
                _rerun(lp, fw_id, fw["launches"][-1] if fw["launches"] else None)
            report.rerun += again or [fw_id]


def _retry(lp: LaunchPad, campaign_id: str, gate_id: int) -> list[int]:
    """Run the failed jobs of a paused batch again, each in its old folder.

    There a job finds the labels that are good. What collects them and the gate behind it
    follow, since they are children. Nothing runs again if the batch has its share by now.
    """
    links = workflow_of(lp, campaign_id)["links"]
    parents = [int(parent) for parent, children in links.items() if gate_id in children]
    uuid = "spec._tasks.job.uuid"
    again: list[int] = []
    for shard in lp.fireworks.distinct(uuid, {"fw_id": {"$in": parents}}):
        jobs = jobs_to_retry(shard, campaign_id, lp.db)
        if jobs:
            mark_outdated([shard, *jobs], lp.db)
        query = {**campaign_query(campaign_id), uuid: {"$in": jobs}}
        # Of a job that went on in new launches the last: it reads what the others computed.
        index = "spec._tasks.job.index"
        found = lp.fireworks.find(query, ["fw_id", "launches", uuid, index]).sort(index, 1)
        last = {fw["spec"]["_tasks"][0]["job"]["uuid"]: fw for fw in found}
        for fw in sorted(last.values(), key=lambda one: one["fw_id"]):
            _rerun_there(lp, fw)
            again.append(fw["fw_id"])
    return again


def _rerun_there(lp: LaunchPad, fw: dict[str, Any]) -> None:
    """Run a job that has ended once more in its folder; FireWorks recovers unfinished ones only."""
    launch = lp.launches.find_one({"launch_id": fw["launches"][-1]}, ["launch_dir"])
    if launch is not None:
        there = {"$set": {"spec._launch_dir": launch["launch_dir"]}}
        lp.fireworks.update_one({"fw_id": fw["fw_id"]}, there)
    lp.rerun_fw(fw["fw_id"])
