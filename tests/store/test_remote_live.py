"""What jobflow-remote runs now and what its jobs took: its runner's own times, and planted ones."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jfremote_project
import pytest
from jobflow import Flow
from jobflow_remote.jobs.state import JobState
from rich.console import Console

from ionloop.cli.status import view, watch_line
from ionloop.engine.remote import submit_remote
from ionloop.store.connection import database
from ionloop.store.jfremote import JOBS
from ionloop.store.live import live_status
from ionloop.store.remote_live import timed_jobs
from ionloop.store.remote_progress import STATES, named
from ionloop.store.schema import LiveStatus

SUPPORT = Path(__file__).resolve().parents[1] / "support"
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def remote(ionloop_db, tmp_path, monkeypatch):
    """The tests' jobs, importable everywhere, and a project in a folder of its own."""
    import jobflow_remote

    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)
    for name, value in jfremote_project.write_project(tmp_path).items():
        monkeypatch.setenv(name, value)
    # Read from the environment once, at import.
    monkeypatch.setattr(jobflow_remote, "SETTINGS", jobflow_remote.JobflowRemoteSettings())
    import engine_jobs

    return engine_jobs


def label(remote, name: str, ledger: Path, seconds: float = 0.0, generation: int = 0):
    made = remote.dear_label(name, str(ledger), seconds)
    made.name = name
    made.update_metadata({"generation": generation, "stage": "label"})
    made.config.manager_config = {"worker": "dft"}
    return made


def change(name: str, **fields: object) -> None:
    found = database()[JOBS].update_one({"job.name": name}, {"$set": fields})
    assert found.matched_count == 1, name


def shown(found: LiveStatus) -> str:
    console = Console(width=160, file=io.StringIO())
    console.print(view(found))
    return console.file.getvalue()


def until(what, process: subprocess.Popen) -> LiveStatus:
    """Look until something is to be seen, or the runner has ended."""
    while process.poll() is None:
        found = live_status("c")
        if what(found):
            return found
        time.sleep(0.1)
    raise AssertionError((process.returncode, live_status("c")))


