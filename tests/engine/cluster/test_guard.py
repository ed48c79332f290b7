"""The guard of a cluster's worker, with real processes: death, orders to end, and sleep."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ionloop.engine import submit
from ionloop.engine.cluster.lost import return_lost
from ionloop.engine.launchpad import launchpad
from ionloop.processes import die_with_parent
from ionloop.store.connection import database
from ionloop.store.queries import status

SUPPORT = Path(__file__).parents[2] / "support"
PATIENCE_S = 240.0


class Workers:
    """``ionloop work`` as processes, in one folder, and what they wrote down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.processes: list[subprocess.Popen[bytes]] = []

    def submit(self, seconds: float) -> None:
        import engine_jobs

        label = engine_jobs.dear_label("a", str(self.ledger), seconds)
        label.update_metadata({"campaign_id": "c"})
        submit(label, "c")

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"worker-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ionloop.cli", "work", "--idle", "1", *options],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )
        self.processes.append(process)
        return process

    def said(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("worker-*.log")))

    def until(self, what: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE_S
        while not (found := what()):
            assert time.monotonic() < end, self.said()
            time.sleep(0.05)
        return found

    def running(self) -> dict[str, Any]:
        """The launch whose task computes; its checkpoint is what a second worker goes on from."""
        begun = {"state": "RUNNING", "state_history.checkpoint": {"$exists": True}}
        launch = dict(self.until(lambda: database().launches.find_one(begun)))
        self.until((Path(launch["launch_dir"]) / "begun").exists)
        return launch

    def all_processes(self, guard: subprocess.Popen[bytes]) -> list[psutil.Process]:
        parent = psutil.Process(guard.pid)
        return [parent, *parent.children(recursive=True)]

    def computed(self) -> list[str]:
        return self.ledger.read_text().split() if self.ledger.exists() else []


@pytest.fixture
def workers(ionloop_db, ionloop_home, tmp_path, monkeypatch) -> Iterator[Workers]:
    path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.syspath_prepend(str(SUPPORT))
    found = Workers(tmp_path)
    yield found
    for process in found.processes:
        process.kill()
        process.wait()


def test_a_worker_told_to_end_gives_its_job_back_at_once(workers):
    """And the next one runs it in the same folder."""
    workers.submit(seconds=60.0)
    first = workers.start()
    launch = workers.running()
    first.terminate()
    assert first.wait(30) == 0, workers.said()
    fw = database().fireworks.find_one({})
    assert (fw["state"], fw["spec"]["_lost"]) == ("READY", 0)
    (Path(launch["launch_dir"]) / "done").touch()  # as if it had been computed there
    assert workers.start().wait(PATIENCE_S) == 0, workers.said()
    (done,) = database().launches.find({"state": "COMPLETED"})
    assert done["launch_dir"] == launch["launch_dir"]
    assert status("c").state == "finished"
    assert workers.computed() == []


def test_a_worker_that_dies_is_replaced(workers):
    """As by the kernel, for its memory."""
    workers.submit(seconds=1.0)
    guard = workers.start("--jobs", "1", "--kind", "light", "--campaign", "c")
    workers.running()
    workers.all_processes(guard)[1].kill()
    assert guard.wait(PATIENCE_S) == 0, workers.said()
    assert (status("c").state, workers.computed()) == ("finished", ["a"])
    assert database().fireworks.find_one({})["spec"]["_lost"] == 1


def test_a_worker_that_slept_too_long_ends_its_job(workers, monkeypatch):
    """All its processes stand still, another runs the job; when they go on, nothing counts."""
    monkeypatch.setenv("IONLOOP_LOST_AFTER_S", "4")
    workers.submit(seconds=PATIENCE_S)
    guard = workers.start()
    launch = workers.running()
    family = workers.all_processes(guard)
    for process in family:
        process.suspend()
    returned = workers.until(lambda: return_lost(launchpad()))
    assert len(returned.rerun) == 1
    (Path(launch["launch_dir"]) / "done").touch()  # the other one finds it in its copy
    other = workers.start("--jobs", "1")
    assert other.wait(PATIENCE_S) == 0, workers.said()
    before = list(database().outputs.find({}))
    for process in family:
        process.resume()
    assert guard.wait(PATIENCE_S) == 0, workers.said()
    assert list(database().outputs.find({})) == before
    assert workers.computed() == []
    assert "is replaced" in workers.said()
    states = {one["launch_id"]: one["state"] for one in database().launches.find({})}
    assert sorted(states.values()) == ["ARCHIVED", "COMPLETED"]
    assert states[launch["launch_id"]] == "ARCHIVED"
