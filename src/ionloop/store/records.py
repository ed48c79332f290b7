"""Read the documents of campaigns back from MongoDB."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

from jobflow import JobStore
from jobflow.utils.find import find_key
from pydash import get
from pymongo.database import Database

from ionloop.campaign.schema import Advance, CampaignStart
from ionloop.document import Document
from ionloop.errors import StoreError
from ionloop.evaluate.schema import Evaluation
from ionloop.evaluate.scorecard_schema import Scorecard
from ionloop.explore.schema import BandSet, Exploration, FoundBands
from ionloop.label.schema import LabelShard
from ionloop.seed.schema import SeedFrames
from ionloop.select.schema import Selection
from ionloop.store.connection import BLOBS, OUTPUTS, database, job_store
from ionloop.store.schema import CampaignRecord, JobRecord
from ionloop.train.schema import Calibration, Foresight, Member

D = TypeVar("D", bound=Document)

#: Marks an output whose job runs again: another one replaces it.
OUTDATED = "outdated"

#: Heavy fields that a record holds; the others stay in GridFS. An evaluation has none, but
#: early ones kept a number called ``model`` there, and are read whole.
LOADED = ["labels", "quarantined", "bands"]
#: Documents of a record, and what makes two of them the same one: a job that was run
#: again, or whose output a replacing flow stored a second time, must not count twice.
_IDENTITY: dict[type[Document], list[str]] = {
    CampaignStart: ["campaign_id"],
    SeedFrames: [],
    LabelShard: ["generation", "purpose", "frame_hashes"],
    Member: ["generation", "index"],
    Calibration: ["generation"],
    Foresight: ["generation"],
    Exploration: ["generation", "group"],
    BandSet: ["generation"],
    FoundBands: ["generation"],
    Selection: ["generation"],
    Advance: ["generation"],
    Evaluation: ["generation"],
    Scorecard: [],
}


def campaign_record(
    campaign_id: str, store: JobStore | None = None, *, numbers: bool = True
) -> CampaignRecord:
    """Read a whole campaign, finished or not.

    Parameters
    ----------
    campaign_id
        The campaign.
    store
        jobflow's store; the settings' own if None.
    numbers
        Whether labels keep positions, forces, stress and fingerprints. A report needs none of
        them, and without they take a tenth of the memory.

    Raises
    ------
    StoreError
        If no job of this campaign has stored an output.
    """
    store = store or job_store()
    store.connect()
    documents = {kind: _read(store, campaign_id, kind, numbers=numbers) for kind in _IDENTITY}
    jobs = _jobs(store, campaign_id)
    if not jobs:
        msg = f"campaign {campaign_id!r} has no finished job yet; `ionloop status` shows its jobs"
        raise StoreError(msg)
    return CampaignRecord(
        campaign_id=campaign_id,
        start=_last(documents[CampaignStart]),
        seeds=_last(documents[SeedFrames]),
        shards=documents[LabelShard],
        members=documents[Member],
        calibrations=documents[Calibration],
        foresights=documents[Foresight],
        explorations=documents[Exploration],
        band_sets=documents[BandSet],
        found_bands=documents[FoundBands],
        selections=documents[Selection],
        advances=documents[Advance],
        evaluation=_last(documents[Evaluation]),
        scorecard=_last(documents[Scorecard]),
        jobs=jobs,
    )


def _last(documents: list[Any]) -> Any:  # noqa: ANN401
    return documents[-1] if documents else None


def _read(store: JobStore, campaign_id: str, kind: type[D], *, numbers: bool) -> list[D]:
    """Read all documents of one class, alone or in lists, by generation."""
    criteria = {"metadata.campaign_id": campaign_id, "output.@class": kind.__name__}
    found: dict[Hashable, D] = {}
    load: Any = kind is Evaluation or {"data": LOADED}
    for doc in store.query(criteria, sort={"completed_at": 1}, load=load):
        outputs = doc["output"] if isinstance(doc["output"], list) else [doc["output"]]
        for output in outputs:
            if output.get("@class") == kind.__name__:
                if kind is LabelShard and not numbers:
                    _drop_numbers(output)
                document = parse(kind, output)
                found[_identity(document)] = document
    return sorted(found.values(), key=_order)


def _drop_numbers(shard: dict[str, Any]) -> None:
    """Empty what a shard's labels have one number an atom of."""
    for label in (*shard["labels"], *shard["quarantined"]):
        label |= {"forces": None, "stress": None}
        label["frame"] |= {"positions": [], "symbols": [], "descriptor": None}


