"""Jobs of workers that died or fell silent: found, given back once, and no result counts twice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jobflow
import pytest
from crash import CRASHES
from fireworks import FWAction, FWorker

from ionloop.engine import locking, submit
from ionloop.engine.cluster.giving_back import MAX_LOST
from ionloop.engine.cluster.identity import identify
from ionloop.engine.cluster.lost import Verdict, described, return_lost, return_own, verdict
from ionloop.engine.cluster.owned import (
    OwnedLaunchPad,
    beat,
    is_given_away,
    own_store,
    owned_launchpad,
)
from ionloop.engine.cluster.slurm import Queue
from ionloop.engine.cluster.worker import ClusterWorker, Plan
from ionloop.engine.launchpad import launchpad
from ionloop.errors import EngineError
from ionloop.settings import get_settings
from ionloop.store.connection import database, job_store
from ionloop.store.queries import campaign_record, status

SUPPORT = Path(__file__).parents[2] / "support"
HERE = socket.gethostname()
#: A worker that was silent for so long counts as gone, s.
LOST_S = 60


@pytest.fixture
def jobs(ionloop_db, ionloop_home, monkeypatch):
    """The tests' jobs, and short patience with locks of the dead."""
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setattr(jobflow.SETTINGS, "JOB_STORE", job_store())
    monkeypatch.setenv("IONLOOP_LOST_AFTER_S", str(LOST_S))
    monkeypatch.setattr(locking, "PATIENCE_S", 0.5)
    monkeypatch.chdir(Path.cwd())  # a worker in this process goes elsewhere
    import engine_jobs

    return engine_jobs


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def submit_label(jobs, tmp_path: Path) -> None:
    label = jobs.dear_label("a", str(tmp_path / "ledger"), 0.0)
    label.update_metadata({"campaign_id": "c"})
    submit(label, "c")


def worker_of(pid: int | None, host: str = HERE, job: str | None = None, **env: object) -> FWorker:
    described = identify(None, "c", get_settings()).env
    mine = {**described, "pid": pid, "host": host, "slurm_job_id": job, **env}
    return FWorker(name=f"any-{host}-{job or pid}", env=mine)


def check_out(folder: Path, fworker: FWorker, silent_s: float) -> OwnedLaunchPad:
    """Begin a job as a worker does that then says nothing any more."""
    folder.mkdir(exist_ok=True)
    lp = owned_launchpad(launchpad())
    fw, launch_id = lp.checkout_fw(fworker, str(folder))
    assert fw is not None
    lp.ping_launch(launch_id, checkpoint={"_task_n": 0, "_all_stored_data": {},
                                          "_all_update_spec": {}, "_all_mod_spec": []})  # fmt: skip
    past = datetime.now(UTC) - timedelta(seconds=silent_s)
    lp.launches.update_one({"launch_id": launch_id}, {"$set": {"heartbeat": past}})
    return lp


def only(lp, name: str) -> dict:
    (found,) = lp.db[name].find({})
    return found


def run_rest(folder: Path) -> int:
    """Run all that is ready, as a cluster's worker."""
    lp = owned_launchpad(launchpad())
    jobflow.SETTINGS.JOB_STORE = own_store(job_store(), lp)
    fworker = identify(None, None, get_settings())
    return ClusterWorker(lp, Plan(idle_s=0.3), fworker, folder).run()


def test_a_launch_that_ended_by_itself_was_not_given_away(jobs, dead, tmp_path):
    """Its worker waits for the workflow's lock, and must not be ended."""
    submit_label(jobs, tmp_path)
    check_out(tmp_path / "old", worker_of(dead), silent_s=LOST_S / 2)
    lp = launchpad()
    number = only(lp, "launches")["launch_id"]
    lp.launches.update_one({}, {"$set": {"state": "COMPLETED"}})
    assert not beat(lp, number)
    assert not is_given_away(lp, number)
    lp.launches.update_one({}, {"$set": {"state": "RUNNING"}})
    assert len(return_lost(lp, "c").rerun) == 1
    assert is_given_away(lp, number)
    assert is_given_away(lp, number + 1)


