"""The health check of compose's worker, on a real worker and a real mongod.

It looks at processes of this machine, where others' workers may run: /proc is swapped for a
folder that has the worker's own processes alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from composed import composed, read_compose

from ionloop.processes import die_with_parent
from ionloop.store.initialise import initialise
from ionloop.testing import environment

WORKER = read_compose()["services"]["worker"]
NOWHERE = "mongodb://runner@127.0.0.1:1/?serverSelectionTimeoutMS=100"


def is_well(folder: Path, worker: subprocess.Popen[bytes] | None, **variables: str) -> bool:
    """Ask as compose does."""
    kind, command = WORKER["healthcheck"]["test"]
    assert (kind, command.count("/proc/")) == ("CMD-SHELL", 1)
    links = folder / f"processes-{time.monotonic_ns()}"
    links.mkdir()
    for pid in pids(worker):
        (links / str(pid)).symlink_to(f"/proc/{pid}")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, **variables}
    shell = ["sh", "-c", command.replace("/proc/", f"{links}/")]
    return subprocess.run(shell, env=env, check=False).returncode == 0


def pids(worker: subprocess.Popen[bytes] | None) -> list[int]:
    if worker is None or worker.poll() is not None:
        return []
    return [worker.pid, *(one.pid for one in psutil.Process(worker.pid).children(recursive=True))]


@contextmanager
def started(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "ionloop.cli", *WORKER["command"][1:]]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_worker_is_well_while_it_lives_and_the_database_answers(ionloop_home, tmp_path):
    with composed() as one:
        initialise(one.server)
        with environment(one.variables("runner")), started(tmp_path) as worker:
            assert not is_well(tmp_path, None)
            end = time.monotonic() + 60
            while not is_well(tmp_path, worker):
                assert time.monotonic() < end, (tmp_path / "log").read_text()
            assert not is_well(tmp_path, worker, IONLOOP_DB_URI=NOWHERE)
            guard = psutil.Process(worker.pid)
            guard.suspend()  # it would start another one
            for child in guard.children():
                child.kill()
            assert not is_well(tmp_path, worker)
