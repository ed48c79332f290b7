"""Scorecards in MongoDB, of all models, generations and materials.

Those of ``ionloop evaluate --store`` have a collection of their own. A campaign's are outputs of
its last job, and are read from there: what a campaign knows is written once, by jobflow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from operator import itemgetter
from typing import Any

from pydantic import Field, ValidationError
from pymongo.database import Database
from pymongo.errors import DocumentTooLarge

from ionloop.document import Document
from ionloop.errors import StoreError
from ionloop.evaluate.scorecard_schema import PARTS, Scorecard
from ionloop.processes import user_name
from ionloop.report.scorecard_summary import Shown
from ionloop.store import campaign_cards
from ionloop.store.campaign_cards import LATEST, as_stored, completed
from ionloop.store.connection import OUTPUTS, SCORECARDS, database
from ionloop.store.times import as_utc
from ionloop.train.schema import Member

#: Places of a document that can't be read which are told.
REASONS_MAX = 3
_TRANSPORT = "card.diffusion.result.transport"
#: Long lists of a scorecard.
_CURVES = (
    "card.accuracy.result.parity_forces",
    "card.accuracy.result.parity_energies",
    "card.accuracy.result.progress_errors",
    "card.accuracy.result.progress_energies",
    "card.static.result.phonons.frequencies",
    "card.static.result.phonons.counts",
    "card.static.result.phonons.polar.without_field",
    "card.static.result.phonons.polar.with_field",
    "card.diffusion.result.rdf",
    *(
        f"{_TRANSPORT}.{points}.{curve}"
        for points in ("transport.points", "smaller_cells")
        for curve in ("msd_time_fs", "msd", "msd_error")
    ),
)


class StoredScorecard(Document):
    """A scorecard, and where its model comes from."""

    key: str = Field(
        description="Hash of the model and of what each part was computed from; of a campaign's "
        "own scorecard the uuid of the job that made it."
    )
    card: Scorecard
    campaign_id: str | None = Field(
        None, description="Campaign that trained the model; None if the database has none."
    )
    generation: int | None = Field(None, description="Generation that trained the model.")
    stored_at: str = Field(description="When, UTC.")
    by: str = Field(description="User who stored it.")


class UnreadableScorecard(Document):
    """A scorecard in MongoDB that this version of ionloop can't read, as a newer one's."""

    key: str
    material: str | None = Field(description="None where that can't be read either.")
    model: str | None = Field(description="Its name; None where that can't be read either.")
    stored_at: str | None = Field(description="When, UTC.")
    reason: str = Field(description="What isn't understood, and what to do.")


def parted(
    found: Sequence[StoredScorecard | UnreadableScorecard],
) -> tuple[list[StoredScorecard], list[UnreadableScorecard]]:
    """Part scorecards that can be read from others, each in its order."""
    return (
        [one for one in found if isinstance(one, StoredScorecard)],
        [one for one in found if isinstance(one, UnreadableScorecard)],
    )


def card_key(card: Scorecard) -> str:
    """Hash what a scorecard is about: the same evaluation has the same key."""
    asked = [name for name in PARTS if getattr(card, name).status != "not asked"]
    parts = {name: (getattr(card, name).key, getattr(card, name).status) for name in asked}
    text = json.dumps([card.material, card.model.sha256, card.model.versions, parts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def store_scorecard(card: Scorecard, db: Database[dict[str, Any]] | None = None) -> StoredScorecard:
    """Store a scorecard; that of the same evaluation is replaced.

    The model's campaign and generation are found by the hashes of its files.

    Raises
    ------
    StoreError
        If it is larger than MongoDB takes.
    """
    db = database() if db is None else db
    campaign_id, generation = _trained_by(card.model.file_hashes, db)
    found = StoredScorecard(
        key=card_key(card),
        card=card,
        campaign_id=campaign_id,
        generation=generation,
        stored_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        by=user_name(),
    )
    try:
        db[SCORECARDS].replace_one({"key": found.key}, found.model_dump(mode="json"), upsert=True)
    except DocumentTooLarge as error:
        msg = (
            f"scorecard of {card.model.name}: expected at most 16 MB, got more; its file is whole: "
            "evaluate with fewer --parts for the database"
        )
        raise StoreError(msg) from error
    return found


def scorecards(
    material: str | None = None,
    campaign_id: str | None = None,
    limit: int = 50,
    db: Database[dict[str, Any]] | None = None,
    *,
    skip: int = 0,
    curves: bool = True,
) -> list[StoredScorecard | UnreadableScorecard]:
    """Return stored scorecards, the latest first; of those that can't be read, why.

    Parameters
    ----------
    material
        Name of a profile; None: all.
    campaign_id
        Only models that this campaign trained; None: all.
    limit
        How many at most.
    db
        The database; the settings' own if None.
    skip
        How many of the latest are left out.
    curves
        Whether the long lists that pictures alone need are read; they are empty if not.
    """
    db = database() if db is None else db
    some = skip + limit  # of each kind there may be so many among them
    query = _given({"card.material": material, "campaign_id": campaign_id})
    stored = db[SCORECARDS].find(query, {"stored_at": 1}).sort("stored_at", -1).limit(some)
    query = LATEST | _given({"output.material": material, "metadata.campaign_id": campaign_id})
    made = db[OUTPUTS].find(query, {"completed_at": 1}).sort("completed_at", -1).limit(some)
    # Times alone at first: of what is left out no scorecard is read.
    times = [
        *((as_utc(doc["stored_at"]), SCORECARDS, doc["_id"]) for doc in stored),
        *((completed(doc), OUTPUTS, doc["_id"]) for doc in made),
    ]
    chosen = sorted(times, key=itemgetter(0), reverse=True)[skip:some]
    read: dict[Any, dict[str, Any]] = {}
    for name, card in ((SCORECARDS, "card"), (OUTPUTS, "output")):
        ids = [one for _, where, one in chosen if where == name]
        for doc in db[name].find({"_id": {"$in": ids}}, _fields(card, curves=curves)):
            read[name, doc.pop("_id")] = doc if name == SCORECARDS else as_stored(doc)
    found = [read[where, one] for _, where, one in chosen if (where, one) in read]
    return [_parsed(doc, curves=curves) for doc in found]


def scorecards_by_key(
    keys: Sequence[str], db: Database[dict[str, Any]] | None = None
) -> list[StoredScorecard | UnreadableScorecard]:
    """Return the scorecards of these keys, in their order; unknown keys are left out."""
    db = database() if db is None else db
    wanted = {"$in": list(keys)}
    docs = list(db[SCORECARDS].find({"key": wanted}, {"_id": 0}))
    # A job that was run again has its latest output last.
    made = db[OUTPUTS].find(LATEST | {"uuid": wanted}, {"_id": 0})
    made = made.sort([("uuid", 1), ("index", 1)])
    docs += map(as_stored, made)
    found = {doc["key"]: doc for doc in docs}
    return [_parsed(found[key], curves=True) for key in dict.fromkeys(keys) if key in found]


def scorecard_materials(db: Database[dict[str, Any]] | None = None) -> list[str]:
    """Return the materials that have scorecards, in their alphabetical order."""
    db = database() if db is None else db
    return sorted({*db[SCORECARDS].distinct("card.material"), *campaign_cards.materials(db)})


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _fields(card: str, *, curves: bool) -> dict[str, int]:
    """Return what isn't read of a document whose scorecard stands in a field."""
    long = () if curves else (path.replace("card", card, 1) for path in _CURVES)
    return dict.fromkeys(long, 0)