@pytest.mark.timeout(600)
def test_a_campaign_is_seen_while_it_runs(remote, tmp_path):
    """Three labels one after another, by the runner itself."""
    jobs = [label(remote, name, tmp_path / "ledger", 3.0) for name in "abc"]
    submit_remote(Flow(jobs, order="linear"), "c")
    before = live_status("c")
    assert (before.state, before.running) == ("waiting", [])
    assert (before.eta.generation, before.eta.unmeasured) == (None, ["label: dear_label"])
    command = [sys.executable, "-m", "jfremote_project", "500"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as runner:
        # The counts are read before the jobs: b may begin between.
        now = until(
            lambda s: s.jobs.get("RUNNING") and [job.name for job in s.running] == ["b"], runner
        )
        assert runner.wait() == 0
    (job,) = now.running
    assert (job.stage, job.generation, job.worker, job.host) == ("label", 0, "dft", None)
    assert Path(job.directory).is_relative_to(tmp_path / "work" / "dft")
    assert abs(datetime.now(UTC) - job.since) < timedelta(minutes=5)
    assert now.jobs == {"COMPLETED": 1, "RUNNING": 1, "WAITING": 1}
    assert (now.eta.unmeasured, now.eta.at_once) == ([], 1)
    assert 3.0 <= now.eta.generation.expected_s < 300  # c alone takes longer than its sleep
    assert "1 jobs run" in shown(now)
    assert "this generation: " in shown(now)

    over = live_status("c")
    assert (over.state, over.running, over.eta) == ("finished", [], None)
    timed = timed_jobs("c", [0], database())
    assert [one.key for one in timed] == [("label", "dear_label")] * 3
    assert all(3.0 <= one.end - one.start < 120 for one in timed)


def test_the_end_is_estimated_from_the_times_in_the_queue(remote, tmp_path):
    """Two labels of 10 s and 20 s side by side, then two that wait: 10 s to 20 s are left."""
    jobs = [label(remote, name, tmp_path) for name in "ab"]
    jobs += [label(remote, name, tmp_path, generation=1) for name in "cdefg"]
    submit_remote(Flow(jobs), "c")
    for name, took in (("a", 10), ("b", 20)):
        times = {"start_time": START, "end_time": START + timedelta(seconds=took)}
        change(name, state="COMPLETED", **times)
    for name, state in zip("cde", ("FAILED", "REMOTE_ERROR", "USER_STOPPED"), strict=True):
        change(name, state=state, error="RuntimeError: no", start_time=START)
    change("f", state="SUBMITTED")
    found = live_status("c")
    span = found.eta.generation
    assert (span.low_s, span.expected_s, span.high_s) == (10.0, 15.0, 20.0)
    assert (found.eta.at_once, found.eta.unmeasured) == (2, [])
    # One begins: what it has run for is off its time.
    change("f", state="RUNNING", start_time=datetime.now(UTC) - timedelta(seconds=1000))
    assert live_status("c").eta.generation.high_s == 20.0
    change("g", state="COMPLETED")  # by `jf job set-state`: it never ran
    left = live_status("c").eta
    assert (left.generation.high_s, left.unmeasured) == (0.0, [])


def test_a_job_that_ended_between_two_looks_of_the_runner_runs_until_it_is_stored(remote, tmp_path):
    submit_remote(label(remote, "a", tmp_path), "c")
    changed = datetime.now(UTC).replace(microsecond=0)
    change("a", state="RUN_FINISHED", updated_on=changed, run_dir=None)
    (job,) = live_status("c").running
    assert (job.since, job.directory) == (changed, "")
    (timed,) = timed_jobs("c", [0], database())
    assert (timed.start, timed.end) == (changed.timestamp(), None)


def test_others_jobs_and_earlier_generations_are_left_out(remote, tmp_path):
    jobs = [label(remote, str(g), tmp_path, generation=g) for g in range(3)]
    submit_remote(Flow(jobs), "c")
    submit_remote(label(remote, "other", tmp_path, generation=2), "d")
    for name in ("0", "1", "2", "other"):
        change(name, state="RUNNING", start_time=START + timedelta(days=len(name)))
    assert [job.name for job in live_status("c").running] == ["0", "1", "2"]
    assert {job.generation for job in timed_jobs("c", [1, 2], database())} == {1, 2}
    assert len(timed_jobs("c", [1, 2], database())) == 2


QUEUED = {"CHECKED_OUT", "UPLOADED", "SUBMITTED", "BATCH_SUBMITTED"}
RUNNING = {"RUNNING", "BATCH_RUNNING", "RUN_FINISHED", "DOWNLOADED"}


def test_every_state_of_jobflow_remote_is_known():
    assert STATES.keys() == {state.value for state in JobState}
    assert (set(named("RESERVED")), set(named("RUNNING"))) == (QUEUED, RUNNING)


@pytest.mark.parametrize("state", sorted(QUEUED | RUNNING))
def test_what_waits_in_a_queue_doesnt_run(remote, tmp_path, state):
    submit_remote(Flow([label(remote, name, tmp_path) for name in "ab"]), "c")
    change("a", state=state)
    found = live_status("c")
    assert len(found.running) == (state in RUNNING)
    assert found.state == ("running" if state in RUNNING else "waiting")
    assert ("queued: 1" in watch_line(found)) is (state in QUEUED)
    # generation, stage, done, running, queued, ready, waiting, failed
    row = next(line for line in shown(found).splitlines() if " label " in line)
    cells = [cell.strip() for cell in row.split("│")[1:-1]]
    counted = ["1", ""] if state in RUNNING else ["", "1"]
    assert cells == ["0", "label", "", *counted, "1", "", ""]
