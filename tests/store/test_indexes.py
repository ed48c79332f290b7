"""No question that the code asks reads a growing collection from end to end.

The server's profiler sees all: FireWorks' and maggma's own questions, and those of workers.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jobflow
import pytest
from pymongo import MongoClient, WriteConcern

from ionloop import cli
from ionloop.engine.launchpad import launchpad
from ionloop.store.connection import database, job_store
from ionloop.store.indexes import INDEXES, create_indexes, missing_indexes
from ionloop.store.jfremote import QUEUE_INDEXES

SUPPORT = Path(__file__).resolve().parents[1] / "support"
#: Documents of each growing collection.
N_DOCUMENTS = 2000
#: Keys of an index beyond which a question goes through all campaigns' and not its own.
MANY_KEYS = 500


@pytest.fixture
def calculations(ionloop_db, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)
    monkeypatch.setattr(jobflow.SETTINGS, "JOB_STORE", job_store())
    monkeypatch.chdir(Path.cwd())  # a worker in this process goes elsewhere
    folder = tmp_path / "calculations"
    folder.mkdir()
    return folder


@pytest.fixture
def remote(calculations, tmp_path, monkeypatch):
    """Return jobflow-remote's project, in a folder of its own."""
    import jfremote_project
    import jobflow_remote

    for name, value in jfremote_project.write_project(tmp_path).items():
        monkeypatch.setenv(name, value)
    # Read from the environment once, at import.
    monkeypatch.setattr(jobflow_remote, "SETTINGS", jobflow_remote.JobflowRemoteSettings())


@pytest.fixture
def main(monkeypatch, capsys):
    def call(*args: str, code: int = 0) -> None:
        monkeypatch.setattr(sys, "argv", ["ionloop", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert int(ended.value.code or 0) == code, capsys.readouterr()

    return call


#: Questions that may scan, read more than ten documents for one, or sort, with the reason.
EXCEPTIONS = {
    "outputs_blobs.files find {} limit 1": "pymongo's GridFS: is there any file? One is read",
    "outputs_blobs.chunks find {} limit 1": "pymongo's GridFS: is there any chunk? One is read",
    "fw_id_assigner find {} limit 1": "FireWorks' counters: one document",
    "fw_id_assigner findAndModify {}": "FireWorks' counters: one document",
    "jf_auxiliary find {next_id $exists} limit 1": "jobflow-remote's counters: one document",
    "jf_auxiliary findAndModify {next_id $exists}": "the same",
    "fireworks find {spec._tasks.job.uuid $in, spec.campaign_id} by ['spec._tasks.job.index']": (
        "sorts the launches of a batch's failed jobs: as many as are run again"
    ),
    "fireworks find {fw_id $in, state}": (
        "which jobs of the live workflow are in a state: it has as many as compaction leaves"
    ),
    "fireworks distinct {fw_id $in, state}": "the same",
}

#: Questions that go through an index of all campaigns, with the reason.
ALL_KEYS = {
    "workflows find {} by ['created_on']": "the dashboard counts campaigns; no document is read",
    "jf_flows find {} by ['created_on']": "the same",
}

#: Places of the source whose question ``ask_all`` doesn't ask, with the reason.
NEVER_ASKED = {
    "engine/cluster/owned.py checkout_fw: super().checkout_fw": "engine/launchpad.py's",
    "engine/cluster/owned.py restore_backup_data: super().restore_backup_data": "by the ids",
    "engine/control/cancel.py _put_back: lp.launches.update_one": "by launch_id",
    "engine/control/rerun.py _forget: lp.workflows.update_one": "by _id",
    "engine/control/rerun_plan.py _adds: lp.get_launch_by_id": "by launch_id",
    "engine/launchpad.py _note_cores: self.launches.update_one": "by launch_id",
    "engine/launchpad.py launchpad: lp.fw_id_assigner.update_one": "one document, once",
    "store/handover.py query: super().query": "a file",
    "store/handover.py update: super().update": "a file",
    "store/leases.py take: db[LEASES].find_one (2)": "by _id",
    "store/mongod.py _initiate: client.local.system.replset.find_one": "another database",
}


@contextmanager
def noted(monkeypatch, folder: Path) -> Iterator[Path]:
    """Note all places that ask, of this process and those that it starts; yield the book."""
    import asked_places

    book = folder / "asked"
    book.touch()
    monkeypatch.setenv(asked_places.BOOK, str(book))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT / "asked"), prepend=os.pathsep)
    watch = asked_places.Watch()
    try:
        yield book
    finally:
        watch.end()


