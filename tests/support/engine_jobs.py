"""Jobs of the engine's tests; workers import this module by PYTHONPATH."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
        Path("begun").touch()
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


#: Pieces of a calculation; after each it could go on from its checkpoint.
PIECES = 4


@job
def calculation(name: str, ledger: str, seconds: float) -> SinglePoint:
    """Compute something dear piece by piece, as a code with checkpoints and a result file does.

    Begin and end of each computation are noted; a result that is there is read.
    """
    result = Path("result.json")
    if not result.exists():
        note(ledger, "begin", name)
        progress = Path("progress.json")
        done = json.loads(progress.read_text()) if progress.exists() else 0
        for piece in range(done, PIECES):
            time.sleep(seconds / PIECES)
            write_whole(progress, piece + 1)
        # The bytes that a real code's output takes: a full disk must hit it.
        found = {"name": name, "energy": number_of(name), "forces": vectors_of(f"F {name}")}
        write_whole(result, {**found, "output": "x" * 50_000})
        note(ledger, "end", name)
    found = json.loads(result.read_text())
    return SinglePoint(
        energy=found["energy"],
        forces=found["forces"],
        converged=True,
        settings_hash="hash",
        engine="test",
        wall_s=seconds,
        directory=str(Path.cwd()),
    )


def result_name(path: Path) -> str:
    """Return whose result a file is."""
    return json.loads(path.read_text())["name"]


def number_of(name: str) -> float:
    """Return a number below one; from a name, so that a mix-up shows."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32


def vectors_of(name: str) -> list[list[float]]:
    """Return a vector for each atom of the frame."""
    return [[number_of(f"{name} {i} {x}") for x in "xyz"] for i in range(len(FRAME.symbols))]


def note(ledger: str, what: str, name: str) -> None:
    """Write a line by one system call: several processes do."""
    book = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(book, f"{what} {name}\n".encode())
    os.close(book)


def write_whole(path: Path, what: Any) -> None:
    """Write a file whole, or not at all."""
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(what))
    scratch.replace(path)


def dataset_hash(shards: Sequence[LabelShard]) -> str:
    """Hash what a potential would be trained on, and whose it is."""
    fields = {"frame", "frame_hash", "energy", "forces", "stress", "settings_hash", "engine"}
    labels = sorted(
        (shard.generation, label.model_dump_json(include=fields))
        for shard in shards
        for label in shard.labels
    )
    return hashlib.sha256(json.dumps(labels).encode()).hexdigest()[:16]


#: What a label can be.
LABELS = {"dear_label": dear_label, "calculation": calculation}


def frame_of(generation: int, i: int) -> Frame:
    """Make the frame of a label."""
    positions = vectors_of(f"{generation}.{i}")
    return FRAME.model_copy(update={"generation": generation, "positions": positions})


@job(data=DATA_FIELDS)
def collect(generation: int, points: list[SinglePoint]) -> LabelShard:
    """Put labels together; they go to GridFS."""
    labels = [
        Label(
            frame=frame_of(generation, i),
            frame_hash=f"{generation}.{i}",
            energy=point.energy,
            forces=point.forces,
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
def spread(
    generation: int, n: int, ledger: str, seconds: float, label: str = "dear_label"
) -> Response:
    """Replace itself by n dear jobs and one that collects them."""
    labels = [LABELS[label](f"{generation}.{i}", ledger, seconds) for i in range(n)]
    gathered = collect(generation, [label.output for label in labels])
    return Response(replace=Flow([*labels, gathered], output=gathered.output))


@job
def step(
    batch: LabelShard, last: int, n: int, ledger: str, seconds: float, label: str = "dear_label"
) -> Response:
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
    work = (last, n, ledger, seconds, label)
    addition = None if stop else generation_flow(generation + 1, *work)
    return Response(output=advance, addition=addition)


def generation_flow(
    generation: int, last: int, n: int, ledger: str, seconds: float, label: str = "dear_label"
) -> Flow:
    """Make one generation."""
    batch = spread(generation, n, ledger, seconds, label)
    batch.update_metadata({"generation": generation, "stage": "label"})
    end = step(batch.output, last, n, ledger, seconds, label)
    # dynamic, the default, would overwrite the metadata of all later generations.
    end.update_metadata({"generation": generation, "stage": "advance"}, dynamic=False)
    return Flow([batch, end], name=f"generation {generation}")
