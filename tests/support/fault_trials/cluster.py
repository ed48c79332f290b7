"""A trial on a cluster: `ionloop work` twice, and somebody who starts it anew as qlaunch does."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from fault_trials import cluster_faults
from fault_trials.trial import HungError, Trial
from ionloop.engine.disk import DISK_FULL
from ionloop.engine.launchpad import is_active, launchpad

#: A worker that was silent for so long counts as gone, s.
LOST_AFTER_S = 6
#: A worker ends when nothing was ready for so long, s.
IDLE_S = 3
#: Seconds between two starts of a worker, and between two looks at the campaign.
START_S, STATUS_S = 1.0, 0.1
#: How a guard may end: its worker had nothing to do, it was killed, its disk was full.
ENDS = {0, -signal.SIGKILL, DISK_FULL}
#: A trial that needs more workers than this isn't driven on.
MAX_WORKERS = 40


class ClusterTrial(Trial):
    """A campaign, its clusters' workers, and what is done to them."""

    # A job that a dead worker had chosen, and not begun, is made ready after 600 s.
    hangs_s = 720.0
    copies = True

    def _prepare(self, stack: ExitStack) -> None:
        super()._prepare(stack)
        self.env["IONLOOP_LOST_AFTER_S"] = str(LOST_AFTER_S)
        self.env.pop("SLURM_JOB_ID", None)
        self.work = self.home / "runs" / self.campaign
        self.work.mkdir(parents=True)
        #: Those that run, or have just ended.
        self.guards: list[int] = []
        self.started: list[int] = []
        #: Whether nobody starts workers, since the disk is full.
        self.full = False
        self._finished = False
        self._next_start = self._next_look = 0.0

    def fault(self, kind: str) -> Callable[[Trial], bool]:
        return getattr(cluster_faults, kind, None) or super().fault(kind)

    def _clean(self) -> None:
        for guard in self.started:
            if self.zygote.status(guard) is None:
                cluster_faults.kill(guard)
        super()._clean()

    # ------------------------------------------------------------ workers

    def resume(self) -> None:
        """Start the first workers; :meth:`tend` starts all others."""
        self.lp = launchpad()
        self.guards = [self._work() for _ in range(self.plan.workers)]

    def _work(self) -> int:
        if len(self.started) == MAX_WORKERS:
            msg = f"not finished after {MAX_WORKERS} workers; {self.last_words()}"
            raise HungError(msg)
        self._next_start = time.monotonic() + START_S
        args = ["work", "--idle", str(IDLE_S)]
        self.started.append(self.zygote.start(args, self.env, self.log, self.work))
        self.outcome.resumes = len(self.started) - self.plan.workers
        return self.started[-1]

    def tend(self) -> None:
        """Start a worker where one has ended, until the campaign has; none on a full disk."""
        if self.full:
            return
        for i, guard in enumerate(self.guards):
            ended = self.zygote.status(guard)
            if ended is None or time.monotonic() < self._next_start or self.status() == 0:
                continue
            if ended not in ENDS:
                note = f"guard {guard} ended with {ended}: {self.last_words()}"
                self.outcome.notes.append(note)
            self.guards[i] = self._work()

    def double(self) -> None:
        """Start as many workers as there are; they too are started anew where they end."""
        self.guards += [self._work() for _ in self.guards]

    def alive(self) -> list[int]:
        """Return the guards that run."""
        return [guard for guard in self.guards if self.zygote.status(guard) is None]

    def status(self) -> int | None:
        """Return 0 if the campaign has ended; None while it goes on: nobody launches it."""
        if not self._finished and time.monotonic() > self._next_look:
            self._finished = not is_active(self.lp, self.campaign)
            self._next_look = time.monotonic() + STATUS_S
        return 0 if self._finished else None

    def look_again(self) -> None:
        """Take the campaign for one that goes on: failed jobs run again."""
        self._finished = False

    def wait_for_end(self) -> bool:
        """Wait until the campaign has ended, and then for the workers, which have nothing to do."""
        self.wait(lambda: self.status() is not None)
        self.wait(lambda: all(self.zygote.status(guard) is not None for guard in self.guards))
        ends = [self.zygote.status(guard) for guard in self.guards]
        assert set(ends) <= ENDS, f"workers ended with {ends}: {self.last_words()}"
        return True

    def progress(self) -> object:
        done = {"state": {"$in": ["COMPLETED", "FIZZLED", "ARCHIVED"]}}
        ends = [self.zygote.status(guard) for guard in self.guards]
        if self.status() == 0:
            return ends
        return (self.size(self.ledger), self.lp.launches.count_documents(done))

    # ------------------------------------------------------------ what there is

    def warm(self) -> list[int]:
        """Return the guards that have a worker."""
        return [guard for guard in self.guards if self.worker(guard) is not None]

    def busy(self) -> list[int]:
        """Return the guards whose worker runs a job."""
        running = {"state": "RUNNING", "fworker.env.pid": {"$in": self.warm()}}
        return self.lp.launches.distinct("fworker.env.pid", running)

    def worker(self, guard: int) -> int | None:
        """Return the worker of a guard, if there is one."""
        if self.zygote.status(guard) is not None:
            return None
        for pid in self.children(guard):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"ionloop.engine.cluster.worker" in command:
                return pid
        return None

    @staticmethod
    def children(pid: int) -> list[int]:
        try:
            lines = [f.read_text() for f in Path(f"/proc/{pid}/task").glob("*/children")]
        except (FileNotFoundError, ProcessLookupError):
            return []
        return [int(child) for line in lines for child in line.split()]

    def said(self, what: str) -> int:
        """Count what workers and guards have said."""
        return len(re.findall(what, self.log.read_text())) if self.log.exists() else 0

    def orphans(self) -> list[int]:
        left = [guard for guard in self.started if self.zygote.status(guard) is None]
        return [*left, *super().orphans()]

    def marks(self) -> list[str]:
        return [f"any-{socket.gethostname()}-{guard} {guard}" for guard in self.started]
