"""Scorecards that are outputs of campaigns' jobs, in the form of stored ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database

from ionloop.evaluate.scorecard_schema import Scorecard
from ionloop.store.connection import OUTPUTS
from ionloop.store.records import OUTDATED, without_marks

#: Outputs that are scorecards; partial indexes have the same filter.
_MADE: dict[str, Any] = {"output.@class": Scorecard.__name__}
#: Of them those whose job isn't about to run again.
LATEST = _MADE | {OUTDATED: {"$exists": False}}


def as_stored(doc: dict[str, Any]) -> dict[str, Any]:
    """Turn a job's output into what a stored scorecard is."""
    return {
        "key": doc["uuid"],
        "card": without_marks(doc["output"]),
        "campaign_id": doc["metadata"].get("campaign_id"),
        "generation": doc["metadata"].get("generation"),
        "stored_at": completed(doc).isoformat(timespec="milliseconds"),
        "by": "its campaign",
    }


def completed(doc: dict[str, Any]) -> datetime:
    """Return when an output was stored; jobflow writes local time and no zone."""
    return datetime.fromisoformat(doc["completed_at"]).astimezone(UTC)


def materials(db: Database[dict[str, Any]]) -> set[str]:
    """Return the materials of campaigns' scorecards."""
    # Sorted, so that the server takes the index, which is partial: else it reads all outputs.
    order = {"output.material": 1, "completed_at": -1}
    stages: list[dict[str, Any]] = [
        {"$match": _MADE},
        {"$sort": order},
        {"$group": {"_id": "$output.material"}},
    ]
    return {doc["_id"] for doc in db[OUTPUTS].aggregate(stages)}
