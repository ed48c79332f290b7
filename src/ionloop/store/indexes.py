"""Indexes. jobflow makes none, and at 100,000 documents an update then takes 100 times longer.

Each serves a question that the code asks, and tests/store/test_indexes.py asks them all and
reads the server's plans. One that serves none is left out, since every write pays for it:
FireWorks' ``lpad tuneup`` would make 20 more, mostly for its web page. It may be run all the
same: none of its indexes has the keys of one of ours and other options.

Guards ask every two minutes about all campaigns at once. What they ask for is rare, so those
indexes hold nothing else: a sparse or a partial one serves a question that implies its filter.
"""

from __future__ import annotations

from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from ionloop.store.connection import BLOBS, OUTPUTS, SCORECARDS
from ionloop.store.jfremote import QUEUE_INDEXES

_UP, _DOWN = ASCENDING, DESCENDING
#: The order in which FireWorks checks jobs out.
_QUEUE = [("state", _UP), ("spec._priority", _DOWN), ("created_on", _UP)]
#: All that is counted of a campaign's jobs: no document is read. ``fw_id`` is for a recovery,
#: which looks for jobs that no workflow lists.
COUNTED = [
    ("spec.campaign_id", _UP),
    ("spec.generation", _UP),
    ("spec.stage", _UP),
    ("state", _UP),
    ("fw_id", _UP),
]

#: What ionloop asks of each collection.
INDEXES: dict[str, list[IndexModel]] = {
    OUTPUTS: [
        IndexModel([("uuid", _UP), ("index", _UP)], unique=True),
        # Documents of one class, and all of them, in the order in which they were made.
        IndexModel([("metadata.campaign_id", _UP), ("output.@class", _UP), ("completed_at", _UP)]),
        IndexModel([("metadata.campaign_id", _UP), ("completed_at", _UP)]),
        # When generations ended: no document is read, each of which has the judge's history.
        # Not of all classes: outputs that are lists would keep this index from answering alone.
        IndexModel(
            [
                ("metadata.campaign_id", _UP),
                ("output.@class", _UP),
                ("output.generation", _UP),
                ("completed_at", _UP),
            ],
            partialFilterExpression={"output.@class": "Advance"},
        ),
        # Scorecards of campaigns, the latest first.
        *(
            IndexModel(
                [*first, ("completed_at", _DOWN)],
                name=name,
                partialFilterExpression={"output.@class": "Scorecard"},
            )
            for name, first in (
                ("scorecards", []),
                ("scorecards_of_a_material", [("output.material", _UP)]),
            )
        ),
        # Which campaign trained a model file.
        IndexModel(
            [("output.model_hash", _UP)], partialFilterExpression={"output.@class": "Member"}
        ),
    ],
    SCORECARDS: [
        IndexModel([("key", _UP)], unique=True),
        IndexModel([("stored_at", _DOWN)]),
        IndexModel([("card.material", _UP), ("stored_at", _DOWN)]),
        IndexModel([("campaign_id", _UP), ("stored_at", _DOWN)]),
    ],
    f"{BLOBS}.files": [
        IndexModel([("metadata.blob_uuid", _UP), ("uploadDate", _DOWN)]),
        IndexModel([("metadata.job_uuid", _UP), ("metadata.job_index", _UP)]),
    ],
    f"{BLOBS}.chunks": [IndexModel([("files_id", _UP), ("n", _UP)], unique=True)],
    "fireworks": [
        IndexModel([("fw_id", _UP)], unique=True),
        # A worker takes jobs of one campaign, or of its kind.
        IndexModel([("spec.campaign_id", _UP), *_QUEUE]),
        IndexModel([("spec.worker", _UP), *_QUEUE]),
        IndexModel(COUNTED),
        IndexModel([("launches", _UP)]),
        IndexModel([("spec._tasks.job.uuid", _UP)]),
        # Jobs whose workers died between their choice and a launch.
        IndexModel(
            [("spec.campaign_id", _UP), ("updated_on", _UP)],
            partialFilterExpression={"state": "RESERVED"},
        ),
    ],
    "launches": [
        IndexModel([("launch_id", _UP)], unique=True),
        # What runs, and where.
        IndexModel([("state", _UP), ("fworker.name", _UP)]),
    ],
    "workflows": [
        IndexModel([("nodes", _UP)]),
        IndexModel([("metadata.campaign_id", _UP)]),
        IndexModel([("metadata.archive_of", _UP)], sparse=True),
        # Those that aren't done, and those that are locked just now.
        IndexModel([("state", _UP), ("metadata.campaign_id", _UP)]),
        IndexModel([("locked", _UP)], sparse=True),
        # Which campaigns there are, the latest first: no document is read.
        IndexModel([("created_on", _DOWN), ("metadata.campaign_id", _UP)]),
    ],
}


def create_indexes(db: Database[dict[str, Any]]) -> dict[str, list[str]]:
    """Create all indexes; those that exist are left alone. Returns names by collection."""
    return {
        collection: db[collection].create_indexes(models)
        for collection, models in _wanted(db).items()
    }


def _wanted(db: Database[dict[str, Any]]) -> dict[str, list[IndexModel]]:
    """Return the indexes that a database needs; jobflow-remote's queue only where there is one."""
    queue = db.list_collection_names(filter={"name": {"$in": list(QUEUE_INDEXES)}})
    return INDEXES | {name: QUEUE_INDEXES[name] for name in sorted(queue)}


def missing_indexes(db: Database[dict[str, Any]]) -> list[str]:
    """Return the indexes that a database lacks, as ``collection.name``."""
    missing = []
    for collection, models in _wanted(db).items():
        have = set(db[collection].index_information())
        missing += [
            f"{collection}.{model.document['name']}"
            for model in models
            if model.document["name"] not in have
        ]
    return missing
