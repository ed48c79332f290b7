"""What a dashboard shows of campaigns: light documents alone, nothing from GridFS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar

from pydantic import Field
from pymongo.database import Database
from pymongo.errors import PyMongoError

from ionloop.campaign.schema import CampaignStart
from ionloop.document import Document
from ionloop.errors import StoreError
from ionloop.judge.schema import Judgement
from ionloop.label.schema import LabelShard
from ionloop.store.connection import OUTPUTS
from ionloop.store.jfremote import FLOWS
from ionloop.store.queries import status
from ionloop.store.records import parse
from ionloop.store.schema import CampaignStatus
from ionloop.train.schema import Calibration

D = TypeVar("D", bound=Document)


class Generation(Document):
    """What one generation brought, as far as it is known."""

    generation: int
    calibration: Calibration | None = Field(None, description="Error on held-out labels.")
    judgement: Judgement | None = Field(None, description="None until it is judged.")
    judged_at: datetime | None = Field(None, description="When, the worker's local time.")
    took: timedelta | None = Field(None, description="Time since the verdict before it.")


class Overview(Document):
    """A campaign's state and its way to convergence."""

    status: CampaignStatus
    material: str | None = Field(None, description="Name of the profile.")
    reference: str | None = Field(None, description="Who computes the truth.")
    generations: list[Generation] = Field(description="In order; the last may be unjudged.")
    shards: list[LabelShard] = Field(description="Batches of labels, the labels left out.")
    evaluated: bool = Field(description="Whether the last committee has been evaluated.")


@contextmanager
def answering() -> Iterator[None]:
    """Turn a database that fails into one of our errors.

    Raises
    ------
    StoreError
        If MongoDB doesn't answer, or refuses.
    """
    try:
        yield
    except PyMongoError as error:
        msg = f"MongoDB: expected an answer, got {type(error).__name__}; `ionloop db status`"
        raise StoreError(msg) from error


def changed_on(campaign_id: str, db: Database[dict[str, Any]]) -> datetime | None:
    """Return when a job of a campaign last changed its state, UTC; None: no such campaign."""
    query = {"metadata.campaign_id": campaign_id}
    found = db.workflows.find_one(query, {"updated_on": 1})
    found = found or db[FLOWS].find_one(query, {"updated_on": 1})
    return None if found is None else found["updated_on"]


def has_outputs(campaign_id: str, db: Database[dict[str, Any]]) -> bool:
    """Whether any job of a campaign has stored an output, so that there can be a report."""
    return db[OUTPUTS].find_one({"metadata.campaign_id": campaign_id}, {"_id": 1}) is not None


def overview(campaign_id: str, db: Database[dict[str, Any]]) -> Overview:
    """Read what a campaign's page shows.

    Raises
    ------
    StoreError
        If there is no such campaign.
    """
    start = next((parse(CampaignStart, o) for o in _outputs(db, campaign_id, CampaignStart)), None)
    return Overview(
        status=status(campaign_id, db),
        material=str(start.profile.get("name", "")) or None if start else None,
        reference=start.reference if start else None,
        generations=_generations(campaign_id, db),
        shards=_shards(campaign_id, db),
        evaluated=any(_outputs(db, campaign_id, "Evaluation", {"output.generation": 1})),
    )


def _generations(campaign_id: str, db: Database[dict[str, Any]]) -> list[Generation]:
    """Join calibrations and verdicts by generation; what was run again counts once."""
    found: dict[int, Generation] = {}
    for output in _outputs(db, campaign_id, Calibration):
        calibration = parse(Calibration, output)
        number = calibration.generation
        found[number] = Generation(generation=number, calibration=calibration)
    # The state that an Advance hands on has the whole history: not needed here.
    fields = {"output.generation": 1, "output.judgement": 1}
    for output in _outputs(db, campaign_id, "Advance", fields):
        one = found.setdefault(output["generation"], Generation(generation=output["generation"]))
        one.judgement = parse(Judgement, output["judgement"])
        one.judged_at = _time(output["at"])
    ordered = [found[number] for number in sorted(found)]
    for before, one in pairwise(ordered):
        if before.judged_at and one.judged_at:
            one.took = one.judged_at - before.judged_at
    return ordered


def _shards(campaign_id: str, db: Database[dict[str, Any]]) -> list[LabelShard]:
    found = {}
    for output in _outputs(db, campaign_id, LabelShard):
        shard = parse(LabelShard, output)
        found[shard.generation, shard.purpose, tuple(shard.frame_hashes)] = shard
    return sorted(found.values(), key=lambda s: (s.generation, s.purpose))


def _outputs(
    db: Database[dict[str, Any]],
    campaign_id: str,
    kind: type[D] | str,
    fields: dict[str, int] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield outputs of a class, the oldest first; with ``fields`` these and ``at``, when stored."""
    name = kind if isinstance(kind, str) else kind.__name__
    query = {"metadata.campaign_id": campaign_id, "output.@class": name}
    wanted = {"completed_at": 1, **(fields or {"output": 1})}
    for doc in db[OUTPUTS].find(query, wanted).sort("completed_at", 1):
        yield doc["output"] if fields is None else {**doc["output"], "at": doc["completed_at"]}


def _time(stored: str | datetime) -> datetime:
    return stored if isinstance(stored, datetime) else datetime.fromisoformat(stored)
