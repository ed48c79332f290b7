"""The faults. Each is done to a running trial, and says by an assertion if it couldn't be."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fireworks import FWAction

from fault_trials import disk
from ionloop.engine.launchpad import launchpad, workflow_of

if TYPE_CHECKING:
    from fault_trials.trial import Trial


def kill(pid: int, sig: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process that may have ended just now."""
    with suppress(ProcessLookupError):
        os.kill(pid, sig)


# ---------------------------------------------------------------- processes


def worker_kill(trial: Trial) -> None:
    """Kill a worker (-9)."""
    _signal_worker(trial, signal.SIGKILL)


def worker_term(trial: Trial) -> None:
    """Ask a worker to end."""
    _signal_worker(trial, signal.SIGTERM)


def _signal_worker(trial: Trial, sig: signal.Signals) -> None:
    if trial.wait_until(trial.workers):
        kill(trial.rng.choice(trial.workers() or [trial.launcher]), sig)


def launcher_kill(trial: Trial) -> None:
    """Kill the launcher (-9); the kernel kills its workers. Resume, at once or a little later."""
    kill(trial.launcher)
    trial.wait_for_end()
    time.sleep(trial.rng.choice([0.0, trial.rng.uniform(0, 0.5)]))
    trial.resume()


#: The trial's workers outlive their launcher: see ``leave/sitecustomize.py``.
launcher_kill_workers_left = launcher_kill


def launcher_term(trial: Trial) -> None:
    """Send the launcher a SIGTERM: it kills its workers and says how to go on."""
    if not trial.wait_until(trial.workers):
        return
    kill(trial.launcher, signal.SIGTERM)
    trial.wait_for_end()
    if trial.status() == 130:
        assert f"ionloop resume {trial.campaign}" in trial.log.read_text(), trial.last_words()
        assert not trial.orphans(), "workers outlived a SIGTERM"


def mongod_kill(trial: Trial) -> None:
    """Kill mongod (-9) and start it again on its data."""
    _restart(trial, signal.SIGKILL)


def mongod_term(trial: Trial) -> None:
    """Stop mongod and start it again."""
    _restart(trial, signal.SIGTERM)


def _restart(trial: Trial, sig: signal.Signals) -> None:
    trial.server.end(sig)
    time.sleep(trial.rng.uniform(0, 1.5))
    trial.server.start()


# ---------------------------------------------------------------- disk and network


def disk_full(trial: Trial) -> None:
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
    if trial.status() != 0:  # its last jobs may have needed no room
        said = trial.log.read_text()
        assert trial.status() == 2, f"expected exit status 2, got {trial.status()}: {said[-500:]}"
        assert f"{trial.home}/runs/{trial.campaign}" in trial.last_words(), said[-500:]
        assert "ionloop resume" in trial.last_words(), said[-500:]
        trial.outcome.notes.append(trial.last_words())
        trial.resume()


def connection_drop(trial: Trial) -> None:
    """Cut all connections to the database, and refuse new ones for some time."""
    trial.proxy.drop()
    time.sleep(trial.drop_s)
    trial.proxy.restore()


def connection_held(trial: Trial) -> None:
    """Let the network lose all packets for some time; no connection is closed."""
    trial.proxy.hold()
    time.sleep(trial.drop_s)
    trial.proxy.release()


def database_lost(trial: Trial) -> None:
    """Keep the database away for longer than jobs wait: the run ends, and says so."""
    trial.wait_until(trial.workers)
    trial.proxy.drop()
    trial.wait(lambda: trial.status() is not None)
    assert not trial.orphans(), "workers outlived their launcher"
    trial.proxy.restore()
    if trial.status() != 0:
        assert trial.status() == 2, trial.last_words()
        assert "expected the database to answer within 8 s" in trial.log.read_text()
        assert f"ionloop resume {trial.campaign}" in trial.last_words(), trial.last_words()
        trial.resume()


# ---------------------------------------------------------------- twice


def duplicate_finish(trial: Trial) -> None:
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


def late_finish(trial: Trial) -> None:
    """Suspend a worker elsewhere, run its job again here, then let it finish too."""
    there = trial.folder / "elsewhere" / "runs" / trial.campaign
    there.mkdir(parents=True)
    trial.other_homes.append(trial.folder / "elsewhere")
    lp = launchpad()
    with (trial.folder / "elsewhere.log").open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "fault_trials.elsewhere", trial.campaign, there,
             str(os.getpid())],
            env=trial.env, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        _finish_late(trial, lp, worker, there)
    finally:
        worker.kill()
        worker.wait()


