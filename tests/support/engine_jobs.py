"""Jobs of the engine's tests; workers import this module by PYTHONPATH."""

from __future__ import annotations

import time
from pathlib import Path

from jobflow import Flow, JobConfig, Response, job

from ionloop.campaign.schema import Advance, CampaignState
from ionloop.document import DATA_FIELDS, fetch_outputs
from ionloop.frame import Frame, Origin
from ionloop.judge.schema import Judgement, Metrics
from ionloop.label.schema import Label, LabelShard
from ionloop.reference.schema import SinglePoint

FRAME = Frame(
    symbols=["Li"],
    positions=[[0.0, 0.0, 0.0]],
    cell=[[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]],
    origin=Origin.AIMD,
    group="start",
)


@job
def empty(*_: object) -> None:
    """Do nothing: what is left is overhead."""


@job(config=JobConfig(expose_store=True))
def recall(uuid: str) -> list[str]:
    """Read the labels of an earlier job by its uuid."""
    return [label.frame_hash for label in fetch_outputs([uuid], "labels")[0]]


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
def collect(generation: int, points: list[SinglePoint]) -> LabelShard:
    """Put labels together; they go to GridFS."""
    labels = [
        Label(
            frame=FRAME.model_copy(update={"generation": generation}),
            frame_hash=f"{generation}.{i}",
            energy=point.energy,
            settings_hash=point.settings_hash,
            engine=point.engine,
            wall_s=point.wall_s,
            directory=point.directory,
        )
        for i, point in enumerate(points)
    ]
    return LabelShard(
        generation=generation,
        purpose="train",
        labels=labels,
        quarantined=[],
        frame_hashes=[label.frame_hash for label in labels],
        n_admitted=len(labels),
        n_quarantined=0,
        reasons={},
        counts={"aimd": len(labels)},
        settings_hash="hash",
        wall_s=0.0,
    )


@job(data=DATA_FIELDS)
def spread(generation: int, n: int, ledger: str, seconds: float) -> Response:
    """Replace itself by n dear jobs and one that collects them."""
    labels = [dear_label(f"{generation}.{i}", ledger, seconds) for i in range(n)]
    gathered = collect(generation, [label.output for label in labels])
    return Response(replace=Flow([*labels, gathered], output=gathered.output))


@job
def step(batch: LabelShard, last: int, n: int, ledger: str, seconds: float) -> Response:
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
