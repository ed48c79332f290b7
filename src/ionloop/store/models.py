"""A campaign's committee as files, for whoever uses the potential."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from jobflow import JobStore
from pydantic import Field

from ionloop.campaign.schema import CampaignStart
from ionloop.document import Document
from ionloop.errors import StoreError
from ionloop.files import whole
from ionloop.store.connection import job_store
from ionloop.store.records import OUTDATED, parse
from ionloop.train.model_files import model_bytes, own_folder
from ionloop.train.schema import Calibration, Member, ModelFile


class ExportedCommittee(Document):
    """What ``committee.json`` says of the model files beside it."""

    campaign_id: str
    generation: int = Field(description="Generation that trained it.")
    material: str | None = Field(None, description="Name of the profile.")
    reference: str | None = Field(None, description="Who computed the labels.")
    settings_hash: str | None = Field(None, description="Hash of the reference's settings.")
    members: list[ModelFile] = Field(description="The models, in the order of the committee.")
    calibration: Calibration | None = Field(None, description="Of its spread on mobile ions.")


def export_committee(
    campaign_id: str,
    folder: Path,
    generation: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
    store: JobStore | None = None,
) -> ExportedCommittee:
    """Write a committee's models, ``committee.json`` and ``profile.json``.

    Files that are there and have the right hash aren't read from the database again.

    Parameters
    ----------
    campaign_id
        The campaign.
    folder
        Where to; made if it isn't there. Model files are pickles, so it must be this user's own.
    generation
        Generation that trained it; the latest whose committee is complete if None.
    tell
        Is told of each model.
    store
        jobflow's store; the settings' own if None.

    Raises
    ------
    StoreError
        If there is no such committee.
    TrainingError
        If a model isn't the one that was trained, or others may write to the folder.
    """
    store = store or job_store()
    store.connect()
    found = _committees(store, campaign_id)
    chosen = _choose(campaign_id, found, generation)
    own_folder(folder)
    members = []
    for index, doc in sorted(found[chosen].items()):
        path = folder / f"member-{index}.model"
        tell(f"member {index} of generation {chosen}")
        expected = doc["output"]["model_hash"]
        if not (path.is_file() and sha256(path.read_bytes()).hexdigest() == expected):
            _write(store, doc, path)
        members.append(ModelFile(path=path.name, sha256=expected))
    start = _latest(store, campaign_id, CampaignStart)
    committee = ExportedCommittee(
        campaign_id=campaign_id,
        generation=chosen,
        material=start.profile.get("name") if start else None,
        reference=start.reference if start else None,
        settings_hash=start.settings_hash if start else None,
        members=members,
        calibration=_latest(store, campaign_id, Calibration, chosen),
    )
    if start is not None:
        with whole(folder / "profile.json") as scratch:
            scratch.write_text(json.dumps(start.profile, indent=1) + "\n")
    with whole(folder / "committee.json") as scratch:
        scratch.write_text(committee.model_dump_json(indent=1) + "\n")
    return committee


def _committees(store: JobStore, campaign_id: str) -> dict[int, dict[int, dict[str, Any]]]:
    """Find members by generation and index; of one that was trained again the last."""
    query = {
        "metadata.campaign_id": campaign_id,
        "output.@class": Member.__name__,
        OUTDATED: {"$exists": False},
    }
    names = ["uuid", "index", "output.generation", "output.index", "output.model_hash"]
    found: dict[int, dict[int, dict[str, Any]]] = {}
    for doc in store.query(query, properties=names, sort={"completed_at": 1}):
        out = doc["output"]
        found.setdefault(out["generation"], {})[out["index"]] = doc
    return found


def _choose(
    campaign_id: str, found: dict[int, dict[int, dict[str, Any]]], generation: int | None
) -> int:
    if not found:
        msg = f"campaign {campaign_id!r} has trained no model yet; `ionloop status` shows its jobs"
        raise StoreError(msg)
    size = max(map(len, found.values()))
    if generation is None:
        return max(number for number, members in found.items() if len(members) == size)
    if len(found.get(generation, {})) == size:
        return generation
    whole_ones = ", ".join(str(n) for n in sorted(found) if len(found[n]) == size)
    msg = (
        f"campaign {campaign_id!r}: expected a generation with a whole committee ({whole_ones}), "
        f"got {generation}, which has {len(found.get(generation, {}))} of {size} members"
    )
    raise StoreError(msg)


def _write(store: JobStore, doc: dict[str, Any], path: Path) -> None:
    place = {"uuid": doc["uuid"], "index": doc["index"]}
    load: Any = {"data": ["model_file"]}
    stored = store.query_one(place, load=load)
    if stored is None:
        msg = f"{path.name}: expected its document in the database, found none; export again"
        raise StoreError(msg)
    data = model_bytes(parse(Member, stored["output"]))
    with whole(path) as scratch:
        scratch.write_bytes(data)


def _latest(
    store: JobStore, campaign_id: str, kind: type[Any], generation: int | None = None
) -> Any:  # noqa: ANN401
    query: dict[str, Any] = {
        "metadata.campaign_id": campaign_id,
        "output.@class": kind.__name__,
        OUTDATED: {"$exists": False},
    }
    if generation is not None:
        query["output.generation"] = generation
    docs = list(store.query(query, sort={"completed_at": -1}, limit=1, load=False))
    return parse(kind, docs[0]["output"]) if docs else None
