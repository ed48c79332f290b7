"""The faults of a cluster's workers; each returns whether it came in time to matter."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

from fault_trials import disk
from fault_trials.faults import kill
from ionloop.engine.launchpad import workflow_of
from ionloop.store.queries import status

if TYPE_CHECKING:
    from fault_trials.cluster import ClusterTrial


def guard_kill(trial: ClusterTrial) -> bool:
    """Kill a guard (-9); the kernel kills its worker."""
    guard = _choose(trial)
    if guard is None:
        return False
    kill(guard)
    return True


def cluster_worker_kill(trial: ClusterTrial) -> bool:
    """Kill a worker (-9); its guard gives its job back and starts another."""
    guard = _choose(trial)
    worker = guard and trial.worker(guard)
    if not worker:
        return False
    replaced = trial.said("it is replaced")
    kill(worker)
    trial.wait(lambda: trial.said("it is replaced") > replaced or trial.status() is not None)
    return trial.status() is None


def guard_stop(trial: ClusterTrial) -> bool:
    """Suspend a guard and its worker at work for longer than they may be silent.

    Nobody is suspended with the workflow's lock: see docs/reference/faults.md.
    """
    while trial.wait_until(trial.busy):
        for guard in trial.busy():
            if (worker := trial.worker(guard)) is None:
                continue
            launch = _suspended(trial, guard, worker)
            if launch is not None:
                return _sleep(trial, guard, worker, launch)
    return False


def _suspended(trial: ClusterTrial, guard: int, worker: int) -> dict[str, Any] | None:
    """Suspend a guard and its worker; return the launch that they have, or let them go on."""
    at_work = {
        "state": "RUNNING",
        "fworker.env.pid": guard,
        "state_history.checkpoint": {"$exists": True},
    }
    for pid in (guard, worker):
        kill(pid, signal.SIGSTOP)
    time.sleep(0.05)  # what is on its way to the server arrives
    launch = trial.lp.launches.find_one(at_work)
    current = launch and trial.lp.fireworks.find_one(
        {"fw_id": launch["fw_id"], "state": "RUNNING", "launches": launch["launch_id"]}
    )
    if current and "locked" not in workflow_of(trial.lp, trial.campaign):
        return launch
    _go_on(guard, worker)
    return None


def _sleep(trial: ClusterTrial, guard: int, worker: int, launch: dict[str, Any]) -> bool:
    """Wait until the launch was given to another, at a random moment after; let them go on."""
    trial.allow_twice(launch["fw_id"])
    mine = {"launch_id": launch["launch_id"], "state": "RUNNING"}
    try:
        trial.wait(lambda: trial.lp.launches.find_one(mine) is None)
        end = time.monotonic() + trial.rng.uniform(0, 4.0)
        trial.wait(lambda: time.monotonic() > end)
    finally:
        _go_on(guard, worker)
    return True


def _go_on(guard: int, worker: int) -> None:
    for pid in (guard, worker):
        kill(pid, signal.SIGCONT)


def second_qlaunch(trial: ClusterTrial) -> bool:
    """Start as many workers again, all at once, as a second qlaunch on the same queue does."""
    in_time = trial.status() is None
    trial.double()
    return in_time


def disk_full(trial: ClusterTrial) -> bool:
    """Fill the disk of the work folder until all workers gave up, free it, run failed jobs again.

    Where nothing can be mounted, and sometimes anyway, the size of files is limited instead.
    """
    trial.wait_until(trial.warm)
    trial.full = True
    filler = None
    if trial.mounted:
        filler = disk.fill(trial.home / "runs")
    else:
        for guard in trial.guards:
            for pid in (guard, trial.worker(guard)):
                if pid is not None:
                    disk.limit_files(pid)
    trial.wait(lambda: not trial.alive())
    if filler is not None:
        filler.unlink()
    trial.full = False
    if status(trial.campaign).state == "finished":  # its last jobs needed no room
        return False
    assert trial.said("No space left|File too large|MB free"), trial.last_words()
    resume = trial.zygote.start(["resume", trial.campaign, "--no-run"], trial.env, trial.log)
    trial.wait(lambda: trial.zygote.status(resume) is not None)
    assert trial.zygote.status(resume) == 0, trial.last_words()
    trial.look_again()
    return True


def _choose(trial: ClusterTrial) -> int | None:
    """Choose a guard that has a worker, rather one at work; None if the campaign has ended."""
    if not trial.wait_until(trial.warm):
        return None
    # Between the look and the signal the worker goes on: all moments of a job come.
    guards = trial.busy() or trial.warm()
    if not guards:
        return None
    return trial.rng.choice(sorted(guards))
