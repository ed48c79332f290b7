"""Labels of a campaign batch by batch, and what people decide about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jobflow import JobStore
from maggma.stores import MemoryStore
from monty.json import jsanitize
from pydash import get
from pymongo.database import Database

from ionloop.document import DATA_FIELDS
from ionloop.errors import LabelError
from ionloop.label.decisions import decisions_uuid, objection, readmit
from ionloop.label.schema import Decisions, Label, LabelShard, Readmission, ShareChange
from ionloop.label.shards import may_go_on, share_of
from ionloop.processes import user_name
from ionloop.store.connection import OUTPUTS, database, job_store
from ionloop.store.jfremote import JOBS
from ionloop.store.records import LOADED, parse
from ionloop.store.remote_progress import is_remote

#: Stage that decisions are found by.
STAGE = "decisions"


@dataclass(frozen=True)
class StoredShard:
    """A batch of labels, and whose output it is."""

    uuid: str
    index: int
    shard: LabelShard


def stored_shards(
    campaign_id: str, store: JobStore | None = None, heavy: Sequence[str] = LOADED
) -> list[StoredShard]:
    """Read all batches of a campaign, that of a pause included, by generation.

    Of their heavy fields only ``heavy`` are fetched; the others are empty, and all counts
    are there.
    """
    store = store or job_store()
    store.connect()
    criteria = {"metadata.campaign_id": campaign_id, "output.@class": "LabelShard"}
    load: Any = {"data": list(heavy)} if heavy else False
    found = [
        StoredShard(doc["uuid"], doc["index"], parse(LabelShard, doc["output"]))
        for doc in store.query(criteria, sort={"completed_at": 1}, load=load)
    ]
    return sorted(found, key=lambda one: one.shard.generation)


def decisions(campaign_id: str, db: Database[dict[str, Any]] | None = None) -> Decisions:
    """Read what was decided about a campaign's labels so far."""
    db = database() if db is None else db
    found = db[OUTPUTS].find_one({"uuid": decisions_uuid(campaign_id)}, {"output": 1})
    return Decisions(**found["output"]) if found else Decisions(campaign_id=campaign_id)


def change_share(
    campaign_id: str, share: float, db: Database[dict[str, Any]] | None = None
) -> ShareChange:
    """Let this and later batches of a campaign go on with another share of labels."""
    db = database() if db is None else db
    change = ShareChange(min_success_fraction=share, by=user_name(), at=_now())
    _decide(campaign_id, "shares", [change.model_dump()], db)
    return change


def readmit_labels(
    campaign_id: str, hashes: Sequence[str], reason: str, store: JobStore | None = None
) -> list[Label]:
    """Take labels out of quarantine; the decision outlives a second collection of the batch.

    Parameters
    ----------
    campaign_id
        The campaign.
    hashes
        Frame hashes, or as many of their first digits as make them unique.
    reason
        Why, for those who read it later.

    Returns
    -------
    list[Label]
        The labels as they stand now, in the order of ``hashes``.

    Raises
    ------
    LabelError
        If one isn't quarantined or may not be readmitted, with the reason; then none is.
    """
    store = store or job_store()
    db = database()
    shards = stored_shards(campaign_id, store)
    wanted = list(dict.fromkeys(_find(shards, given) for given in hashes))
    found = wanted_labels(shards, wanted)
    for one, label in found:
        if why := objection(label, one.shard.settings_hash):
            msg = f"label {label.frame_hash[:10]} can't be readmitted: {why}"
            raise LabelError(msg)
        _check_settled(one, campaign_id, db)
    generation = next_training(campaign_id, db)
    decided = [
        Readmission(
            frame_hash=label.frame_hash,
            generation=generation,
            reason=reason,
            by=user_name(),
            at=_now(),
            overruled=label.reasons,
        )
        for _, label in found
    ]
    _decide(campaign_id, "readmissions", [one.model_dump() for one in decided], db)
    after: dict[str, Label] = {}
    for one in shards:
        changed = readmit(one.shard, decided)
        if changed is not one.shard:
            _replace(one, changed, store)
            after |= {label.frame_hash: label for label in changed.labels}
    return [after[h] for h in wanted]


def wanted_labels(
    shards: Sequence[StoredShard], hashes: Sequence[str]
) -> list[tuple[StoredShard, Label]]:
    """Return quarantined labels of these frames, each with its batch."""
    return [
        (one, label) for one in shards for label in one.shard.quarantined
        if label.frame_hash in hashes
    ]  # fmt: skip


