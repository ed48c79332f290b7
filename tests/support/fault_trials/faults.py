"""The faults. Each is done to a running trial, and returns whether it came in time to matter."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import engine_jobs
from fireworks import FWAction

from fault_trials import disk
from ionloop.engine.launchpad import launchpad, workflow_of
from ionloop.store.connection import database

if TYPE_CHECKING:
    from fault_trials.trial import Trial


def kill(pid: int, sig: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process that may have ended just now."""
    with suppress(ProcessLookupError):
        os.kill(pid, sig)


#: What a worker elsewhere gets to check a job out, s.
CHECK_OUT_S = 10.0


# ---------------------------------------------------------------- processes


def worker_kill(trial: Trial) -> bool:
    """Kill a worker that has a job (-9)."""
    return _signal_worker(trial, signal.SIGKILL)


def worker_term(trial: Trial) -> bool:
    """Ask a worker that has a job to end."""
    return _signal_worker(trial, signal.SIGTERM)


def _signal_worker(trial: Trial, sig: signal.Signals) -> bool:
    while trial.wait_until(trial.busy):
        if workers := trial.busy():
            kill(trial.rng.choice(workers), sig)
            return True
    return False


def launcher_kill(trial: Trial) -> bool:
    """Kill the launcher (-9); the kernel kills its workers. Resume, at once or a little later."""
    kill(trial.launcher)
    if trial.wait_for_end():
        return False
    time.sleep(trial.rng.choice([0.0, trial.rng.uniform(0, 0.5)]))
    trial.resume()
    return True


#: The trial's workers outlive their launcher: see ``leave/sitecustomize.py``.
launcher_kill_workers_left = launcher_kill


def launcher_term(trial: Trial) -> bool:
    """Send the launcher a SIGTERM: it kills its workers and says how to go on."""
    if not trial.wait_until(trial.workers):
        return False
    kill(trial.launcher, signal.SIGTERM)
    if trial.wait_for_end():
        return False
    assert trial.status() == 130, trial.last_words()
    assert f"ionloop resume {trial.campaign}" in trial.log.read_text(), trial.last_words()
    assert not trial.orphans(), "workers outlived a SIGTERM"
    trial.resume()
    return True


def mongod_kill(trial: Trial) -> bool:
    """Kill mongod (-9) and start it again on its data."""
    return _restart(trial, signal.SIGKILL)


def mongod_term(trial: Trial) -> bool:
    """Stop mongod and start it again."""
    return _restart(trial, signal.SIGTERM)


def _restart(trial: Trial, sig: signal.Signals) -> bool:
    in_time = trial.status() is None
    trial.server.end(sig)
    time.sleep(trial.rng.uniform(0, 1.5))
    trial.server.start()
    return in_time


# ---------------------------------------------------------------- disk and network


def disk_full(trial: Trial) -> bool:
    """Fill the disk of the work folder until the run gives up, then free it.

    Where nothing can be mounted, and sometimes anyway, the size of files is limited instead.
    """
    if trial.mounted:
        filler = disk.fill(trial.home / "runs")
        trial.wait(lambda: trial.status() is not None)
        filler.unlink()
    else:
        trial.wait_until(trial.workers)
        for pid in [trial.launcher, *trial.workers()]:
            disk.limit_files(pid)
        trial.wait(lambda: trial.status() is not None)
    if trial.status() == 0:  # its last jobs needed no room
        return False
    said = trial.log.read_text()
    assert trial.status() == 2, f"expected exit status 2, got {trial.status()}: {said[-500:]}"
    assert f"{trial.home}/runs/{trial.campaign}" in trial.last_words(), said[-500:]
    assert "ionloop resume" in trial.last_words(), said[-500:]
    trial.outcome.notes.append(trial.last_words())
    trial.resume()
    return True


def connection_drop(trial: Trial) -> bool:
    """Cut all connections to the database, and refuse new ones for some time."""
    in_time = trial.status() is None
    trial.proxy.drop()
    time.sleep(trial.drop_s)
    trial.proxy.restore()
    return in_time


def connection_held(trial: Trial) -> bool:
    """Let the network lose all packets for some time; no connection is closed."""
    in_time = trial.status() is None
    trial.proxy.hold()
    time.sleep(trial.drop_s)
    trial.proxy.release()
    return in_time


