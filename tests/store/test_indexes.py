"""No question that the code asks reads a growing collection from end to end.

The server's profiler sees all: FireWorks' and maggma's own questions, and those of workers.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jobflow
import pytest
from fireworks import FWorker
from jobflow import Flow
from pymongo import MongoClient

from ionloop import cli
from ionloop.dashboard.source import Source
from ionloop.document import Blob
from ionloop.engine import run_local, submit
from ionloop.engine.cluster.giving_back import MAX_LOST
from ionloop.engine.cluster.identity import identify, ready_query
from ionloop.engine.cluster.lost import return_lost, return_own
from ionloop.engine.cluster.owned import is_given_away, owned_launchpad
from ionloop.engine.launchpad import campaign_query, launchpad
from ionloop.engine.local.recover import recover
from ionloop.engine.remote import submit_remote
from ionloop.engine.worker import Worker
from ionloop.routing import WorkerKind
from ionloop.settings import get_settings
from ionloop.store.connection import database, job_store
from ionloop.store.imports import store_shard
from ionloop.store.indexes import INDEXES, create_indexes, missing_indexes
from ionloop.store.jfremote import JOBS, QUEUE_INDEXES
from ionloop.store.labels import change_share, next_training, readmit_labels, stored_shards
from ionloop.store.queries import campaign_record, status, stored_output
from ionloop.store.scorecards import store_scorecard

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


def batches(folder: Path, campaign_id: str) -> None:
    """Run a campaign that pauses, in this process, and mend it by all means that there are."""
    import flaky

    for name in "defg":
        (folder / name).write_text("force" if name == "f" else "scf")
    submit(flaky.batches(folder, "ab", "cdefg", "hij", campaign_id=campaign_id), campaign_id)
    lp, runs = launchpad(), get_settings().home_dir / "runs" / campaign_id
    runs.mkdir(parents=True)
    Worker(lp, campaign_id, runs).run()
    assert status(campaign_id).state == "paused"
    for name in "deg":
        (folder / name).unlink()
    assert len(recover(lp, campaign_id, rerun_failed=True).rerun) == 3
    Worker(lp, campaign_id, runs).run()
    refused = [x for one in stored_shards(campaign_id) for x in one.shard.quarantined]
    readmit_labels(campaign_id, [refused[0].frame_hash], "believed")
    change_share(campaign_id, 0.5)
    assert status(campaign_id).state == "finished"


def take_as_a_cluster_does() -> None:
    """Check jobs out by kind of worker and import labels twice, the second time in their place."""
    lp = launchpad()
    for kind in (*WorkerKind, None):
        for campaign_id, found in ((None, True), ("c", False)):
            query = ready_query(kind, campaign_id)
            assert lp.run_exists(FWorker("cluster", query=query)) is found
    (*_, one) = stored_shards("paused")
    assert stored_output(one.uuid, one.index) is not None
    for _ in range(2):
        store_shard(one.shard, "import")


def control_all(main, folder: Path) -> None:
    """Pause, cancel and run a campaign again, and look at it meanwhile."""
    import controlled

    submit(controlled.turn(0, 1, str(folder)), "held")
    for command in ("pause", "cancel"):
        main(command, "held")
        main("status", "held")
    main("resume", "held", "--workers", "1")
    main("rerun", "held", "--stage", "train", "--yes")
    main("pause", "held")
    main("resume", "held", "--no-run")
    main("status", "--all")
    main("doctor", "--for", "read")


def lose_workers(folder: Path) -> None:
    """Lose a worker at each place where one may die, and look for lost ones as all guards do."""
    import engine_jobs

    label = engine_jobs.dear_label("a", str(folder / "dear"), 0.0)
    label.update_metadata({"campaign_id": "lost"})
    submit(label, "lost")
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    worker = identify(None, "lost", get_settings())
    worker.env["pid"] = process.pid
    lp, mine = launchpad(), {"metadata.campaign_id": "lost"}

    def begin(**fields: object) -> None:
        taken, number = owned_launchpad(lp).checkout_fw(worker, str(folder))
        assert taken is not None
        past = datetime.now(UTC) - timedelta(hours=1)
        change = {"$set": {"heartbeat": past, **fields}}
        assert lp.launches.update_one({"launch_id": number}, change).modified_count

    begin()
    assert return_own(lp, worker.name, process.pid, "a test", counts=False).rerun
    for campaign_id in ("lost", None):
        begin()
        assert return_lost(lp, campaign_id).rerun
        begin(state="ARCHIVED", lost={"certain": True})  # who gave it back died
        assert return_lost(lp, campaign_id).rerun
        old = {"state": "RESERVED", "updated_on": datetime(2026, 1, 1, tzinfo=UTC)}
        lp.fireworks.update_one({"spec.campaign_id": "lost"}, {"$set": old})
        dead = {"host": socket.gethostname(), "pid": process.pid}
        lp.workflows.update_one(mine, {"$set": {"locked": dead}})
        assert not return_lost(lp, campaign_id)
        assert lp.fireworks.find_one({"spec.campaign_id": "lost"})["state"] == "READY"
        assert "locked" not in lp.workflows.find_one(mine)
    begin()
    number = lp.fireworks.find_one({"spec.campaign_id": "lost"})["launches"][-1]
    assert not is_given_away(lp, number)
    lp.fireworks.update_one({"spec.campaign_id": "lost"}, {"$set": {"spec._lost": MAX_LOST - 1}})
    assert return_lost(lp, "lost").failed


def reserve(main, folder: Path) -> None:
    """Reserve jobs: for the queue of a cluster, and by a worker that dies just then."""
    import engine_jobs

    lp = launchpad()
    for name in ("reserved", "chosen"):
        submit(engine_jobs.empty(), name)
    lp.reserve_fw(FWorker("queue", query=campaign_query("reserved")), str(folder))
    main("pause", "reserved")
    main("resume", "reserved", "--no-run")
    chosen = {"$set": {"state": "RESERVED"}}
    lp.fireworks.update_one({"spec.campaign_id": "chosen"}, chosen)
    recover(lp, "chosen", rerun_failed=False)
    command = ["work", "--campaign", "chosen", "--jobs", "1", "--idle", "1"]
    subprocess.run([sys.executable, "-m", "ionloop.cli", *command], cwd=folder, check=True)
    assert status("chosen").state == "finished"


def submit_to_jobflow_remote(campaign_id: str) -> None:
    """Submit a campaign to jobflow-remote, and say that a job has failed that all could miss."""
    import engine_jobs

    first = engine_jobs.empty()
    first.update_metadata({"generation": 0, "stage": "label"})
    submit_remote(Flow([first, engine_jobs.empty(first.output)], order="linear"), campaign_id)
    jobs = database()[JOBS]
    failed = {"$set": {"state": "FAILED", "error": "RuntimeError: no"}}
    assert jobs.update_one({"uuid": first.uuid}, failed).modified_count


def look_as_others_do(main) -> None:
    """Ask for failed campaigns, for one of jobflow-remote, and for the dashboard's pages."""
    from profiled import OTHER_STATES

    for runner in ("other", "remote"):
        main("status", f"{runner}-{OTHER_STATES.index('FIZZLED')}")
    for command in ("status", "labels"):
        main(command, "remote")
    assert next_training("remote", database()) == 0
    source = Source()
    try:
        rows, total = source.campaigns(0, 25)
        assert (len(rows), total > N_DOCUMENTS / 100) == (25, True)
        for campaign_id in ("c", "remote"):
            assert source.campaign(campaign_id) is not None
        assert source.report("c")
    finally:
        source.close()


