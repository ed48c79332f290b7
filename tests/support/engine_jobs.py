"""Jobs of the engine's tests; workers import this module by PYTHONPATH."""

from __future__ import annotations

import time
from pathlib import Path

from jobflow import Flow, Response, job

from ionloop.campaign.schema import Advance, CampaignState
from ionloop.document import DATA_FIELDS, Document
from ionloop.judge.schema import Judgement, Metrics
from ionloop.reference.schema import SinglePoint


class Batch(Document):
    """What a generation's labels were, with a field that goes to GridFS."""

    generation: int
    labels: list[SinglePoint]


@job
def empty(*_: object) -> None:
    """Do nothing: what is left is overhead."""


@job
def fails_once(flag: str) -> int:
    """Fail unless a file exists."""
    if not Path(flag).exists():
        msg = f"expected {flag}"
        raise RuntimeError(msg)
    return 1


@job
def dear_label(name: str, ledger: str, seconds: float) -> SinglePoint:
    """Compute something dear: its end is noted once, and a second run finds its result."""
    checkpoint = Path("done")
    if not checkpoint.exists():
        time.sleep(seconds)
        with Path(ledger).open("a") as book:
            book.write(f"{name}\n")
        checkpoint.touch()
    return SinglePoint(
        energy=1.0,
        converged=True,
        settings_hash="hash",
        engine="test",
        wall_s=seconds,
        directory=str(Path.cwd()),
    )


@job(data=DATA_FIELDS)
def collect(generation: int, labels: list[SinglePoint]) -> Batch:
    """Put labels together."""
    return Batch(generation=generation, labels=labels)


@job(data=DATA_FIELDS)
def spread(generation: int, n: int, ledger: str, seconds: float) -> Response:
    """Replace itself by n dear jobs and one that collects them."""
    labels = [dear_label(f"{generation}.{i}", ledger, seconds) for i in range(n)]
    gathered = collect(generation, [label.output for label in labels])
    return Response(replace=Flow([*labels, gathered], output=gathered.output))


@job
def step(batch: Batch, last: int, n: int, ledger: str, seconds: float) -> Response:
    """Add the next generation until the last one."""
    generation = batch.generation
    metrics = Metrics(
        generation=generation, n_labels=n, barriers={"Li-Li 2.76 A #0": 0.3}, barrier_spread={},
        hop_rates=[], trusted_share=1.0, unphysical_events=0, rmse_forces=0.1, coverage_90=0.9,
        n_selected=n,
    )  # fmt: skip
    stop = generation >= last
    judgement = Judgement(
        generation=generation, converged=stop, stop=stop, reasons=[], criteria=[], metrics=metrics
    )
    state = CampaignState(campaign_id="test", generation=generation + 1)
    advance = Advance(
        campaign_id="test",
        generation=generation,
        judgement=judgement,
        next_step="evaluate" if stop else "generation",
        state=state,
    )
    addition = None if stop else generation_flow(generation + 1, last, n, ledger, seconds)
    return Response(output=advance, addition=addition)


def generation_flow(generation: int, last: int, n: int, ledger: str, seconds: float) -> Flow:
    """Make one generation."""
    batch = spread(generation, n, ledger, seconds)
    batch.update_metadata({"generation": generation, "stage": "label"})
    end = step(batch.output, last, n, ledger, seconds)
    # dynamic, the default, would overwrite the metadata of all later generations.
    end.update_metadata({"generation": generation, "stage": "advance"}, dynamic=False)
    return Flow([batch, end], name=f"generation {generation}")
