"""A campaign that is dear in nothing but time, with jobs of all three kinds of workers."""

from __future__ import annotations

import os
import time
from pathlib import Path

from engine_jobs import collect, step
from jobflow import Flow, Job, JobConfig, Response, job

from ionloop.document import DATA_FIELDS
from ionloop.label.schema import LabelShard
from ionloop.reference.schema import SinglePoint
from ionloop.routing import KEY, WorkerKind

#: What a label's calculation needs, s, in steps of a tenth.
LABEL_S = 0.3


def of_kind(one: Job, kind: WorkerKind, *, adds: bool = False) -> Job:
    """Say what kind of worker a job needs."""
    one.config = JobConfig(manager_config={KEY: kind.value}, pass_manager_config=not adds)
    return one


def note(path: Path, line: str) -> None:
    with path.open("a") as book:
        book.write(f"{line}\n")


@job
def held_label(name: str, folder: str, seconds: float, go: str) -> SinglePoint:
    """Compute something in steps, of which none is made twice, once the test says so.

    The calculation's end is noted in the ledger, and a second run finds its result.
    """
    book, steps = Path(folder), Path("steps")
    note(book / "begun", name)
    while not (book / go).exists():
        time.sleep(0.1)
    if not Path("done").exists():
        while len(steps.read_text().split() if steps.exists() else []) < 10 * seconds:
            time.sleep(0.1)
            note(steps, "x")
        note(book / "ledger", name)
        Path("done").touch()
    return SinglePoint(
        energy=1.0, converged=True, settings_hash="hash", engine="test", wall_s=seconds,
        directory=str(Path.cwd()),
    )  # fmt: skip


@job(data=DATA_FIELDS)
def spread_labels(generation: int, n: int, folder: str, seconds: float) -> Response:
    """Replace itself by labels for DFT workers and a job that collects them."""
    labels = [held_label(f"{generation}.{i}", folder, seconds, f"go{generation}") for i in range(n)]
    gathered = collect(generation, [label.output for label in labels])
    for one in labels:
        of_kind(one, WorkerKind.DFT)
    of_kind(gathered, WorkerKind.LIGHT)
    return Response(replace=Flow([*labels, gathered], output=gathered.output))


@job
def train(n_labels: int, folder: str) -> int:
    """Note which GPU SLURM gave."""
    note(Path(folder) / "gpus", os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
    return n_labels


@job
def go_on(
    batch: LabelShard, _trained: int, last: int, n: int, folder: str, seconds: float
) -> Response:
    """Add the next generation until the last one."""
    found = step.original(batch, batch.generation, n, folder, seconds)
    if batch.generation < last:
        found.addition = generation_flow(batch.generation + 1, last, n, folder, seconds)
    return found


def generation_flow(
    generation: int, last: int, n: int, folder: str, seconds: float = LABEL_S
) -> Flow:
    """Make one generation: labels, a training, and the step to the next one."""
    batch = of_kind(spread_labels(generation, n, folder, seconds), WorkerKind.LIGHT, adds=True)
    training = of_kind(train(batch.output.n_admitted, folder), WorkerKind.GPU)
    end = go_on(batch.output, training.output, last, n, folder, seconds)
    of_kind(end, WorkerKind.LIGHT, adds=True)
    for one, stage in ((batch, "label"), (training, "train"), (end, "advance")):
        one.update_metadata({"generation": generation, "stage": stage}, dynamic=one is batch)
    return Flow([batch, training, end], name=f"generation {generation}")
