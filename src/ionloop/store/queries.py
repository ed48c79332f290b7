"""What is asked of the database: which campaigns there are, what they hold, how far they are."""

from __future__ import annotations

import heapq
from datetime import datetime
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
    "is_campaign",
    "jobs_to_retry",
    "mark_outdated",
    "parse",
    "resolve_campaign",
    "status",
    "stored_output",
]

#: Campaigns that are named to who asks for an unknown one.
_NAMED = 5


def campaign_ids(db: Database[dict[str, Any]] | None = None, limit: int | None = None) -> list[str]:
    """Return the ids of submitted campaigns, the latest first: all, or at most ``limit``."""
    db = database() if db is None else db
    # Without a filter and without _id: an index alone answers, no document is read.
    fields = {"metadata.campaign_id": 1, "created_on": 1, "_id": 0}
    latest = [("created_on", -1)]
    ids: dict[str, None] = {}
    with (
        db.workflows.find({}, fields, sort=latest) as here,
        db[FLOWS].find({}, fields, sort=latest) as remote,
    ):
        for doc in heapq.merge(here, remote, key=_created_on, reverse=True):
            if len(ids) == limit:
                break
            if one := doc.get("metadata", {}).get("campaign_id"):
                ids[one] = None
    return list(ids)


def _created_on(doc: dict[str, Any]) -> datetime:
    return as_utc(doc["created_on"])


def is_campaign(campaign_id: str, db: Database[dict[str, Any]]) -> bool:
    """Whether a campaign of this name was submitted."""
    query = {"metadata.campaign_id": campaign_id}
    return db.workflows.find_one(query, {"_id": 1}) is not None or is_remote(campaign_id, db)


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
    db = database() if db is None else db
    if campaign_id is not None and is_campaign(campaign_id, db):
        return campaign_id
    known = campaign_ids(db, _NAMED)
    if not known:
        msg = "the database holds no campaign; submit one with `ionloop run FLOW`"
        raise StoreError(msg)
    if campaign_id is None:
        return known[0]
    msg = f"unknown campaign {campaign_id!r}; the latest are {', '.join(known)}"
    raise StoreError(msg)