def test_a_reservation_is_given_up_as_soon_as_its_worker_counts_as_gone(jobs, tmp_path):
    submit_label(jobs, tmp_path)
    lp = launchpad()
    for silent_s, state in ((LOST_S / 2, "RESERVED"), (2 * LOST_S, "READY")):
        then = datetime.now(UTC) - timedelta(seconds=silent_s)
        lp.fireworks.update_one({}, {"$set": {"state": "RESERVED", "updated_on": then}})
        return_lost(lp)
        assert only(lp, "fireworks")["state"] == state


def test_a_dead_workers_job_runs_again_in_its_folder(jobs, dead, tmp_path):
    submit_label(jobs, tmp_path)
    check_out(tmp_path / "old", worker_of(dead), silent_s=LOST_S / 2)
    lp = launchpad()
    assert len(return_lost(lp, "c").rerun) == 1
    fw = only(lp, "fireworks")
    assert (fw["state"], fw["launches"]) == ("READY", [])
    assert fw["spec"]["_launch_dir"] == str(tmp_path / "old")
    assert not return_lost(lp)
    assert run_rest(tmp_path) == 1
    assert (tmp_path / "old" / "done").exists()
    assert status("c").state == "finished"


def test_a_job_that_is_given_away_during_its_checkout_is_not_begun(jobs, tmp_path):
    """The checkout waits for the lock of one that died, and nobody hears of it for long."""
    submit_label(jobs, tmp_path)
    lp, other = owned_launchpad(launchpad()), launchpad()
    told: list[int] = []
    lp.on_launch = told.append
    other.workflows.update_one({}, {"$set": {"locked": True}})
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(lp.checkout_fw, worker_of(1, host="elsewhere"), str(tmp_path))
        past = {"$set": {"heartbeat": datetime.now(UTC) - timedelta(seconds=2 * LOST_S)}}
        while not other.fireworks.find_one({"state": "RUNNING"}):
            assert not found.done()
            time.sleep(0.01)
        assert other.launches.update_one({"state": "RUNNING"}, past).matched_count == 1
        assert len(return_lost(other).rerun) == 1
        assert found.result(60) == (None, None)
    assert (told, lp.current) == ([], None)
    assert run_rest(tmp_path) == 1
    assert status("c").state == "finished"


def test_a_silent_workers_job_runs_again_in_a_copy_of_its_folder(jobs, tmp_path):
    """It may live: two jobs never share a folder."""
    submit_label(jobs, tmp_path)
    check_out(tmp_path / "old", worker_of(1, host="elsewhere"), silent_s=2 * LOST_S)
    (tmp_path / "old" / "done").touch()  # a checkpoint: the label was computed
    assert len(return_lost(launchpad()).rerun) == 1
    assert run_rest(tmp_path) == 1
    (last,) = database().launches.find({"state": "COMPLETED"})
    assert last["launch_dir"] != str(tmp_path / "old")
    assert (Path(last["launch_dir"]) / "done").exists()
    assert not (tmp_path / "ledger").exists()  # nothing was computed again


def test_a_worker_that_lives_after_all_stores_nothing(jobs, tmp_path):
    submit_label(jobs, tmp_path)
    old = check_out(tmp_path / "old", worker_of(1, host="elsewhere"), silent_s=2 * LOST_S)
    assert old.current is not None
    return_lost(launchpad())
    assert not beat(old, old.current)
    store = own_store(job_store(), old)
    with pytest.raises(EngineError, match="given to another one"):
        store.update({"uuid": "u", "index": 1, "output": 1}, key=["uuid", "index"])
    assert database().outputs.count_documents({}) == 0
    assert run_rest(tmp_path) == 1
    before = (only(old, "fireworks"), only(old, "workflows"), only(old, "outputs"))
    old.complete_launch(old.current, FWAction(), "COMPLETED")
    old.restore_backup_data(old.current, only(old, "fireworks")["fw_id"])
    assert (only(old, "fireworks"), only(old, "workflows"), only(old, "outputs")) == before
    states = Counter(launch["state"] for launch in database().launches.find({}))
    assert states == {"ARCHIVED": 1, "COMPLETED": 1}


