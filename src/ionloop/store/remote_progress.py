"""How far a campaign is that jobflow-remote runs, in the words of FireWorks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pymongo.database import Database

from ionloop.store.jfremote import FLOWS, JOBS
from ionloop.store.progress import PAUSE, label_counts, last_line, overall, stage_table
from ionloop.store.schema import CampaignStatus, Failure

#: jobflow-remote's states and what FireWorks would call them.
STATES = {
    "WAITING": "WAITING",
    "READY": "READY",
    "CHECKED_OUT": "RESERVED",
    "UPLOADED": "RESERVED",
    "SUBMITTED": "RESERVED",
    "BATCH_SUBMITTED": "RESERVED",
    "RUNNING": "RUNNING",
    "BATCH_RUNNING": "RUNNING",
    "RUN_FINISHED": "RUNNING",
    "DOWNLOADED": "RUNNING",
    "COMPLETED": "COMPLETED",
    "FAILED": "FIZZLED",
    "REMOTE_ERROR": "FIZZLED",
    "PAUSED": "PAUSED",
    "STOPPED": "DEFUSED",
    "USER_STOPPED": "DEFUSED",
}


def named(state: str) -> list[str]:
    """Return jobflow-remote's states that FireWorks would call ``state``."""
    return [theirs for theirs, ours in STATES.items() if ours == state]


def is_remote(campaign_id: str, db: Database[dict[str, Any]]) -> bool:
    """Whether a campaign was submitted through jobflow-remote."""
    return db[FLOWS].find_one({"metadata.campaign_id": campaign_id}, {"_id": 1}) is not None


def remote_status(campaign_id: str, db: Database[dict[str, Any]]) -> CampaignStatus:
    """Count the jobs and labels of a campaign that :func:`is_remote`."""
    fields = ["uuid", "name", "created_on", "updated_on"]
    flow = db[FLOWS].find_one({"metadata.campaign_id": campaign_id}, fields) or {}
    stages = stage_table(_stage_rows(campaign_id, db))
    jobs: dict[str, int] = {}
    for stage in stages:
        for state, n in stage.states.items():
            jobs[state] = jobs.get(state, 0) + n
    failed = _failures(campaign_id, db)
    borne = _tolerated(failed, flow["uuid"], db)
    holding = [failure for uuid, failure in failed.items() if uuid not in borne]
    admitted, quarantined = label_counts(campaign_id, db)
    return CampaignStatus(
        campaign_id=campaign_id,
        name=flow["name"],
        state=overall(jobs, holding),
        created_on=flow["created_on"],
        updated_on=flow["updated_on"],
        jobs=jobs,
        stages=stages,
        generation=max((s.generation for s in stages if s.generation is not None), default=None),
        n_labels=admitted,
        n_quarantined=quarantined,
        failures=holding,
        tolerated=[failed[uuid] for uuid in borne],
    )


def _stage_rows(campaign_id: str, db: Database[dict[str, Any]]) -> list[dict[str, Any]]:
    """Count jobs by generation, stage and state, this with FireWorks' name."""
    groups = db[JOBS].aggregate(
        [
            {"$match": {"job.metadata.campaign_id": campaign_id}},
            {
                "$group": {
                    "_id": {
                        "generation": {"$ifNull": ["$job.metadata.generation", None]},
                        "stage": {"$ifNull": ["$job.metadata.stage", None]},
                        "state": "$state",
                    },
                    "n": {"$sum": 1},
                }
            },
        ]
    )
    return [
        {"_id": {**group["_id"], "state": STATES[group["_id"]["state"]]}, "n": group["n"]}
        for group in groups
    ]


def _failures(campaign_id: str, db: Database[dict[str, Any]]) -> dict[str, Failure]:
    """Return all failed jobs of a campaign by uuid, with the last line of their tracebacks."""
    fields = {"uuid": 1, "db_id": 1, "job.name": 1, "error": 1, "remote.error": 1, "run_dir": 1}
    found = db[JOBS].find(
        {"job.metadata.campaign_id": campaign_id, "state": {"$in": named("FIZZLED")}}, fields
    )
    return {doc["uuid"]: _failure(doc) for doc in found}


def _failure(doc: dict[str, Any]) -> Failure:
    message = last_line(doc.get("error") or doc["remote"].get("error") or "")
    return Failure(
        fw_id=int(re.findall(r"\d+", doc["db_id"])[-1]),
        name=doc["job"]["name"],
        message=message.removeprefix(PAUSE),
        directory=doc.get("run_dir") or "",
        pauses=message.startswith(PAUSE),
    )


def _tolerated(
    failed: dict[str, Failure], flow_uuid: str, db: Database[dict[str, Any]]
) -> Sequence[str]:
    """Return the uuids of the failures that the graph bears: all their children COMPLETED."""
    if not failed:
        return []
    children: dict[str, set[str]] = {uuid: set() for uuid in failed}
    # The graph of all generations.
    flow = db[FLOWS].find_one({"uuid": flow_uuid}, {"parents": 1}) or {}
    for child, by_index in flow.get("parents", {}).items():
        for parents in by_index.values():
            for parent in children.keys() & set(parents or ()):
                children[parent].add(child)
    wanted = sorted(set().union(*children.values()))
    fields = {"uuid": 1, "index": 1, "state": 1}
    # Sorted here: the server might take jobflow-remote's index of ``index``, and read all jobs.
    found = sorted(db[JOBS].find({"uuid": {"$in": wanted}}, fields), key=lambda doc: doc["index"])
    latest = {doc["uuid"]: doc["state"] for doc in found}
    return [
        uuid
        for uuid, some in children.items()
        if some and all(latest.get(child) == "COMPLETED" for child in some)
    ]
