"""Jobs of the judge stage."""

from __future__ import annotations

from jobflow import job

from ionloop.document import fetch_outputs
from ionloop.explore.schema import BandSet, Exploration
from ionloop.judge.criteria import judge
from ionloop.judge.metrics import gather
from ionloop.judge.schema import Judgement, Limits, Metrics
from ionloop.profile import Budget
from ionloop.train.schema import Calibration


@job(output_schema=Judgement)
def judge_generation(  # noqa: PLR0913
    explorations: list[Exploration],
    bands: BandSet,
    calibration: Calibration,
    selected: dict[str, int],
    shards: list[str],
    history: list[Metrics],
    budget: Budget,
    limits: Limits,
) -> Judgement:
    """Compare this generation with the one before."""
    metrics = gather(
        explorations,
        bands,
        calibration,
        n_labels=sum(fetch_outputs(shards, "n_admitted")),
        n_selected=sum(selected.values()),
    )
    return judge([*history, metrics], budget, limits)