def keep_scorecards(main, folder: Path) -> None:
    """Keep scorecards, list them, and look for a campaign's models."""
    from made_record import make_card
    from stored_output import member, put

    data = b"weights"
    trained = member(0, 0).model_copy(
        update={
            "model_hash": hashlib.sha256(data).hexdigest(),
            "model_file": Blob.from_bytes(data, "member.model"),
        }
    )
    store = job_store()
    store.connect()
    put(store, "member", trained)
    for files in ([data], [b"elsewhere"]):
        store_scorecard(make_card(*files))
    for options in ([], ["--material", "Li3OCl"], ["--campaign", "c"]):
        main("scorecards", *options)
    main("models", "c", "--out", str(folder / "models"))
    assert (folder / "models" / "member-0.model").read_bytes() == data


def ask_all(main, folder: Path) -> None:
    """Run a campaign with two workers and one that pauses, and ask all that can be asked.

    New commands and queries belong here.
    """
    import engine_jobs

    ledger = str(folder / "ledger")
    submit(engine_jobs.generation_flow(0, last=1, n=3, ledger=ledger, seconds=0.0), "c")
    assert run_local("c", workers=2, watch=lambda _: None).state == "finished"
    batches(folder, "paused")
    for campaign_id in ("c", "paused"):
        campaign_record(campaign_id)
        main("status", campaign_id)
        main("labels", campaign_id)
        main("labels", "list", campaign_id, "--json")
        main("resume", campaign_id, "--no-run")
    main("status", "--json")
    main("report", "c")
    main("status", "nothing", code=2)
    take_as_a_cluster_does()
    control_all(main, folder)
    submit_to_jobflow_remote("remote")
    look_as_others_do(main)
    lose_workers(folder)
    reserve(main, folder)
    keep_scorecards(main, folder)


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


