"""What jobflow-remote runs now and what its jobs took, from its queue's own documents."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pymongo.database import Database

from ionloop.store.eta import TimedJob
from ionloop.store.jfremote import JOBS
from ionloop.store.remote_progress import named
from ionloop.store.schema import RunningJob
from ionloop.store.times import as_utc


def running_jobs(campaign_id: str, db: Database[dict[str, Any]]) -> list[RunningJob]:
    """Return the jobs of a campaign that run now, the oldest first.

    Those that have ended and whose files the runner still fetches are among them. Their machine
    isn't known: jobflow-remote keeps the worker that a job was sent to, and no host.
    """
    query = {"job.metadata.campaign_id": campaign_id, "state": {"$in": named("RUNNING")}}
    fields = ["job.name", "job.metadata", "worker", "run_dir", "start_time", "updated_on"]
    found = [
        RunningJob(
            name=doc["job"]["name"],
            stage=doc["job"]["metadata"].get("stage"),
            generation=doc["job"]["metadata"].get("generation"),
            worker=doc["worker"],
            since=_begun(doc),
            directory=doc.get("run_dir") or "",
        )
        for doc in db[JOBS].find(query, fields)
    ]
    return sorted(found, key=lambda job: job.since)


def timed_jobs(
    campaign_id: str, generations: Iterable[int], db: Database[dict[str, Any]]
) -> list[TimedJob]:
    """Return jobs with their times; left out are failed ones, and what was only said to be done."""
    over = [*named("FIZZLED"), *named("DEFUSED")]
    query = {
        "job.metadata.campaign_id": campaign_id,
        "job.metadata.generation": {"$in": list(generations)},
        "state": {"$nin": over},
    }
    fields = ["job.metadata", "job.function.@callable", "state"]
    fields += ["start_time", "end_time", "updated_on"]
    found = db[JOBS].find(query, fields)
    return [_timed(doc) for doc in found if doc["state"] != "COMPLETED" or doc.get("end_time")]


def _timed(doc: dict[str, Any]) -> TimedJob:
    end = doc.get("end_time")
    has_begun = bool(doc.get("start_time")) or doc["state"] in named("RUNNING")
    return TimedJob(
        generation=doc["job"]["metadata"]["generation"],
        stage=doc["job"]["metadata"].get("stage") or "",
        kind=doc["job"]["function"]["@callable"],
        start=_begun(doc).timestamp() if has_begun else None,
        end=as_utc(end).timestamp() if end else None,
    )


def _begun(doc: dict[str, Any]) -> datetime:
    """Return when a job began; one that ended between two looks has no such time until stored."""
    return as_utc(doc.get("start_time") or doc["updated_on"])
