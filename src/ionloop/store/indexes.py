"""Indexes. jobflow makes none, and at 100,000 documents an update then takes 100 times longer."""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from ionloop.store.connection import BLOBS, OUTPUTS

_UP, _DOWN = ASCENDING, DESCENDING

#: What ionloop asks of each collection.
INDEXES: dict[str, list[IndexModel]] = {
    OUTPUTS: [
        IndexModel([("uuid", _UP), ("index", _UP)], unique=True),
        IndexModel([("metadata.campaign_id", _UP), ("metadata.generation", _UP)]),
        IndexModel([("metadata.campaign_id", _UP), ("output.@class", _UP)]),
        IndexModel([("metadata.stage", _UP)]),
        IndexModel([("name", _UP)]),
        IndexModel([("completed_at", _UP)]),
        IndexModel([("hosts", _UP)]),
    ],
    f"{BLOBS}.files": [
        IndexModel([("metadata.blob_uuid", _UP)]),
        IndexModel([("metadata.job_uuid", _UP), ("metadata.job_index", _UP)]),
        IndexModel([("filename", _UP), ("uploadDate", _UP)]),
    ],
    f"{BLOBS}.chunks": [IndexModel([("files_id", _UP), ("n", _UP)], unique=True)],
    "fireworks": [
        IndexModel([("fw_id", _UP)], unique=True),
        IndexModel([("state", _UP), ("spec.campaign_id", _UP), ("spec._priority", _DOWN)]),
        IndexModel(
            [
                ("spec.campaign_id", _UP),
                ("spec.generation", _UP),
                ("spec.stage", _UP),
                ("state", _UP),
            ]
        ),
        IndexModel([("launches", _UP)]),
    ],
    "launches": [
        IndexModel([("launch_id", _UP)], unique=True),
        IndexModel([("fw_id", _UP)]),
        IndexModel([("state", _UP)]),
    ],
    "workflows": [
        IndexModel([("nodes", _UP)]),
        IndexModel([("metadata.campaign_id", _UP)]),
        IndexModel([("metadata.archive_of", _UP)], sparse=True),  # see ionloop.engine.compact
        IndexModel([("created_on", _DOWN)]),
    ],
}


def create_indexes(db: Database[dict[str, Any]]) -> dict[str, list[str]]:
    """Create all indexes; those that exist are left alone. Returns names by collection."""
    return {
        collection: db[collection].create_indexes(models) for collection, models in INDEXES.items()
    }


def missing_indexes(db: Database[dict[str, Any]]) -> list[str]:
    """Return the indexes that a database lacks, as ``collection.name``."""
    missing = []
    for collection, models in INDEXES.items():
        have = set(db[collection].index_information())
        missing += [
            f"{collection}.{model.document['name']}"
            for model in models
            if model.document["name"] not in have
        ]
    return missing
