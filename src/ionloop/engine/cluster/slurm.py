"""What SLURM says of its jobs: which exist, whose they are, and when ours ends; ending them."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from ionloop.processes import user_name
from ionloop.reference.runs import parse_duration

logger = logging.getLogger(__name__)

#: How long SLURM's commands may take, s; a busy controller makes them wait.
_PATIENCE_S = 60
#: What is asked of each job; ``%``-formats don't know of restarts.
_ASKED = "jobid:32,state:32,restartcnt:12"
_WORDS = 3
#: How long a request to end jobs may take, s.
_CANCEL_S = 20
#: States of jobs whose processes live, or stand still.
_STOPPED = frozenset({"SUSPENDED", "STOPPED"})
_WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})
#: SLURM ends the processes of a job in this state, also before it starts the job anew.
_ENDING = "COMPLETING"


class Queue:
    """A cluster's queue as it is now.

    Parameters
    ----------
    states
        States of the jobs that haven't ended, by id.
    cluster
        The cluster's name.
    restarts
        How often SLURM has started the jobs anew under their number, by id.
    """

    def __init__(
        self, states: dict[str, str], cluster: str, restarts: dict[str, int] | None = None
    ) -> None:
        self.states = states
        self.cluster = cluster
        self.restarts = restarts or {}

    def job_of(self, env: Mapping[str, Any]) -> str | None:
        """Return a worker's job by what the worker said of itself, if this queue knows of it.

        Other clusters have the same numbers, and some sites hide other users' jobs.
        """
        job = env.get("slurm_job_id")
        whose = (env.get("slurm_cluster"), env.get("user"))
        return str(job) if job and whose == (self.cluster, user_name()) else None

    def is_gone(self, job: str, restarts: int | None = None) -> bool:
        """Whether none of a job's processes can live: it ended, waits, or was started anew.

        Parameters
        ----------
        job
            Its id.
        restarts
            How often it had been started anew when its processes began; None: unknown.
        """
        state = self.states.get(job, "PENDING")
        if state in _WAITING:
            return True
        # Counts, not start times: clocks of nodes and controller may differ by minutes.
        anew = restarts is not None and self.restarts.get(job, 0) > restarts
        return anew and not self.is_ending(job)

    def is_ending(self, job: str) -> bool:
        """Whether SLURM ends a job's processes now."""
        return self.states.get(job) == _ENDING

    def stands_still(self, job: str) -> bool:
        """Whether a job is suspended: it says nothing, and lives."""
        return self.states.get(job) in _STOPPED


def look() -> Queue | None:
    """Ask SLURM for all jobs; None where there is no SLURM, or it doesn't answer."""
    if shutil.which("squeue") is None:
        return None
    # Only an answer counts: no job is taken for dead since a controller was away.
    listed = _ask("squeue", "-h", "-a", "-O", _ASKED)
    if listed is None or (cluster := cluster_name()) is None:
        return None
    rows = [line.split() for line in listed.splitlines()]
    if odd := [row for row in rows if len(row) != _WORDS]:
        logger.warning("squeue: expected a job's id, state and restarts, got %r", " ".join(odd[0]))
        return None
    starts = {job: int(count) for job, _, count in rows}
    return Queue({job: state for job, state, _ in rows}, cluster, starts)


def restarts() -> int | None:
    """Return how often SLURM has started this process's job anew; None outside of a job."""
    if not os.environ.get("SLURM_JOB_ID"):
        return None
    return int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def end_jobs(jobs: Iterable[str]) -> str:
    """Ask SLURM to end jobs; return what it refused and why, empty if nothing."""
    command = ["scancel", *sorted(jobs)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_CANCEL_S, check=False
        )
    except FileNotFoundError:
        return "scancel isn't on PATH"
    except subprocess.TimeoutExpired:
        return f"scancel gave no answer in {_CANCEL_S} s"
    said = " ".join(done.stderr.split())
    return f"scancel ended with status {done.returncode}: {said}" if done.returncode else ""


def folders_of_jobs() -> dict[str, str]:
    """Return the folders that this user's jobs were submitted from, by id; none if unknown."""
    listed = _ask("squeue", "-h", "-u", user_name(), "-o", "%A %Z") or ""
    rows = [line.partition(" ") for line in listed.splitlines()]
    return {job: folder.strip() for job, _, folder in rows}


def seconds_left(job: str) -> float | None:
    """Ask SLURM how long a job may still run, s; None if it has no limit or SLURM is silent."""
    said = _ask("squeue", "-h", "-j", job, "-o", "%L")
    try:
        return parse_duration((said or "").strip(), plain_is_seconds=True)
    except ValueError:  # UNLIMITED, NOT_SET, INVALID or nothing
        return None


def note_end_time() -> None:
    """Set ``SLURM_JOB_END_TIME`` where SLURM doesn't: versions before 23.02 have none.

    Calculations read it, to end before their worker does.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job and "SLURM_JOB_END_TIME" not in os.environ:
        left = seconds_left(job)
        if left is not None:
            os.environ["SLURM_JOB_END_TIME"] = str(int(time.time() + left))


def cluster_name() -> str | None:
    """Return the cluster's name; jobs know it, others ask until there is an answer."""
    if name := os.environ.get("SLURM_CLUSTER_NAME"):
        return name
    try:
        return _configured_name()
    except LookupError:
        return None


@cache  # an answer stands; that there was none isn't kept
def _configured_name() -> str:
    lines = (_ask("scontrol", "show", "config") or "").splitlines()
    for line in lines:
        if line.startswith("ClusterName"):
            return line.partition("=")[2].strip()
    raise LookupError


def _ask(*command: str) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        )
    except FileNotFoundError:
        return None
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = (error.stderr or b"") if isinstance(error.stderr, bytes) else (error.stderr or "")
        logger.warning("%s: %s", command[0], said or error)
        return None
    return done.stdout
