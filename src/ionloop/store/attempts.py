"""Attempts at a campaign's jobs, summed by the server: how often, how long, on how many cores.

A launch of FireWorks has its times and, since workers say so, its cores, in its worker's ``env``.
It survives a compaction, which leaves fireworks and launches alone; what ``ionloop rerun`` takes
back goes with its launches. jobflow-remote keeps a job's last attempt, and its cores with what it
stored.
"""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from ionloop.report.ledger import Group
from ionloop.store.connection import OUTPUTS
from ionloop.store.jfremote import JOBS
from ionloop.store.remote_progress import named

Pipeline = list[dict[str, Any]]

#: In the stored data of a launch whose end was found out later: its time of end says nothing.
FOUND = "found_finished"
#: What attempts have in common that are summed.
_COMMON = ("stage", "generation", "function", "outcome")


#: A launch that was more than reserved; neither null nor a missing field is above null.
_BEGUN = {"$gt": ["$$this.time_start", None]}


def launch_groups(campaign_id: str, db: Database[dict[str, Any]]) -> list[Group]:
    """Sum the launches that FireWorks keeps of a campaign."""
    begun = [{f"{name}.0": {"$exists": True}} for name in ("launches", "archived_launches")]
    pipeline: Pipeline = [
        {"$match": {"spec.campaign_id": campaign_id, "$or": begun}},
        {
            "$project": {
                "stage": "$spec.stage",
                "generation": "$spec.generation",
                "function": _name_of({"$first": "$spec._tasks.job.function"}),
                "current": "$launches",
                "all": {"$setUnion": ["$launches", {"$ifNull": ["$archived_launches", []]}]},
            }
        },
        {
            "$lookup": {
                "from": "launches",
                "localField": "all",
                "foreignField": "launch_id",
                "as": "attempt",
            }
        },
        {"$set": {"attempt": {"$filter": {"input": "$attempt", "cond": _BEGUN}}}},
        {"$unwind": {"path": "$attempt", "includeArrayIndex": "place"}},
        {"$set": {"outcome": _OUTCOME, "wall": _WALL, "cores": "$attempt.fworker.env.cores"}},
        _SUMMED,
    ]
    return [_group_of(doc) for doc in db.fireworks.aggregate(pipeline)]


def remote_groups(campaign_id: str, db: Database[dict[str, Any]]) -> list[Group]:
    """Sum the last attempts that jobflow-remote keeps of a campaign's jobs."""
    states = {"done": ["COMPLETED"], "failed": named("FIZZLED"), "running": named("RUNNING")}
    branches = [
        {"case": {"$in": ["$state", found]}, "then": outcome} for outcome, found in states.items()
    ]
    begun = {"job.metadata.campaign_id": campaign_id, "start_time": {"$ne": None}}
    pipeline: Pipeline = [
        {"$match": begun},
        {
            "$project": {
                "uuid": 1,
                "index": 1,
                "stage": "$job.metadata.stage",
                "generation": "$job.metadata.generation",
                "function": _name_of("$job.function"),
                "outcome": {"$switch": {"branches": branches, "default": "lost"}},
                "wall": _seconds({"$ifNull": ["$end_time", "$updated_on"]}, "$start_time"),
                "place": {"$literal": 0},
            }
        },
        {
            "$lookup": {
                "from": OUTPUTS,
                "localField": "uuid",
                "foreignField": "uuid",
                "let": {"index": "$index"},
                "pipeline": [
                    {"$match": {"$expr": {"$eq": ["$index", "$$index"]}}},
                    {"$project": {"cores": "$metadata.cores"}},
                ],
                "as": "output",
            }
        },
        {"$set": {"cores": {"$first": "$output.cores"}}},
        _SUMMED,
    ]
    return [_group_of(doc) for doc in db[JOBS].aggregate(pipeline)]


def _name_of(function: Any) -> dict[str, Any]:  # noqa: ANN401 - an expression of MongoDB
    """Return the dotted name of a stored function, of a Maker's method that of the Maker."""
    bound = ["$$f.@bound.@module", ".", "$$f.@bound.@class"]
    plain = ["$$f.@module", ".", "$$f.@callable"]
    names = {"$ifNull": [{"$concat": bound}, {"$concat": plain}, "unknown"]}
    return {"$let": {"vars": {"f": function}, "in": names}}


def _seconds(end: Any, start: Any) -> dict[str, Any]:  # noqa: ANN401 - expressions of MongoDB
    """Return the time between two times, dates or text, s; 0 at least."""
    span = {"$subtract": [{"$toDate": end}, {"$toDate": start}]}
    return {"$max": [0, {"$divide": [span, 1000]}]}


def _group_of(doc: dict[str, Any]) -> Group:
    keys = {name: doc["_id"].get(name) for name in _COMMON}
    return Group(**keys, **{name: value for name, value in doc.items() if name != "_id"})


_HISTORY = {
    "$filter": {"input": "$attempt.state_history", "cond": {"$eq": ["$$this.state", "RUNNING"]}}
}
_SIGNS = {
    "$map": {
        "input": _HISTORY,
        "in": {"$toDate": {"$ifNull": ["$$this.updated_on", "$$this.created_on"]}},
    }
}
_LAST_SIGN = {"$max": [{"$max": _SIGNS}, {"$toDate": "$attempt.heartbeat"}]}
_ENDED = {"$in": ["$attempt.state", ["COMPLETED", "FIZZLED"]]}
_IS_FOUND = {"$eq": [f"$attempt.action.stored_data.{FOUND}", True]}
_IS_CURRENT = {"$in": ["$attempt.launch_id", "$current"]}
#: Of what ended, its run time; else, and of what was found ended, up to its last sign of life.
_WALL = {
    "$cond": [
        {"$and": [_ENDED, {"$not": _IS_FOUND}, {"$isNumber": "$attempt.runtime_secs"}]},
        "$attempt.runtime_secs",
        _seconds(_LAST_SIGN, "$attempt.time_start"),
    ]
}
_OUTCOME = {
    "$switch": {
        "branches": [
            {"case": {"$and": [{"$eq": ["$attempt.state", state]}, *more]}, "then": outcome}
            for state, more, outcome in (
                ("FIZZLED", [{"$not": _IS_FOUND}], "failed"),
                ("COMPLETED", [_IS_CURRENT], "done"),
                ("COMPLETED", [], "redone"),
                ("RUNNING", [_IS_CURRENT], "running"),
            )
        ],
        "default": "lost",
    }
}
_KNOWN = {"$isNumber": "$cores"}
_SUMMED = {
    "$group": {
        "_id": {name: f"${name}" for name in _COMMON},
        "n_jobs": {"$sum": {"$cond": [{"$eq": ["$place", 0]}, 1, 0]}},
        "n_attempts": {"$sum": 1},
        "wall_s": {"$sum": "$wall"},
        "core_s": {"$sum": {"$cond": [_KNOWN, {"$multiply": ["$wall", "$cores"]}, 0]}},
        "unknown_s": {"$sum": {"$cond": [_KNOWN, 0, "$wall"]}},
    }
}
