"""Stores for jobflow-remote's project file, which so needs neither address nor password.

maggma's own stores would want the URI in that file, write it into logs as the name of the
store, and into the message if the file is wrong. These read it from ionloop's settings, when
they connect.
"""

from __future__ import annotations

from maggma.core import Store
from maggma.stores import GridFSStore, MongoStore
from pymongo import ASCENDING, DESCENDING, IndexModel

from ionloop.settings import get_settings
from ionloop.store.connection import BLOBS, OUTPUTS, database_uri

#: Collections of jobflow-remote's queue, as the project template names them.
JOBS = "jf_jobs"
FLOWS = "jf_flows"

#: What ionloop asks of them. Those of ``uuid`` are jobflow-remote's own, made as it makes them.
QUEUE_INDEXES: dict[str, list[IndexModel]] = {
    # As :data:`ionloop.store.indexes.COUNTED`: no document is read.
    JOBS: [
        IndexModel(
            [
                ("job.metadata.campaign_id", ASCENDING),
                ("job.metadata.generation", ASCENDING),
                ("job.metadata.stage", ASCENDING),
                ("state", ASCENDING),
            ]
        ),
        IndexModel([("uuid", ASCENDING), ("index", ASCENDING)], unique=True),
    ],
    FLOWS: [
        IndexModel([("uuid", ASCENDING)], unique=True),
        IndexModel([("metadata.campaign_id", ASCENDING)]),
        IndexModel([("created_on", DESCENDING), ("metadata.campaign_id", ASCENDING)]),
    ],
}


class _OfSettings(Store):
    """A store of the settings' database; only its collection is ever written down."""

    collection_name: str
    database: str | None
    uri: str | None

    @property
    def name(self) -> str:
        """Name for logs; maggma's is the URI with its password."""
        return f"ionloop/{self.collection_name}"

    def connect(self, force_reset: bool = False) -> None:  # noqa: FBT001, FBT002
        """Connect to the database that the settings name now.

        Raises
        ------
        StoreError
            If they name none.
        """
        settings = get_settings()
        self.database, self.uri = settings.db_name, database_uri(settings)
        super().connect(force_reset)  # type: ignore[safe-super]


class Queue(_OfSettings, MongoStore):
    """Jobs that jobflow-remote runs; its other collections stand beside."""

    def __init__(self) -> None:
        super().__init__("", JOBS)


class Outputs(_OfSettings, MongoStore):
    """Outputs of jobs."""

    def __init__(self) -> None:
        super().__init__("", OUTPUTS)


class Blobs(_OfSettings, GridFSStore):
    """Heavy parts of outputs, in GridFS."""

    def __init__(self) -> None:
        super().__init__("", BLOBS)
