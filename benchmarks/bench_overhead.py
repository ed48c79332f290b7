"""Overhead a job of FireWorks and mongod, with empty jobs.

    python benchmarks/bench_overhead.py [--jobs 60 300] [--workers 1 2]

Prints a table: independent empty jobs and a chain of them, from the first job's end to the
last one's, so that starting the workers isn't counted. The last quarter against the mean,
and long runs against short ones, show whether a long campaign gets slower a job.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import uuid
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from jobflow import Flow, Job

from ionloop.engine import run_local, submit
from ionloop.store.connection import database
from ionloop.testing import environment, throwaway_mongod

#: Where the tests keep a job that does nothing; workers import it from there too.
JOBS = Path(__file__).resolve().parents[1] / "tests" / "support"


def build(n_jobs: int, *, chain: bool) -> Flow:
    """Make a flow of empty jobs, one after another or all at once."""
    from engine_jobs import empty

    jobs: list[Job] = []
    for _ in range(n_jobs):
        jobs.append(empty(jobs[-1].output) if chain and jobs else empty())
    return Flow(jobs, name="empty jobs")


def measure(n_jobs: int, workers: int, *, chain: bool) -> tuple[float, float]:
    """Return seconds a job over the run, and over its last quarter."""
    campaign_id = f"bench-{uuid.uuid4().hex[:8]}"
    submit(build(n_jobs, chain=chain), campaign_id)
    final = run_local(campaign_id, workers)
    if final.state != "finished":
        msg = f"expected a finished run, got {final}"
        raise RuntimeError(msg)
    db = database()
    ended = sorted(
        datetime.fromisoformat(doc["completed_at"])
        for doc in db.outputs.find({"metadata.campaign_id": campaign_id}, {"completed_at": 1})
    )
    gaps = [(b - a).total_seconds() for a, b in pairwise(ended)]
    quarter = gaps[-len(gaps) // 4 :]
    return sum(gaps) / len(gaps), sum(quarter) / len(quarter)


def main() -> None:
    """Run all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[60])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    args = parser.parse_args()
    sys.path.insert(0, str(JOBS))
    os.environ["PYTHONPATH"] = str(JOBS)
    print("case         jobs workers  ms/job  ms/job in the last quarter")
    with throwaway_mongod() as uri, tempfile.TemporaryDirectory() as home:
        variables = {"IONLOOP_HOME": home, "IONLOOP_DB_URI": uri, "OMP_NUM_THREADS": "1"}
        with environment(variables):
            for n_jobs in args.jobs:
                for workers in args.workers:
                    for chain in (False, True):
                        mean, late = measure(n_jobs, workers, chain=chain)
                        name = "chain" if chain else "independent"
                        print(
                            f"{name:12} {n_jobs:4} {workers:7} {mean * 1e3:7.0f} {late * 1e3:7.0f}"
                        )


if __name__ == "__main__":
    main()
