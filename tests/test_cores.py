"""How many cores a job has: stated, allocated, counted, or unknown."""

from __future__ import annotations

import os

import pytest

from ionloop.cores import allocated_cores, command_ranks, job_cores, thread_cores
from ionloop.settings import Settings


@pytest.fixture(autouse=True)
def outside(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_JOB_CPUS_PER_NODE", "SLURM_STEP_NUM_TASKS", "PBS_JOBID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in Settings.model_fields:
        monkeypatch.delenv(f"IONLOOP_{name.upper()}", raising=False)


@pytest.mark.parametrize(
    ("command", "ranks"),
    [
        ("cp2k.psmp", 1),
        ("/opt/vasp/bin/vasp_std", 1),
        ("env OMP_NUM_THREADS=2 nice vasp_std", 1),
        ("mpirun -np 16 cp2k.psmp", 16),
        ("mpirun --bind-to core -n 4 vasp_std", 4),
        ("/usr/lib/mpich/mpiexec.hydra -n 3 vasp_std", 3),
        ("srun --ntasks=8 -c 2 vasp_std", 8),
        ("srun -c 2 vasp_std", None),  # as many as SLURM gives
        ("mpirun vasp_std", None),
        ("./run_vasp.sh", None),
        ("", None),
    ],
)
def test_processes_of_a_command(command, ranks):
    assert command_ranks(command) == ranks


@pytest.mark.parametrize(
    ("environ", "cores"),
    [
        ({}, None),
        ({"SLURM_JOB_CPUS_PER_NODE": "64"}, 64),
        ({"SLURM_JOB_CPUS_PER_NODE": "72(x2),36"}, 180),
        # Four workers of one step share what the job has: nobody says how.
        ({"SLURM_JOB_CPUS_PER_NODE": "64", "SLURM_STEP_NUM_TASKS": "4"}, None),
    ],
)
def test_cores_of_a_batch_job(environ, cores):
    assert allocated_cores(environ) == cores


def test_threads_are_no_more_than_there_are_cores(monkeypatch):
    usable = len(os.sched_getaffinity(0))
    assert thread_cores() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "1000,2")
    assert thread_cores() == usable
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert thread_cores() == usable


CP2K = "ionloop.reference.cp2k.makers.Cp2kStaticMaker"
BAND = "ionloop.reference.cp2k.neb.cp2k_band"
VASP = "ionloop.reference.vasp.makers.VaspStaticMaker"


def test_a_programs_processes_count_outside_of_batch_jobs():
    settings = Settings(cp2k_cmd="mpirun -np 4 cp2k.psmp", vasp_cmd="mpirun -np 8 vasp_std")
    found = [job_cores(name, settings, alone=False) for name in ("", CP2K, BAND, VASP)]
    assert found == [1, 4, 1, 8]


def test_two_commands_that_differ_leave_it_unknown(monkeypatch, tmp_path):
    """Which of VASP's programs runs depends on the k-points: vasp_gam may be another command."""
    settings = Settings(vasp_cmd="mpirun -np 8 vasp_std", vasp_gamma_cmd="vasp_gam")
    assert job_cores(VASP, settings, alone=False) == 8  # it isn't there
    program = tmp_path / "vasp_gam"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert job_cores(VASP, settings, alone=False) is None


def test_a_batch_job_counts_whole_where_its_worker_is_alone(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_CPUS_PER_NODE", "32")
    settings = Settings(cp2k_cmd="mpirun -np 4 cp2k.psmp")
    assert job_cores(CP2K, settings, alone=True) == job_cores("", settings, alone=True) == 32
    # Workers of `ionloop resume` share it.
    assert job_cores(CP2K, settings, alone=False) == 4


def test_another_batch_system_is_unknown_unless_stated(monkeypatch):
    monkeypatch.setenv("PBS_JOBID", "7")
    assert job_cores(CP2K, Settings(), alone=True) is None
    monkeypatch.setenv("IONLOOP_CORES", "16")
    assert job_cores(CP2K, Settings(), alone=True) == 16
