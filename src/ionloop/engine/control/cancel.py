"""End the running jobs of a campaign; what they have computed stays in their folders."""

from __future__ import annotations

import fcntl
import logging
import socket
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil  # custodian needs it too
from fireworks import LaunchPad

from ionloop.engine.cluster.slurm import Queue, end_jobs, folders_of_jobs, look
from ionloop.engine.control.hold import hold
from ionloop.engine.control.rerun_steps import reset
from ionloop.engine.launchpad import LOCAL_WORKER, campaign_query
from ionloop.paths import inside
from ionloop.processes import kill_marked, user_name
from ionloop.settings import Settings, get_settings
from ionloop.store.schema import Held
from ionloop.store.times import as_utc

logger = logging.getLogger(__name__)

#: What a worker gets to end after it was asked, s.
GRACE_S = 10.0
#: A local run asks its workers, kills them and ends; SLURM kills 30 s after its first signal.
_LOCAL_S, _SLURM_S = 60.0, 90.0
#: How long to look for the end of jobs after scancel failed: it may have ended some, s.
_REFUSED_S = 5.0


@dataclass
class Cancelled:
    """Who cancelled a campaign, and what became of the jobs that ran."""

    held: Held
    ended: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def cancel(lp: LaunchPad, campaign_id: str, settings: Settings | None = None) -> Cancelled:
    """Let nothing of a campaign start, and end what runs; a resume takes it up again.

    Workers of this machine are asked to stop, then killed; this user's SLURM jobs on this cluster
    are cancelled. Others, and what SLURM didn't end, are named in ``left``, with its words: their
    jobs end by themselves, and their results are kept.

    Raises
    ------
    EngineError
        If there is no such campaign, or it has nothing left to run.
    """
    settings = settings or get_settings()
    report = Cancelled(hold(lp, campaign_id, "cancelled"))
    launches = running_launches(lp, campaign_id)
    folder = inside(settings.home_dir / "runs", campaign_id, "campaign id")
    queue = look()
    local = [one for one in launches if is_local(one, folder)]
    in_slurm = [one for one in launches if one not in local and queue and _job(one, queue)]
    here = [one for one in launches if one not in [*local, *in_slurm] and _process(one)]
    gone, trouble = _end_slurm(in_slurm, queue) if queue and in_slurm else ([], "")
    gone += [one for one in here if _end_process(one)]
    for launch in gone:
        _put_back(lp, launch)
    gone += local if local and _end_local_run(folder) else []
    _cancel_reservations(lp, campaign_id)
    still = {one["launch_id"] for one in running_launches(lp, campaign_id)}
    dead = {one["launch_id"] for one in gone}
    report.ended = [_line(one) for one in launches if one["launch_id"] in dead]
    report.left = [
        _line(one, trouble if one in in_slurm else "")
        for one in launches
        if one["launch_id"] in still - dead
    ]
    return report


def running_launches(
    lp: LaunchPad, campaign_id: str, state: str = "RUNNING"
) -> list[dict[str, Any]]:
    """Return the launches of a held campaign that run, or are in another state."""
    begun = {"state": "PAUSED", "launches.0": {"$exists": True}}
    query = {**campaign_query(campaign_id), **begun}
    fws = {fw["launches"][-1]: fw for fw in lp.fireworks.find(query, ["launches", "name"])}
    fields = ["launch_id", "fw_id", "host", "launch_dir", "fworker", "time_start"]
    fields.append("state_history.reservation_id")
    found = lp.launches.find({"launch_id": {"$in": list(fws)}, "state": state}, fields)
    return [{**one, "name": fws[one["launch_id"]]["name"]} for one in found]


def is_local(launch: dict[str, Any], folder: Path) -> bool:
    """Whether a launch is one of this machine's local run in ``folder``."""
    return (
        launch["fworker"]["name"] == LOCAL_WORKER
        and launch["host"] in (socket.gethostname(), socket.getfqdn())
        and Path(launch["launch_dir"]).is_relative_to(folder)
    )


