"""What is asked of the database: which campaigns there are, what they hold, how far they are."""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from ionloop.errors import StoreError
from ionloop.store.connection import database
from ionloop.store.labels import jobs_to_retry
from ionloop.store.progress import failures, status
from ionloop.store.records import campaign_record, mark_outdated, parse, stored_output

__all__ = [
    "campaign_ids",
    "campaign_record",
    "failures",
    "jobs_to_retry",
    "mark_outdated",
    "parse",
    "resolve_campaign",
    "status",
    "stored_output",
]


def campaign_ids(db: Database[dict[str, Any]] | None = None) -> list[str]:
    """Return the ids of all submitted campaigns, the latest first."""
    db = database() if db is None else db
    # Without a filter, sorted and without _id: an index alone answers, no document is read.
    found = db.workflows.find({}, {"metadata.campaign_id": 1, "_id": 0}).sort("created_on", -1)
    ids = (doc.get("metadata", {}).get("campaign_id") for doc in found)
    return list(dict.fromkeys(one for one in ids if one))


def resolve_campaign(
    campaign_id: str | None = None, db: Database[dict[str, Any]] | None = None
) -> str:
    """Return a campaign's id, the latest campaign's if none is given.

    Raises
    ------
    StoreError
        If there is no such campaign, or none at all.
    """
    known = campaign_ids(db)
    if not known:
        msg = "the database holds no campaign; submit one with `ionloop run FLOW`"
        raise StoreError(msg)
    if campaign_id is None:
        return known[0]
    if campaign_id not in known:
        msg = f"unknown campaign {campaign_id!r}; the latest are {', '.join(known[:5])}"
        raise StoreError(msg)
    return campaign_id
