"""What is asked of the database: which campaigns there are, what they hold, how far they are."""

from __future__ import annotations

from typing import Any

from pymongo.database import Database

from ionloop.errors import StoreError
from ionloop.store import progress
from ionloop.store.connection import database
from ionloop.store.jfremote import FLOWS
from ionloop.store.labels import jobs_to_retry
from ionloop.store.progress import failures
from ionloop.store.records import campaign_record, mark_outdated, parse, stored_output
from ionloop.store.remote_progress import is_remote, remote_status
from ionloop.store.schema import CampaignStatus
from ionloop.store.times import as_utc

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
    # Without a filter and without _id: an index alone answers, no document is read.
    fields = {"metadata.campaign_id": 1, "created_on": 1, "_id": 0}
    found = list(db.workflows.find({}, fields).sort("created_on", -1))
    if remote := list(db[FLOWS].find({}, fields)):
        found = sorted([*found, *remote], key=lambda doc: as_utc(doc["created_on"]), reverse=True)
    ids = (doc.get("metadata", {}).get("campaign_id") for doc in found)
    return list(dict.fromkeys(one for one in ids if one))


def status(campaign_id: str, db: Database[dict[str, Any]] | None = None) -> CampaignStatus:
    """Count a campaign's jobs and labels, whoever runs it: FireWorks or jobflow-remote.

    Raises
    ------
    StoreError
        If there is no such campaign.
    """
    db = database() if db is None else db
    ask = remote_status if is_remote(campaign_id, db) else progress.status
    return ask(campaign_id, db)


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
