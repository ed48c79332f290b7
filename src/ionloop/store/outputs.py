"""Stored outputs by job: whose they are, and which are about to be replaced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pymongo import UpdateOne
from pymongo.database import Database

from ionloop.store.connection import OUTPUTS
from ionloop.store.records import OUTDATED

#: A job: its uuid and its index, as jobflow counts its launches.
JobKey = tuple[str, int]


def output_classes(uuids: Iterable[str], db: Database[dict[str, Any]]) -> dict[JobKey, str]:
    """Return the class of each stored output, of a list that of its parts."""
    fields = {"uuid": 1, "index": 1, "output.@class": 1}
    found = db[OUTPUTS].find({"uuid": {"$in": list(uuids)}}, fields)
    return {(doc["uuid"], doc["index"]): _class_of(doc.get("output")) for doc in found}


def _class_of(output: object) -> str:
    if isinstance(output, list):
        output = next((part for part in output if part), None)
    return str(output.get("@class", "")) if isinstance(output, dict) else ""


def mark_jobs_outdated(jobs: Iterable[JobKey], db: Database[dict[str, Any]]) -> None:
    """Mark the outputs of jobs that are about to run again, or that no longer exist."""
    changes = [
        UpdateOne({"uuid": uuid, "index": index}, {"$set": {OUTDATED: True}})
        for uuid, index in jobs
    ]
    if changes:
        db[OUTPUTS].bulk_write(changes, ordered=False)
