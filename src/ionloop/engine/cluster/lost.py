"""Launches whose worker is gone, and their jobs' way back.

A worker is gone for sure if its SLURM job has ended or was started anew, as on another node after
its own died, or if its process on this machine has ended. One that was silent for longer than it
promised is taken for gone; it may live all the same, so its job runs again in a copy of its
folder, and :mod:`.owned` voids what the old one still writes.

Any worker may look, also several at once: who gives a job back first claims its launch, by one
atomic change, and what follows happens under the workflow's lock, after another look.
"""

from __future__ import annotations

import logging
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from fireworks import LaunchPad

from ionloop.engine.cluster.giving_back import LIVE, Returned, give_back, settle
from ionloop.engine.cluster.slurm import Queue, look
from ionloop.engine.launchpad import LOCAL_WORKER
from ionloop.processes import is_alive
from ionloop.store.health import FOREIGN_S
from ionloop.store.times import as_utc

logger = logging.getLogger(__name__)

#: After so much silence somebody looks whether a worker is gone for sure, s, or after this part
#: of the silence that is too long.
_SUSPECT_S, _SUSPECT_PART = 90.0, 1 / 6


@dataclass(frozen=True)
class Verdict:
    """Why a worker is gone, and whether that is certain."""

    why: str
    certain: bool


def return_lost(lp: LaunchPad, campaign_id: str | None = None) -> Returned:
    """Find the launches whose workers are gone, and give their jobs back.

    Parameters
    ----------
    lp
        The launch pad.
    campaign_id
        Only this campaign's; None: all campaigns'.
    """
    returned = Returned()
    suspects = [one for one in described(lp, campaign_id) if _is_suspect(one)]
    queue = look() if any(_env(launch).get("slurm_job_id") for launch in suspects) else None
    for launch in suspects:
        found = verdict(launch, queue)
        if found and claim(lp, launch, found):
            give_back(lp, launch, returned, certain=found.certain)
    settle(lp, campaign_id, returned)
    if returned:
        logger.warning("%s", returned)
    return returned


def return_own(lp: LaunchPad, name: str, pid: int, why: str, *, counts: bool) -> Returned:
    """Give back at once what a worker ran whose process has ended.

    Parameters
    ----------
    lp
        The launch pad.
    name, pid
        The worker's FWorker and process.
    why
        Why it was ended.
    counts
        Whether the job may be to blame.
    """
    returned = Returned()
    own = {"fworker.name": name, "fworker.env.pid": pid}
    for launch in described(lp, None, own):
        if claim(lp, launch, Verdict(why, certain=True)):
            give_back(lp, launch, returned, certain=True, counts=counts)
    return returned


def described(
    lp: LaunchPad, campaign_id: str | None, query: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """List the launches of clusters' workers that run, with the seconds of their silence.

    A launch of a held campaign isn't among them: its firework is paused.
    """
    running = {"state": "RUNNING", "fworker.name": {"$ne": LOCAL_WORKER}, **(query or {})}
    silence = {"$divide": [{"$subtract": ["$$NOW", "$heartbeat"]}, 1000]}
    fields = ("launch_id", "fw_id", "launch_dir", "fworker", "state_history", "heartbeat")
    project = {**dict.fromkeys(fields, 1), "silence_s": silence}
    launches = list(lp.launches.aggregate([{"$match": running}, {"$project": project}]))
    live = {
        "fw_id": {"$in": [launch["fw_id"] for launch in launches]},
        "state": {"$in": LIVE},
        "spec.campaign_id": campaign_id or {"$exists": True},
    }
    fws = lp.fireworks.find(live, ["launches", "spec.campaign_id"])
    # The launch that counts is a firework's last one; others stay in their state for ever.
    owners = {fw["launches"][-1]: fw["spec"]["campaign_id"] for fw in fws if fw["launches"]}
    return [
        {**launch, "campaign_id": owners[launch["launch_id"]]}
        for launch in launches
        if launch["launch_id"] in owners
    ]


def _env(launch: dict[str, Any]) -> dict[str, Any]:
    return launch["fworker"].get("env") or {}


def silence_s(launch: dict[str, Any]) -> float:
    """Return for how long nobody heard of a launch's worker, s; without heartbeat, by its pings."""
    if launch.get("silence_s") is not None:
        return float(launch["silence_s"])
    said = launch["state_history"][-1]
    last = as_utc(said.get("updated_on") or said["created_on"])
    return (datetime.now(UTC) - last).total_seconds()


def limit_s(launch: dict[str, Any]) -> float:
    """Return the silence after which a launch's worker is taken for gone, s."""
    return float(_env(launch).get("lost_after_s") or FOREIGN_S)


def _is_suspect(launch: dict[str, Any]) -> bool:
    return silence_s(launch) > min(_SUSPECT_S, _SUSPECT_PART * limit_s(launch))


def verdict(launch: dict[str, Any], queue: Queue | None) -> Verdict | None:
    """Say why a launch's worker is gone; None if it may live.

    Parameters
    ----------
    launch
        As :func:`described` lists it.
    queue
        SLURM's; None where there is none.
    """
    env = _env(launch)
    if queue and (job := queue.job_of(env)):
        if queue.is_gone(job, env.get("slurm_restarts")):
            return Verdict(f"its SLURM job {job} has ended, or was started anew", certain=True)
        if queue.stands_still(job):
            return None
    pid = env.get("pid")
    if pid and env.get("host") == socket.gethostname() and not is_alive(pid):
        return Verdict(f"its process {pid} has ended", certain=True)
    silent = silence_s(launch)
    if silent > limit_s(launch):
        return Verdict(f"nobody heard of its worker for {silent:.0f} s", certain=False)
    return None


def claim(lp: LaunchPad, launch: dict[str, Any], found: Verdict) -> bool:
    """Take a launch from its worker, unless somebody heard of it or took it meanwhile."""
    unchanged = {
        "launch_id": launch["launch_id"],
        "state": "RUNNING",
        "heartbeat": launch.get("heartbeat"),
        "state_history": launch["state_history"],
    }
    taken = {**asdict(found), "by": socket.gethostname(), "at": datetime.now(UTC)}
    change = {"$set": {"state": "ARCHIVED", "lost": taken}}
    if lp.launches.update_one(unchanged, change).matched_count == 0:
        return False
    number, name = launch["launch_id"], launch["fworker"]["name"]
    logger.warning("launch %d of %s is given back: %s", number, name, found.why)
    return True
