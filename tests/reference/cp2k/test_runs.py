"""Runs that are killed, silent, refused or out of time, and what becomes of their labels."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from atomate2.cp2k import run as atomate2_run
from custodian.cp2k.jobs import Cp2kJob
from jobflow import Job, JobStore, run_locally
from maggma.stores import MemoryStore

from ionloop.frame import Frame
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.cp2k.fixes import OwnProcessJob, job_of_ours, quiet_command
from ionloop.reference.cp2k.inputs import IonicSetGenerator
from ionloop.reference.cp2k.makers import Cp2kStaticMaker
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.folders import read_text
from ionloop.reference.runs import MAX_RESTARTS, RESERVE_S, is_out_of_time
from ionloop.reference.schema import SinglePoint

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")

OUT_OF_MEMORY = "CP2K died: killed by signal 9 (out of memory?), 3 attempts"


def maker(dft: Cp2kSettings) -> Cp2kStaticMaker:
    return Cp2kStaticMaker(input_set_generator=IonicSetGenerator(dft=dft))


@pytest.fixture(scope="module")
def point(
    hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path_factory: pytest.TempPathFactory
) -> SinglePoint:
    """A label without a disturbance."""
    return maker(coarse).compute(hydrogen[0], tmp_path_factory.mktemp("whole"))


def test_a_killed_run_is_started_again_and_gives_the_label(
    machine, hydrogen: list[Frame], coarse: Cp2kSettings, point: SinglePoint, tmp_path: Path
) -> None:
    machine.kill(2, "cp2k.out", "SCF WAVEFUNCTION OPTIMIZATION")
    again = maker(coarse).compute(hydrogen[0], tmp_path)
    assert machine.n_runs == 3
    assert again.failure is None
    assert again.energy == pytest.approx(point.energy, abs=1e-9)
    assert again.forces == point.forces
    folder = Path(again.directory)
    with tarfile.open(folder / "error.2.tar.gz") as kept:
        text = kept.extractfile("error.2/cp2k.out").read().decode()
    assert "SCF WAVEFUNCTION OPTIMIZATION" in text
    assert "PROGRAM ENDED" not in text


def test_the_ladder_ends_and_the_label_is_computed_when_asked_again(
    machine, hydrogen: list[Frame], coarse: Cp2kSettings, point: SinglePoint, tmp_path: Path
) -> None:
    machine.kill(99, "cp2k.out", "SCF WAVEFUNCTION OPTIMIZATION")
    failed = maker(coarse).compute(hydrogen[0], tmp_path)
    assert (failed.converged, failed.energy, failed.failure) == (False, None, OUT_OF_MEMORY)
    assert machine.n_runs == 3
    machine.kill(0, "none", "none")
    good = maker(coarse).compute(hydrogen[0], tmp_path)
    assert good.energy == pytest.approx(point.energy, abs=1e-9)
    assert list(Path(good.directory).glob("failed.1/error.2.tar*"))
    assert maker(coarse).compute(hydrogen[0], tmp_path) == good
    assert machine.n_runs == 4


def test_out_of_memory_is_told(
    hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses memory: where exactly is the allocator's affair, the end is not."""
    monkeypatch.setenv("IONLOOP_CP2K_CMD", "prlimit --as=300000000 cp2k.psmp")
    failed = maker(coarse).compute(hydrogen[0], tmp_path)
    assert failed.energy is None
    assert failed.failure.endswith(", 3 attempts")
    assert "memory" in failed.failure or "killed by signal 11" in failed.failure


@pytest.mark.parametrize(
    ("change", "charge", "words"),
    [({"max_scf": 2}, 0, None), ({}, 1, "odd number of electrons")],
)
def test_what_cp2k_says_itself_is_not_repeated_until_asked_again(
    machine, hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path, change, charge, words
) -> None:
    dft = coarse.model_copy(update=change)
    frame = hydrogen[0].model_copy(update={"charge": charge})
    for n_runs in (1, 2):
        failed = maker(dft).compute(frame, tmp_path)
        assert (failed.converged, failed.energy) == (False, None)
        assert failed.failure is None if words is None else words in failed.failure
        assert machine.n_runs == n_runs
    assert (Path(failed.directory) / "failed.1" / "cp2k.out").exists()


