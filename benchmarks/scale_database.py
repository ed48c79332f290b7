"""A database that many campaigns share, made quickly, and what it's asked, timed.

One campaign of 1,000 labels stays the same while 19 others grow beside it: what is asked of
it should take no longer. ``bench_scale.py --database`` runs this.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import scale_campaign
from bson import ObjectId
from engine_jobs import empty
from fireworks import LaunchPad
from jobflow import CURRENT_JOB, Flow, JobStore
from monty.json import jsanitize
from tiny_campaign import structures

from ionloop.document import DATA_FIELDS, fetch_fields
from ionloop.engine import submit
from ionloop.engine.compact import compact
from ionloop.engine.launchpad import is_active, launchpad, workflow_of
from ionloop.engine.worker import Worker
from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label
from ionloop.label.shards import counted
from ionloop.store.connection import BLOBS, OUTPUTS, database, job_store
from ionloop.store.indexes import create_indexes
from ionloop.store.labels import decisions, jobs_to_retry, next_training, stored_shards
from ionloop.store.queries import (
    campaign_ids,
    campaign_record,
    resolve_campaign,
    status,
    stored_output,
)
from ionloop.train.jobs import read_samples

LABELS_A_SHARD, CAMPAIGNS = 100, 20
PROBE = "campaign-0"
#: How often a question is asked: at least, at most, and until so much time has passed, s.
LEAST, MOST, ENOUGH_S = 3, 50, 1.0


@dataclass
class Originals:
    """The documents of one generation as they lie in MongoDB, to be copied."""

    db: Any
    outputs: list[dict[str, Any]]
    files: list[dict[str, Any]]
    chunks: list[dict[str, Any]]

    @classmethod
    def read(cls, db: Any) -> Originals:  # noqa: ANN401 - FireWorks' is untyped
        """Read those of the first campaign's first generation."""
        query = {"metadata.campaign_id": PROBE, "metadata.generation": 0}
        outputs = list(db[OUTPUTS].find(query, {"_id": 0}))
        uuids = re.findall(r'"blob_uuid": "([^"]+)"', json.dumps(outputs))
        files = list(db[f"{BLOBS}.files"].find({"metadata.blob_uuid": {"$in": uuids}}))
        ids = {"files_id": {"$in": [file["_id"] for file in files]}}
        return cls(db, outputs, files, list(db[f"{BLOBS}.chunks"].find(ids)))

    def insert(self, campaign: str, generation: int, number: int) -> dict[str, str]:
        """Insert copies with identities of their own; return the stages of jobs by uuid."""
        new = {one: str(uuid.uuid4()) for one in (
            *(doc["uuid"] for doc in self.outputs),
            *(file["metadata"]["blob_uuid"] for file in self.files),
        )}  # fmt: skip
        text = re.sub("|".join(new), lambda found: new[found[0]], json.dumps(self.outputs))
        outputs = json.loads(text)
        at = datetime(2026, 1, 1) + timedelta(seconds=number)  # noqa: DTZ001 - as jobflow's
        for doc in outputs:
            doc |= {"completed_at": at.isoformat()}
            doc["metadata"] |= {"campaign_id": campaign, "generation": generation}
            if isinstance(doc["output"], dict):
                doc["output"]["generation"] = generation
        ids = {file["_id"]: ObjectId() for file in self.files}
        files = [
            {
                **file, "_id": ids[file["_id"]],
                "metadata": {**file["metadata"], "blob_uuid": new[file["metadata"]["blob_uuid"]]},
            }
            for file in self.files
        ]  # fmt: skip
        chunks = [
            {**chunk, "_id": ObjectId(), "files_id": ids[chunk["files_id"]]}
            for chunk in self.chunks
        ]
        self.db[OUTPUTS].insert_many(outputs)
        self.db[f"{BLOBS}.chunks"].insert_many(chunks)
        self.db[f"{BLOBS}.files"].insert_many(files)
        return {doc["uuid"]: doc["metadata"]["stage"] for doc in outputs}


