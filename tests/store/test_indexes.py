"""No question that the code asks reads a growing collection from end to end.

The server's profiler sees all: FireWorks' and maggma's own questions, and those of workers.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jobflow
import pytest
from fireworks import FWorker
from pymongo import MongoClient

from ionloop import cli
from ionloop.engine import run_local, submit
from ionloop.engine.cluster.identity import ready_query
from ionloop.engine.launchpad import launchpad
from ionloop.engine.local.recover import recover
from ionloop.engine.worker import Worker
from ionloop.routing import WorkerKind
from ionloop.settings import get_settings
from ionloop.store.connection import database, job_store
from ionloop.store.imports import store_shard
from ionloop.store.indexes import INDEXES
from ionloop.store.labels import change_share, readmit_labels, stored_shards
from ionloop.store.queries import campaign_record, status

SUPPORT = Path(__file__).resolve().parents[1] / "support"
#: Documents of each growing collection.
N_DOCUMENTS = 2000


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


#: Questions that may scan, read more than ten documents for one, or sort, with the reason.
EXCEPTIONS = {
    "outputs_blobs.files find {} limit 1": "pymongo's GridFS: is there any file? One is read",
    "outputs_blobs.chunks find {} limit 1": "pymongo's GridFS: is there any chunk? One is read",
    "fw_id_assigner find {} limit 1": "FireWorks' counters: one document",
    "fw_id_assigner findAndModify {}": "FireWorks' counters: one document",
    "fireworks find {spec._tasks.job.uuid $in, spec.campaign_id} by ['spec._tasks.job.index']": (
        "sorts the launches of a batch's failed jobs: as many as are run again"
    ),
    "fireworks find {fw_id $in, state}": (
        "which jobs of the live workflow are in a state: it has as many as compaction leaves"
    ),
    "fireworks distinct {fw_id $in, state}": "the same",
    "launches aggregate {fworker.name $ne, state}": (
        "the launches that run, without the local ones: as many as there are workers"
    ),
}
#: Indexes that no question of this campaign uses, with the reason.
UNUSED = {
    "launches.state_1": "for those who look for launches whose worker is gone",
}


@pytest.mark.timeout(900)  # 45 s of CPU, which others may want too
def test_every_question_is_answered_by_an_index(calculations, mongod_uri, ionloop_db, main):
    from profiled import Profiler, ask, multiply, table, undurable, used_indexes

    batches(calculations, "first")
    db = database()
    multiply(db, N_DOCUMENTS)
    with Profiler(mongod_uri, ionloop_db) as profiler:
        ask_all(main, calculations)
    entries = list(profiler.entries())
    assert {str(ask(entry)) for entry in entries if undurable(entry)} == set()
    found = {str(asked): cost for asked, cost in table(entries).items()}
    listed = "\n".join(f"{name} -> {cost}" for name, cost in sorted(found.items()))
    bad = {name for name, cost in found.items() if cost.scans or cost.wasteful or cost.sorts}
    assert bad == EXCEPTIONS.keys(), listed
    made = {f"{name}.{m.document['name']}" for name, ms in INDEXES.items() for m in ms}
    assert made - used_indexes(db, INDEXES) <= UNUSED.keys()


def test_a_question_without_index_is_noticed(mongod_uri, ionloop_db):
    """The test above can fail: a scan, a waste and a sort, each by its own sign."""
    from profiled import Profiler, table, undurable

    plain = database()["fireworks"]
    plain.insert_many([{"a": i % 2, "b": i, "c": -i} for i in range(100)])
    plain.create_index("a")
    with Profiler(mongod_uri, ionloop_db) as profiler:
        plain.find_one({"b": 3})
        plain.update_one({"a": 1, "b": 51}, {"$set": {"d": 1}})
        list(plain.find({"a": 1}).sort("c", 1))
        with MongoClient(mongod_uri) as client:
            client[ionloop_db].careless.find_one_and_update({"a": 1}, {"$set": {"a": 2}})
            client[ionloop_db].careless.count_documents({})
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
