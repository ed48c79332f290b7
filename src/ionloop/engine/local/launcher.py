"""Run a campaign on this machine: a few worker processes, watched until the end."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fireworks import LaunchPad

from ionloop.engine.cluster.lost import return_lost
from ionloop.engine.control.hold import held, release
from ionloop.engine.disk import DISK_FULL, require_room
from ionloop.engine.launchpad import is_active, launchpad, workflow_of
from ionloop.engine.local.lease import Lease, hold_lease
from ionloop.engine.local.recover import Recovery, free_dead_lock, recover
from ionloop.errors import EngineError
from ionloop.paths import inside
from ionloop.processes import RUN_MARK, kill_marked
from ionloop.settings import Settings, get_settings
from ionloop.store.connection import write_jobflow_config
from ionloop.store.outage import log_outages, repeated, said_plainly
from ionloop.store.queries import status
from ionloop.store.schema import CampaignStatus

logger = logging.getLogger(__name__)

#: Seconds between two looks at the workers.
WATCH_S = 0.1
#: Seconds between two counts of the jobs.
STATUS_S = 0.5
#: Seconds between two looks for jobs of lost workers elsewhere.
LOOK_S = 60.0
#: What workers get to end by themselves when nothing is left to run, s.
LAST_S = 5.0
#: How often a job's workers may die before the run gives up.
MAX_RESTARTS = 3
#: What jobs of a cancelled campaign get to end by themselves, s.
GRACE_S = 5.0

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
    *,
    take_over: bool = False,
) -> CampaignStatus:
    """Repair a campaign that was killed or failed, then run it; see :mod:`.recover`.

    Finished jobs don't run again, failed ones do. Parameters and errors are
    :func:`run_local`'s; with ``take_over`` a launcher on another machine counts as gone.
    """
    settings = settings or get_settings()
    return _drive(campaign_id, workers, watch, settings, rerun_failed=True, take_over=take_over)


def prepare(campaign_id: str, settings: Settings | None = None) -> CampaignStatus:
    """Repair a campaign as :func:`resume` does, and leave running it to others' workers."""
    settings = settings or get_settings()
    lp = launchpad(settings)
    workflow_of(lp, campaign_id)
    folder = inside(settings.home_dir / "runs", campaign_id, "campaign id")
    folder.mkdir(parents=True, exist_ok=True)
    with hold_lease(lp, campaign_id, folder, settings):
        _take_up(lp, campaign_id, settings)
        _put_in_order(lp, campaign_id, settings, rerun_failed=True)
    return status(campaign_id, lp.db)


def _drive(
    campaign_id: str,
    workers: int | None,
    watch: Watcher | None,
    settings: Settings,
    *,
    rerun_failed: bool,
    take_over: bool = False,
) -> CampaignStatus:
    log_outages()
    lp = launchpad(settings)
    workflow_of(lp, campaign_id)
    folder = inside(settings.home_dir / "runs", campaign_id, "campaign id")
    folder.mkdir(parents=True, exist_ok=True)
    with (
        said_plainly(f"ionloop resume {campaign_id}", settings),
        hold_lease(lp, campaign_id, folder, settings, take_over=take_over) as lease,
    ):
        crew = Crew(campaign_id, workers or settings.workers, folder, settings)
        crew.kill()  # what a killed run left behind
        if rerun_failed:
            _take_up(lp, campaign_id, settings)
        _put_in_order(lp, campaign_id, settings, rerun_failed=rerun_failed)
        try:
            _keep_running(lp, crew, lease, watch)
        finally:
            crew.kill()
        final = status(campaign_id, lp.db)
    if watch:
        watch(final)
    return final


def _take_up(lp: LaunchPad, campaign_id: str, settings: Settings) -> None:
    """Let a campaign go on that was paused or cancelled, and give back what lost workers had."""
    if held(lp, campaign_id):
        _put_in_order(lp, campaign_id, settings, rerun_failed=False)  # frees a dead worker's lock
        release(lp, campaign_id)
    repeated(lambda: free_dead_lock(lp, campaign_id), settings)
    return_lost(lp, campaign_id)