def parse(kind: type[D], output: dict[str, Any]) -> D:
    """Make a document of what jobflow stored; heavy fields that weren't loaded are empty."""
    return kind.model_validate(without_marks(output))


def without_marks(value: Any, key: str = "") -> Any:  # noqa: ANN401
    """Drop jobflow's ``@`` keys; replace references into GridFS by empty values."""
    if isinstance(value, list):
        # A list of numbers holds nothing else, and labels have hundreds of them.
        numbers = bool(value) and isinstance(value[0], float)
        return value if numbers else [without_marks(item, key) for item in value]
    if not isinstance(value, dict):
        return value
    if "blob_uuid" in value:
        return (
            {"filename": key, "sha256": "", "content": ""} if key in ("model_file", "blob") else []
        )
    return {k: without_marks(v, k) for k, v in value.items() if not k.startswith("@")}


def _identity(document: Document) -> Hashable:
    names = _IDENTITY[type(document)]
    values = (getattr(document, name) for name in names)
    return tuple(tuple(v) if isinstance(v, list) else v for v in values)


def _order(document: Document) -> tuple[int, int, str]:
    return (
        getattr(document, "generation", 0),
        getattr(document, "index", 0),
        getattr(document, "group", ""),
    )


def _jobs(store: JobStore, campaign_id: str) -> list[JobRecord]:
    fields = ["uuid", "index", "name", "metadata", "completed_at", "output.@class"]
    docs = store.query(
        {"metadata.campaign_id": campaign_id}, properties=fields, sort={"completed_at": 1}
    )
    return [
        JobRecord(
            uuid=doc["uuid"],
            index=doc["index"],
            name=doc["name"],
            stage=doc["metadata"].get("stage"),
            generation=doc["metadata"].get("generation"),
            output_class=_class_name(doc.get("output")),
            completed_at=doc["completed_at"],
        )
        for doc in docs
    ]


def _class_name(output: Any) -> str | None:  # noqa: ANN401
    return output.get("@class") if isinstance(output, dict) else None


def stored_output(
    uuid: str, index: int, db: Database[dict[str, Any]] | None = None
) -> dict[str, Any] | None:
    """Return a job's output document if it and all its parts in GridFS are stored.

    jobflow writes the document first and its heavy parts after it, so that a job that
    was killed between the two has a document that points nowhere. What a job had stored
    before it was told to run again doesn't count either.
    """
    db = database() if db is None else db
    doc = db[OUTPUTS].find_one({"uuid": uuid, "index": index, OUTDATED: {"$exists": False}})
    if doc is None:
        return None
    wanted = {get(doc, [*path, "blob_uuid"]) for path in find_key(doc, "blob_uuid")}  # type: ignore[arg-type]
    have = set(
        db[f"{BLOBS}.files"].distinct(
            "metadata.blob_uuid", {"metadata.blob_uuid": {"$in": list(wanted)}}
        )
    )
    return doc if wanted <= have else None


def mark_outdated(uuids: Sequence[str], db: Database[dict[str, Any]]) -> None:
    """Mark outputs whose jobs are about to run again, so that none is taken for the new one."""
    db[OUTPUTS].update_many({"uuid": {"$in": list(uuids)}}, {"$set": {OUTDATED: True}})
