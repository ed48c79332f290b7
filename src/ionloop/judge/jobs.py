"""Jobs of the judge stage."""

from __future__ import annotations

from itertools import chain

from jobflow import job

from ionloop.document import fetch_fields
from ionloop.explore.schema import BandSet, Exploration, FoundBands
from ionloop.judge.metrics import gather
from ionloop.judge.schema import Judgement, Limits, Metrics
from ionloop.judge.verdict import judge
from ionloop.label.schema import cost_of
from ionloop.profile import Budget
from ionloop.train.schema import Calibration


@job(output_schema=Judgement)
def judge_generation(  # noqa: PLR0913
    explorations: list[list[Exploration]],
    bands: BandSet,
    calibration: Calibration,
    selected: dict[str, int],
    shards: list[str],
    history: list[Metrics],
    budget: Budget,
    limits: Limits,
    reserve: int = 0,
    found: FoundBands | None = None,
) -> Judgement:
    """Compare this generation with the one before; ``reserve`` labels are kept for the test."""
    batches = fetch_fields(shards, "n_admitted", "frame_hashes", "purpose")
    metrics = gather(
        list(chain.from_iterable(explorations)),
        bands,
        calibration,
        n_labels=sum(shard["n_admitted"] for shard in batches),
        n_spent=sum(cost_of(shard["purpose"], shard["frame_hashes"]) for shard in batches),
        n_selected=sum(selected.values()),
        found=found,
    )
    return judge([*history, metrics], budget, limits, reserve)