@dataclass
class Filler:
    """Adds shards, other documents, fireworks and launches, as the engine would store them."""

    store: JobStore
    lp: LaunchPad
    generations: dict[str, int] = field(default_factory=dict)
    next_id: int = 1
    originals: Originals | None = None

    def __post_init__(self) -> None:
        """Make the frame that all labels are copies of."""
        _, start = structures()
        self.start = Frame.from_structure(start, origin=Origin.HOP, group="g")
        self.template = self.make_template()

    def fill(self, n_labels: int) -> None:
        """Bring the database to a number of labels: the first campaign has 10 shards, all told."""
        for g in range(10):
            self.upto(PROBE, g + 1)
        shards = n_labels // LABELS_A_SHARD - 10
        for i in range(1, CAMPAIGNS):
            self.upto(f"campaign-{i}", shards * i // (CAMPAIGNS - 1)
                      - shards * (i - 1) // (CAMPAIGNS - 1))  # fmt: skip

    def upto(self, campaign: str, n_generations: int) -> None:
        """Add generations to a campaign."""
        while self.generations.setdefault(campaign, 0) < n_generations:
            self.add_generation(campaign, self.generations[campaign])
            self.generations[campaign] += 1

    def add_generation(self, campaign: str, generation: int) -> None:
        """Add one generation: its documents, and its part of the workflow.

        The first campaign's go through the store; the others' are copies of them.
        """
        if campaign == PROBE:
            made = {str(uuid.uuid4()): one for one in self.outputs(generation)}
            self.put(campaign, generation, made)
            stages = {key: stage for key, (stage, _) in made.items()}
        else:
            stages = self.copy(campaign, generation)
        labels = [(str(uuid.uuid4()), "label") for _ in range(LABELS_A_SHARD)]
        self.add_jobs(campaign, generation, [*labels, *stages.items()])

    def copy(self, campaign: str, generation: int) -> dict[str, str]:
        """Insert the documents of the first generation once more; return stages by uuid."""
        self.originals = self.originals or Originals.read(self.lp.db)
        return self.originals.insert(campaign, generation, self.next_id)

    def outputs(self, generation: int) -> Iterator[tuple[str, Any]]:
        """Make the documents of one generation, by stage."""
        yield "label", self.shard(generation)
        for i in range(2):
            yield "train", scale_campaign.member(i, generation, 80, 20, 20_000, "none")
        calibration = scale_campaign.calibrated(generation, 20)
        yield "train", calibration
        for i in range(2):
            run = scale_campaign.stand_in_run.original
            yield "explore", run(self.start, [], calibration, generation, i, 10)
        bands = scale_campaign.stand_in_bands.original(calibration)
        yield "explore", bands

    def shard(self, generation: int) -> dict[str, Any]:
        """Make a shard of labels, a tenth of them refused: copies, each with a hash of its own."""
        hashes = [uuid.uuid4().hex[:20] for _ in range(LABELS_A_SHARD)]
        new = iter(hashes)
        return {
            **self.template,
            "generation": generation,
            "frame_hashes": hashes,
            **{
                name: [{**label, "frame_hash": next(new)} for label in self.template[name]]
                for name in ("labels", "quarantined")
            },
        }

    def make_template(self) -> dict[str, Any]:
        """Make the shard that others are copies of, as jobflow stores it."""
        frames = scale_campaign.rattled(self.start, LABELS_A_SHARD, [1], Origin.HOP, "run")
        labels = [
            Label(
                frame=frame, frame_hash=frame.frame_hash, energy=-1.0, forces=frame.positions,
                stress=frame.cell, settings_hash="hash", engine="none", wall_s=1.0,
                directory="/runs", reasons=["atoms too close: 1 Å"] if i % 10 == 0 else [],
            )
            for i, frame in enumerate(frames)
        ]  # fmt: skip
        made = counted(
            labels, generation=0, purpose="train", settings_hash="hash", wall_s=1.0,
            frame_hashes=[],
        )  # fmt: skip
        return dict(jsanitize(made, strict=True, enum_values=True))

    def put(self, campaign: str, generation: int, made: dict[str, tuple[str, Any]]) -> None:
        """Store outputs as jobflow does."""
        at = datetime(2026, 1, 1) + timedelta(seconds=self.next_id)  # noqa: DTZ001 - as jobflow's
        docs = [
            {
                "uuid": key, "index": 1, "output": jsanitize(output, strict=True, enum_values=True),
                "completed_at": at.isoformat(), "hosts": [], "name": stage,
                "metadata": {
                    "campaign_id": campaign, "generation": generation, "stage": stage,
                },
            }
            for key, (stage, output) in made.items()
        ]  # fmt: skip
        self.store.update(docs, key=["uuid", "index"], save={"data": DATA_FIELDS})

    def add_jobs(self, campaign: str, generation: int, jobs: list[tuple[str, str]]) -> None:
        """Insert finished fireworks, their launches and their workflow."""
        ids = [*range(self.next_id, self.next_id + len(jobs))]
        self.next_id += len(jobs)
        frame = self.start.model_dump(mode="json")
        fws = [
            {
                "fw_id": i, "state": "COMPLETED", "name": stage, "launches": [i],
                "created_on": "2026-01-01T00:00:00", "updated_on": "2026-01-01T00:00:00",
                "spec": {
                    "campaign_id": campaign, "generation": generation, "stage": stage,
                    "_tasks": [{"job": {"uuid": key, "index": 1, "function_args": [frame]}}],
                },
            }
            for i, (key, stage) in zip(ids, jobs, strict=True)
        ]  # fmt: skip
        self.lp.fireworks.insert_many(fws)
        self.lp.launches.insert_many(
            {"launch_id": i, "fw_id": i, "state": "COMPLETED", "launch_dir": "/runs",
             "fworker": {"name": "ionloop-local"}, "action": {"stored_data": {}},
             "state_history": [{"state": "COMPLETED"}]}
            for i in ids
        )  # fmt: skip
        part = {
            "nodes": ids, "links": {str(i): [] for i in ids}, "parent_links": {},
            "fw_states": {str(i): "COMPLETED" for i in ids},
        }  # fmt: skip
        found = self.lp.workflows.find_one({"metadata.campaign_id": campaign})
        if found is None:
            self.lp.workflows.insert_one({
                **part, "metadata": {"campaign_id": campaign}, "name": campaign,
                "state": "COMPLETED", "created_on": datetime.now(UTC),
                "updated_on": datetime.now(UTC),
            })  # fmt: skip
            return
        more = {f"{k}.{i}": v for k in ("links", "fw_states") for i, v in part[k].items()}
        self.lp.workflows.update_one(
            {"_id": found["_id"]}, {"$set": more, "$push": {"nodes": {"$each": ids}}}
        )
        compact(self.lp, campaign)


def questions(filler: Filler) -> dict[str, Callable[[], object]]:
    """Return what the command line, the page and the workers ask."""
    lp, store, db = filler.lp, filler.store, database()
    query = {"metadata.campaign_id": PROBE, "output.@class": "LabelShard"}
    uuids = [doc["uuid"] for doc in db.outputs.find(query, {"uuid": 1})]
    worker = Worker(lp, PROBE, Path.cwd())
    CURRENT_JOB.store = store
    nodes = workflow_of(lp, PROBE)["nodes"]
    return {
        "list of campaigns": lambda: campaign_ids(db),
        "latest campaign": lambda: resolve_campaign(None, db),
        "status": lambda: status(PROBE, db),
        "labels": lambda: stored_shards(PROBE, store, heavy=[]),
        "labels --quarantined": lambda: stored_shards(PROBE, store, heavy=["quarantined"]),
        "record of a campaign": lambda: campaign_record(PROBE, store),
        "the same for a report": lambda: campaign_record(PROBE, store, numbers=False),
        "decisions": lambda: decisions(PROBE, db),
        "next training": lambda: next_training(PROBE, db),
        "jobs to retry": lambda: jobs_to_retry(uuids[0], PROBE, db),
        "stored output": lambda: stored_output(uuids[0], 1, db),
        "hashes of 10 shards": lambda: fetch_fields(uuids, "frame_hashes", "purpose"),
        "1,000 labels to train on": lambda: read_samples(uuids),
        "worker: ready?": worker._has_ready,  # noqa: SLF001
        "worker: locked?": worker._is_locked,  # noqa: SLF001
        "worker: active?": lambda: is_active(lp, PROBE),
        "worker: next job": lambda: lp._get_a_fw_to_run(worker.query, checkout=False),  # noqa: SLF001
        "workflow of a job": lambda: lp.get_wf_by_fw_id_lzyfw(nodes[0]),
        "compact": lambda: compact(lp, PROBE),
        "store a shard": lambda: filler.put("other", 0, {"x": ("label", filler.shard(0))}),
    }


def a_job(lp: LaunchPad) -> float:
    """Return the time of one empty job through a worker, ms; ten of them in a campaign."""
    name = f"jobs-{uuid.uuid4().hex[:8]}"
    submit(Flow([empty() for _ in range(10)]), name)
    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        begin = time.perf_counter()
        Worker(lp, name, Path(folder)).run()
        os.chdir(here)
        return 100 * (time.perf_counter() - begin)


def measure_queries(sizes: list[int]) -> dict[str, Any]:
    """Return milliseconds by question and size, and how long filling took."""
    import jobflow

    logging.disable(logging.INFO)
    store = job_store()
    store.connect()
    jobflow.SETTINGS.JOB_STORE = store
    create_indexes(database())
    filler = Filler(store, launchpad())
    # FireWorks' own numbers begin behind ours.
    filler.lp.fw_id_assigner.update_one(
        {}, {"$set": {"next_fw_id": 10**7, "next_launch_id": 10**7}}
    )
    table: dict[str, dict[int, float]] = {}
    for size in sorted(sizes):
        begin = time.perf_counter()
        filler.fill(size)
        print(f"{size} labels, filled in {time.perf_counter() - begin:.0f} s", flush=True)
        for name, ask in questions(filler).items():
            table.setdefault(name, {})[size] = 1e3 * least_time(ask)
        table.setdefault("a job, all told", {})[size] = min(a_job(filler.lp) for _ in range(3))
    return {"ms": table}


def least_time(ask: Callable[[], object]) -> float:
    """Return the least time of a question, s, of many: the one that others disturbed least."""
    ask()
    times: list[float] = []
    while len(times) < LEAST or (len(times) < MOST and sum(times) < ENOUGH_S):
        begin = time.perf_counter()
        ask()
        times.append(time.perf_counter() - begin)
    return min(times)


def show_queries(found: dict[str, Any]) -> None:
    """Print a table, and by how much the largest database is slower than the smallest."""
    sizes = sorted(next(iter(found["ms"].values())))
    print(f"{'ms':26}", *(f"{size:>9}" for size in sizes), f"{'ratio':>7}")
    for name, row in found["ms"].items():
        ratio = row[sizes[-1]] / row[sizes[0]]
        print(f"{name:26}", *(f"{row[size]:9.2f}" for size in sizes), f"{ratio:7.2f}")
