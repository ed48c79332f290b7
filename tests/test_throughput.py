"""The benchmark of throughput, in small: a cluster's workers run all jobs and are timed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "bench_throughput.py"


def test_workers_of_a_cluster_are_timed():
    command = [sys.executable, SCRIPT, "--systems", "ionloop work", "--rounds", "1"]
    command += ["--jobs", "6", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(done.stdout)
    assert [(row["case"], row["workers"]) for row in rows] == [("chain", 1), ("independent", 2)]
    assert all(0 < row["ms_a_job"] < 5000 for row in rows)
