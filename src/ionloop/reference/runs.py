"""What all codes share in how a calculation is run: what follows a death, and the wall time.

custodian's own handlers mend what failed by other settings, so that a label no longer has
the settings hash it claims. The ones here start again, put aside and end; they edit nothing.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import psutil  # custodian needs it too
from custodian.custodian import ErrorHandler
from custodian.utils import backup
from jobflow import CURRENT_JOB, Job, Response

from ionloop.errors import ReferenceSetupError

logger = logging.getLogger(__name__)

#: How often a killed calculation is started again in one launch, and how often labels that
#: ran out of time are computed again in a new one.
MAX_RESTARTS = 2
#: Calculations are stopped so long before their worker's end, s; with less left none is started.
RESERVE_S = 120
#: A worker that is still there so long after its end has none, s: batch systems aren't exact.
GRACE_S = 15
#: What the reason of a calculation begins with that was stopped in time.
OUT_OF_TIME = "stopped near the end of the worker's wall time"


class StartAgain(ErrorHandler):
    """Start a calculation again that died: out of memory, a lost node, a signal.

    A subclass says in ``check`` what death is, and in ``correct`` what is put aside.
    """

    is_monitor = False
    max_num_corrections = MAX_RESTARTS
    raise_on_max = True


class SilentHandler(ErrorHandler):
    """End a calculation whose output hasn't grown for too long; custodian's also edit it.

    Parameters
    ----------
    output_file
        The output, in the calculation's folder.
    timeout
        Silence that is too long, s.
    """

    is_monitor = True

    def __init__(self, output_file: str, timeout: int) -> None:
        self.output_file = output_file
        self.timeout = timeout

    def check(self, directory: str = "./") -> bool:
        """Say whether the output is older than the timeout."""
        output = Path(directory) / self.output_file
        return output.exists() and time.time() - output.stat().st_mtime > self.timeout

    def correct(self, directory: str = "./") -> dict[str, Any]:  # noqa: ARG002
        """Do nothing: custodian has ended the calculation, and starts it again."""
        return {"errors": ["silent"], "actions": [{"ended after silence of": self.timeout}]}


def put_aside(folder: Path, outputs: tuple[str, ...]) -> None:
    """Move outputs into the next ``error.N.tar.gz`` of a folder."""
    found = [name for name in outputs if (folder / name).exists()]
    backup(found, directory=str(folder))
    for name in found:
        (folder / name).unlink()


def program_words(command: str, missing: str) -> list[str]:
    """Split a command, environment variables expanded.

    Parameters
    ----------
    command
        As a setting has it.
    missing
        What is said if its program isn't there.

    Raises
    ------
    ReferenceSetupError
        If the program isn't there.
    """
    words = shlex.split(os.path.expandvars(command))
    if not words or shutil.which(words[0]) is None:
        raise ReferenceSetupError(missing)
    return words


def on_a_leash(words: list[str]) -> list[str]:
    """Let the kernel end a program with the worker that started it, where Linux can.

    A worker killed with -9 would leave it running, and it would write into the folder that
    the resumed job uses.
    """
    leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    return [*leash, *words]


def exit_words(status: int | None, errors: str = "") -> str:
    """Say in words how a program ended that had none itself.

    Parameters
    ----------
    status
        Exit status; negative, or above 128 from a launcher such as ``mpirun``, for a signal.
    errors
        What stands in its standard error.
    """
    if status is None:
        return "end unknown"
    number = -status if status < 0 else status - 128
    if number in {s.value for s in signal.Signals}:
        guess = " (out of memory?)" if number == signal.SIGKILL else ""
        return f"killed by signal {number}{guess}"
    telling = re.search(r".*(?:error|cannot|memory|killed).*", errors, flags=re.IGNORECASE)
    words = f"exit status {status}" + (f": {telling[0].strip()[:200]}" if telling else "")
    return f"{words} (out of memory?)" if "memory" in words else words


def seconds_left(wall_time_s: int | None) -> float | None:
    """Say how long this worker may go on, s; None if nobody set a limit.

    Parameters
    ----------
    wall_time_s
        Wall time of the worker, s, from its start; None: what SLURM or PBS says.
    """
    if wall_time_s is None and "SLURM_JOB_END_TIME" in os.environ:
        return float(os.environ["SLURM_JOB_END_TIME"]) - time.time()
    limit: float | None = wall_time_s
    for variable in ("PBS_WALLTIME", "SBATCH_TIMELIMIT"):
        if limit is None and variable in os.environ:
            limit = parse_duration(os.environ[variable], plain_is_seconds=variable[0] == "P")
    if limit is None:
        return None
    return limit - (time.time() - psutil.Process().create_time())


def is_out_of_time(failure: str | None) -> bool:
    """Say whether a calculation failed since its worker had no time left."""
    return failure is not None and failure.startswith(OUT_OF_TIME)


def in_a_new_launch(job: Job) -> Response:
    """Let a job take the place of the one that runs, with its name and configuration.

    jobflow keeps uuid and metadata: what waits for the one that runs waits for this.
    """
    if (running := CURRENT_JOB.job) is not None:
        job.name, job.config = running.name, running.config
    return Response(replace=job)


def wait_out(limit_s: int | None) -> None:
    """Start nothing in a worker's last minutes: wait for its end there.

    The batch system ends the worker, and its job runs again in another. Where nobody ended
    it, the limit wasn't meant so, and the calculation is started.

    Parameters
    ----------
    limit_s
        As ``wall_time_s`` of :func:`seconds_left`.
    """
    left = seconds_left(limit_s)
    if left is None or not -GRACE_S < left < RESERVE_S:
        return
    logger.warning("%.0f s are left of this worker's wall time: no calculation is started", left)
    time.sleep(left + GRACE_S)
    logger.warning("nobody ended this worker when its wall time was over: it goes on")


def parse_duration(text: str, *, plain_is_seconds: bool) -> float:
    """Read ``D-HH:MM:SS`` and its shorter forms, s.

    Parameters
    ----------
    text
        A duration as batch systems write it.
    plain_is_seconds
        A number alone is seconds for PBS, minutes for SLURM.
    """
    days, _, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if days:
        parts += [0] * (3 - len(parts))
    elif len(parts) == 1:
        parts = [0, 0, *parts] if plain_is_seconds else [0, *parts, 0]
    else:
        parts = [0] * (3 - len(parts)) + parts
    hours, minutes, seconds = parts
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
