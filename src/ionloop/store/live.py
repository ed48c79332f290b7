"""A campaign as it runs: its workers, its labels and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database

from ionloop.store import remote_live
from ionloop.store.connection import OUTPUTS, database
from ionloop.store.eta import TimedJob, estimate
from ionloop.store.queries import status
from ionloop.store.remote_progress import is_remote
from ionloop.store.schema import Eta, LiveStatus, RunningJob
from ionloop.store.times import as_utc

_LEFT = frozenset({"READY", "RESERVED", "RUNNING", "WAITING", "PAUSED"})


def live_status(campaign_id: str, db: Database[dict[str, Any]] | None = None) -> LiveStatus:
    """Say how far a campaign is, what runs where, and when it will be done.

    Raises
    ------
    StoreError
        If there is no such campaign.
    """
    db = database() if db is None else db
    now = status(campaign_id, db)
    remote = is_remote(campaign_id, db)
    running = remote_live.running_jobs if remote else running_jobs
    timed = remote_live.timed_jobs if remote else timed_jobs
    over = not now.jobs.keys() & _LEFT
    return LiveStatus(
        **{name: getattr(now, name) for name in type(now).model_fields},
        running=running(campaign_id, db),
        eta=None if over else eta(campaign_id, now.generation or 0, db, timed),
    )


def running_jobs(campaign_id: str, db: Database[dict[str, Any]]) -> list[RunningJob]:
    """Return the jobs of a campaign that run now, the oldest first."""
    query = {"spec.campaign_id": campaign_id, "state": {"$in": ["RUNNING", "PAUSED"]},
             "launches.0": {"$exists": True}}  # fmt: skip
    fields = {"name": 1, "launches": 1, "spec.stage": 1, "spec.generation": 1}
    fws = {fw["launches"][-1]: fw for fw in db.fireworks.find(query, fields)}
    launches = db.launches.find(
        {"launch_id": {"$in": list(fws)}, "state": "RUNNING"},
        {"launch_id": 1, "fworker.name": 1, "host": 1, "time_start": 1, "launch_dir": 1},
    ).sort("launch_id", 1)
    return [
        RunningJob(
            name=fws[one["launch_id"]]["name"],
            stage=fws[one["launch_id"]]["spec"].get("stage"),
            generation=fws[one["launch_id"]]["spec"].get("generation"),
            worker=one["fworker"]["name"],
            host=one["host"],
            since=_time(one["time_start"]) or datetime.now(UTC),
            directory=one["launch_dir"],
        )
        for one in launches
    ]


def eta(
    campaign_id: str,
    generation: int,
    db: Database[dict[str, Any]],
    timed: Callable[[str, Iterable[int], Database[dict[str, Any]]], list[TimedJob]],
) -> Eta | None:
    """Estimate the end from the jobs of the last two generations and the whole ones before.

    Parameters
    ----------
    campaign_id, generation
        The campaign and its latest generation.
    db
        The database.
    timed
        Who reads the jobs' times: FireWorks and jobflow-remote keep them in different places.
    """
    jobs = timed(campaign_id, [generation - 1, generation], db)
    if not jobs:
        return None
    cap = generations_max(campaign_id, db)
    left = None if cap is None else max(cap - 1 - generation, 0)
    return estimate(jobs, datetime.now(UTC).timestamp(), turns(campaign_id, db), left)


def timed_jobs(
    campaign_id: str, generations: Iterable[int], db: Database[dict[str, Any]]
) -> list[TimedJob]:
    """Return jobs with their times; failed ones left out, and what ran once more counts once."""
    fws = list(
        db.fireworks.find(
            {"spec.campaign_id": campaign_id, "spec.generation": {"$in": list(generations)},
             "state": {"$nin": ["FIZZLED", "DEFUSED", "ARCHIVED"]}},
            {"launches": 1, "spec.stage": 1, "spec.generation": 1,
             "spec._tasks.job.function.@callable": 1},
        )
    )  # fmt: skip
    last = [fw["launches"][-1] for fw in fws if fw["launches"]]
    fields = {"launch_id": 1, "state": 1, "time_start": 1, "time_end": 1}
    launches = {
        one["launch_id"]: one for one in db.launches.find({"launch_id": {"$in": last}}, fields)
    }
    return [
        _timed(fw, launches.get(fw["launches"][-1], {}) if fw["launches"] else {}) for fw in fws
    ]


def _timed(fw: dict[str, Any], launch: dict[str, Any]) -> TimedJob:
    start, end = _time(launch.get("time_start")), _time(launch.get("time_end"))
    return TimedJob(
        generation=fw["spec"]["generation"],
        stage=fw["spec"].get("stage") or "",
        kind=fw["spec"]["_tasks"][0]["job"]["function"]["@callable"],
        start=start.timestamp() if start else None,
        end=end.timestamp() if end else None,
    )


def _time(value: datetime | str | None) -> datetime | None:
    return as_utc(value) if value else None


def turns(campaign_id: str, db: Database[dict[str, Any]]) -> list[float]:
    """Return how long the whole generations of a campaign took, s: from advance to advance."""
    query = {"metadata.campaign_id": campaign_id, "output.@class": "Advance"}
    # Without _id and in this order an index alone answers.
    fields = {"output.generation": 1, "completed_at": 1, "_id": 0}
    found = db[OUTPUTS].find(query, fields).sort([("output.generation", 1), ("completed_at", 1)])
    ends = {
        doc["output"]["generation"]: datetime.fromisoformat(doc["completed_at"]) for doc in found
    }
    return [(ends[g] - ends[g - 1]).total_seconds() for g in sorted(ends) if g - 1 in ends]


def generations_max(campaign_id: str, db: Database[dict[str, Any]]) -> int | None:
    """Return a campaign's cap on generations; None before it has started."""
    query = {"metadata.campaign_id": campaign_id, "output.@class": "CampaignStart"}
    found = db[OUTPUTS].find_one(query, {"output.profile.budget.generations_max": 1})
    return int(found["output"]["profile"]["budget"]["generations_max"]) if found else None
