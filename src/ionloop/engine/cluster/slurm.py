"""What SLURM says of its jobs: which exist, and when ours ends."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from functools import cache

from ionloop.reference.runs import parse_duration

logger = logging.getLogger(__name__)

#: How long SLURM's commands may take, s; a busy controller makes them wait.
_PATIENCE_S = 60
#: States of jobs whose processes live, or stand still.
_STOPPED = frozenset({"SUSPENDED", "STOPPED"})
_WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"})


class Queue:
    """A cluster's queue as it is now.

    Parameters
    ----------
    states
        States of the jobs that haven't ended, by id.
    cluster
        The cluster's name.
    """

    def __init__(self, states: dict[str, str], cluster: str) -> None:
        self.states = states
        self.cluster = cluster

    def is_gone(self, job: str) -> bool:
        """Whether none of a job's processes can live: it ended, or waits to run again."""
        return self.states.get(job, "PENDING") in _WAITING

    def stands_still(self, job: str) -> bool:
        """Whether a job is suspended: it says nothing, and lives."""
        return self.states.get(job) in _STOPPED


def look() -> Queue | None:
    """Ask SLURM for all jobs; None where there is no SLURM, or it doesn't answer."""
    if shutil.which("squeue") is None:
        return None
    # Only an answer counts: no job is taken for dead since a controller was away.
    listed = _ask("squeue", "-h", "-a", "-o", "%A %T")
    cluster = cluster_name()
    if listed is None or cluster is None:
        return None
    lines = listed.splitlines()
    return Queue({line.split()[0]: line.split()[1] for line in lines}, cluster)


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


@cache
def cluster_name() -> str | None:
    """Return the cluster's name; jobs know it, others ask."""
    if name := os.environ.get("SLURM_CLUSTER_NAME"):
        return name
    lines = (_ask("scontrol", "show", "config") or "").splitlines()
    found = (line.partition("=")[2].strip() for line in lines if line.startswith("ClusterName"))
    return next(found, None)


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
