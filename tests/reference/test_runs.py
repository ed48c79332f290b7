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
from monty.json import MontyEncoder

from ionloop.reference.runs import (
    MAX_RESTARTS,
    SilentHandler,
    StartAgain,
    exit_words,
    on_a_leash,
    parse_duration,
    put_aside,
    seconds_left,
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