def _finish_late(trial: Trial, lp, worker: subprocess.Popen, there: Path) -> None:
    running = {"state": "RUNNING", "launch_dir": {"$regex": f"^{there}"}}
    at_work = {"state_history.checkpoint": {"$exists": True}, **running}
    trial.wait_until(lambda: lp.launches.find_one(at_work) or worker.poll() is not None)
    launch = None
    for _ in range(200):  # not while it holds the lock: see docs/reference/faults.md
        kill(worker.pid, signal.SIGSTOP)
        launch = lp.launches.find_one(at_work)
        if launch and "locked" not in workflow_of(lp, trial.campaign):
            break
        kill(worker.pid, signal.SIGCONT)
        if worker.poll() is not None:
            return
        time.sleep(0.005)
    if not launch:
        return
    trial.may_pay_twice = True
    lp.rerun_fw(launch["fw_id"], recover_launch="last", recover_mode="prev_dir")
    done = {"fw_id": launch["fw_id"], "state": "COMPLETED"}
    trial.wait_until(lambda: lp.fireworks.find_one(done) is not None)
    kill(worker.pid, signal.SIGCONT)
    late = {"launch_id": launch["launch_id"], "state": {"$in": ["COMPLETED", "FIZZLED"]}}
    trial.wait(lambda: lp.launches.find_one(late) is not None or worker.poll() is not None)
    kill(worker.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        worker.wait(30)


# ---------------------------------------------------------------- two launchers


def second_launcher(trial: Trial) -> None:
    """Resume a campaign that runs, in the same home folder: refused."""
    if not trial.wait_until(trial.workers):
        return
    log = trial.folder / "second.log"
    second = trial.zygote.start(["resume", trial.campaign], trial.env, log)
    trial.wait(lambda: trial.zygote.status(second) is not None)
    _refused(trial, trial.zygote.status(second), log)


def second_machine(trial: Trial) -> None:
    """Resume a campaign that runs, from another machine: refused."""
    if not trial.wait_until(trial.workers):
        return
    home = trial.folder / "second"
    trial.other_homes.append(home)
    log = trial.folder / "second.log"
    with log.open("ab") as out:
        done = subprocess.run(
            [*another_machine(), sys.executable, "-m", "ionloop.cli", "resume", trial.campaign],
            env={**trial.env, "IONLOOP_HOME": str(home)}, stdout=out, stderr=out, check=False,
        )  # fmt: skip
    _refused(trial, done.returncode, log)


def _refused(trial: Trial, status: int, log: Path) -> None:
    said = log.read_text()
    if "finished" in said:  # the first one had ended meanwhile
        assert trial.status() == 0, said[-500:]
        return
    assert status == 2, f"expected the second launcher to be refused, got {status}: {said[-500:]}"
    assert "is run by another `ionloop`" in said, said[-500:]


def machine_lost(trial: Trial) -> None:
    """Lose the machine of launcher and workers for good; take the campaign over elsewhere."""
    kill(trial.launcher)
    trial.wait_for_end()
    home = trial.folder / "lost"
    env = {**trial.env, "IONLOOP_HOME": str(home)}
    trial.other_homes.append(home)
    with (trial.folder / "lost.log").open("ab") as log:
        lost = subprocess.Popen(
            [*another_machine(), sys.executable, "-m", "ionloop.cli", "resume", trial.campaign,
             "--workers", str(trial.plan.workers)],
            env=env, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    begun = trial.begun()
    trial.wait(lambda: trial.begun() > begun or lost.poll() is not None)
    time.sleep(trial.rng.uniform(0, 0.3))
    lost.kill()
    lost.wait()
    if trial.rng.random() < 0.5:  # its disk is lost too
        shutil.rmtree(home / "runs", ignore_errors=True)
        trial.may_pay_twice = True  # results that were only there
    trial.take_over = True
    trial.resume()


def another_machine() -> list[str]:
    """Return what makes a command run on "another machine": its own host name and processes."""
    if not disk.can_mount():
        return []
    rename = 'hostname faraway && exec "$@"'
    return ["unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child",
            "sh", "-c", rename, "sh"]  # fmt: skip
