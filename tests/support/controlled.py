"""A campaign that tests pause, cancel and rerun, and what they ask of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jobflow
import pytest
from engine_jobs import FRAME, collect
from fireworks import FWAction, FWorker, LaunchPad
from fireworks.core.rocket import Rocket
from jobflow import Flow, JobConfig, Response, job
from jobflow.managers.fireworks import JobFiretask
from pymongo.collection import Collection

from ionloop.document import Document
from ionloop.engine.launchpad import launchpad
from ionloop.engine.worker import Worker
from ionloop.reference.schema import SinglePoint
from ionloop.store.connection import database, job_store


class Model(Document):
    """What training makes."""

    generation: int


@job
def label(name: str, folder: str, seconds: float) -> SinglePoint:
    """Compute something dear; wait while a file says so; a second run finds the result."""
    with (Path(folder) / "begun").open("a") as book:
        book.write(f"{name}\n")
    while (Path(folder) / "slow").exists():
        time.sleep(0.05)
    if not Path("done").exists():
        time.sleep(seconds)
        with (Path(folder) / "ledger").open("a") as book:
            book.write(f"{name}\n")
        Path("done").touch()
    return SinglePoint(
        energy=1.0, converged=True, settings_hash="hash", engine="test", wall_s=seconds,
        directory=str(Path.cwd()),
    )  # fmt: skip


@job
def train(generation: int, _: object, folder: str, seconds: float = 0.0) -> Model:
    """Note that it ran, and where; fail while a file stands in the way."""
    with (Path(folder) / "trained").open("a") as book:
        book.write(f"{generation} {Path.cwd()}\n")
    time.sleep(seconds)
    if (Path(folder) / "broken").exists():
        msg = "the model file is broken"
        raise RuntimeError(msg)
    return Model(generation=generation)


@job
def ask(generation: int, _: object, n: int, folder: str, seconds: float) -> Response:
    """Replace itself by labels and what collects them, as ``label_frames``."""
    labels = [label(f"{generation}.{i}", folder, seconds) for i in range(n)]
    for i, one in enumerate(labels):
        one.name = f"label {generation}.{i}"
        one.config = JobConfig(manager_config={"worker": "dft"})
    gathered = collect(generation, [one.output for one in labels])
    flow = Flow([*labels, gathered], output=gathered.output)
    flow.update_metadata({"generation": generation, "stage": "label"})
    return Response(replace=flow)


@job
def advance(generation: int, _: object, last: int, options: dict) -> Response:
    """Add the next generation until the last one, then an evaluation if there is one."""
    if generation < last:
        return Response(output=generation, addition=turn(generation + 1, last, **options))
    return Response(output=generation, addition=evaluation(generation, **options))


@job
def measure(_: object, folder: str) -> int:
    """Note that it ran."""
    with (Path(folder) / "measured").open("a") as book:
        book.write("measured\n")
    return 1


def turn(generation: int, last: int, folder: str, n: int = 2, seconds: float = 0.0,
         n_test: int = 0) -> Flow:  # fmt: skip
    """Make one generation: labels, a model, the step to the next."""
    options = {"folder": folder, "n": n, "seconds": seconds, "n_test": n_test}
    batch = ask(generation, FRAME, n, folder, seconds)
    model = train(generation, batch.output, folder)
    end = advance(generation, model.output, last, options)
    for part, stage in ((batch, "label"), (model, "train"), (end, "advance")):
        part.update_metadata({"generation": generation, "stage": stage}, dynamic=False)
    return Flow([batch, model, end], name=f"generation {generation}")


def evaluation(
    generation: int, folder: str, n_test: int, seconds: float = 0.0, **_: object
) -> Flow:
    """Make what follows the last generation, labels of its own included if asked for."""
    runs = train(100 + generation, None, folder)
    jobs = [runs]
    if n_test:
        jobs.append(ask(100 + generation, runs.output, n_test, folder, seconds))
    jobs.append(measure(jobs[-1].output, folder))
    flow = Flow(jobs, name="evaluation")
    flow.update_metadata({"generation": generation, "stage": "evaluate"})
    return flow


def lines(folder: Path, name: str) -> list[str]:
    """Return the lines that jobs have noted."""
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def states(**query: object) -> dict[str, int]:
    """Count fireworks by state."""
    counts: dict[str, int] = {}
    for fw in database().fireworks.find(query, {"state": 1}):
        counts[fw["state"]] = counts.get(fw["state"], 0) + 1
    return counts


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is so; fail if it never is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def run_here(folder: Path) -> int:
    """Run ready jobs in this process until there are none, as a worker does."""
    folder.mkdir(parents=True, exist_ok=True)
    return Worker(launchpad(), "c", folder).run()


def in_child(action: Callable[[], object]) -> int:
    """Start an action in a forked child, which needs no imports; return its process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pymongo has threads
        pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as a worker of its own has it
            jobflow.SETTINGS.JOB_STORE = job_store()
            action()
        finally:
            os._exit(0)
    return pid


def command(*args: str) -> subprocess.Popen[str]:
    """Start ``ionloop`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "ionloop.cli", *args],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A background job inherits an ignored SIGINT, and Python then leaves it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def rocket_that(lp: LaunchPad, during: Callable[[], object]) -> None:
    """Run one ready job as plain ``rlaunch`` does; ``during`` happens while it runs."""
    original = JobFiretask.run_task

    def wrapped(self: JobFiretask, spec: dict) -> FWAction:
        during()
        return original(self, spec)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JobFiretask, "run_task", wrapped)
        Rocket(lp, FWorker(), None).run()


def killed_after(n: int, action: Callable[[], object]) -> int:
    """Run an action in a child that dies after its nth write; returns the signal, 0 if it ended."""

    def doomed() -> None:
        left = [n]
        for name in ("update_one", "update_many", "find_one_and_update", "find_one_and_replace",
                     "delete_many", "bulk_write"):  # fmt: skip
            original = getattr(Collection, name)

            def writing(
                self: Collection, *args: Any, _original: Any = original, **kwargs: Any
            ) -> Any:
                result = _original(self, *args, **kwargs)
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return result

            setattr(Collection, name, writing)
        action()

    return os.WTERMSIG(os.waitpid(in_child(doomed), 0)[1])
