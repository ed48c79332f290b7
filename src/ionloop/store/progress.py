"""How far a campaign is: its jobs, labels and failures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pymongo.database import Database

from ionloop.errors import BatchPausedError, StoreError
from ionloop.store.connection import OUTPUTS, database
from ionloop.store.schema import CampaignStatus, Failure, Held, StageCount

_ACTIVE = ("READY", "RESERVED", "RUNNING")
#: How the last line of a traceback begins where a job waits for a decision.
PAUSE = f"{BatchPausedError.__module__}.{BatchPausedError.__qualname__}: "


def status(campaign_id: str, db: Database[dict[str, Any]] | None = None) -> CampaignStatus:
    """Count a campaign's jobs and labels.

    Raises
    ------
    StoreError
        If there is no such campaign.
    """
    db = database() if db is None else db
    fields = ["name", "created_on", "updated_on", "metadata"]
    workflow = db.workflows.find_one({"metadata.campaign_id": campaign_id}, fields)
    if workflow is None:
        msg = f"unknown campaign {campaign_id!r}; `ionloop status` without it shows the latest"
        raise StoreError(msg)
    held = Held(**found) if (found := workflow["metadata"].get("held")) else None
    stages = stage_counts(campaign_id, db)
    if held:
        _restate(stages, campaign_id, db)
    jobs: dict[str, int] = {}
    for stage in stages:
        for state, n in stage.states.items():
            jobs[state] = jobs.get(state, 0) + n
    failed = failures(campaign_id, db)
    borne = tolerated(failed, db)
    holding = [failure for failure in failed if failure not in borne]
    admitted, quarantined = label_counts(campaign_id, db)
    return CampaignStatus(
        campaign_id=campaign_id,
        name=workflow["name"],
        state=held.state if held else overall(jobs, holding),
        held=held,
        created_on=workflow["created_on"],
        updated_on=workflow["updated_on"],
        jobs=jobs,
        stages=stages,
        generation=max((s.generation for s in stages if s.generation is not None), default=None),
        n_labels=admitted,
        n_quarantined=quarantined,
        failures=holding,
        tolerated=borne,
    )


def _restate(stages: Sequence[StageCount], campaign_id: str, db: Database[dict[str, Any]]) -> None:
    """Count jobs of a held campaign that run or have ended as such.

    Their fireworks are paused too, so that what they add waits for a resume.
    """
    begun = {"spec.campaign_id": campaign_id, "state": "PAUSED", "launches.0": {"$exists": True}}
    fields = {"launches": 1, "spec.generation": 1, "spec.stage": 1}
    fws = list(db.fireworks.find(begun, fields))
    last = [fw["launches"][-1] for fw in fws]
    launches = db.launches.find({"launch_id": {"$in": last}}, {"launch_id": 1, "state": 1})
    states = {launch["launch_id"]: launch["state"] for launch in launches}
    rows = {(row.generation, row.stage): row.states for row in stages}
    for fw in fws:
        counts = rows[fw["spec"].get("generation"), fw["spec"].get("stage")]
        state = states.get(fw["launches"][-1], "PAUSED")
        counts["PAUSED"] -= 1
        counts[state] = counts.get(state, 0) + 1
    for counts in rows.values():
        if counts.get("PAUSED") == 0:
            del counts["PAUSED"]


def overall(jobs: dict[str, int], holding: Sequence[Failure]) -> str:
    """Name the state; failures that nothing waits for don't hold a campaign up.

    A campaign whose only failures are batches below their share is paused.
    """
    if jobs.get("RUNNING"):
        return "running"
    if set(jobs) <= {"COMPLETED", "FIZZLED"} and not holding:
        return "finished"
    if any(jobs.get(state) for state in _ACTIVE):
        return "waiting"
    paused = bool(holding) and all(failure.pauses for failure in holding)
    return "paused" if paused else "failed"


def stage_counts(campaign_id: str, db: Database[dict[str, Any]]) -> list[StageCount]:
    """Count jobs by generation, stage and state."""
    groups = db.fireworks.aggregate(
        [
            {"$match": {"spec.campaign_id": campaign_id}},
            {
                "$group": {
                    "_id": {
                        "generation": {"$ifNull": ["$spec.generation", None]},
                        "stage": {"$ifNull": ["$spec.stage", None]},
                        "state": "$state",
                    },
                    "n": {"$sum": 1},
                }
            },
        ]
    )
    return stage_table(groups)


def stage_table(groups: Iterable[dict[str, Any]]) -> list[StageCount]:
    """Put counts by generation, stage and state into rows."""
    table: dict[tuple[int | None, str | None], dict[str, int]] = {}
    for group in groups:
        key = (group["_id"].get("generation"), group["_id"].get("stage"))
        states = table.setdefault(key, {})
        states[group["_id"]["state"]] = states.get(group["_id"]["state"], 0) + group["n"]
    return [
        StageCount(generation=generation, stage=stage, states=states)
        for (generation, stage), states in sorted(
            table.items(), key=lambda item: (item[0][0] or 0, item[0][1] or "")
        )
    ]


def label_counts(campaign_id: str, db: Database[dict[str, Any]]) -> tuple[int, int]:
    """Count the labels of a campaign: admitted and quarantined ones.

    A batch may be stored twice, by the job that collects it and by what replaced it; the later
    one counts. The server compares their frames' hashes, of which there are as many as labels:
    a live view asks for this again and again.
    """
    batch = ("generation", "purpose", "frame_hashes")
    counts = ("n_admitted", "n_quarantined")
    groups = db[OUTPUTS].aggregate(
        [
            {"$match": {"metadata.campaign_id": campaign_id, "output.@class": "LabelShard"}},
            {"$sort": {"completed_at": 1}},
            {
                "$group": {
                    "_id": {name: f"$output.{name}" for name in batch},
                    **{name: {"$last": f"$output.{name}"} for name in counts},
                }
            },
            {"$group": {"_id": None, **{name: {"$sum": f"${name}"} for name in counts}}},
        ]
    )
    found = next(iter(groups), {})
    admitted, quarantined = (int(found.get(name, 0)) for name in counts)
    return admitted, quarantined


def failures(campaign_id: str, db: Database[dict[str, Any]]) -> list[Failure]:
    """Return all failed jobs of a campaign with the last line of their tracebacks."""
    failed = list(
        db.fireworks.find(
            {"spec.campaign_id": campaign_id, "state": "FIZZLED"},
            {"fw_id": 1, "name": 1, "launches": 1},
        )
    )
    launches = _launches(db, [launch for fw in failed for launch in fw["launches"][-1:]])
    return [_failure(fw, launches.get(fw["fw_id"], {})) for fw in failed]


def _failure(fw: dict[str, Any], launch: dict[str, Any]) -> Failure:
    message = _last_line(launch)
    return Failure(
        fw_id=fw["fw_id"],
        name=fw["name"],
        message=message.removeprefix(PAUSE),
        directory=launch.get("launch_dir", ""),
        pauses=message.startswith(PAUSE),
    )


def tolerated(failed: Sequence[Failure], db: Database[dict[str, Any]]) -> list[Failure]:
    """Return the failures that the graph bears: there are children, and all have COMPLETED.

    A job that accepts a missing input runs although its parent failed, for example the
    collection of labels. A failed job without children is a failure of the campaign, since
    nobody said that it may be missed.
    """
    if not failed:
        return []
    ids = [f.fw_id for f in failed]
    fields = ["metadata.archive_of", *(f"links.{i}" for i in ids), *(f"fw_states.{i}" for i in ids)]
    children: dict[int, list[int]] = {}
    settled: set[int] = set()
    for workflow in db.workflows.find({"nodes": {"$in": ids}}, fields):
        children |= {int(key): some for key, some in workflow["links"].items()}
        if "archive_of" in workflow["metadata"]:  # where nothing else goes
            settled |= {int(key) for key in workflow["fw_states"]}
    wanted = [child for some in children.values() for child in some]
    over = {"fw_id": {"$in": wanted}, "state": "COMPLETED"}
    done = {fw["fw_id"] for fw in db.fireworks.find(over, {"fw_id": 1})}
    return [
        f for f in failed
        if f.fw_id in settled or (children.get(f.fw_id) and done.issuperset(children[f.fw_id]))
    ]  # fmt: skip


def _launches(db: Database[dict[str, Any]], ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    fields = {"fw_id": 1, "launch_dir": 1, "action.stored_data._exception": 1}
    found = db.launches.find({"launch_id": {"$in": list(ids)}}, fields)
    return {launch["fw_id"]: launch for launch in found}


def _last_line(launch: dict[str, Any]) -> str:
    stored = (launch.get("action") or {}).get("stored_data") or {}
    return last_line((stored.get("_exception") or {}).get("_stacktrace") or "")


def last_line(trace: str) -> str:
    """Return the last line of a traceback that says something."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    return lines[-1] if lines else "no traceback; read the worker's log"
