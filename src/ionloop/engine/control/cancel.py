"""End the running jobs of a campaign; what they have computed stays in their folders."""

from __future__ import annotations

import fcntl
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil  # custodian needs it too
from fireworks import LaunchPad

from ionloop.engine.control.hold import hold
from ionloop.engine.control.rerun_plan import reset
from ionloop.engine.launchpad import LOCAL_WORKER, campaign_query
from ionloop.processes import kill_marked
from ionloop.settings import Settings, get_settings
from ionloop.store.schema import Held
from ionloop.store.times import as_utc

#: What a worker gets to end after it was asked, s.
GRACE_S = 10.0
#: A local run asks its workers, kills them and ends; SLURM kills 30 s after its first signal.
_LOCAL_S, _SLURM_S = 60.0, 90.0
_ASK_S = 20.0


@dataclass
class Cancelled:
    """Who cancelled a campaign, and what became of the jobs that ran."""

    held: Held
    ended: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def cancel(lp: LaunchPad, campaign_id: str, settings: Settings | None = None) -> Cancelled:
    """Let nothing of a campaign start, and end what runs; a resume takes it up again.

    Workers of this machine are asked to stop, then killed; SLURM's jobs are cancelled. Others
    are named in ``left``: their jobs end by themselves, and their results are kept.

    Raises
    ------
    EngineError
        If there is no such campaign, or it has nothing left to run.
    """
    settings = settings or get_settings()
    report = Cancelled(hold(lp, campaign_id, "cancelled"))
    launches = running_launches(lp, campaign_id)
    folder = settings.home_dir / "runs" / campaign_id
    local = [one for one in launches if is_local(one, folder)]
    in_slurm = [one for one in launches if one not in local and _slurm_id(one)]
    here = [one for one in launches if one not in [*local, *in_slurm] and _process(one)]
    gone = _end_slurm(in_slurm)
    gone += [one for one in here if _end_process(one)]
    for launch in gone:
        _put_back(lp, launch)
    gone += local if local and _end_local_run(folder) else []
    _cancel_reservations(lp, campaign_id)
    still = {one["launch_id"] for one in running_launches(lp, campaign_id)}
    dead = {one["launch_id"] for one in gone}
    report.ended = [_line(one) for one in launches if one["launch_id"] in dead]
    report.left = [_line(one) for one in launches if one["launch_id"] in still - dead]
    return report


def running_launches(
    lp: LaunchPad, campaign_id: str, state: str = "RUNNING"
) -> list[dict[str, Any]]:
    """Return the launches of a held campaign that run, or are in another state."""
    begun = {"state": "PAUSED", "launches.0": {"$exists": True}}
    query = {**campaign_query(campaign_id), **begun}
    fws = {fw["launches"][-1]: fw for fw in lp.fireworks.find(query, ["launches", "name"])}
    fields = ["launch_id", "fw_id", "host", "launch_dir", "fworker", "time_start", "reservation_id"]
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


def _slurm_id(launch: dict[str, Any]) -> str | None:
    found = (launch["fworker"].get("env") or {}).get("slurm_job_id")
    return str(found) if found and shutil.which("scancel") else None


def _end_slurm(launches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cancel the SLURM jobs of launches; return those whose job has ended."""
    ids = {str(_slurm_id(one)) for one in launches}
    if not ids:
        return []
    subprocess.run(["scancel", *sorted(ids)], check=False, capture_output=True, timeout=_ASK_S)
    end = time.monotonic() + _SLURM_S
    while (listed := _listed(ids)) & ids and time.monotonic() < end:
        time.sleep(1.0)
    return [one for one in launches if _slurm_id(one) not in listed]


def _listed(ids: Iterable[str]) -> set[str]:
    """Return the jobs that SLURM still has; all of them if it doesn't answer."""
    asked = subprocess.run(
        ["squeue", "--noheader", "--format=%A", f"--jobs={','.join(sorted(ids))}"],
        check=False, capture_output=True, text=True, timeout=_ASK_S,
    )  # fmt: skip
    if asked.returncode and "Invalid job id" in asked.stderr:
        return set()
    return set(ids) if asked.returncode else set(asked.stdout.split())


def _process(launch: dict[str, Any]) -> psutil.Process | None:
    """Return the process of this machine's worker that runs a launch; None if it isn't there."""
    env = launch["fworker"].get("env") or {}
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
    """Take jobs out of the queue that would find nothing to run."""
    waiting = running_launches(lp, campaign_id, "RESERVED")
    ids = [str(one["reservation_id"]) for one in waiting if one.get("reservation_id")]
    if ids and shutil.which("scancel"):
        subprocess.run(["scancel", *ids], check=False, capture_output=True, timeout=_ASK_S)


def _line(launch: dict[str, Any]) -> str:
    env = launch["fworker"].get("env") or {}
    job = f", SLURM job {env['slurm_job_id']}" if env.get("slurm_job_id") else ""
    return f"{launch['name']}: worker {launch['fworker']['name']} on {launch['host']}{job}"
