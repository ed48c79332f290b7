"""Imported labels in the database, where a campaign's jobs find them by uuid."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from jobflow import JobStore
from monty.json import jsanitize

from ionloop.document import DATA_FIELDS
from ionloop.label.schema import LabelShard
from ionloop.store.connection import job_store

#: Stage that imported shards are found by.
STAGE = "import"


def store_shard(shard: LabelShard, name: str, store: JobStore | None = None) -> str:
    """Store imported labels as the output of a job would be, labels in GridFS.

    Its uuid is made of what it holds: the same data imported again replace themselves.

    Parameters
    ----------
    shard
        The labels.
    name
        What people call it.
    store
        jobflow's store; the settings' own if None.

    Returns
    -------
    str
        The uuid, for ``CampaignMaker.imported``.
    """
    store = store or job_store()
    store.connect()
    content = "/".join([shard.settings_hash, *shard.frame_hashes])
    uuid = str(uuid5(NAMESPACE_URL, f"ionloop-import:{content}"))
    document = {
        "uuid": uuid,
        "index": 1,
        "output": jsanitize(shard, strict=True, enum_values=True, allow_bson=True),
        "completed_at": datetime.now(UTC).replace(tzinfo=None).isoformat(),
        "metadata": {"stage": STAGE, "settings_hash": shard.settings_hash},
        "hosts": [],
        "name": name,
    }
    store.remove_docs({"uuid": uuid})
    save: Any = {"data": DATA_FIELDS}
    store.update(document, key=["uuid", "index"], save=save)
    return uuid
