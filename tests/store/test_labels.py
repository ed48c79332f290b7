"""Decisions on labels in a real MongoDB: appended, applied, and never half written."""

from __future__ import annotations

import pytest
from jobflow import JobStore, OutputReference
from maggma.stores import GridFSStore
from monty.json import jsanitize

from ionloop.document import DATA_FIELDS
from ionloop.errors import LabelError
from ionloop.frame import Frame
from ionloop.label.decisions import decisions_uuid
from ionloop.label.schema import Label, LabelShard
from ionloop.store.connection import database, job_store
from ionloop.store.labels import (
    change_share,
    decisions,
    jobs_to_retry,
    next_training,
    readmit_labels,
    stored_shards,
)
from ionloop.store.queries import campaign_record

CEILING = "force above the ceiling: 31 eV/Å"


def label(n: int, *reasons: str) -> Label:
    frame = Frame(
        symbols=["Li"], positions=[[0.1 * n, 0, 0]], cell=[[5, 0, 0], [0, 5, 0], [0, 0, 5]],
        origin="hop", group="g",
    )  # fmt: skip
    return Label(
        frame=frame, frame_hash=f"{n % 2}{n:019d}", energy=-1.0, forces=[[float(n), 0.0, 0.0]],
        settings_hash="s", engine="e", wall_s=1.0, directory="/runs", reasons=list(reasons),
    )  # fmt: skip


def shard(*labels: Label, generation: int = 0, **fields: object) -> LabelShard:
    good = [x for x in labels if not x.reasons]
    bad = [x for x in labels if x.reasons]
    own = {
        "generation": generation, "purpose": "train", "labels": good, "quarantined": bad,
        "frame_hashes": [x.frame_hash for x in labels], "n_admitted": len(good),
        "n_quarantined": len(bad), "reasons": {"force above the ceiling": len(bad)},
        "counts": {"hop": len(good)}, "settings_hash": "s", "wall_s": 1.0,
    }  # fmt: skip
    return LabelShard(**{**own, **fields})


@pytest.fixture
def store(ionloop_db) -> JobStore:
    made = job_store()
    made.connect()
    return made


def put(store: JobStore, uuid: str, output: LabelShard, campaign: str = "c") -> None:
    stored = jsanitize(output, strict=True, enum_values=True)  # as jobflow does
    doc = {
        "uuid": uuid, "index": 1, "output": stored, "completed_at": f"2026-01-0{uuid}",
        "metadata": {"campaign_id": campaign, "stage": "label"}, "hosts": [], "name": uuid,
    }  # fmt: skip
    store.update(doc, key=["uuid", "index"], save={"data": DATA_FIELDS})


def test_a_readmitted_label_stands_where_jobs_read_it(store):
    put(store, "1", shard(label(0), label(1, CEILING), label(3, CEILING)))
    put(store, "2", shard(label(2), generation=1))
    put(store, "3", shard(label(4, CEILING)), campaign="d")
    (taken,) = readmit_labels("c", [label(1).frame_hash], "a saddle")
    assert (taken.forces, taken.readmitted.reason) == ([[1.0, 0.0, 0.0]], "a saddle")
    found: LabelShard = OutputReference("1").resolve(store)
    assert [x.frame_hash for x in found.labels] == [label(0).frame_hash, label(1).frame_hash]
    assert [x.frame_hash for x in found.quarantined] == [label(3).frame_hash]
    assert found.labels[1] == taken
    assert [one.shard.n_admitted for one in stored_shards("c")] == [2, 1]
    assert [one.shard.n_admitted for one in stored_shards("d")] == [0]
    document = database().outputs.find_one({"uuid": "1"})
    assert "blob_uuid" in document["output"]["labels"]  # heavy parts stay in GridFS
    assert document["completed_at"] == "2026-01-01"
    assert len(campaign_record("c").jobs) == 2  # decisions are no job of the campaign


def test_a_reader_finds_the_old_shard_or_the_new_one(store, monkeypatch):
    """Killed while GridFS is written: what is stored is whole, and a second try works."""
    put(store, "1", shard(label(0), label(1, CEILING)))

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GridFSStore, "update", killed)
        with pytest.raises(KeyboardInterrupt):
            readmit_labels("c", [label(1).frame_hash], "a saddle")
    whole: LabelShard = OutputReference("1").resolve(store)
    assert (len(whole.labels), len(whole.quarantined)) == (1, 1)
    readmit_labels("c", [label(1).frame_hash], "again")
    assert [len(one.shard.labels) for one in stored_shards("c")] == [2]
    assert [one.reason for one in decisions("c").readmissions] == ["a saddle", "again"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("1", "begins with '1', got 2 \\(10000000000"),
        ("00", "got an admitted one"),
        ("f", "got none"),
        ("", "got none"),
    ],
)
def test_a_label_is_named_by_enough_of_its_hash(store, given, words):
    put(store, "1", shard(label(0), label(1, CEILING), label(3, CEILING)))
    with pytest.raises(LabelError, match=words):
        readmit_labels("c", [given], "r")
    assert database().outputs.find_one({"uuid": decisions_uuid("c")}) is None
    (taken,) = readmit_labels("c", [label(3).frame_hash], "r")
    assert taken.frame_hash == label(3).frame_hash


def test_decisions_are_appended(store):
    assert decisions("c").shares == []
    change_share("c", 0.5)
    change_share("c", 0.4)
    change_share("d", 0.1)
    assert [one.min_success_fraction for one in decisions("c").shares] == [0.5, 0.4]
    assert decisions("c").campaign_id == "c"


def test_jobs_run_again_only_below_the_share(store):
    put(store, "1", shard(label(0), label(1, CEILING), min_success_fraction=0.8,
                          failed_jobs=["j"]))  # fmt: skip
    assert jobs_to_retry("1", "c") == ["j"]
    change_share("c", 0.5)
    assert jobs_to_retry("1", "c") == []
    assert jobs_to_retry("nothing", "c") == []


def test_the_next_training_is_that_which_hasnt_begun(store):
    db = database()
    assert next_training("c", db) == 0

    def job(generation: int, stage: str, state: str, campaign: str = "c") -> None:
        spec = {"campaign_id": campaign, "generation": generation, "stage": stage}
        db.fireworks.insert_one({"spec": spec, "state": state})

    job(0, "train", "COMPLETED")
    assert next_training("c", db) == 1
    job(1, "label", "RUNNING")
    job(1, "train", "WAITING")
    job(7, "train", "RUNNING", "d")
    assert next_training("c", db) == 1
    job(1, "train", "READY")
    assert next_training("c", db) == 2