def _keep_running(lp: LaunchPad, crew: Crew, lease: Lease, watch: Watcher | None) -> None:
    """Replace dead workers, report, and return when the campaign has nothing left to run."""
    deaths: Counter[int | None] = Counter()
    next_status, next_look = 0.0, time.monotonic() + LOOK_S
    while is_active(lp, crew.campaign_id) or _still_ending(lp, crew):
        lease.check()
        if not crew.processes:
            require_room(crew.folder, crew.campaign_id, crew.settings)
            crew.start()
        if crew.without_room():
            crew.stop(math.inf, lease)
            _say_full(crew)
        elif crew.dead():
            crew.kill()
            logger.warning("a worker died; its job is run again")
            report = _put_in_order(lp, crew.campaign_id, crew.settings, rerun_failed=False)
            _count(deaths, report.rerun, crew)
        elif crew.all_ended():
            crew.kill()
        if watch and time.monotonic() >= next_status:
            watch(status(crew.campaign_id, lp.db))
            next_status = time.monotonic() + STATUS_S
        if time.monotonic() >= next_look:  # a cluster's workers may share the campaign
            return_lost(lp, crew.campaign_id)
            next_look = time.monotonic() + LOOK_S
        time.sleep(WATCH_S)
    crew.stop(LAST_S)  # a job that found no room says so by its worker's status
    if crew.without_room():
        _say_full(crew)


def _put_in_order(
    lp: LaunchPad, campaign_id: str, settings: Settings, *, rerun_failed: bool
) -> Recovery:
    """Recover a campaign; all of it may be done twice, and is where the database was away."""
    return repeated(lambda: recover(lp, campaign_id, rerun_failed=rerun_failed), settings)


def _count(deaths: Counter[int | None], running: list[int], crew: Crew) -> None:
    """Count the deaths of workers by the jobs that ran then; None where none did.

    Raises
    ------
    EngineError
        If they come too often for the same job: it would kill the next ones too.
    """
    deaths.update(running)
    deaths[None] = 0 if running else deaths[None] + 1
    worst, times = max(deaths.items(), key=lambda item: item[1])
    if times > MAX_RESTARTS:
        when = "at their start" if worst is None else f"while job {worst} ran"
        msg = f"workers died {times} times {when}; read {crew.folder}/worker-*.log"
        raise EngineError(msg)


def _say_full(crew: Crew) -> None:
    """Say that there is no room for jobs, or that there was none.

    Raises
    ------
    EngineError
        In any case.
    """
    require_room(crew.folder, crew.campaign_id, crew.settings)
    msg = (
        f"a job found the disk of {crew.folder} full, though it has room now; look what else "
        f"writes there, then `ionloop resume {crew.campaign_id}`"
    )
    raise EngineError(msg)


def _still_ending(lp: LaunchPad, crew: Crew) -> bool:
    """Whether workers of a paused campaign end their jobs; of a cancelled one they get a moment."""
    if crew.all_ended():
        return False
    found = held(lp, crew.campaign_id)
    if found and found.state == "cancelled":
        crew.stop(GRACE_S)
        return False
    return found is not None


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
        fine = (None, 0, DISK_FULL)
        return [process for process in self.processes if process.poll() not in fine]

    def without_room(self) -> bool:
        """Whether a worker ended since its disk is full."""
        return any(process.poll() == DISK_FULL for process in self.processes)

    def all_ended(self) -> bool:
        """Whether no worker runs."""
        return all(process.poll() is not None for process in self.processes)

    def stop(self, patience_s: float, lease: Lease | None = None) -> None:
        """Ask the workers to end after the jobs that they run, and give them some time."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        end = time.monotonic() + patience_s
        while not self.all_ended() and time.monotonic() < end:
            if lease is not None:
                lease.check()
            time.sleep(WATCH_S)

    def kill(self) -> None:
        """Kill the workers and all that they started, also those of an earlier run."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes = []
        kill_marked(self.mark)
