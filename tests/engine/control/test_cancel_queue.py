"""Which SLURM jobs a cancel ends, and what it says when SLURM refuses; with stub programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from fireworks import FWorker
from jobflow import Flow
from slurm_stub import SlurmStub

from ionloop.engine import submit
from ionloop.engine.cluster import slurm
from ionloop.engine.control import cancel as module
from ionloop.engine.control.cancel import cancel
from ionloop.engine.control.hold import release
from ionloop.engine.launchpad import launchpad
from ionloop.processes import user_name
from ionloop.store.connection import database


@pytest.fixture
def stub(camp, tmp_path, elsewhere, monkeypatch):
    monkeypatch.setattr(module, "_REFUSED_S", 0.1)
    return SlurmStub.installed(tmp_path / "stub", monkeypatch)


def begin(camp, folder: Path, *envs: dict[str, object]) -> None:
    """Let workers that say this of themselves run a label each."""
    labels = [camp.label(str(i), str(folder), 0.0) for i in range(len(envs))]
    for one, env in zip(labels, envs, strict=True):
        one.name = f"label of {env['slurm_job_id']}"
    submit(Flow(labels), "c")
    lp = launchpad()
    for fw in lp.fireworks.find({}, {"fw_id": 1, "name": 1}):
        (env,) = [e for e in envs if fw["name"] == f"label of {e['slurm_job_id']}"]
        found, _ = lp.checkout_fw(FWorker(name="dft", env=env), str(folder), fw_id=fw["fw_id"])
        assert found is not None
        database().launches.update_many({}, {"$set": {"host": "node"}})


def worker(job: str, **env: object) -> dict[str, object]:
    mine = {"host": "node", "pid": 1, "slurm_cluster": "big", "user": user_name()}
    return {**mine, "slurm_job_id": job, "slurm_restarts": 0, **env}


def test_only_jobs_of_this_user_on_this_cluster_are_cancelled(camp, stub, tmp_path):
    """Others' numbers are this user's own other jobs here, or not in the queue at all."""
    mine, theirs = worker("7"), [worker("8", slurm_cluster="small"), worker("9", user="somebody")]
    begin(camp, tmp_path, mine, *theirs)
    stub.queue({"7": "RUNNING 0", "8": "RUNNING 0"})  # 9 isn't shown: it's somebody's
    report = cancel(launchpad(), "c")
    assert stub.cancelled() == ["7"]
    assert ["label of 7" in line for line in report.ended] == [True]
    assert sorted(line.split(":")[0] for line in report.left) == ["label of 8", "label of 9"]
    release(launchpad(), "c")
    assert camp.states() == {"READY": 1, "RUNNING": 2}  # theirs aren't run twice


def test_a_job_that_was_started_anew_goes_on(camp, stub, tmp_path):
    """What ran the label is gone; what runs now may be another campaign's."""
    begin(camp, tmp_path, worker("7"))
    stub.queue({"7": "RUNNING 1"})
    report = cancel(launchpad(), "c")
    assert (stub.cancelled(), len(report.ended), report.left) == ([], 1, [])


def test_what_scancel_refuses_still_runs_and_is_told(camp, stub, tmp_path):
    begin(camp, tmp_path, worker("7"))
    stub.queue({"7": "RUNNING 0"})
    (stub.folder / "refuse").touch()
    report = cancel(launchpad(), "c")
    assert report.ended == []
    assert "Access/permission denied" in report.left[0]
    release(launchpad(), "c")
    assert camp.states() == {"RUNNING": 1}


def test_a_scancel_without_an_answer_is_told(camp, stub, tmp_path, monkeypatch):
    begin(camp, tmp_path, worker("7"))
    stub.queue({"7": "RUNNING 0"})
    (stub.folder / "hang").touch()
    monkeypatch.setattr(slurm, "_CANCEL_S", 0.2)
    report = cancel(launchpad(), "c")
    assert (report.ended, "no answer" in report.left[0]) == ([], True)


def test_a_silent_queue_proves_no_end(camp, stub, tmp_path):
    begin(camp, tmp_path, worker("7"))
    (stub.folder / "squeue").write_text("#!/bin/sh\necho 'error: Invalid job id' >&2; exit 1\n")
    report = cancel(launchpad(), "c")
    assert (report.ended, len(report.left), stub.cancelled()) == ([], 1, [])


def test_a_reservation_is_known_by_its_folder(camp, stub, tmp_path):
    submit(Flow([camp.label(str(i), str(tmp_path), 0.0) for i in range(2)]), "c")
    lp = launchpad()
    for number in ("7", "8"):
        _, launch_id = lp.reserve_fw(FWorker(name="dft"), str(tmp_path / number))
        lp.set_reservation_id(launch_id, number)
    stub.waiting_in({"7": str(tmp_path / "7"), "8": "/somewhere/else"})
    cancel(lp, "c")
    assert stub.cancelled() == ["7"]
