"""Recovery beside living commands and a cluster's workers: nothing of theirs is disturbed."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from crash import crash
from fireworks import FWorker

from ionloop.engine import locking, prepare, resume, submit
from ionloop.engine.cluster.identity import identify
from ionloop.engine.control.hold import hold
from ionloop.engine.launchpad import LOCAL_WORKER, launchpad, workflow_of
from ionloop.engine.local import launcher
from ionloop.engine.local import recover as recover_module
from ionloop.engine.local.recover import free_dead_lock, recover
from ionloop.engine.locking import free_nameless, locked_workflow, workflow_if_free
from ionloop.processes import birth
from ionloop.settings import get_settings

NOT_FAILED = {"rerun_failed": False}


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


@pytest.fixture
def submitted(jobs, tmp_path):
    submit(jobs.generation_flow(0, last=0, n=2, ledger=str(tmp_path / "l"), seconds=0.0), "c")
    return launchpad()


def test_the_lock_of_a_living_command_is_waited_for(submitted):
    held, done = threading.Event(), []

    def command() -> None:
        with locked_workflow(launchpad(), "c"):
            held.set()
            time.sleep(1.0)
            done.append(time.monotonic())

    thread = threading.Thread(target=command)
    thread.start()
    held.wait()
    recover(submitted, "c", rerun_failed=False)
    recovered = time.monotonic()
    thread.join()
    assert recovered >= done[0]
    assert "locked" not in workflow_of(submitted, "c")


def test_the_lock_of_a_killed_command_is_freed(submitted, dead):
    lock = {"host": socket.gethostname(), "pid": dead, "at": "2026-01-01"}
    submitted.workflows.update_one({}, {"$set": {"locked": lock}})
    recover(submitted, "c", rerun_failed=False)
    assert "locked" not in workflow_of(submitted, "c")


def test_a_lock_is_not_a_dead_ones_since_the_database_was_away(submitted, monkeypatch):
    """Its holder waited for the database too; freed, it would overwrite what others change."""
    monkeypatch.setattr(locking, "PATIENCE_S", 1.0)
    monkeypatch.setattr(locking, "_LOOK_MAX_S", 0.1)
    submitted.workflows.update_one({}, {"$set": {"locked": True}})
    taken = threading.Event()

    def wait() -> None:
        with locked_workflow(launchpad(), "c"):
            taken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    mongod = submitted.db.client.admin.command("serverStatus")["pid"]
    os.kill(mongod, signal.SIGSTOP)
    time.sleep(2.0)
    os.kill(mongod, signal.SIGCONT)
    assert not taken.wait(0.3)
    assert taken.wait(5.0)  # it was nobody's after all
    thread.join()


def test_a_suspended_commands_lock_stays_and_an_older_process_of_its_number_has_none(
    submitted, monkeypatch
):
    monkeypatch.setattr(locking, "PATIENCE_S", 0.2)
    lock = {"host": socket.gethostname(), "pid": os.getpid(), "born": birth(os.getpid())}
    submitted.workflows.update_one({}, {"$set": {"locked": lock}})
    with workflow_if_free(submitted, "c", 0.5) as workflow:
        assert workflow is None
    thread = threading.Thread(target=recover, args=(launchpad(), "c"), kwargs=NOT_FAILED)
    thread.start()
    thread.join(1.0)
    assert thread.is_alive()
    assert workflow_of(submitted, "c")["locked"] == lock
    submitted.workflows.update_one({}, {"$set": {"locked.born": "1"}})
    thread.join(10.0)
    assert not thread.is_alive()


def test_a_lock_that_was_taken_over_is_not_freed_by_its_first_holder(submitted, caplog):
    with locked_workflow(submitted, "c"):
        submitted.workflows.update_one({}, {"$set": {"locked": "another's"}})
    assert workflow_of(submitted, "c")["locked"] == "another's"
    assert "its lock was taken" in caplog.text


def test_fireworks_lock_is_freed_after_its_patience_and_a_named_one_is_not(submitted):
    submitted.workflows.update_one({}, {"$set": {"locked": True}})
    free_nameless(submitted, "c", 0.0)
    assert "locked" not in workflow_of(submitted, "c")
    with locked_workflow(submitted, "c"):
        free_nameless(submitted, "c", 0.0)
        assert "locked" in workflow_of(submitted, "c")


def test_a_resume_does_not_wait_for_the_lock_of_a_dead_local_worker(submitted, tmp_path, caplog):
    """One of this machine is killed while FireWorks changes the workflow."""
    local = FWorker(name=LOCAL_WORKER)
    (tmp_path / "old").mkdir()
    submitted.checkout_fw(local, str(tmp_path / "old"))
    submitted.workflows.update_one({}, {"$set": {"locked": True}})
    with caplog.at_level(logging.WARNING):
        prepare("c")
    assert "freeing the lock" not in caplog.text  # nobody waited until it counted as a dead one's
    assert "locked" not in workflow_of(submitted, "c")


def test_a_lock_that_a_clusters_worker_may_hold_is_left(submitted, tmp_path):
    (tmp_path / "old").mkdir()
    submitted.checkout_fw(identify(None, "c", get_settings()), str(tmp_path / "old"))
    submitted.workflows.update_one({}, {"$set": {"locked": True}})
    free_dead_lock(submitted, "c")
    assert workflow_of(submitted, "c")["locked"] is True
    submitted.launches.update_many({}, {"$set": {"fworker.name": LOCAL_WORKER}})
    free_dead_lock(submitted, "c")
    assert "locked" not in workflow_of(submitted, "c")


def test_a_job_that_a_cluster_chooses_just_now_stays_its_own(submitted, tmp_path):
    """Else it would be ready a second time, and two workers would run it."""
    ready = submitted.fireworks.find_one_and_update(
        {"state": "READY"}, {"$set": {"state": "RESERVED"}}
    )

    def choose() -> None:
        time.sleep(0.5)
        submitted.fireworks.update_one({"fw_id": ready["fw_id"]}, {"$set": {"state": "READY"}})
        launchpad().checkout_fw(identify(None, "c", get_settings()), str(tmp_path))

    thread = threading.Thread(target=choose)
    thread.start()
    recover(submitted, "c", rerun_failed=False)
    thread.join()
    found = submitted.fireworks.find_one({"fw_id": ready["fw_id"]})
    assert (found["state"], len(found["launches"])) == ("RUNNING", 1)


def test_a_job_chosen_by_a_dead_worker_is_ready_again(submitted):
    submitted.fireworks.update_one({"state": "READY"}, {"$set": {"state": "RESERVED"}})
    recover(submitted, "c", rerun_failed=False)
    assert submitted.fireworks.count_documents({"state": "RESERVED"}) == 0
    assert submitted.fireworks.count_documents({"state": "READY"}) == 1


def test_a_result_that_a_cluster_applied_meanwhile_is_not_applied_twice(
    jobs, folder, tmp_path, monkeypatch
):
    """Two may find the same ended launch: the second looks again once it has the lock."""
    submit(jobs.generation_flow(0, last=0, n=2, ledger=str(tmp_path / "l"), seconds=0.0), "c")
    assert crash("c", folder, "launch ended", 4) == signal.SIGKILL
    lp = launchpad()
    applied: list[list[int]] = []
    look = recover_module._launches

    def look_then_wait(*asked: Any) -> dict[int, dict[str, Any]]:
        """Look; and before our lock another one has found and done the same."""
        found = look(*asked)
        if not applied:
            applied.append([])
            applied.append(recover(launchpad(), "c", rerun_failed=False).replayed)
        return found

    monkeypatch.setattr(recover_module, "_launches", look_then_wait)
    report = recover(lp, "c", rerun_failed=False)
    assert len(applied[-1]) == 1
    assert report.replayed == []
    fws = lp.fireworks.distinct("fw_id")
    assert sorted(workflow_of(lp, "c")["nodes"]) == sorted(fws)
    assert resume("c", workers=1).state == "finished"


def test_a_local_run_takes_over_what_lost_workers_of_a_cluster_left(
    submitted, dead, tmp_path, monkeypatch
):
    monkeypatch.setattr(launcher, "LOOK_S", 0.2)
    monkeypatch.setattr(locking, "PATIENCE_S", 0.5)
    fworker = identify(None, "c", get_settings())
    fworker.env = {**fworker.env, "pid": dead, "slurm_job_id": None}
    (tmp_path / "old").mkdir()
    _, launch_id = submitted.checkout_fw(fworker, str(tmp_path / "old"))
    long_ago = datetime.now(UTC) - timedelta(days=1)
    submitted.launches.update_one({"launch_id": launch_id}, {"$set": {"heartbeat": long_ago}})
    assert resume("c", workers=1).state == "finished"


def test_a_compaction_cut_short_before_a_pause_is_undone_after_it(jobs, folder, tmp_path):
    """Jobs then stand in an archive and in the live document, which is the one that counts."""
    ledger = tmp_path / "ledger"
    submit(jobs.generation_flow(0, last=3, n=2, ledger=str(ledger), seconds=0.0), "c")
    assert crash("c", folder, "archive written", 2) == signal.SIGKILL
    lp = launchpad()
    free_nameless(lp, "c", 0.0)
    assert hold(lp, "c").state == "paused"
    assert resume("c", workers=1).state == "finished"
    listed = [n for workflow in lp.workflows.find() for n in workflow["nodes"]]
    assert sorted(listed) == sorted(lp.fireworks.distinct("fw_id"))
    assert len(ledger.read_text().split()) == 8