#: Places of the source whose question isn't asked above, with the reason.
NEVER_ASKED = {
    "engine/control/cancel.py _put_back: lp.launches.update_one": "by launch_id",
    "engine/control/rerun.py _forget: lp.workflows.update_one": "by _id",
    "engine/launchpad.py launchpad: lp.fw_id_assigner.update_one": "one document, once",
    "engine/local/recover.py _rerun: lp.fireworks.update_one": "by fw_id",
    "engine/locking.py free_nameless: lp.workflows.update_one": "by _id",
    "store/leases.py take: db[LEASES].find_one": "by _id",
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
    end = asked_places.watch()
    try:
        yield book
    finally:
        end()


@pytest.mark.timeout(900)  # 45 s of CPU, which others may want too
def test_every_question_is_answered_by_an_index(
    remote, calculations, mongod_uri, ionloop_db, main, monkeypatch
):
    import asked_places
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


def test_a_question_without_index_is_noticed(mongod_uri, ionloop_db):
    """The test above can fail: a scan, a waste and a sort, each by its own sign."""
    from profiled import Profiler, table, undurable, undurable_writes

    plain = database()["fireworks"]
    plain.insert_many([{"a": i % 2, "b": i, "c": -i} for i in range(100)])
    plain.create_index("a")
    before = undurable_writes(database().client)
    with Profiler(mongod_uri, ionloop_db) as profiler:
        plain.find_one({"b": 3})
        plain.update_one({"a": 1, "b": 51}, {"$set": {"d": 1}})
        list(plain.find({"a": 1}).sort("c", 1))
        with MongoClient(mongod_uri) as client:
            client[ionloop_db].careless.find_one_and_update({"a": 1}, {"$set": {"a": 2}})
            client[ionloop_db].careless.count_documents({})
            careless = undurable_writes(database().client)
            client[ionloop_db].careless.update_one({"a": 1}, {"$set": {"a": 2}})
            client[ionloop_db].careless.delete_one({"a": 1})
    after = undurable_writes(database().client)
    assert careless["delete"] == before["delete"]
    assert (after["update"], after["delete"]) == (careless["update"] + 1, before["delete"] + 1)
    assert [e["ns"].partition(".")[2] for e in profiler.entries() if undurable(e)] == (
        ["careless", "careless"]
    )
    found = table(profiler.entries())
    signs = {str(a): (cost.scans, cost.wasteful, cost.sorts) for a, cost in found.items()}
    assert {s: sign for s, sign in signs.items() if s.startswith("fireworks")} == {
        "fireworks find {b} limit 1": (True, False, False),
        "fireworks update {a, b}": (False, True, False),
        "fireworks find {a} by ['c']": (False, False, True),
    }