def database_lost(trial: Trial) -> bool:
    """Keep the database away for longer than jobs wait: the run ends, and says so."""
    trial.wait_until(trial.workers)
    trial.proxy.drop()
    trial.wait(lambda: trial.status() is not None)
    assert not trial.orphans(), "workers outlived their launcher"
    trial.proxy.restore()
    if trial.status() == 0:
        return False
    assert trial.status() == 2, trial.last_words()
    assert "expected the database to answer within 6 s" in trial.log.read_text()
    assert f"ionloop resume {trial.campaign}" in trial.last_words(), trial.last_words()
    trial.resume()
    return True


# ---------------------------------------------------------------- twice


def duplicate_finish(trial: Trial) -> bool:
    """Complete launches again that have completed, with their stored actions."""
    lp = launchpad()
    query = {"state": "COMPLETED"}
    trial.wait_until(lambda: lp.launches.find_one(query) is not None)
    done = lp.launches.distinct("launch_id", query)
    adding = lp.launches.distinct(
        "launch_id",
        {**query, "$or": [{"action.detours.0": {"$exists": 1}},
                          {"action.additions.0": {"$exists": 1}}]},
    )  # fmt: skip
    for launch_id in {trial.rng.choice(done), trial.rng.choice(adding or done)}:
        action = lp.get_launch_by_id(launch_id).action
        lp.complete_launch(launch_id, action or FWAction(), "COMPLETED")
    return trial.status() is None


def late_finish(trial: Trial) -> bool:
    """Suspend a worker elsewhere, run its job again here, then let it finish too."""
    home = trial.folder / "elsewhere"
    there = home / "runs" / trial.campaign
    there.mkdir(parents=True)
    trial.other_homes.append(home)
    with (trial.folder / "elsewhere.log").open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "fault_trials.elsewhere", trial.campaign, there],
            env={**trial.env, "IONLOOP_HOME": str(home)}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        launch = _suspended_at_work(trial, worker, there)
        return launch is not None and _finish_late(trial, worker, launch)
    finally:
        worker.kill()
        worker.wait()


def _suspended_at_work(trial: Trial, worker: subprocess.Popen, there: Path) -> dict | None:
    """Let the worker elsewhere check out a job, and suspend it; return its launch.

    The launcher's workers are suspended meanwhile, or they would have all jobs. Nobody is
    suspended with the workflow's lock: see docs/reference/faults.md.
    """
    lp = launchpad()
    at_work = {
        "state": "RUNNING",
        "launch_dir": {"$regex": f"^{there}"},
        "state_history.checkpoint": {"$exists": True},
    }
    ready = {"state": "READY", "spec.campaign_id": trial.campaign}

    def is_locked() -> bool:
        return "locked" in workflow_of(lp, trial.campaign)

    held: list[int] = []
    try:
        while not held:
            if not trial.wait_until(lambda: lp.fireworks.find_one(ready) is not None):
                return None
            held = _stop(trial.workers(), is_locked)
            if lp.fireworks.find_one(ready) is None:
                held = _go_on(held)
        trial.wait((there.parents[1] / "ready").exists)
        (there.parents[1] / "go").touch()
        end = time.monotonic() + CHECK_OUT_S  # those suspended may hold all that could become ready
        while time.monotonic() < end:
            launch = lp.launches.find_one(at_work)
            if launch and _stop([worker.pid], is_locked):
                if lp.launches.find_one({**at_work, "launch_id": launch["launch_id"]}):
                    return launch
                kill(worker.pid, signal.SIGCONT)  # it had just ended that job
            if worker.poll() is not None:
                return None
    finally:
        _go_on(held)
    return None


def _stop(pids: list[int], is_locked: Callable[[], bool]) -> list[int]:
    """Suspend processes, unless one of them changes the workflow; return which."""
    for pid in pids:
        kill(pid, signal.SIGSTOP)
    time.sleep(0.02)  # what is on its way to the server arrives
    return _go_on(pids) if is_locked() else pids


def _go_on(pids: list[int]) -> list[int]:
    for pid in pids:
        kill(pid, signal.SIGCONT)
    return []