def shown(found: StoredScorecard) -> Shown:
    """Return what a page shows of a stored scorecard."""
    return Shown(
        card=found.card,
        key=found.key,
        campaign_id=found.campaign_id,
        generation=found.generation,
        stored=f"{found.stored_at[:16].replace('T', ' ')} UTC by {found.by}",
    )


def _parsed(doc: dict[str, Any], *, curves: bool) -> StoredScorecard | UnreadableScorecard:
    """Parse a document; lists that weren't read become empty ones."""
    if not curves:
        for path in _CURVES:
            _fill(doc, path.split("."))
    try:
        return StoredScorecard.model_validate(doc)
    except ValidationError as error:
        return UnreadableScorecard(
            key=doc["key"],
            material=_text(doc, "card", "material"),
            model=_text(doc, "card", "model", "name"),
            stored_at=_text(doc, "stored_at"),
            reason=_why(error),
        )


def _why(error: ValidationError) -> str:
    """Say what of a document isn't understood."""
    found = [(".".join(map(str, one["loc"])), one) for one in error.errors()]
    wrong = [f"{place}: {one['msg']}" for place, one in found if one["type"] != "extra_forbidden"]
    unknown = [place for place, one in found if one["type"] == "extra_forbidden"]
    said = [f"{place}: not known to ionloop {version('ionloop')}" for place in unknown]
    shown = [*wrong, *said][:REASONS_MAX]
    more = len(found) - len(shown)
    ending = f" and {more} more" if more else ""
    do = "a newer ionloop wrote it: update this one" if not wrong else "evaluate again"
    return f"{'; '.join(shown)}{ending}; {do}"


def _text(found: Any, *path: str) -> str | None:  # noqa: ANN401 - documents of any kind
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else None


def _fill(found: Any, path: Sequence[str]) -> None:  # noqa: ANN401 - documents of any kind
    if isinstance(found, list):
        for one in found:
            _fill(one, path)
    elif isinstance(found, dict) and len(path) > 1:
        _fill(found.get(path[0]), path[1:])
    elif isinstance(found, dict):
        found.setdefault(path[0], [])


def _trained_by(hashes: list[str], db: Database[dict[str, Any]]) -> tuple[str | None, int | None]:
    """Return campaign and generation that trained all files of a model."""
    # The filter names the class, as the partial index does.
    query = {"output.@class": Member.__name__, "output.model_hash": {"$in": hashes}}
    fields = {"metadata.campaign_id": 1, "output.generation": 1, "output.model_hash": 1}
    homes: dict[tuple[str, int], set[str]] = {}
    for doc in db[OUTPUTS].find(query, fields) if hashes else ():
        home = doc["metadata"]["campaign_id"], doc["output"]["generation"]
        homes.setdefault(home, set()).add(doc["output"]["model_hash"])
    return next(
        (home for home, found in sorted(homes.items()) if found == set(hashes)), (None, None)
    )
