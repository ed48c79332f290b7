"""Looks after a cluster's worker, which is its child, from a process of its own.

Jobs can hold a whole process for long, or kill it. The guard says every few seconds that the
worker lives, gives its job back when it dies or is told to end, replaces it, and looks for
other workers' jobs that were lost. It ends its own worker's job when that was given to
somebody else, or when it hasn't reached the database for so long that it may have been.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import FrameType

from ionloop.engine.cluster.identity import identify
from ionloop.engine.cluster.lost import return_lost, return_own
from ionloop.engine.cluster.owned import TOLD_TO_END, beat, is_given_away
from ionloop.engine.cluster.slurm import note_end_time
from ionloop.engine.cluster.worker import Plan
from ionloop.engine.disk import DISK_FULL
from ionloop.engine.launchpad import launchpad
from ionloop.engine.locking import PATIENCE_S
from ionloop.processes import RUN_MARK, die_with_parent, kill_marked
from ionloop.reference.runs import seconds_left
from ionloop.settings import Settings
from ionloop.store.connection import DATABASE_ERRORS, write_jobflow_config

logger = logging.getLogger(__name__)

#: Most seconds between two looks at the worker.
TICK_S = 0.5
#: Seconds between two heartbeats, and between two looks for lost jobs, at most; and as parts of
#: the time after which a silent worker counts as gone.
_BEAT_S, _LOOK_S = 30.0, 120.0
_BEAT_PART, _LOOK_PART = 1 / 20, 1 / 5
#: In this part of it, without a heartbeat that reached the database, the job is ended.
_LEASE_PART = 1 / 2
#: How often the worker is replaced before a job of its has ended well.
MAX_RESTARTS = 3
#: What the worker gets to end a change of the database, s; SLURM gives 30 s by default.
GRACE_S = 3.0
#: The job is given back so long before the end of the wall time, or in this last part of it.
_LAST_S, _LAST_PART = 20.0, 0.05


class Guard:
    """One worker's guard.

    Parameters
    ----------
    plan
        What the worker runs.
    settings
        The database, and when a silent worker counts as gone.
    folder
        Where the jobs' folders are made.
    """

    def __init__(self, plan: Plan, settings: Settings, folder: Path) -> None:
        self.plan = plan
        self.settings = settings
        self.folder = folder
        lost_s = settings.lost_after_s
        self.beat_s = min(_BEAT_S, _BEAT_PART * lost_s)
        self.look_s = min(_LOOK_S, _LOOK_PART * lost_s)
        self.lease_s = _LEASE_PART * lost_s
        # A guard doesn't wait for a database that is away: it has to look at its worker.
        self.lp = launchpad(settings, patience_s=min(10.0, _BEAT_PART * lost_s))
        self.stopping = ""
        self.current = 0
        self.failures = 0
        self.last_beat = self.last_look = 0.0
        self.pipe = -1
        self.child: subprocess.Popen[bytes] | None = None
        self.finder = Thread()
        self.fworker = identify(plan.kind, plan.campaign_id, settings)
        self.mark = f"{self.fworker.name} {os.getpid()}"
        left = seconds_left(None)
        self.last_s = 0.0 if left is None else min(_LAST_S, _LAST_PART * left)

    def stop(self, number: int, _: FrameType | None) -> None:
        """End soon: a signal's handler."""
        self.stopping = f"told to end by {signal.Signals(number).name}"

    def run(self) -> int:
        """Run the worker until it ends by itself or is told to; return the exit status."""
        self._look()
        try:
            self._start()
            while not self._is_over():
                self._listen()
                if self.child is not None and (status := self.child.poll()) is not None:
                    if status in (0, DISK_FULL):
                        # It may be about to free a dead worker's lock, for which jobs wait.
                        self.finder.join(PATIENCE_S + TICK_S)
                        return status
                    if status == TOLD_TO_END:  # SLURM tells all processes of a job
                        self.stopping = self.stopping or "told to end, as its worker was"
                        break
                    self._replace(f"its worker ended with status {status}")
                    if self.failures > MAX_RESTARTS:
                        logger.error("the worker ended %d times; no more is started", self.failures)
                        return 1
                self._beat()
                self._look()
        finally:
            self._end_child()
        self._give_back(self.stopping, counts=False)
        return 0

    def _is_over(self) -> bool:
        left = seconds_left(None)
        if left is not None and left < self.last_s and not self.stopping:
            self.stopping = f"told to end: {left:.0f} s are left of the wall time"
        return bool(self.stopping)

    def _start(self) -> None:
        """Start the worker."""
        reading, writing = os.pipe()
        plan = self.plan
        options = {"--kind": plan.kind, "--campaign": plan.campaign_id, "--jobs": plan.n_jobs}
        fworker = self.fworker.to_format("json")
        command = [
            sys.executable, "-m", "ionloop.engine.cluster.worker",
            *(f"{name}={value}" for name, value in options.items() if value is not None),
            f"--idle={plan.idle_s}", f"--fworker={fworker}", f"--pipe={writing}",
            f"--parent={os.getpid()}",
        ]  # fmt: skip
        environment = os.environ | {RUN_MARK: self.mark}
        if "JOBFLOW_CONFIG_FILE" not in os.environ:
            environment["JOBFLOW_CONFIG_FILE"] = str(write_jobflow_config(self.settings))
        self.child = subprocess.Popen(
            command,
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            pass_fds=[writing],
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - at once, not after its imports
        )
        os.close(writing)
        self.pipe, self.current = reading, 0
        self.last_beat = _now()

    def _listen(self) -> None:
        """Wait a little for what the worker tells: its launch's number, or 0 when it has ended."""
        ready, _, _ = select.select([self.pipe], [], [], TICK_S)
        said = os.read(self.pipe, 4096) if ready else b""
        if ready and not said:  # it has closed its end
            time.sleep(0.05)
        for number in said.split():
            self.current = int(number)
            self.last_beat = _now()  # the worker has just reached the database
            if self.current == 0:
                self.failures = 0
                self._count_job()

    def _count_job(self) -> None:
        if self.plan.n_jobs is not None:
            self.plan = replace(self.plan, n_jobs=max(0, self.plan.n_jobs - 1))

    def _beat(self) -> None:
        """Say that the launch's worker lives; end it where the launch isn't its own any more."""
        if self.current == 0:
            return
        silent_s = _now() - self.last_beat
        if silent_s > self.lease_s:
            self._replace(f"it hasn't reached the database for {silent_s:.0f} s")
        elif silent_s > self.beat_s:
            self._try(self._beat_once)

    def _beat_once(self) -> None:
        if beat(self.lp, self.current):
            self.last_beat = _now()
            return
        self._listen()  # it may have ended a moment ago
        if self.current and is_given_away(self.lp, self.current):
            self._replace("its job was given to another worker")
        else:  # the worker ends it, and waits for the workflow's lock
            self.last_beat = _now()

    def _look(self) -> None:
        """Look for jobs of lost workers, in a thread: it may wait for locks."""
        due = _now() - self.last_look > self.look_s
        if (due or not self.last_look) and not self.finder.is_alive():
            self.last_look = _now()
            self.finder = Thread(target=self._find, name="finder", daemon=True)
            self.finder.start()

    def _find(self) -> None:
        try:
            return_lost(self.lp, self.plan.campaign_id)
        except DATABASE_ERRORS as error:
            logger.warning("no look for lost jobs: %s", type(error).__name__)
        except Exception:  # what is wrong with other jobs must not end ours
            logger.exception("the look for lost jobs failed")

    def _replace(self, why: str) -> None:
        """End the worker, give its job back, and start another one."""
        logger.warning("%s: %s; it is replaced", self.fworker.name, why)
        self._end_child()
        self.failures += 1
        self._give_back(why, counts=True)
        if self.failures <= MAX_RESTARTS:
            self._start()

    def _end_child(self) -> None:
        """End the worker and all that it started; it may end a change of the database first."""
        if self.child is None:
            return
        self.child.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(GRACE_S)
        with suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
        kill_marked(self.mark)
        os.close(self.pipe)
        self.child, self.current = None, 0

    def _give_back(self, why: str, *, counts: bool) -> None:
        """Give back what the worker ran; where the database is away others will."""
        name = self.fworker.name
        self._try(lambda: return_own(self.lp, name, os.getpid(), why, counts=counts))

    def _try(self, change: Callable[[], object]) -> None:
        """Change the database; what fails while it is away is tried again, or others do it."""
        try:
            change()
        except DATABASE_ERRORS as error:
            logger.warning("the database doesn't answer: %s", type(error).__name__)


def _now() -> float:
    """Return a clock that goes on while the machine or the process sleeps, s."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def work(plan: Plan, settings: Settings, folder: Path | None = None) -> int:
    """Run a worker until it has nothing to do or no time; return the exit status.

    Parameters
    ----------
    plan
        What it runs.
    settings
        The database, and when a silent worker counts as gone.
    folder
        Where jobs' folders are made; None: the working folder.
    """
    note_end_time()
    guard = Guard(plan, settings, folder or Path.cwd())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, guard.stop)
    logger.info("guard of %s: %s", guard.fworker.name, json.dumps(guard.fworker.env["versions"]))
    return guard.run()