def test_many_finders_give_a_job_back_once(jobs, dead, tmp_path):
    submit_label(jobs, tmp_path)
    check_out(tmp_path / "old", worker_of(dead), silent_s=2 * LOST_S)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: return_lost(launchpad()), range(8)))
    assert sum(len(returned.rerun) for returned in found) == 1
    fw = only(launchpad(), "fireworks")
    assert (fw["state"], len(fw["archived_launches"])) == ("READY", 1)


def test_an_output_that_was_stored_is_taken(jobs, dead, tmp_path):
    submit_label(jobs, tmp_path)
    lp = check_out(tmp_path / "old", worker_of(dead), silent_s=LOST_S)
    job = only(lp, "fireworks")["spec"]["_tasks"][0]["job"]
    output = {"@class": "SinglePoint", "energy": 1.0}
    doc = {"uuid": job["uuid"], "index": 1, "output": output, "metadata": {"campaign_id": "c"}}
    database().outputs.insert_one(doc)
    returned = return_lost(lp)
    assert (len(returned.completed), returned.rerun) == (1, [])
    assert status("c").state == "finished"


def test_a_job_that_kills_its_workers_fails_in_the_end(jobs, dead, tmp_path):
    submit_label(jobs, tmp_path)
    lp = launchpad()
    for _ in range(MAX_LOST):
        assert status("c").state == "waiting"
        check_out(tmp_path / "old", worker_of(dead), silent_s=LOST_S)
        returned = return_lost(lp)
    assert len(returned.failed) == 1
    (failure,) = status("c").failures
    assert f"lost {MAX_LOST} times" in failure.message


def test_a_worker_that_was_told_to_end_is_not_to_blame(jobs, tmp_path):
    """As by preemption: its job is given back at once, however often."""
    submit_label(jobs, tmp_path)
    lp = launchpad()
    for _ in range(MAX_LOST + 1):
        fworker = worker_of(os.getpid())
        check_out(tmp_path / "old", fworker, silent_s=0)
        other = return_own(lp, fworker.name, 1, "told to end", counts=False)
        assert not other  # another process of the same name
        assert return_own(lp, fworker.name, os.getpid(), "told to end", counts=False).rerun
    assert run_rest(tmp_path) == 1


def test_a_heartbeat_after_the_look_saves_a_launch(jobs, dead, tmp_path):
    from ionloop.engine.cluster.lost import claim

    submit_label(jobs, tmp_path)
    lp = check_out(tmp_path / "old", worker_of(dead), silent_s=2 * LOST_S)
    (launch,) = described(lp, "c")
    assert beat(lp, launch["launch_id"])
    assert not claim(lp, launch, Verdict("silent", certain=False))
    assert only(lp, "launches")["state"] == "RUNNING"


QUEUE = Queue({"7": "RUNNING", "8": "SUSPENDED", "9": "PENDING"}, "big")
#: Where the worker is, its SLURM job, its silence in parts of the limit, and what that means.
VERDICTS = [
    ("elsewhere", None, 0.5, None),
    ("elsewhere", None, 2.0, "nobody heard"),
    ("elsewhere", "7", 0.5, None),
    ("elsewhere", "7", 2.0, "nobody heard"),
    ("elsewhere", "8", 2.0, None),  # suspended: it will go on
    ("elsewhere", "9", 0.5, "SLURM job 9 has ended"),  # requeued: its processes are gone
    ("elsewhere", "10", 0.5, "SLURM job 10 has ended"),
    (HERE, "7", 0.5, None),
    (HERE, None, 0.5, None),
]


