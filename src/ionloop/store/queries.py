"""Read campaigns back from MongoDB."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeVar

from jobflow import JobStore
from pymongo.database import Database

from ionloop.campaign.schema import Advance, CampaignStart
from ionloop.document import Document
from ionloop.errors import StoreError
from ionloop.evaluate.schema import Evaluation
from ionloop.explore.schema import BandSet, Exploration
from ionloop.label.schema import LabelShard
from ionloop.seed.schema import SeedFrames
from ionloop.select.schema import Selection
from ionloop.store.connection import OUTPUTS, database, job_store
from ionloop.store.schema import (
    CampaignRecord,
    CampaignStatus,
    Failure,
    JobRecord,
    StageCount,
)
from ionloop.train.schema import Calibration, Member

D = TypeVar("D", bound=Document)

#: Heavy fields that a record holds; the others stay in GridFS. An evaluation has none, but
#: early ones kept a number called ``model`` there, and are read whole.
LOADED = ["labels", "quarantined", "bands"]
_ACTIVE = ("READY", "RESERVED", "RUNNING")

#: Documents of a record, and what makes two of them the same one: a job that was run
#: again, or whose output a replacing flow stored a second time, must not count twice.
_IDENTITY: dict[type[Document], list[str]] = {
    CampaignStart: ["campaign_id"],
    SeedFrames: [],
    LabelShard: ["generation", "purpose", "frame_hashes"],
    Member: ["generation", "index"],
    Calibration: ["generation"],
    Exploration: ["generation", "group"],
    BandSet: ["generation"],
    Selection: ["generation"],
    Advance: ["generation"],
    Evaluation: ["generation"],
}


def campaign_ids(db: Database[dict[str, Any]] | None = None) -> list[str]:
    """Return the ids of all submitted campaigns, the latest first."""
    db = database() if db is None else db
    found = db.workflows.find(
        {"metadata.campaign_id": {"$exists": True}}, {"metadata.campaign_id": 1}
    ).sort("created_on", -1)
    return list(dict.fromkeys(doc["metadata"]["campaign_id"] for doc in found))


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


def campaign_record(campaign_id: str, store: JobStore | None = None) -> CampaignRecord:
    """Read a whole campaign, finished or not.

    Raises
    ------
    StoreError
        If no job of this campaign has stored an output.
    """
    store = store or job_store()
    store.connect()
    documents = {kind: _read(store, campaign_id, kind) for kind in _IDENTITY}
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
        explorations=documents[Exploration],
        band_sets=documents[BandSet],
        selections=documents[Selection],
        advances=documents[Advance],
        evaluation=_last(documents[Evaluation]),
        jobs=jobs,
    )


def _last(documents: list[Any]) -> Any:  # noqa: ANN401
    return documents[-1] if documents else None


def _read(store: JobStore, campaign_id: str, kind: type[D]) -> list[D]:
    """Read all documents of one class, alone or in lists, by generation."""
    criteria = {"metadata.campaign_id": campaign_id, "output.@class": kind.__name__}
    found: dict[Hashable, D] = {}
    load: Any = kind is Evaluation or {"data": LOADED}
    for doc in store.query(criteria, sort={"completed_at": 1}, load=load):
        outputs = doc["output"] if isinstance(doc["output"], list) else [doc["output"]]
        for output in outputs:
            if output.get("@class") == kind.__name__:
                document = parse(kind, output)
                found[_identity(document)] = document
    return sorted(found.values(), key=_order)


def parse(kind: type[D], output: dict[str, Any]) -> D:
    """Make a document of what jobflow stored; heavy fields that weren't loaded are empty."""
    return kind.model_validate(_clean(output))


def _clean(value: Any, key: str = "") -> Any:  # noqa: ANN401
    """Drop jobflow's ``@`` keys; replace references into GridFS by empty values."""
    if isinstance(value, list):
        return [_clean(item, key) for item in value]
    if not isinstance(value, dict):
        return value
    if "blob_uuid" in value:
        return (
            {"filename": key, "sha256": "", "content": ""} if key in ("model_file", "blob") else []
        )
    return {k: _clean(v, k) for k, v in value.items() if not k.startswith("@")}


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
    was killed between the two has a document that points nowhere.
    """
    from jobflow.utils.find import find_key
    from pydash import get

    from ionloop.store.connection import BLOBS

    db = database() if db is None else db
    doc = db[OUTPUTS].find_one({"uuid": uuid, "index": index})
    if doc is None:
        return None
    wanted = {get(doc, [*path, "blob_uuid"]) for path in find_key(doc, "blob_uuid")}  # type: ignore[arg-type]
    have = set(
        db[f"{BLOBS}.files"].distinct(
            "metadata.blob_uuid", {"metadata.blob_uuid": {"$in": list(wanted)}}
        )
    )
    return doc if wanted <= have else None


def status(campaign_id: str, db: Database[dict[str, Any]] | None = None) -> CampaignStatus:
    """Count a campaign's jobs and labels.

    Raises
    ------
    StoreError
        If there is no such campaign.
    """
    db = database() if db is None else db
    workflow = db.workflows.find_one({"metadata.campaign_id": campaign_id}, {"links": 0})
    if workflow is None:
        msg = f"unknown campaign {campaign_id!r}; `ionloop status` without it shows the latest"
        raise StoreError(msg)
    stages = stage_counts(campaign_id, db)
    jobs: dict[str, int] = {}
    for stage in stages:
        for state, n in stage.states.items():
            jobs[state] = jobs.get(state, 0) + n
    failed = failures(campaign_id, db)
    borne = tolerated(failed, campaign_id, db)
    holding = [failure for failure in failed if failure not in borne]
    return CampaignStatus(
        campaign_id=campaign_id,
        name=workflow["name"],
        state=_overall(jobs, holding),
        created_on=workflow["created_on"],
        updated_on=workflow["updated_on"],
        jobs=jobs,
        stages=stages,
        generation=max((s.generation for s in stages if s.generation is not None), default=None),
        n_labels=n_labels(campaign_id, db),
        failures=holding,
        tolerated=borne,
    )


def _overall(jobs: dict[str, int], holding: Sequence[Failure]) -> str:
    """Name the state; failures that nothing waits for don't hold a campaign up."""
    if jobs.get("RUNNING"):
        return "running"
    if set(jobs) <= {"COMPLETED", "FIZZLED"} and not holding:
        return "finished"
    return "waiting" if any(jobs.get(state) for state in _ACTIVE) else "failed"


