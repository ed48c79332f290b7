"""Run a campaign on this machine: a few worker processes, watched until the end."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fireworks import LaunchPad

from ionloop.engine.launchpad import is_active, launchpad, workflow_of
from ionloop.engine.lost import return_lost
from ionloop.engine.recover import recover
from ionloop.errors import EngineError
from ionloop.processes import RUN_MARK, kill_marked
from ionloop.settings import Settings, get_settings
from ionloop.store.connection import write_jobflow_config
from ionloop.store.queries import status
from ionloop.store.schema import CampaignStatus

logger = logging.getLogger(__name__)

#: Seconds between two looks at the workers.
WATCH_S = 0.1
#: Seconds between two counts of the jobs.
STATUS_S = 0.5
#: How often dead workers are replaced before the run gives up.
MAX_RESTARTS = 3

Watcher = Callable[[CampaignStatus], None]


def run_local(
    campaign_id: str,
    workers: int | None = None,
    watch: Watcher | None = None,
    settings: Settings | None = None,
) -> CampaignStatus:
    """Run a submitted campaign with worker processes of this machine until nothing is left.

    Parameters
    ----------
    campaign_id
        The campaign.
    workers
        Worker processes, one thread each; None takes the settings'.
    watch
        Called about twice a second with the state of the campaign.

    Raises
    ------
    EngineError
        If another process runs this campaign, or workers keep dying.
    """
    return _drive(campaign_id, workers, watch, settings or get_settings(), rerun_failed=False)


def resume(
    campaign_id: str,
    workers: int | None = None,
    watch: Watcher | None = None,
    settings: Settings | None = None,
) -> CampaignStatus:
    """Repair a campaign that was killed or failed, then run it; see :mod:`.recover`.

    Finished jobs don't run again, failed ones do. Parameters and errors are
    :func:`run_local`'s.
    """
    return _drive(campaign_id, workers, watch, settings or get_settings(), rerun_failed=True)


def prepare(campaign_id: str, settings: Settings | None = None) -> CampaignStatus:
    """Repair a campaign as :func:`resume` does, and leave running it to others' workers."""
    settings = settings or get_settings()
    lp = launchpad(settings)
    workflow_of(lp, campaign_id)
    folder = settings.home_dir / "runs" / campaign_id
    folder.mkdir(parents=True, exist_ok=True)
    with _run_lock(folder / "lock", campaign_id):
        return_lost(lp, campaign_id)
        recover(lp, campaign_id, folder, rerun_failed=True)
    return status(campaign_id, lp.db)


def _drive(
    campaign_id: str,
    workers: int | None,
    watch: Watcher | None,
    settings: Settings,
    *,
    rerun_failed: bool,
) -> CampaignStatus:
    lp = launchpad(settings)
    workflow_of(lp, campaign_id)
    folder = settings.home_dir / "runs" / campaign_id
    folder.mkdir(parents=True, exist_ok=True)
    with _run_lock(folder / "lock", campaign_id):
        crew = Crew(campaign_id, workers or settings.workers, folder, settings)
        crew.kill()  # what a killed run left behind
        recover(lp, campaign_id, folder, rerun_failed=rerun_failed)
        try:
            _keep_running(lp, crew, watch)
        finally:
            crew.kill()
    final = status(campaign_id, lp.db)
    if watch:
        watch(final)
    return final


def _keep_running(lp: LaunchPad, crew: Crew, watch: Watcher | None) -> None:
    """Replace dead workers, report, and return when the campaign has nothing left to run."""
    restarts = 0
    next_status = 0.0
    while is_active(lp, crew.campaign_id):
        if not crew.processes:
            crew.start()
        if crew.dead():
            restarts += 1
            crew.kill()
            if restarts > MAX_RESTARTS:
                msg = f"workers died {restarts} times; read {crew.folder}/worker-*.log"
                raise EngineError(msg)
            logger.warning("a worker died; its job is run again")
            recover(lp, crew.campaign_id, crew.folder, rerun_failed=False)
        elif crew.all_ended():
            crew.kill()
        if watch and time.monotonic() >= next_status:
            watch(status(crew.campaign_id, lp.db))
            next_status = time.monotonic() + STATUS_S
        time.sleep(WATCH_S)


class Crew:
    """The worker processes of one run."""

    def __init__(self, campaign_id: str, size: int, folder: Path, settings: Settings) -> None:
        self.campaign_id = campaign_id
        self.size = size
        self.folder = folder
        self.settings = settings
        self.mark = f"{folder}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the workers, each in its own session so that Ctrl-C reaches only us."""
        environment = os.environ | {
            RUN_MARK: self.mark,
            "JOBFLOW_CONFIG_FILE": str(write_jobflow_config(self.settings)),
            "IONLOOP_HOME": str(self.settings.home_dir),
            "OMP_NUM_THREADS": "1",
        }
        command = [
            sys.executable, "-m", "ionloop.engine.worker", self.campaign_id,
            "--folder", str(self.folder), "--parent", str(os.getpid()),
        ]  # fmt: skip
        for number in range(self.size):
            with (self.folder / f"worker-{number}.log").open("ab") as log:
                self.processes.append(
                    subprocess.Popen(
                        command,
                        env=environment,
                        cwd=self.folder,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )

    def dead(self) -> list[subprocess.Popen[bytes]]:
        """Return the workers that ended in another way than by having nothing to do."""
        return [process for process in self.processes if process.poll() not in (None, 0)]

    def all_ended(self) -> bool:
        """Whether no worker runs."""
        return all(process.poll() is not None for process in self.processes)

    def kill(self) -> None:
        """Kill the workers and all that they started, also those of an earlier run."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes = []
        kill_marked(self.mark)


@contextmanager
def _run_lock(path: Path, campaign_id: str) -> Iterator[None]:
    """Let one process run a campaign; the kernel frees the lock when it dies."""
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"campaign {campaign_id} is run by another `ionloop`; wait for it or stop it"
            raise EngineError(msg) from error
        yield
