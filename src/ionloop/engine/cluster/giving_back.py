"""Give the jobs of lost workers back, and finish what lost workers left half-done.

A worker may die at any write. What it leaves is one of these, each told by what the launch, the
firework and the workflow say of the same job; FireWorks writes them in this order:

- launch and firework run: the job runs again, unless its whole output is stored.
- the launch has ended, the firework runs: what the launch says is applied.
- firework and launch have ended, the workflow says it runs: new fireworks that no workflow
  lists are removed, and what the launch says is applied once more.
- a firework is reserved and has no launch: it is ready again.
- all is written, and the workflow is still locked.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fireworks import FWAction, LaunchPad

from ionloop.engine.final import has_final_output
from ionloop.engine.launchpad import LOCAL_WORKER, remove_unlisted
from ionloop.engine.locking import apply_launch, locked_workflow
from ionloop.settings import get_settings
from ionloop.store.attempts import FOUND

logger = logging.getLogger(__name__)

#: States of fireworks that a worker has.
LIVE = ["RUNNING", "RESERVED"]
#: States of workflows in which a job may run; those that are done are by far the most.
_OPEN = ["READY", "RESERVED", "RUNNING", "FIZZLED", "DEFUSED"]
#: How often the workers of a job may be lost before it counts as failed.
MAX_LOST = 5
#: A worker takes some ten ms from a reservation to a launch; minutes where a lock is a dead one's.
#: At most; where workers count as gone sooner, so does a reservation.
_RESERVED_S = 600.0
_JOB = ["fw_id", "state", "launches", "spec._lost", "spec._tasks.job.uuid", "spec._tasks.job.index"]


@dataclass
class Returned:
    """Jobs whose workers were gone, by firework number."""

    rerun: list[int] = field(default_factory=list)
    completed: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rerun or self.completed or self.failed)

    def __str__(self) -> str:
        return (
            f"jobs of lost workers: {len(self.rerun)} to run again, {len(self.completed)} found "
            f"finished, {len(self.failed)} given up"
        )


def give_back(
    lp: LaunchPad,
    launch: dict[str, Any],
    returned: Returned,
    *,
    certain: bool,
    counts: bool = True,
) -> None:
    """Let the job of a launch that was claimed run again, or take the output that it stored.

    Parameters
    ----------
    lp
        The launch pad.
    launch
        Its number, firework, folder and campaign.
    returned
        What was done is noted here.
    certain
        Whether its worker is dead: the job then runs in the same folder, else in a copy.
    counts
        Whether the job may be to blame.
    """
    fw_id, launch_id = launch["fw_id"], launch["launch_id"]
    with locked_workflow(lp, launch["campaign_id"]):
        fw = lp.fireworks.find_one({"fw_id": fw_id}, _JOB)
        if fw is None or fw["state"] not in LIVE or fw["launches"][-1:] != [launch_id]:
            return
        n_lost = fw["spec"].get("_lost", 0) + int(counts)
        if has_final_output(lp, fw):
            _end(lp, fw_id, launch_id, "COMPLETED", FWAction(stored_data={FOUND: True}))
            returned.completed.append(fw_id)
        elif n_lost >= MAX_LOST:
            lp.fireworks.update_one({"fw_id": fw_id}, {"$unset": {"spec._lost": ""}})
            _end(lp, fw_id, launch_id, "FIZZLED", _too_often(n_lost))
            returned.failed.append(fw_id)
        else:
            _again(lp, launch, n_lost, certain=certain)
            returned.rerun.append(fw_id)


def _too_often(n_lost: int) -> FWAction:
    trace = (
        f"ionloop.errors.EngineError: the workers of this job were lost {n_lost} times, so it may "
        "be what kills them: look for memory and wall time in their logs"
    )
    return FWAction(stored_data={"_exception": {"_stacktrace": trace}, FOUND: True}, exit=True)


def _end(lp: LaunchPad, fw_id: int, launch_id: int, state: str, action: FWAction) -> None:
    """End a launch in the place of its worker; the workflow is locked."""
    launch = lp.get_launch_by_id(launch_id)
    launch.state, launch.action = state, action
    lp.launches.find_one_and_replace({"launch_id": launch_id}, launch.to_db_dict())
    apply_launch(lp, fw_id)


def _again(lp: LaunchPad, launch: dict[str, Any], n_lost: int, *, certain: bool) -> None:
    """Let a job run again; the workflow is locked."""
    fw_id = launch["fw_id"]
    recovery = lp.get_recovery(launch["launch_id"])
    change: dict[str, Any] = {"$set": {"spec._lost": n_lost}, "$unset": {}}
    if recovery is None:  # it ended before its task began
        change["$unset"]["spec._recovery"] = ""
    else:
        change["$set"]["spec._recovery"] = {**recovery, "_mode": "prev_dir" if certain else "cp"}
    if certain and recovery is not None:
        change["$set"]["spec._launch_dir"] = launch["launch_dir"]
    elif not certain:
        change["$unset"]["spec._launch_dir"] = ""
    full = {key: value for key, value in change.items() if value}
    lp.fireworks.update_one({"fw_id": fw_id}, full)
    workflow = lp.get_wf_by_fw_id_lzyfw(fw_id)
    lp._update_wf(workflow, workflow.rerun_fw(fw_id))  # noqa: SLF001


def settle(lp: LaunchPad, campaign_id: str | None, returned: Returned) -> None:
    """Finish what workers left half-done that died while they changed a workflow.

    Parameters
    ----------
    lp
        The launch pad.
    campaign_id
        Only this campaign's; None: all campaigns'.
    returned
        What was done is noted here.
    """
    for name in _half_done(lp, campaign_id):
        with locked_workflow(lp, name):
            for fw, launch in _half_done(lp, name).get(name, []):
                if launch["state"] == "ARCHIVED":
                    continue
                remove_unlisted(lp, name)
                apply_launch(lp, fw["fw_id"])
                returned.completed.append(fw["fw_id"])
        for fw, launch in _half_done(lp, name).get(name, []):
            described = {**launch, "fw_id": fw["fw_id"], "campaign_id": name}
            give_back(lp, described, returned, certain=launch["lost"]["certain"])
    _free_reserved(lp, campaign_id)
    _free_locks(lp, campaign_id)


def _half_done(
    lp: LaunchPad, campaign_id: str | None
) -> dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]:
    """List by campaign the jobs that their workflow has running but whose launch isn't."""
    running = {
        "$filter": {
            "input": {"$objectToArray": "$fw_states"},
            "cond": {"$eq": ["$$this.v", "RUNNING"]},
        }
    }
    found = lp.workflows.aggregate(
        [
            {
                "$match": {
                    "metadata.campaign_id": campaign_id or {"$exists": True},
                    "state": {"$in": _OPEN},
                }
            },
            {"$project": {"campaign_id": "$metadata.campaign_id", "running": running}},
            {"$match": {"running.0": {"$exists": True}}},
        ]
    )
    half: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for workflow in found:
        ids = [int(one["k"]) for one in workflow["running"]]
        fws = {fw["launches"][-1]: fw for fw in lp.fireworks.find({"fw_id": {"$in": ids}}, _JOB)
               if fw["launches"]}  # fmt: skip
        ended = {
            "launch_id": {"$in": list(fws)},
            "state": {"$nin": LIVE},
            "fworker.name": {"$ne": LOCAL_WORKER},  # `ionloop resume` looks after those
        }
        for launch in lp.launches.find(ended, ["launch_id", "state", "launch_dir", "lost"]):
            pair = (fws[launch["launch_id"]], launch)
            half.setdefault(workflow["campaign_id"], []).append(pair)
    return half


def _free_reserved(lp: LaunchPad, campaign_id: str | None) -> None:
    """Make jobs ready again whose workers died between their choice and a launch."""
    patience_s = min(_RESERVED_S, get_settings().lost_after_s)
    long_ago = datetime.now(UTC) - timedelta(seconds=patience_s)
    query: dict[str, Any] = {
        "spec.campaign_id": campaign_id or {"$exists": True},
        "state": "RESERVED",
        "launches": [],
        "updated_on": {"$lt": long_ago},
    }
    lp.fireworks.update_many(query, {"$set": {"state": "READY"}})


def _free_locks(lp: LaunchPad, campaign_id: str | None) -> None:
    """Free the locks of dead workers: who waits for one in turn finds out that it is stale."""
    query = {
        "metadata.campaign_id": campaign_id or {"$exists": True},
        "locked": {"$exists": True},
    }
    for name in lp.workflows.distinct("metadata.campaign_id", query):
        with locked_workflow(lp, name):
            pass
