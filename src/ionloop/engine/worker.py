"""A local worker: runs one campaign's ready jobs, one after another, in a warm process.

FireWorks' own ``rapidfire`` sleeps for seconds between looks at the database, and ends
while another worker's job may still make work; hence this loop around its ``Rocket``.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from fireworks import FWorker, LaunchPad
from fireworks.core import launchpad as fireworks_launchpad
from fireworks.core import rocket as fireworks_rocket
from fireworks.core.rocket import Rocket

from ionloop.cores import job_cores
from ionloop.engine.compact import Compactor
from ionloop.engine.control.hold import hold_additions
from ionloop.engine.disk import DISK_FULL, failed_for_room, lack_of_room
from ionloop.engine.launchpad import LOCAL_WORKER, campaign_query, is_active, launchpad
from ionloop.processes import die_with_parent
from ionloop.settings import get_settings
from ionloop.store.connection import hide_password
from ionloop.store.outage import log_outages

logger = logging.getLogger(__name__)

#: Seconds between two looks for a ready job.
POLL_S = 0.1
#: The same, while another worker changes the workflow; that takes some ten ms.
LOCK_POLL_S = 0.01
#: Seconds between two signs of life of a job.
PING_S = 60


class Worker:
    """Runs jobs of one campaign until nothing of it can run any more."""

    def __init__(self, lp: LaunchPad, campaign_id: str, folder: Path) -> None:
        self.lp = lp
        self.campaign_id = campaign_id
        self.folder = folder
        self.query = campaign_query(campaign_id)
        self.settings = get_settings()
        cores = job_cores("", self.settings, alone=False)
        self.fworker = FWorker(name=LOCAL_WORKER, query=self.query, env={"cores": cores})
        self.stopping = False
        #: Whether this worker found no room on its disk.
        self.full = False
        self.compactor = Compactor(lp)

    def stop(self, *_: object) -> None:
        """End after the job that runs now."""
        self.stopping = True

    def run(self) -> int:
        """Run until the campaign has no job that runs or can run; return the jobs run."""
        n_run = 0
        while not self.stopping:
            if self._has_ready():
                if self._is_locked():
                    time.sleep(LOCK_POLL_S)
                elif lack := lack_of_room(self.folder, self.settings, probe=n_run == 0):
                    logger.error("%s", lack)
                    self.full = True
                    break
                else:
                    n_run += self._run_one()
                    hold_additions(self.lp, self.campaign_id)
                    self.compactor.after_job(self.campaign_id)
            elif self._awaits_more():
                time.sleep(POLL_S)
            else:
                break
        return n_run

    def _awaits_more(self) -> bool:
        """Whether jobs may become ready."""
        return is_active(self.lp, self.campaign_id)

    def _has_ready(self) -> bool:
        return self.lp.fireworks.find_one({"state": "READY", **self.query}, {"_id": 1}) is not None

    def _is_locked(self) -> bool:
        """Whether another worker is changing the workflow: a checkout would wait 0.1 s for it."""
        query = {"metadata.campaign_id": self.campaign_id, "locked": {"$exists": True}}
        return self.lp.workflows.find_one(query, {"_id": 1}) is not None

    def _run_one(self) -> bool:
        """Run a ready job in a new folder, or in its old one where it is recovered."""
        here = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=self.folder))
        os.chdir(here)
        try:
            ran = bool(Rocket(self.lp, self.fworker, None).run())
            if failed_for_room(self.lp, list(self.lp.backup_launch_data)):
                self.full = self.stopping = True
            return ran
        finally:
            os.chdir(self.folder)
            if here.exists() and not any(here.iterdir()):
                here.rmdir()
            # FireWorks keeps a copy of each launch for ever.
            self.lp.backup_launch_data.clear()
            self.lp.backup_fw_data.clear()


def main() -> int:
    """Entry point of ``python -m ionloop.engine.worker``, which the engine starts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("campaign_id")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    args = parser.parse_args()
    die_with_parent()
    if os.getppid() != args.parent:  # the parent ended before the line above
        return 1
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # First made, first run: Makers put their longest jobs first. FireWorks reads this from
    # its own configuration file, once, at import.
    fireworks_launchpad.SORT_FWS = "FIFO"
    # So that what a killed job had spent is known to a minute.
    fireworks_rocket.PING_TIME_SECS = PING_S
    hide_password()
    log_outages()
    os.environ.setdefault("IONLOOP_WORK_DIR", str(args.folder))
    worker = Worker(launchpad(), args.campaign_id, args.folder)
    signal.signal(signal.SIGTERM, worker.stop)
    logger.info("worker %d starts", os.getpid())
    try:
        n_run = worker.run()
    except BaseException:
        # FireWorks' thread that pings would keep a process whose main thread has died, for an
        # hour; and a full disk takes no log either.
        logger.exception("worker %d dies", os.getpid())
        os._exit(1)
    logger.info("worker %d ends after %d jobs", os.getpid(), n_run)
    return DISK_FULL if worker.full else 0


if __name__ == "__main__":
    sys.exit(main())