def test_a_label_stopped_near_the_wall_time_is_none(
    frame: Frame, label: SinglePoint, tmp_path: Path, ends_soon, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends_soon(1)
    stopped = Cp2kStaticMaker().compute(frame, tmp_path)
    assert stopped.energy is None
    assert "wall time" in stopped.failure
    output = (Path(stopped.directory) / "cp2k.out").read_text()
    assert "PROGRAM ENDED" in output  # cleanly
    monkeypatch.delenv("IONLOOP_CP2K_WALL_TIME_S")
    good = Cp2kStaticMaker().compute(frame, tmp_path)
    assert good.energy == pytest.approx(label.energy, abs=1e-9)
    assert good.settings_hash == label.settings_hash == stopped.settings_hash


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say how many seconds CP2K has in each run to come."""

    def say(*seconds: float) -> None:
        left = iter(seconds)
        monkeypatch.setattr(
            "ionloop.reference.cp2k.runs.seconds_left", lambda _limit: RESERVE_S + next(left)
        )

    return say


def launch(job: Job, store: JobStore, folder: Path, round_trip) -> Job | list[SinglePoint]:
    """Run a job in a folder, as FireWorks does; return what takes its place, or its output."""
    folder.mkdir()
    with chdir(folder):
        response = round_trip(job).run(store)
    return response.replace.jobs[0] if response.replace else response.output


def test_labels_out_of_time_go_on_in_a_new_launch(
    machine, clock, round_trip, hydrogen: list[Frame], frame: Frame, label: SinglePoint,
    tmp_path: Path,
) -> None:  # fmt: skip
    """The good one isn't computed twice."""
    store = JobStore(MemoryStore())
    store.connect()
    first = Cp2kReference(frames_per_job=2).static([hydrogen[0], frame])
    first.name, first.metadata = "label train 0.0", {"stage": "label"}
    clock(1000, 1, 1000)
    second = launch(first, store, tmp_path / "first", round_trip)
    assert machine.n_runs == 2
    assert (second.uuid, second.index) == (first.uuid, 2)
    assert (second.name, second.metadata) == (first.name, first.metadata)
    points = launch(second, store, tmp_path / "second", round_trip)
    assert machine.n_runs == 3
    assert [(p.failure, p.converged) for p in points] == [(None, True)] * 2
    assert points[1].energy == pytest.approx(label.energy, abs=1e-4)
    assert {Path(p.directory).parent for p in points} == {tmp_path / "first"}
    assert list((tmp_path / "second").iterdir()) == []


def test_labels_always_out_of_time_are_given_up(
    machine, clock, frame: Frame, tmp_path: Path
) -> None:
    clock(*[1] * 9)
    job = Cp2kReference().static([frame])
    store = JobStore(MemoryStore())
    options = {"create_folders": True, "raise_immediately": True, "log": False}
    run_locally(job, store=store, root_dir=tmp_path, **options)
    (point,) = store.get_output(job.uuid)
    assert is_out_of_time(point["failure"])
    assert machine.n_runs == 1 + MAX_RESTARTS


def test_a_run_that_is_started_again_knows_its_time(
    machine, clock, hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path
) -> None:
    machine.kill(1, "cp2k.out", "SCF WAVEFUNCTION OPTIMIZATION")
    clock(1000, 333)
    point = maker(coarse).compute(hydrogen[0], tmp_path)
    assert point.failure is None
    assert "WALLTIME 333\n" in read_text(Path(point.directory) / "cp2k.inp")
    assert "1000" not in read_text(Path(point.directory) / "cp2k.inp")


def test_a_worker_that_outlived_its_time_has_no_limit(
    clock, hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path
) -> None:
    clock(-RESERVE_S - 100)
    point = maker(coarse).compute(hydrogen[0], tmp_path)
    assert point.failure is None
    assert "WALLTIME" not in read_text(Path(point.directory) / "cp2k.inp")


@pytest.mark.parametrize("what", ["static", "md", "neb"])
def test_nothing_is_started_in_a_workers_last_minutes(
    machine, li3ocl_hop, frame: Frame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    class EndedError(Exception):
        pass

    def ended(_seconds: float) -> None:
        raise EndedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(time.time() + RESERVE_S - 10))
    monkeypatch.setattr("ionloop.reference.runs.time.sleep", ended)
    reference = Cp2kReference()
    if what == "static":
        job = reference.static([frame])
    elif what == "neb":
        job = reference.neb(li3ocl_hop, n_images=1, fmax=0.1, max_steps=1)
    else:
        run = {"n_steps": 2, "time_step": 1.0, "store_every": 1, "seed": 1}
        job = reference.md(frame, temperature=300, group="a", **run)
    with pytest.raises(EndedError):
        job.run(JobStore(MemoryStore()))
    assert machine.n_runs == 0
    assert not list(tmp_path.rglob("*.out"))


def test_a_silent_run_is_ended_and_no_other(
    hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bystander = tmp_path / "cp2k.silent"
    shutil.copy(shutil.which("sleep"), bystander)
    monkeypatch.setenv("IONLOOP_CP2K_CMD", f"sh -c 'exec {bystander} 60'")
    monkeypatch.setenv("IONLOOP_CP2K_FROZEN_S", "1")
    monkeypatch.setattr("ionloop.reference.cp2k.runs.CHECK_EVERY", 2)
    with subprocess.Popen([bystander, "60"]) as other:
        begin = time.monotonic()
        failed = maker(coarse).compute(hydrogen[0], tmp_path)
        assert time.monotonic() - begin < 30
        assert failed.failure == "CP2K died: silent for too long, ended, 3 attempts"
        assert other.poll() is None
        other.kill()


# --- the ways around ---


def test_killall_is_custodians_and_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first half fails once custodian ends its own process alone: drop ours then."""
    spy = tmp_path / "killall"
    spy.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    spy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    Cp2kJob(["cp2k.psmp"]).terminate()
    assert (tmp_path / "called").read_text().split() == ["cp2k.psmp"]
    (tmp_path / "called").unlink()
    job = OwnProcessJob(["sh", "-c", "exec sleep 60 # cp2k"])
    process = job.run(str(tmp_path))
    job.terminate()
    assert process.poll() == -signal.SIGTERM
    assert not (tmp_path / "called").exists()


def test_atomate2_has_its_own_job_back() -> None:
    job = OwnProcessJob(["true"])
    with job_of_ours(job):
        assert atomate2_run.Cp2kJob(["cp2k.psmp"]) is job
    assert atomate2_run.Cp2kJob is Cp2kJob


def test_calculation_dies_with_its_worker(tmp_path: Path) -> None:
    """A worker killed with -9 leaves no CP2K behind."""
    command = quiet_command("sleep 60")
    assert "OMP_NUM_THREADS=1" in command
    script = (
        "import shlex, subprocess, sys, time\n"
        f"child = subprocess.Popen(shlex.split({command!r}))\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(f'{{child.pid}}\\n')\n"
        "time.sleep(60)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script])
    pid = _wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    _wait_for(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()[:6])
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    _wait_for(lambda: not _is_running(int(pid)))


def _is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] not in "ZX"


def _wait_for(condition: Callable[[], object], seconds: float = 10.0) -> object:
    """Poll a condition; return its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail("the condition didn't come true in time")