def stage_counts(campaign_id: str, db: Database[dict[str, Any]]) -> list[StageCount]:
    """Count jobs by generation, stage and state."""
    groups = db.fireworks.aggregate(
        [
            {"$match": {"spec.campaign_id": campaign_id}},
            {
                "$group": {
                    "_id": {
                        "generation": {"$ifNull": ["$spec.generation", None]},
                        "stage": {"$ifNull": ["$spec.stage", None]},
                        "state": "$state",
                    },
                    "n": {"$sum": 1},
                }
            },
        ]
    )
    table: dict[tuple[int | None, str | None], dict[str, int]] = {}
    for group in groups:
        key = (group["_id"].get("generation"), group["_id"].get("stage"))
        table.setdefault(key, {})[group["_id"]["state"]] = group["n"]
    return [
        StageCount(generation=generation, stage=stage, states=states)
        for (generation, stage), states in sorted(
            table.items(), key=lambda item: (item[0][0] or 0, item[0][1] or "")
        )
    ]


def n_labels(campaign_id: str, db: Database[dict[str, Any]]) -> int:
    """Count the admitted labels of a campaign."""
    shards = db[OUTPUTS].find(
        {"metadata.campaign_id": campaign_id, "output.@class": "LabelShard"},
        {"output.generation": 1, "output.purpose": 1, "output.frame_hashes": 1,
         "output.n_admitted": 1},
    )  # fmt: skip
    admitted = {
        (s["generation"], s["purpose"], tuple(s["frame_hashes"])): s["n_admitted"]
        for s in (doc["output"] for doc in shards)
    }
    return sum(admitted.values())


def failures(campaign_id: str, db: Database[dict[str, Any]]) -> list[Failure]:
    """Return all failed jobs of a campaign with the last line of their tracebacks."""
    failed = list(
        db.fireworks.find(
            {"spec.campaign_id": campaign_id, "state": "FIZZLED"},
            {"fw_id": 1, "name": 1, "launches": 1},
        )
    )
    launches = _launches(db, [launch for fw in failed for launch in fw["launches"][-1:]])
    return [
        Failure(
            fw_id=fw["fw_id"],
            name=fw["name"],
            message=_last_line(launch),
            directory=launch.get("launch_dir", ""),
        )
        for fw in failed
        for launch in [launches.get(fw["fw_id"], {})]
    ]


def tolerated(
    failed: Sequence[Failure], campaign_id: str, db: Database[dict[str, Any]]
) -> list[Failure]:
    """Return the failures that the graph bears: there are children, and all have COMPLETED.

    A job that accepts a missing input runs although its parent failed, for example the
    collection of labels. A failed job without children is a failure of the campaign, since
    nobody said that it may be missed.
    """
    if not failed:
        return []
    query = {"metadata.campaign_id": campaign_id}
    links = (db.workflows.find_one(query, {"links": 1}) or {}).get("links", {})
    children = {f.fw_id: links.get(str(f.fw_id), []) for f in failed}
    wanted = [child for some in children.values() for child in some]
    done = set(db.fireworks.distinct("fw_id", {"fw_id": {"$in": wanted}, "state": "COMPLETED"}))
    return [f for f in failed if children[f.fw_id] and done.issuperset(children[f.fw_id])]


def _launches(db: Database[dict[str, Any]], ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    fields = {"fw_id": 1, "launch_dir": 1, "action.stored_data._exception": 1}
    found = db.launches.find({"launch_id": {"$in": list(ids)}}, fields)
    return {launch["fw_id"]: launch for launch in found}


def _last_line(launch: dict[str, Any]) -> str:
    stored = (launch.get("action") or {}).get("stored_data") or {}
    trace = (stored.get("_exception") or {}).get("_stacktrace") or ""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    return lines[-1] if lines else "no traceback; read the worker's log"
