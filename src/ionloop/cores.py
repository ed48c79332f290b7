"""How many cores a job has to itself: stated, allocated or counted; None where nobody can say."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import PurePath

from ionloop.settings import Settings

#: Programs that start others as several processes, and their options for how many.
_LAUNCHERS = re.compile(r"(mpirun|mpiexec(\.\w+)?|orterun|prterun|srun)$")
_RANKS = ("-n", "-np", "--np", "-c")
#: In ``srun -c`` is for the cores of a process.
_SRUN_RANKS = ("-n", "--ntasks")
#: What may stand before a program, and starts it once.
_WRAPPERS = frozenset({"env", "nice", "exec"})
#: Where batch systems say that a process is theirs.
_BATCH = ("SLURM_JOB_ID", "PBS_JOBID")


def job_cores(function: str, settings: Settings, *, alone: bool) -> int | None:
    """Return the cores that a job has to itself in this process.

    Parameters
    ----------
    function
        Dotted name of the job's function, as :func:`ionloop.routing.function_name` has it;
        empty for one that starts no program.
    settings
        Settings of this machine; its ``cores`` go before all.
    alone
        Whether this process is the one worker of its batch job, which then counts whole,
        whatever the job uses of it. Outside of batch jobs what the job uses counts.

    Returns
    -------
    int | None
        None where it isn't known: in a batch system that doesn't say, or by a command that
        starts an unknown number of processes.
    """
    if settings.cores is not None:
        return settings.cores
    if alone and any(name in os.environ for name in _BATCH):
        return allocated_cores(os.environ)
    return _own_cores(function, settings)


def allocated_cores(environ: Mapping[str, str]) -> int | None:
    """Return the cores of a SLURM job; None where several processes of a step share them.

    >>> allocated_cores({"SLURM_JOB_CPUS_PER_NODE": "4(x2),3"})
    11
    """
    if int(environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return None
    parts = re.findall(r"(\d+)(?:\(x(\d+)\))?", environ.get("SLURM_JOB_CPUS_PER_NODE", ""))
    return sum(int(n) * int(nodes or 1) for n, nodes in parts) or None


def thread_cores() -> int:
    """Return the cores that this process's threads may use: OMP_NUM_THREADS, or all it may run on.

    torch, LAMMPS and BLAS start as many threads.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    wanted = int(first) if first.isdigit() else 0
    return min(wanted or usable or 1, usable or 1)


def command_ranks(command: str) -> int | None:
    """Return the processes that a command starts side by side; None if it doesn't say.

    >>> [command_ranks(c) for c in ("cp2k.psmp", "mpirun -np 4 vasp_std", "srun vasp_std")]
    [1, 4, None]
    """
    words = shlex.split(os.path.expandvars(command))
    while words and (PurePath(words[0]).name in _WRAPPERS or "=" in words[0]):
        words = words[1:]
    if not words or words[0].startswith("-"):
        return None
    name = PurePath(words[0]).name
    if not _LAUNCHERS.match(name):
        return None if name.endswith(".sh") else 1
    options = _SRUN_RANKS if name == "srun" else _RANKS
    for word, after in zip(words[1:], [*words[2:], ""], strict=True):
        option, _, value = word.partition("=")
        number = value or after
        if option in options and number.isdigit():
            return int(number)
    return None


def _own_cores(function: str, settings: Settings) -> int | None:
    """Return what a job uses: its threads, or its program's processes times their threads."""
    commands = _commands(function, settings)
    ranks = {command_ranks(command) for command in commands} or {1}
    if len(ranks) > 1 or None in ranks:
        return None
    threads = 1 if commands and ".cp2k." in function else thread_cores()  # CP2K is told to take one
    return (ranks.pop() or 1) * threads


def _commands(function: str, settings: Settings) -> list[str]:
    """Return the commands of which a job runs one."""
    is_band = "neb" in function.lower() or "band" in function.lower()
    if ".cp2k." in function:
        return [settings.cp2k_shell_cmd if is_band else settings.cp2k_cmd]
    if ".vasp." not in function:
        return []
    if is_band and settings.vasp_neb_cmd:
        return [settings.vasp_neb_cmd]
    gamma = shlex.split(os.path.expandvars(settings.vasp_gamma_cmd))
    has_gamma = bool(gamma) and shutil.which(gamma[0]) is not None
    return [settings.vasp_cmd, *([settings.vasp_gamma_cmd] if has_gamma else [])]
