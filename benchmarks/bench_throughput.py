"""Overhead a job, and jobs a second: ionloop's two workers, bare FireWorks and jobflow-remote.

    python benchmarks/bench_throughput.py > throughput.json

The jobs are jobflow's and do nothing, on one throw-away mongod, each run in a new database.
Rounds take every case in turn; the table gives medians over the rounds and their range, and
JSON follows on standard output. Counted are the jobs that end after each worker has ended its
first, so that no process's start counts; ms a job is the time between two ends.

- ionloop: ``ionloop resume``, as on a laptop.
- ionloop work: as many ``ionloop work`` as workers, each with its guard, as on a cluster; the
  jobs are submitted when all of them wait.
- FireWorks: its own indexes, and as many ``rlaunch rapidfire`` as workers, with its defaults;
  one that finds nothing ready while others run sleeps for 60 s, which a chain doesn't show.
- jobflow-remote: its runner with local shell workers, at most so many jobs at once. It looks
  each ``--remote-delay`` seconds, where its default is 30; each job is a new process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from empty_jobs import empty
from fireworks import LaunchPad
from jobflow import Flow, Job
from jobflow.managers.fireworks import flow_to_workflow
from rich.console import Console
from rich.table import Table

from ionloop.engine import run_local, submit
from ionloop.engine.remote import submit_remote
from ionloop.settings import get_settings
from ionloop.store.connection import database, database_uri, write_jobflow_config
from ionloop.testing import environment, throwaway_mongod

#: Where workers find a job that does nothing, and where the tests keep jobflow-remote's project.
HERE = Path(__file__).resolve().parent
SUPPORT = HERE.parent / "tests" / "support"
RLAUNCH = Path(sys.executable).parent / "rlaunch"
#: A run that takes longer than this hangs, s.
PATIENCE_S = 600


@dataclass(frozen=True)
class Case:
    """So many empty jobs, by so many workers, all at once or each after the one before."""

    system: str
    jobs: int
    workers: int
    chain: bool

    @property
    def kind(self) -> str:
        """Name for people."""
        return "chain" if self.chain else "independent"


def build(case: Case) -> Flow:
    """Make the flow."""
    jobs: list[Job] = []
    for _ in range(case.jobs):
        jobs.append(empty(jobs[-1].output) if case.chain and jobs else empty())
    return Flow(jobs, name="empty jobs")


def run_ionloop(case: Case, folder: Path, _: float) -> None:
    """Run by ionloop's own workers."""
    submit(build(case), folder.name)
    run_local(folder.name, case.workers)


def run_ionloop_work(case: Case, folder: Path, _: float) -> None:
    """Run by processes of ``ionloop work``."""
    command = [sys.executable, "-m", "ionloop.cli", "work", f"--campaign={folder.name}"]
    with processes(command, case, folder, {}) as started:
        logs = [folder / f"worker-{number}" / "log" for number in range(case.workers)]
        wait(lambda: all(" begins" in log.read_text() for log in logs), started)
        submit(build(case), folder.name)
        wait(all_ended(case), started)


def run_fireworks(case: Case, folder: Path, _: float) -> None:
    """Run by processes of ``rlaunch rapidfire``."""
    settings = get_settings()
    lp = LaunchPad(
        host=database_uri(settings), name=settings.db_name, uri_mode=True, strm_lvl="ERROR"
    )
    lp.reset("", require_password=False)
    with warnings.catch_warnings():  # FireWorks needs no order among unconnected jobs
        warnings.filterwarnings("ignore", "Some jobs are not connected")
        lp.add_wf(flow_to_workflow(build(case), metadata={"campaign_id": folder.name}))
    lp.to_file(str(folder / "my_launchpad.yaml"))
    command = [str(RLAUNCH), "-s", "-l", str(folder / "my_launchpad.yaml"), "rapidfire"]
    variables = {"JOBFLOW_CONFIG_FILE": str(write_jobflow_config(settings))}
    with processes(command, case, folder, variables) as started:
        wait(all_ended(case), started)