@pytest.mark.timeout(900)  # 45 s of CPU, which others may want too
def test_every_question_is_answered_by_an_index(
    remote, calculations, mongod_uri, ionloop_db, main, monkeypatch
):
    import asked_places
    from ask_all import ask_all, batches, submit_to_jobflow_remote
    from profiled import (
        Profiler,
        ask,
        multiply,
        table,
        undurable,
        undurable_writes,
        used_indexes,
    )

    batches(calculations, "first")
    submit_to_jobflow_remote("before")
    db = database()
    multiply(db, N_DOCUMENTS)
    before = undurable_writes(db.client)
    with Profiler(mongod_uri, ionloop_db) as profiler, noted(monkeypatch, calculations) as book:
        ask_all(main, calculations)
    assert undurable_writes(db.client) == before
    assert asked_places.careless(book) == set()
    assert asked_places.never_asked(book) == NEVER_ASKED.keys()
    entries = list(profiler.entries())
    assert {str(ask(entry)) for entry in entries if undurable(entry)} == set()
    found = {str(asked): cost for asked, cost in table(entries).items()}
    listed = "\n".join(f"{name} -> {cost}" for name, cost in sorted(found.items()))
    bad = {name for name, cost in found.items() if cost.scans or cost.wasteful or cost.sorts}
    assert bad == EXCEPTIONS.keys(), listed
    walks = {name for name, cost in found.items() if cost.keys > MANY_KEYS}
    assert walks == ALL_KEYS.keys(), listed
    wanted = INDEXES | QUEUE_INDEXES
    made = {f"{name}.{m.document['name']}" for name, ms in wanted.items() for m in ms}
    assert made - used_indexes(db, wanted) == set()
    assert missing_indexes(db) == []


@pytest.mark.parametrize("ours_first", [True, False])
def test_fireworks_may_make_its_own_indexes_too(ionloop_db, ours_first):
    """``lpad tuneup``, and ``lpad reset``, which ends with it, in either order."""
    lp, db = launchpad(), database()
    if ours_first:
        create_indexes(db)
    lp.tuneup()
    create_indexes(db)
    lp.reset("", require_password=False)
    assert missing_indexes(db) == []


def test_jobflow_remotes_indexes_count_where_it_is_used(remote):
    """Those that are lost are told and made, and jobflow-remote may make its own again."""
    from ask_all import submit_to_jobflow_remote
    from jobflow_remote import ConfigManager

    db = database()
    create_indexes(db)
    assert not set(QUEUE_INDEXES) & set(db.list_collection_names())
    assert missing_indexes(db) == []
    submit_to_jobflow_remote("c")
    assert missing_indexes(db) == []
    for name in QUEUE_INDEXES:
        db[name].drop_indexes()
    told = {f"{name}.{m.document['name']}" for name, ms in QUEUE_INDEXES.items() for m in ms}
    assert set(missing_indexes(db)) == told
    create_indexes(db)
    assert missing_indexes(db) == []
    controller = ConfigManager().get_project().get_job_controller()
    controller.build_indexes()
    controller.close()
    assert missing_indexes(db) == []


def test_a_question_without_index_is_noticed(mongod_uri, ionloop_db, tmp_path, monkeypatch):
    """The test above can fail: a scan, a waste and a sort, each by its own sign."""
    from asked_places import careless
    from profiled import Profiler, table, undurable, undurable_writes

    plain = database()["fireworks"]
    plain.insert_many([{"a": i % 2, "b": i, "c": -i} for i in range(100)])
    plain.create_index("a")
    before = undurable_writes(database().client)
    with Profiler(mongod_uri, ionloop_db) as profiler, noted(monkeypatch, tmp_path) as book:
        plain.find_one({"b": 3})
        plain.update_one({"a": 1, "b": 51}, {"$set": {"d": 1}})
        list(plain.find({"a": 1}).sort("c", 1))
        with MongoClient(mongod_uri) as client:
            lost, change = client[ionloop_db].lost, {"$set": {"a": 2}}
            lost.find_one_and_update({"a": 1}, change)
            lost.count_documents({})
            waits = lost.with_options(write_concern=WriteConcern("majority"))
            waits.delete_one({"a": 1})
            awaited = undurable_writes(client)
            lost.update_one({"a": 1}, change)
            lost.delete_one({"a": 1})
            after = undurable_writes(client)
    assert awaited["delete"] == before["delete"]
    assert (after["update"], after["delete"]) == (awaited["update"] + 1, before["delete"] + 1)
    assert careless(book) == {
        "lost find_one_and_update {}",
        "lost delete_one {'w': 'majority'}",
        "lost update_one {}",
        "lost delete_one {}",
    }
    assert [e["ns"].partition(".")[2] for e in profiler.entries() if undurable(e)] == ["lost"] * 2
    found = table(profiler.entries())
    signs = {str(a): (cost.scans, cost.wasteful, cost.sorts) for a, cost in found.items()}
    assert {s: sign for s, sign in signs.items() if s.startswith("fireworks")} == {
        "fireworks find {b} limit 1": (True, False, False),
        "fireworks update {a, b}": (False, True, False),
        "fireworks find {a} by ['c']": (False, False, True),
    }