def _find(shards: Sequence[StoredShard], given: str) -> str:
    """Return the one quarantined hash that begins as given.

    Raises
    ------
    LabelError
        If there is none, or more than one.
    """
    known = {x.frame_hash for one in shards for x in one.shard.quarantined}
    found = sorted(h for h in known if given and h.startswith(given))
    if len(found) == 1:
        return found[0]
    admitted = any(x.frame_hash.startswith(given) for one in shards for x in one.shard.labels)
    got = "an admitted one" if admitted and given else "none"
    got = f"{len(found)} ({', '.join(h[:12] for h in found[:3])})" if found else got
    msg = (
        f"expected one quarantined label whose hash begins with {given!r}, got {got}; "
        "`ionloop labels --quarantined` lists them"
    )
    raise LabelError(msg)


def _check_settled(one: StoredShard, campaign_id: str, db: Database[dict[str, Any]]) -> None:
    """Refuse to change a batch that is being labelled again.

    Raises
    ------
    LabelError
        If its collection isn't done.
    """
    queue, query = db.fireworks, {"spec._tasks.job.uuid": one.uuid, "spec.campaign_id": campaign_id}
    if is_remote(campaign_id, db):
        queue, query = db[JOBS], {"uuid": one.uuid}
    job = queue.find_one({**query, "state": {"$ne": "COMPLETED"}}, {"state": 1})
    if job is not None:
        msg = (
            f"the batch of generation {one.shard.generation} is being labelled again (its "
            f"collection is {job['state']}); wait for it, then look at its labels once more"
        )
        raise LabelError(msg)


def next_training(campaign_id: str, db: Database[dict[str, Any]]) -> int:
    """Return the first generation whose training has not begun."""
    remote = is_remote(campaign_id, db)
    queue, where = (db[JOBS], "job.metadata") if remote else (db.fireworks, "spec")
    generation_of = f"{where}.generation"
    jobs = {f"{where}.campaign_id": campaign_id, generation_of: {"$exists": True}}
    found = queue.find_one(jobs, {generation_of: 1}, sort=[(generation_of, -1)])
    generation = int(get(found, generation_of)) if found else 0
    begun = {**jobs, generation_of: generation, f"{where}.stage": "train"}
    any_begun = queue.find_one({**begun, "state": {"$ne": "WAITING"}}, {"_id": 1})
    return generation + (any_begun is not None)


def jobs_to_retry(
    shard_uuid: str, campaign_id: str, db: Database[dict[str, Any]] | None = None
) -> list[str]:
    """Return the jobs of a batch that a resume runs again: those with failed labels.

    None of them if the batch has its share by now, as after a readmission.
    """
    db = database() if db is None else db
    names = ("min_success_fraction", "n_admitted", "n_quarantined", "failed_jobs")
    doc = db[OUTPUTS].find_one({"uuid": shard_uuid}, {f"output.{name}": 1 for name in names})
    if doc is None:
        return []
    own, n_admitted, n_quarantined, failed = (doc["output"][name] for name in names)
    share = share_of(own, decisions(campaign_id, db))
    return [] if may_go_on(n_admitted, n_quarantined, share) else list(failed)


def _decide(
    campaign_id: str, what: str, entries: list[dict[str, Any]], db: Database[dict[str, Any]]
) -> None:
    """Append to a campaign's decisions, where its jobs find them."""
    uuid = decisions_uuid(campaign_id)
    db[OUTPUTS].update_one(
        {"uuid": uuid, "index": 1},
        {
            "$push": {f"output.{what}": {"$each": entries}},
            "$set": {"completed_at": datetime.now().isoformat()},  # noqa: DTZ005 - as jobflow's
            "$setOnInsert": {
                "output.campaign_id": campaign_id,
                "metadata": {"stage": STAGE, "campaign": campaign_id},
                "hosts": [],
                "name": f"decisions on {campaign_id}",
            },
        },
        upsert=True,
    )


def _replace(one: StoredShard, shard: LabelShard, store: Any) -> None:  # noqa: ANN401 - untyped
    """Put a changed shard in the place of a stored one.

    Heavy parts go to GridFS first, by a store whose documents stay in memory: a job that
    reads meanwhile finds the old shard or the new one.
    """
    place = {"uuid": one.uuid, "index": one.index}
    document = store.docs_store.query_one(place)
    document.pop("_id", None)
    document["output"] = jsanitize(shard, strict=True, enum_values=True, allow_bson=True)
    staging = JobStore(MemoryStore(), additional_stores=store.additional_stores)
    staging.connect()
    save: Any = {"data": DATA_FIELDS}
    staging.update(document, key=["uuid", "index"], save=save)
    staged = staging.docs_store.query_one(place)
    staged.pop("_id", None)
    store.docs_store.update(staged, key=["uuid", "index"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
