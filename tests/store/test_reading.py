"""What jobs read of earlier outputs in a real MongoDB: no more than they need, and no more at a
time; and that size is no limit."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from jobflow import CURRENT_JOB, JobConfig, JobStore, OutputReference, job
from maggma.stores import GridFSStore, MongoStore
from monty.json import jsanitize
from pymongo.monitoring import CommandListener

from ionloop.document import DATA_FIELDS, Blob, fetch_fields, fetch_outputs, stream_outputs
from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label, LabelShard
from ionloop.label.shards import counted
from ionloop.settings import get_settings
from ionloop.store.connection import BLOBS, OUTPUTS, database, job_store
from ionloop.train.jobs import read_samples

N_LABELS, N_ATOMS = 20, 38


class Finds(CommandListener):
    """Counts reads by collection."""

    def __init__(self) -> None:
        self.by_collection: Counter[str] = Counter()

    def started(self, event) -> None:
        if event.command_name in ("find", "getMore", "aggregate"):
            name = event.command.get("collection") or event.command[event.command_name]
            self.by_collection[name] += 1

    def succeeded(self, event) -> None: ...

    def failed(self, event) -> None: ...


@pytest.fixture
def finds() -> Finds:
    return Finds()


@pytest.fixture
def store(ionloop_db, finds) -> JobStore:
    """The store, as a job has it that exposes it; its reads are counted."""
    settings = get_settings()
    kwargs = {"uri": settings.db_uri, "mongoclient_kwargs": {"event_listeners": [finds]}}
    made = JobStore(
        MongoStore(settings.db_name, OUTPUTS, **kwargs),
        additional_stores={"data": GridFSStore(settings.db_name, BLOBS, **kwargs)},
    )
    made.connect()
    CURRENT_JOB.store = made
    yield made
    CURRENT_JOB.reset()


def shard(generation: int) -> LabelShard:
    rng = np.random.default_rng(generation)
    labels = []
    for i in range(N_LABELS):
        positions = (20 * rng.random((N_ATOMS, 3))).tolist()
        frame = Frame(
            symbols=["Li"] * N_ATOMS, positions=positions, cell=(20 * np.eye(3)).tolist(),
            origin=Origin.HOP, generation=generation, group=f"run-{generation}-{i // 5}",
            descriptor=rng.normal(size=64).tolist(),
        )  # fmt: skip
        labels.append(Label(
            frame=frame, frame_hash=frame.frame_hash, energy=-1.0, forces=positions,
            stress=(0.1 * np.eye(3)).tolist(), settings_hash="s", engine="e", wall_s=1.0,
            directory="/", reasons=["atoms too close"] if i == 0 else [],
        ))  # fmt: skip
    return counted(
        labels, generation=generation, purpose="train", settings_hash="s", wall_s=1.0,
        frame_hashes=[x.frame_hash for x in labels],
    )  # fmt: skip


def put(store: JobStore, uuid: str, output: object, index: int = 1) -> str:
    """Store an output as jobflow does."""
    doc = {
        "uuid": uuid, "index": index, "name": uuid, "hosts": [], "completed_at": "", "metadata": {},
        "output": jsanitize(output, strict=True, enum_values=True, allow_bson=True),
    }  # fmt: skip
    store.update(doc, key=["uuid", "index"], save={"data": DATA_FIELDS})
    return uuid


def put_batch(store: JobStore, generation: int) -> str:
    """Store a shard as the label stage does: the job that was asked points to who collected."""
    put(store, f"collect-{generation}", shard(generation))
    put(store, f"gate-{generation}", OutputReference(f"collect-{generation}"))
    return put(store, f"label-{generation}", OutputReference(f"gate-{generation}"), index=2)


# ---------------------------------------------------------------- no more than is needed


def test_hashes_are_read_without_the_labels(store, finds):
    uuids = [put_batch(store, g) for g in range(5)]
    finds.by_collection.clear()
    found = fetch_fields(uuids, "frame_hashes", "n_admitted")
    assert [one["frame_hashes"] for one in found] == [shard(g).frame_hashes for g in range(5)]
    assert [one["n_admitted"] for one in found] == [N_LABELS - 1] * 5
    assert set(finds.by_collection) == {OUTPUTS}
    assert finds.by_collection[OUTPUTS] <= 4  # however many batches there are


def test_one_heavy_field_is_read_without_the_others(store, finds):
    uuid = put_batch(store, 0)
    finds.by_collection.clear()
    (labels,) = fetch_outputs([uuid], "labels")
    assert labels == shard(0).labels
    assert finds.by_collection[f"{BLOBS}.chunks"] == 1
    assert finds.by_collection[f"{BLOBS}.files"] > 0
    whole = fetch_outputs([uuid])[0]
    assert whole == shard(0)
    assert finds.by_collection[f"{BLOBS}.chunks"] > 2


def test_of_a_job_that_went_on_the_last_output_counts(store):
    put(store, "a", shard(0))
    put(store, "a", shard(1), index=2)
    assert fetch_fields(["a"], "generation") == [{"generation": 1}]
    assert fetch_outputs(["a"], "labels")[0] == shard(1).labels
    assert fetch_fields([], "generation") == []


def test_what_cannot_be_read_lightly_is_refused(store):
    put(store, "a", shard(0))
    with pytest.raises(ValueError, match="light field of a, got labels: read it by fetch_outputs"):
        fetch_fields(["a"], "labels")
    with pytest.raises(ValueError, match="expected the output of job b in the store, got none"):
        fetch_fields(["a", "b"], "generation")
    with pytest.raises(ValueError, match="Could not resolve reference - b"):
        fetch_outputs(["b"], "labels")


# ---------------------------------------------------------------- no more at a time


def peak_mb(read: Callable[[Sequence[str]], object], uuids: Sequence[str]) -> float:
    """Return the most memory that Python had while something read, MB; what it keeps counts."""
    tracemalloc.start()
    try:
        kept = read(uuids)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
        del kept
    finally:
        tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_batches_that_are_read(store):
    uuids = [put_batch(store, g) for g in range(8)]
    peak_mb(read_samples, uuids[:1])  # imports

    def stream(some: Sequence[str]) -> None:
        for one in stream_outputs(some):
            assert one.labels

    few, many = peak_mb(stream, uuids[:2]), peak_mb(stream, uuids)
    assert many < 1.2 * few
    assert peak_mb(fetch_outputs, uuids) > 1.5 * few  # the measure can tell


def test_labels_to_train_on_take_arrays_for_memory(store):
    uuids = [put_batch(store, g) for g in range(8)]
    peak_mb(read_samples, uuids[:1])
    few, many = peak_mb(read_samples, uuids[:2]), peak_mb(read_samples, uuids)
    n = 6 * (N_LABELS - 1)
    assert (many - few) / n < 0.008  # MB a label of 38 atoms; as documents 0.02
    assert len(read_samples(uuids)) == 8 * (N_LABELS - 1)


# ---------------------------------------------------------------- size is no limit


def test_a_batch_of_labels_above_16_mb_goes_in_and_out(store):
    """600 labels of 320 atoms: MongoDB would refuse their document."""
    found = shard(0)
    label = found.labels[0]
    wide = np.random.default_rng(0).normal(size=(320, 3)).tolist()
    frame = label.frame.model_copy(update={"symbols": ["Li"] * 320, "positions": wide})
    large = label.model_copy(update={"frame": frame, "forces": wide})
    sent = found.model_copy(update={"labels": [large] * 600})
    assert len(sent.model_dump_json()) > 1.4 * 2**24
    put(store, "large", sent)
    samples = read_samples(["large"])
    assert len(samples) == 600
    assert samples[-1].atoms.arrays["REF_forces"].tolist() == wide


@job(data=DATA_FIELDS)
def give(n_bytes: int) -> dict:
    return {"model_file": Blob.from_bytes(np.random.default_rng(1).bytes(n_bytes), "m.model")}


@job
def check(uuid: str) -> str:
    return fetch_outputs([uuid], "model_file")[0].sha256


def test_a_blob_above_mongodbs_limit_of_16_mb_goes_through(ionloop_db):
    size = 20_000_000
    first = give(size)
    second = check(first.uuid)
    second.config = JobConfig(expose_store=True)
    store = job_store()
    store.connect()
    first.run(store)
    blob = Blob.from_bytes(np.random.default_rng(1).bytes(size), "m.model")
    assert second.run(store).output == blob.sha256
    (stored,) = database()[OUTPUTS].aggregate(
        [{"$match": {"uuid": first.uuid}}, {"$project": {"n": {"$bsonSize": "$$ROOT"}}}]
    )
    assert stored["n"] < 2000
    (file,) = database()[f"{BLOBS}.files"].find()
    assert file["length"] > 16 * 2**20