@contextmanager
def processes(
    command: Sequence[str], case: Case, folder: Path, variables: Mapping[str, str]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run a command once a worker, each in a folder of its own, where its log is too."""
    started = []
    try:
        for number in range(case.workers):
            here = folder / f"worker-{number}"
            here.mkdir()
            with (here / "log").open("wb") as log:
                env = os.environ | variables
                started.append(subprocess.Popen(command, cwd=here, env=env, stdout=log, stderr=log))
        yield started
    finally:
        for process in started:  # one that sleeps would do so for a minute
            process.kill()
            process.wait()


def wait(is_over: Callable[[], bool], started: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until it is so, for too long, or no process is left that could bring it about."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and any(p.poll() is None for p in started) and not is_over():
        time.sleep(0.1)


def all_ended(case: Case) -> Callable[[], bool]:
    """Return what tells whether all jobs have ended."""
    fireworks = database().fireworks
    return lambda: fireworks.count_documents({"state": "COMPLETED"}) >= case.jobs


def run_jobflow_remote(case: Case, folder: Path, delay_s: float) -> None:
    """Run by jobflow-remote's runner."""
    import jfremote_project
    import jobflow_remote

    project = jfremote_project.filled_template(folder, max_jobs=case.workers, delay_s=delay_s)
    with environment(jfremote_project.write_project(folder, project)):
        jobflow_remote.SETTINGS = jobflow_remote.JobflowRemoteSettings()
        submit_remote(build(case), folder.name)
        jfremote_project.run_runner(PATIENCE_S)


RUNS: dict[str, Callable[[Case, Path, float], None]] = {
    "ionloop": run_ionloop,
    "ionloop work": run_ionloop_work,
    "FireWorks": run_fireworks,
    "jobflow-remote": run_jobflow_remote,
}


def measure(case: Case, home: Path, delay_s: float) -> tuple[float, float]:
    """Return seconds a job over the run, and over its last quarter.

    Raises
    ------
    RuntimeError
        If not all jobs ended well.
    """
    folder = home / f"bench-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    with environment({"IONLOOP_DB_NAME": folder.name, "IONLOOP_HOME": str(folder)}):
        RUNS[case.system](case, folder, delay_s)
        db = database()
        found = db.outputs.find({}, {"completed_at": 1})
        ended = sorted(datetime.fromisoformat(doc["completed_at"]) for doc in found)
        db.client.drop_database(folder.name)
    if len(ended) != case.jobs:
        msg = f"{case}: expected all jobs to end, got {len(ended)}; read {folder}"
        raise RuntimeError(msg)
    return _seconds_a_job(ended[case.workers - 1 :]), _seconds_a_job(ended[-len(ended) // 4 - 1 :])


def _seconds_a_job(ended: list[datetime]) -> float:
    return (ended[-1] - ended[0]).total_seconds() / (len(ended) - 1)


def cases(args: argparse.Namespace) -> list[Case]:
    """List what is measured; a chain has no use for a second worker."""
    found = []
    for system in args.systems:
        for workers, chain in [(1, True), *((n, False) for n in args.workers)]:
            n_jobs = args.jobs
            if system == "jobflow-remote":  # seconds each
                n_jobs = max(3, args.remote_jobs * workers)
            found.append(Case(system, n_jobs, workers, chain))
    return found


def summary(case: Case, runs: list[tuple[float, float]]) -> dict[str, object]:
    """Put the rounds of a case together."""
    ms = [1e3 * mean for mean, _ in runs]
    rates = [1 / mean for mean, _ in runs]
    return {
        "system": case.system,
        "case": case.kind,
        "jobs": case.jobs,
        "workers": case.workers,
        "rounds": len(runs),
        "ms_a_job": statistics.median(ms),
        "ms_a_job_range": [min(ms), max(ms)],
        "jobs_a_second": statistics.median(rates),
        "jobs_a_second_range": [min(rates), max(rates)],
        "ms_a_job_last_quarter": statistics.median(1e3 * late for _, late in runs),
    }


def table(rows: list[dict[str, object]]) -> Table:
    """Make the table."""
    made = Table(title="empty jobs: median (range over the rounds)", title_justify="left")
    for name in ("system", "case", "jobs", "workers", "ms/job", "jobs/s", "ms/job, last quarter"):
        made.add_column(name, justify="left" if name in {"system", "case"} else "right")
    for row in rows:
        ms, rate = row["ms_a_job_range"], row["jobs_a_second_range"]
        made.add_row(
            str(row["system"]),
            str(row["case"]),
            str(row["jobs"]),
            str(row["workers"]),
            f"{row['ms_a_job']:.0f} ({ms[0]:.0f}-{ms[1]:.0f})",
            f"{row['jobs_a_second']:.2f} ({rate[0]:.2f}-{rate[1]:.2f})",
            f"{row['ms_a_job_last_quarter']:.0f}",
        )
    return made


@contextmanager
def prepared() -> Iterator[Path]:
    """Run a mongod, and yield a folder for all that is written."""
    sys.path.insert(0, str(SUPPORT))
    path = os.pathsep.join(filter(None, [str(HERE), str(SUPPORT), os.environ.get("PYTHONPATH")]))
    with throwaway_mongod() as uri, tempfile.TemporaryDirectory() as home:
        variables = {"IONLOOP_DB_URI": uri, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        with environment(variables):
            yield Path(home)


def main() -> None:
    """Run all cases in rounds and print what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=40, help="of ionloop and FireWorks")
    parser.add_argument("--remote-jobs", type=int, default=2, help="of jobflow-remote, a worker")
    parser.add_argument("--remote-delay", type=float, default=0.2, help="of jobflow-remote, s")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--systems", nargs="+", choices=list(RUNS), default=list(RUNS))
    args = parser.parse_args()
    err = Console(stderr=True, width=110)
    runs: dict[Case, list[tuple[float, float]]] = {case: [] for case in cases(args)}
    with prepared() as home:
        for number in range(args.rounds):
            for case, done in runs.items():
                done.append(measure(case, home, args.remote_delay))
                err.print(f"round {number + 1}: {case}: {1e3 * done[-1][0]:.0f} ms a job")
    rows = [summary(case, done) for case, done in runs.items()]
    err.print(table(rows))
    sys.stdout.write(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
