"""What SLURM's answers mean for a worker; tests/workflows/test_slurm.py asks a real one."""

from __future__ import annotations

from pathlib import Path

import pytest
from slurm_stub import SlurmStub

from ionloop.engine.cluster import slurm
from ionloop.engine.cluster.lost import verdict
from ionloop.engine.cluster.slurm import Queue
from ionloop.processes import user_name

QUEUE = Queue({"7": "RUNNING", "8": "COMPLETING", "9": "PENDING"}, "big", {"7": 2, "8": 2, "9": 2})


@pytest.fixture
def stub(tmp_path, monkeypatch):
    return SlurmStub.installed(tmp_path / "stub", monkeypatch)


@pytest.mark.parametrize(
    ("job", "restarts", "gone"),
    [
        ("7", 2, False),
        ("7", 1, True),  # it runs again, perhaps on another node
        ("7", None, False),  # a worker that didn't say
        ("8", 1, False),  # its old processes end just now
        ("9", 2, True),
        ("10", 0, True),
    ],
)
def test_a_job_that_was_started_anew_has_none_of_its_old_processes(job, restarts, gone):
    assert QUEUE.is_gone(job, restarts) == gone


@pytest.mark.parametrize(("restarts", "gone"), [(1, True), (2, False)])
def test_a_worker_whose_job_runs_elsewhere_by_now_is_gone_for_certain(restarts, gone):
    """As after the end of its node: SLURM runs the job again under its number."""
    env = {"slurm_job_id": "7", "slurm_cluster": "big", "user": user_name(), "host": "dead-node"}
    launch = {"fworker": {"name": "dft", "env": {**env, "slurm_restarts": restarts}}}
    found = verdict({**launch, "silence_s": 100.0}, QUEUE)
    assert (found is not None and found.certain) == gone


def test_only_this_users_jobs_on_this_cluster_are_known():
    mine = {"slurm_job_id": "7", "slurm_cluster": "big", "user": user_name()}
    assert QUEUE.job_of(mine) == "7"
    for other in ({"slurm_job_id": None}, {"slurm_cluster": "small"}, {"user": "somebody"}):
        assert QUEUE.job_of({**mine, **other}) is None
    assert QUEUE.job_of({}) is None


def test_a_name_that_was_not_answered_is_asked_for_again(monkeypatch):
    """As a busy controller does; a worker that kept it would never find a lost one."""
    monkeypatch.delenv("SLURM_CLUSTER_NAME", raising=False)
    slurm._configured_name.cache_clear()
    answers = [None, "AccountingStorageTRES = cpu\nClusterName             = big\n"]
    asked = []
    monkeypatch.setattr(slurm, "_ask", lambda *command: asked.append(command) or answers.pop(0))
    assert [slurm.cluster_name() for _ in range(3)] == [None, "big", "big"]
    assert len(asked) == 2  # an answer stands
    slurm._configured_name.cache_clear()


def test_the_queue_is_read_with_its_restarts(stub):
    stub.queue({"7": "RUNNING 2", "9": "PENDING 0"})
    found = slurm.look()
    assert found is not None
    assert (found.states, found.restarts) == ({"7": "RUNNING", "9": "PENDING"}, {"7": 2, "9": 0})
    assert found.cluster == "big"


@pytest.mark.parametrize("answer", ["CLUSTER: big", "7 RUNNING"])
def test_an_answer_that_isnt_understood_proves_nothing(stub, caplog, answer):
    """No line about a job would mean that it has ended."""
    (stub.folder / "queue").write_text(f"{answer}\n8 RUNNING 0\n")
    assert slurm.look() is None
    assert "expected a job's id, state and restarts" in caplog.text


def test_a_worker_says_how_often_its_job_was_started_anew(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    assert slurm.restarts() is None
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert slurm.restarts() == 0
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    assert slurm.restarts() == 3


def test_what_scancel_refuses_is_told(stub, monkeypatch):
    stub.queue({"7": "RUNNING 0"})
    assert slurm.end_jobs(["7", "8"]) == ""
    assert stub.cancelled() == ["7", "8"]
    (stub.folder / "refuse").touch()
    assert slurm.end_jobs(["7"]).endswith("status 1: scancel: error: Access/permission denied")
    (stub.folder / "hang").touch()
    monkeypatch.setattr(slurm, "_CANCEL_S", 0.2)
    assert "no answer" in slurm.end_jobs(["7"])
    Path(stub.folder / "scancel").unlink()
    monkeypatch.setenv("PATH", str(stub.folder))
    assert "PATH" in slurm.end_jobs(["7"])
