"""A campaign that is dear in nothing but sleep, with jobs of all three kinds of workers."""

from __future__ import annotations

import os
import time
from pathlib import Path

from engine_jobs import collect, dear_label, step
from jobflow import Flow, Job, JobConfig, Response, job

from ionloop.document import DATA_FIELDS
from ionloop.label.schema import LabelShard
from ionloop.routing import KEY, WorkerKind


def of_kind(one: Job, kind: WorkerKind, *, adds: bool = False) -> Job:
    """Say what kind of worker a job needs."""
    one.config = JobConfig(manager_config={KEY: kind.value}, pass_manager_config=not adds)
    return one


@job(data=DATA_FIELDS)
def spread_labels(generation: int, n: int, ledger: str, seconds: float) -> Response:
    """Replace itself by n dear jobs for DFT workers and one that collects them."""
    labels = [
        of_kind(dear_label(f"{generation}.{i}", ledger, seconds), WorkerKind.DFT) for i in range(n)
    ]
    gathered = of_kind(collect(generation, [label.output for label in labels]), WorkerKind.LIGHT)
    return Response(replace=Flow([*labels, gathered], output=gathered.output))


@job
def train(n_labels: int, ledger: str, seconds: float) -> int:
    """Train, which is a sleep; a second run begins anew."""
    time.sleep(seconds)
    with Path(ledger).open("a") as book:
        book.write(f"train {os.environ.get('CUDA_VISIBLE_DEVICES', '')}\n")
    return n_labels


@job
def go_on(
    batch: LabelShard, _trained: int, last: int, n: int, ledger: str, seconds: float
) -> Response:
    """Add the next generation until the last one."""
    found = step.original(batch, last, n, ledger, seconds)
    if found.addition is not None:
        found.addition = generation_flow(batch.generation + 1, last, n, ledger, seconds)
    return found


def generation_flow(generation: int, last: int, n: int, ledger: str, seconds: float) -> Flow:
    """Make one generation: labels, a training, and the step to the next one."""
    batch = of_kind(spread_labels(generation, n, ledger, seconds), WorkerKind.LIGHT, adds=True)
    training = of_kind(train(batch.output.n_admitted, ledger, seconds), WorkerKind.GPU)
    end = of_kind(go_on(batch.output, training.output, last, n, ledger, seconds),
                  WorkerKind.LIGHT, adds=True)  # fmt: skip
    for one, stage in ((batch, "label"), (training, "train"), (end, "advance")):
        one.update_metadata({"generation": generation, "stage": stage}, dynamic=one is batch)
    return Flow([batch, training, end], name=f"generation {generation}")