@pytest.mark.parametrize(("host", "job", "part", "expected"), VERDICTS)
def test_who_counts_as_gone(jobs, host, job, part, expected):
    env = worker_of(os.getpid(), host, job, slurm_cluster="big").env
    launch = {"fworker": {"name": "any", "env": env}, "silence_s": part * LOST_S}
    found = verdict(launch, QUEUE)
    assert (found is None) == (expected is None)
    if found and expected:
        assert expected in found.why
        assert found.certain == ("nobody" not in expected)


@pytest.mark.parametrize("other", [{"user": "somebody"}, {"slurm_cluster": "small"}])
def test_anothers_queue_says_nothing(jobs, other):
    """Sites hide others' jobs, and another cluster has other numbers."""
    env = worker_of(1, "elsewhere", "10", **{"slurm_cluster": "big", **other}).env
    assert verdict({"fworker": {"name": "any", "env": env}, "silence_s": 30.0}, QUEUE) is None


def test_workers_of_rlaunch_get_the_patience_that_their_pings_need(jobs):
    now = datetime.now(UTC).replace(tzinfo=None)
    for hours, gone in ((3, False), (5, True)):
        pinged = (now - timedelta(hours=hours)).isoformat()
        launch = {
            "fworker": {"name": "site", "env": {}},
            "state_history": [{"state": "RUNNING", "created_on": pinged, "updated_on": pinged}],
        }
        assert (verdict(launch, None) is not None) == gone


# ---------------------------------------------------------------- killed at any step


def crash(folder: Path, point: str, nth: int) -> int:
    """Run a cluster's worker in a fork that kills itself at a point; return the signal."""
    import crash as support

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: pymongo has threads
        pid = os.fork()
    if pid == 0:
        try:
            owner, name, after, when = support.POINTS[point]
            support.die_around(owner, name, nth, after=after, when=when)
            run_rest(folder)
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize(("point", "nth"), CRASHES)
def test_others_go_on_after_a_kill_at_any_step(jobs, tmp_path, monkeypatch, point, nth):
    monkeypatch.setenv("IONLOOP_LOST_AFTER_S", "1")
    folder, ledger = tmp_path / "runs", tmp_path / "ledger"
    folder.mkdir()
    submit(jobs.generation_flow(0, last=1, n=2, ledger=str(ledger), seconds=0.0), "c")
    assert crash(folder, point, nth) == signal.SIGKILL
    lp = launchpad()
    long_ago = {"$set": {"updated_on": datetime(2000, 1, 1, tzinfo=UTC)}}
    lp.fireworks.update_many({"state": "RESERVED"}, long_ago)
    past = {"$set": {"heartbeat": datetime(2000, 1, 1, tzinfo=UTC)}}
    lp.launches.update_many({"heartbeat": {"$exists": True}, "state": "RUNNING"}, past)
    lp.launches.update_many(
        {"heartbeat": {"$exists": False}, "state": "RUNNING"},
        {"$set": {"state_history.0.updated_on": "2000-01-01T00:00:00"}},
    )
    return_lost(lp)
    run_rest(folder)
    final = status("c")
    # gen 0 and 1: spread, its 2 labels, their collection, what stores it again, step.
    assert (final.state, final.jobs) == ("finished", {"COMPLETED": 12})
    assert Counter(ledger.read_text().split()) == Counter(["0.0", "0.1", "1.0", "1.1"])
    db = database()
    listed = db.workflows.find_one({"metadata.campaign_id": "c"})["nodes"]
    assert sorted(listed) == sorted(db.fireworks.distinct("fw_id"))
    assert [len(shard.labels) for shard in campaign_record("c").shards] == [2, 2]


def test_a_worker_of_slurm_says_which_cores_it_has(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_CPUS_PER_NODE", "32(x2)")
    assert identify(None, "c", get_settings()).env["cores"] == 64
    monkeypatch.delenv("SLURM_JOB_CPUS_PER_NODE")
    assert identify(None, "c", get_settings()).env["cores"] is None
