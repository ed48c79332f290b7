"""A cluster's worker: runs ready jobs of its kind, of any campaign, in a warm process.

It is the child of a guard, :mod:`.guard`, which looks after it; one tells the other through a
pipe which launch runs. It ends by itself when nothing was ready for long enough, or its wall
time is near.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jobflow
from fireworks import FWorker
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.core import rocket as fireworks_rocket

from ionloop.engine.cluster.identity import ready_query
from ionloop.engine.cluster.owned import OwnedLaunchPad, own_store, owned_launchpad
from ionloop.engine.disk import DISK_FULL
from ionloop.engine.launchpad import launchpad
from ionloop.engine.worker import Worker
from ionloop.processes import die_with_parent
from ionloop.reference.runs import RESERVE_S, seconds_left
from ionloop.routing import WorkerKind
from ionloop.settings import get_settings
from ionloop.store.connection import hide_password
from ionloop.store.outage import log_outages

logger = logging.getLogger(__name__)

#: Most seconds between two looks for a ready job; an idle worker looks ever less often.
POLL_MAX_S = 2.0
#: No job is begun in the last part of a wall time, if that is shorter than calculations' reserve.
_LAST_PART = 0.1


@dataclass(frozen=True)
class Plan:
    """What a worker runs, and until when.

    Parameters
    ----------
    kind
        Kind of jobs; None: all.
    campaign_id
        The one campaign; None: any.
    n_jobs
        Jobs at most; None: no limit.
    idle_s
        It ends when nothing was ready for so long, s.
    """

    kind: WorkerKind | None = None
    campaign_id: str | None = None
    n_jobs: int | None = None
    idle_s: float = 300.0


class ClusterWorker(Worker):
    """Runs jobs as its plan says."""

    lp: OwnedLaunchPad

    def __init__(self, lp: OwnedLaunchPad, plan: Plan, fworker: FWorker, folder: Path) -> None:
        super().__init__(lp, plan.campaign_id or "", folder)
        self.plan = plan
        self.fworker = fworker
        self.query = ready_query(plan.kind, plan.campaign_id)
        self.n_run = 0
        self.last_job = time.monotonic()
        self.reserve_s = self._reserve_s()

    def _reserve_s(self) -> float:
        """Return how long before its end the worker begins no job, s."""
        left = seconds_left(None)
        return 0.0 if left is None else min(RESERVE_S, _LAST_PART * left)

    def _is_over(self) -> bool:
        left = seconds_left(None)
        if left is not None and left < self.reserve_s:
            logger.info("no job is begun any more: %.0f s are left of the wall time", left)
            return True
        return self.plan.n_jobs is not None and self.n_run >= self.plan.n_jobs

    def _has_ready(self) -> bool:
        """Look for a ready job; its campaign is the one that is run from now on."""
        if self._is_over():
            return False
        fields = {"spec.campaign_id": 1}
        found = self.lp.fireworks.find_one({"state": "READY", **self.query}, fields)
        if found is not None:
            self.campaign_id = found["spec"]["campaign_id"]
        return found is not None

    def _awaits_more(self) -> bool:
        """Whether to look again; waits a little, the longer the longer nothing was ready."""
        idle_s = time.monotonic() - self.last_job
        if self._is_over() or idle_s >= self.plan.idle_s:
            return False
        time.sleep(min(POLL_MAX_S, 0.1 * idle_s, self.plan.idle_s - idle_s))
        return True

    def _run_one(self) -> bool:
        ran = super()._run_one()
        self.campaign_id = self.lp.campaign_id or self.campaign_id
        self.lp.current = None
        self.lp.on_launch(0)
        self.n_run += ran
        self.last_job = time.monotonic()
        return ran


def talk() -> None:
    """Write down what happens, on standard error; FireWorks' loggers would say far more."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", force=True)
    logging.getLogger().setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.INFO)


def read_arguments() -> argparse.Namespace:
    """Read what the guard says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", type=WorkerKind)
    parser.add_argument("--campaign")
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--idle", type=float, required=True)
    parser.add_argument("--fworker", required=True, help="the FWorker, as JSON")
    parser.add_argument("--pipe", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    return parser.parse_args()


def main() -> int:
    """Entry point of ``python -m ionloop.engine.cluster.worker``, which the guard starts."""
    args = read_arguments()
    die_with_parent()
    if os.getppid() != args.parent:  # the guard ended before the line above
        return 1
    talk()
    # FireWorks reads both from its own configuration file, once, at import.
    fireworks_launchpad.SORT_FWS = "FIFO"
    fireworks_rocket.PING_TIME_SECS = min(60, get_settings().lost_after_s / 10)
    hide_password()
    log_outages()
    os.environ.setdefault("IONLOOP_WORK_DIR", str(Path.cwd()))
    lp = owned_launchpad(launchpad())
    signal.signal(signal.SIGTERM, lp.end_process)

    def tell(launch_id: int) -> None:
        os.write(args.pipe, f"{launch_id}\n".encode())

    lp.on_launch = tell
    jobflow.SETTINGS.JOB_STORE = own_store(jobflow.SETTINGS.JOB_STORE, lp)
    plan = Plan(args.kind, args.campaign, args.jobs, args.idle)
    fworker: Any = FWorker.from_format(args.fworker, "json")
    worker = ClusterWorker(lp, plan, fworker, Path.cwd())
    logger.info("%s begins", fworker.name)
    logger.info("%s ends after %d jobs", fworker.name, worker.run())
    return DISK_FULL if worker.full else 0


if __name__ == "__main__":
    sys.exit(main())