def _end_local_run(folder: Path) -> bool:
    """Wait until the local run has ended itself, then kill what it may have left behind."""
    end = time.monotonic() + _LOCAL_S
    with (folder / "lock").open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    return False
                time.sleep(0.1)
            else:
                kill_marked(str(folder))
                return True


def _env(launch: dict[str, Any]) -> dict[str, Any]:
    return launch["fworker"].get("env") or {}


def _job(launch: dict[str, Any], queue: Queue) -> str | None:
    return queue.job_of(_env(launch))


def _is_gone(launch: dict[str, Any], queue: Queue) -> bool:
    return queue.is_gone(str(_job(launch, queue)), _env(launch).get("slurm_restarts"))


def _end_slurm(launches: list[dict[str, Any]], queue: Queue) -> tuple[list[dict[str, Any]], str]:
    """End this user's SLURM jobs; return the launches whose job has ended, and what went wrong."""
    alive = [one for one in launches if not _is_gone(one, queue)]
    if not alive:
        return launches, ""
    refused = end_jobs({str(_job(one, queue)) for one in alive})
    begin = time.monotonic()
    while True:
        found = look()
        if found:  # None proves nothing: SLURM gave no answer
            alive = [one for one in alive if not _is_gone(one, found)]
        gone_s = time.monotonic() - begin
        ending = found and any(found.is_ending(str(_job(one, found))) for one in alive)
        if not alive or gone_s > _SLURM_S or (refused and not ending and gone_s > _REFUSED_S):
            break
        time.sleep(1.0)
    trouble = refused or f"SLURM hasn't ended its job in {_SLURM_S:.0f} s"
    return [one for one in launches if one not in alive], trouble


def _process(launch: dict[str, Any]) -> psutil.Process | None:
    """Return the process of this user's worker here that runs a launch; None if it isn't there."""
    env = _env(launch)
    if env.get("user") not in (None, user_name()):
        return None
    if not env.get("pid") or env.get("host") not in (socket.gethostname(), socket.getfqdn()):
        return None
    try:
        process = psutil.Process(int(env["pid"]))
        begun = process.create_time()
    except psutil.Error:
        return None
    return (
        process if begun <= as_utc(launch["time_start"]).timestamp() else None
    )  # else: a number used anew


def _end_process(launch: dict[str, Any]) -> bool:
    """Ask a worker to stop, then kill it and what it has started; whether it is gone."""
    worker = _process(launch)
    if worker is None:
        return True
    try:
        family = [worker, *worker.children(recursive=True)]
        worker.terminate()
        psutil.wait_procs([worker], timeout=GRACE_S)
        for process in family:
            if process.is_running():
                process.kill()
        _, alive = psutil.wait_procs(family, timeout=GRACE_S)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
    return worker not in alive


def _put_back(lp: LaunchPad, launch: dict[str, Any]) -> None:
    """Let a job whose worker was ended run again in its old folder, once the campaign goes on."""
    running = {"launch_id": launch["launch_id"], "state": "RUNNING"}
    taken = {"$set": {"state": "ARCHIVED", "time_end": datetime.now(UTC)}}
    if lp.launches.update_one(running, taken).matched_count:  # else it has ended by itself
        reset(lp, launch["fw_id"], launch["launch_dir"])


def _cancel_reservations(lp: LaunchPad, campaign_id: str) -> None:
    """Take jobs out of the queue that would find nothing to run.

    A reservation doesn't say whose it is; the folder where its job waits does.
    """
    waiting = running_launches(lp, campaign_id, "RESERVED")
    folders = folders_of_jobs() if waiting else {}
    jobs = [
        job
        for one in waiting
        for past in one["state_history"]
        if folders.get(job := str(past.get("reservation_id"))) == one["launch_dir"]
    ]
    if jobs and (refused := end_jobs(jobs)):
        logger.warning("%s; jobs %s find nothing to run, and end", refused, ", ".join(jobs))


def _line(launch: dict[str, Any], trouble: str = "") -> str:
    env = _env(launch)
    job = f", SLURM job {env['slurm_job_id']}" if env.get("slurm_job_id") else ""
    why = f" ({trouble})" if trouble else ""
    return f"{launch['name']}: worker {launch['fworker']['name']} on {launch['host']}{job}{why}"