def _finish_late(trial: Trial, worker: subprocess.Popen, launch: dict) -> bool:
    """Run a suspended worker's job again, then let it end the job as well."""
    lp = launchpad()
    trial.allow_twice(launch["fw_id"])
    # As ionloop.engine.cluster.giving_back has it where a worker may live: in a copy of its folder.
    lp.rerun_fw(launch["fw_id"], recover_launch="last", recover_mode="cp")
    done = {"fw_id": launch["fw_id"], "state": "COMPLETED"}
    trial.wait_until(lambda: lp.fireworks.find_one(done) is not None)
    kill(worker.pid, signal.SIGCONT)
    late = {"launch_id": launch["launch_id"], "state": {"$in": ["COMPLETED", "FIZZLED"]}}
    trial.wait(lambda: lp.launches.find_one(late) is not None or worker.poll() is not None)
    kill(worker.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        worker.wait(30)
    return lp.launches.find_one(late) is not None


# ---------------------------------------------------------------- two launchers


def second_launcher(trial: Trial) -> bool:
    """Resume a campaign that runs, in the same home folder: refused."""
    if not trial.wait_until(trial.workers):
        return False
    log = trial.folder / "second.log"
    second = trial.zygote.start(["resume", trial.campaign], trial.env, log)
    trial.wait(lambda: trial.zygote.status(second) is not None)
    return _refused(trial, trial.zygote.status(second), log)


def second_machine(trial: Trial) -> bool:
    """Resume a campaign that runs, from another machine: refused."""
    if not trial.wait_until(trial.workers):
        return False
    home = trial.folder / "second"
    trial.other_homes.append(home)
    log = trial.folder / "second.log"
    held = trial.workers()
    for pid in held:  # or the campaign might end before the other machine has begun
        kill(pid, signal.SIGSTOP)
    with log.open("ab") as out:
        done = subprocess.run(
            [*another_machine(), sys.executable, "-m", "ionloop.cli", "resume", trial.campaign],
            env={**trial.env, "IONLOOP_HOME": str(home)}, stdout=out, stderr=out, check=False,
        )  # fmt: skip
    _go_on(held)
    return _refused(trial, done.returncode, log)


def _refused(trial: Trial, status: int, log: Path) -> bool:
    said = log.read_text()
    if "finished" in said:  # the first one had ended meanwhile
        assert trial.status() == 0, said[-500:]
        return False
    assert status == 2, f"expected the second launcher to be refused, got {status}: {said[-500:]}"
    assert "is run by another `ionloop`" in said, said[-500:]
    return True


def machine_lost(trial: Trial) -> bool:
    """Lose the machine of launcher and workers for good; take the campaign over elsewhere."""
    kill(trial.launcher)
    if trial.wait_for_end():
        return False
    home = trial.folder / "lost"
    env = {**trial.env, "IONLOOP_HOME": str(home)}
    trial.other_homes.append(home)
    with (trial.folder / "lost.log").open("ab") as log:
        lost = subprocess.Popen(
            [*another_machine(), sys.executable, "-m", "ionloop.cli", "resume", trial.campaign,
             "--take-over", "--workers", str(trial.plan.workers)],
            env=env, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    begun = trial.begun()
    trial.wait(lambda: trial.begun() > begun or lost.poll() is not None)
    time.sleep(trial.rng.uniform(0, 0.3))
    in_time = lost.poll() is None
    lost.kill()
    lost.wait()
    if trial.rng.random() < 0.5:  # its disk is lost too
        trial.may_pay_twice += _only_in(home / "runs")
        shutil.rmtree(home / "runs", ignore_errors=True)
    trial.take_over = True
    trial.resume()
    return in_time


def _only_in(folder: Path) -> Counter[str]:
    """Count the labels whose results lie in a folder, and whose jobs haven't ended."""
    db = database()
    open_launches = db.fireworks.distinct("launches", {"state": {"$ne": "COMPLETED"}})
    folders = db.launches.distinct("launch_dir", {"launch_id": {"$in": open_launches}})
    results = [Path(one) / "result.json" for one in folders if Path(one).is_relative_to(folder)]
    return Counter(engine_jobs.result_name(one) for one in results if one.exists())


def another_machine() -> list[str]:
    """Return what makes a command run on "another machine": its own host name and processes."""
    if not disk.can_mount():
        return []
    rename = 'hostname faraway && exec "$@"'
    return ["unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child",
            "sh", "-c", rename, "sh"]  # fmt: skip
