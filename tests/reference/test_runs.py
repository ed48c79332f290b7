from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import psutil
import pytest
from jobflow import JobConfig, JobStore, Response, job, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyEncoder

from ionloop.reference.runs import (
    GRACE_S,
    MAX_RESTARTS,
    OUT_OF_TIME,
    RESERVE_S,
    SilentHandler,
    StartAgain,
    exit_words,
    in_a_new_launch,
    is_out_of_time,
    on_a_leash,
    parse_duration,
    put_aside,
    seconds_left,
    wait_out,
)

BATCH = ("SLURM_JOB_END_TIME", "PBS_WALLTIME", "SBATCH_TIMELIMIT")


@pytest.fixture
def no_batch_system(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for variable in BATCH:
        monkeypatch.delenv(variable, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("status", "errors", "words"),
    [
        (-9, "", "killed by signal 9 (out of memory?)"),
        (137, "", "killed by signal 9 (out of memory?)"),
        (-11, "noise", "killed by signal 11"),
        (1, "", "exit status 1"),
        (127, "x\nld: cannot open libfoo.so\n", "exit status 127: ld: cannot open libfoo.so"),
        (1, "Error allocating 8 bytes: Cannot allocate memory\n",
         "exit status 1: Error allocating 8 bytes: Cannot allocate memory (out of memory?)"),
        (None, "", "end unknown"),
    ],
)  # fmt: skip
def test_an_end_is_told_in_words(status: int | None, errors: str, words: str) -> None:
    assert exit_words(status, errors) == words


def test_a_real_kill_is_told() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        process.send_signal(signal.SIGKILL)
    assert exit_words(process.returncode).startswith("killed by signal 9")


def test_nobody_limits_the_time(no_batch_system) -> None:
    assert seconds_left(None) is None


def test_time_counts_from_the_workers_start(no_batch_system) -> None:
    age = time.time() - psutil.Process().create_time()
    assert seconds_left(1000) == pytest.approx(1000 - age, abs=2)
    no_batch_system.setenv("PBS_WALLTIME", "2000")
    assert seconds_left(None) == pytest.approx(2000 - age, abs=2)
    assert seconds_left(1000) == pytest.approx(1000 - age, abs=2)


def test_slurm_says_when_the_job_ends(no_batch_system) -> None:
    no_batch_system.setenv("SBATCH_TIMELIMIT", "10")
    age = time.time() - psutil.Process().create_time()
    assert seconds_left(None) == pytest.approx(600 - age, abs=2)
    no_batch_system.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 300))
    assert seconds_left(None) == pytest.approx(300, abs=2)


@pytest.mark.parametrize(
    ("left", "waits"),
    [(RESERVE_S + 5, 0), (RESERVE_S - 5, RESERVE_S - 5 + GRACE_S), (0, GRACE_S),
     (-GRACE_S - 5, 0)],
)  # fmt: skip
def test_a_worker_waits_for_its_end(no_batch_system, left: float, waits: float) -> None:
    """Once its end has passed without one, it goes on."""
    slept = [0.0]
    no_batch_system.setattr("ionloop.reference.runs.time.sleep", slept.append)
    no_batch_system.setenv("SLURM_JOB_END_TIME", str(time.time() + left))
    wait_out(None)
    assert sum(slept) == pytest.approx(waits, abs=1)


def test_who_has_no_limit_waits_for_nothing(no_batch_system) -> None:
    no_batch_system.setattr("ionloop.reference.runs.time.sleep", pytest.fail)
    wait_out(None)


@job
def twice(n: int = 1) -> int | Response:
    return n if n == 2 else in_a_new_launch(twice(n=2))


@pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")
def test_a_new_launch_is_the_same_job(tmp_path: Path) -> None:
    first = twice()
    first.name, first.metadata, first.config = "label 3", {"a": 1}, JobConfig(expose_store=True)
    store = JobStore(MemoryStore())
    run_locally(first, store=store, root_dir=tmp_path, raise_immediately=True, log=False)
    last = store.query_one({"uuid": first.uuid, "index": 2})
    assert (last["name"], last["metadata"], last["output"]) == ("label 3", {"a": 1}, 2)
    assert store.get_output(first.uuid) == 2


def test_what_ran_out_of_time_is_told_from_other_failures() -> None:
    assert is_out_of_time(f"{OUT_OF_TIME}; more words")
    assert not is_out_of_time("CP2K died")
    assert not is_out_of_time(None)


@pytest.mark.parametrize(
    ("text", "pbs", "slurm"),
    [("90", 90, 5400), ("10:30", 630, 630), ("1:02:03", 3723, 3723), ("1-02", 93600, 93600),
     ("2-01:30:10", 178210, 178210)],
)  # fmt: skip
def test_durations_of_batch_systems(text: str, pbs: float, slurm: float) -> None:
    assert parse_duration(text, plain_is_seconds=True) == pbs
    assert parse_duration(text, plain_is_seconds=False) == slurm


def test_only_a_silent_output_is_found(tmp_path: Path) -> None:
    handler = SilentHandler("out", timeout=100)
    assert not handler.check(str(tmp_path))  # not begun
    (tmp_path / "out").write_text("x")
    assert not handler.check(str(tmp_path))
    os.utime(tmp_path / "out", (0, time.time() - 101))
    assert handler.check(str(tmp_path))
    assert handler.correct(str(tmp_path))["actions"]  # none would be a reason to give up
    assert json.loads(json.dumps(handler, cls=MontyEncoder))["timeout"] == 100


def test_outputs_are_put_aside(tmp_path: Path) -> None:
    for text in ("first", "second"):
        (tmp_path / "out").write_text(text)
        put_aside(tmp_path, ("out", "missing"))
        assert not (tmp_path / "out").exists()
    with tarfile.open(tmp_path / "error.2.tar.gz") as kept:
        assert kept.extractfile("error.2/out").read() == b"second"


def test_the_ladder_has_an_end() -> None:
    assert StartAgain.max_num_corrections == MAX_RESTARTS == 2
    assert StartAgain.raise_on_max


def test_the_leash_leads_to_the_same_program() -> None:
    assert on_a_leash(["vasp_std", "-x"])[-2:] == ["vasp_std", "-x"]
