"""The benchmark of long campaigns, in small: nothing but what training reads grows."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_generation_costs_the_same_at_the_end_as_at_the_beginning(tmp_path):
    command = [
        sys.executable, ROOT / "benchmarks" / "bench_scale.py", "--generations", "16",
        "--labels", "10", "--frames-per-job", "1", "--out", tmp_path,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "scale.png").stat().st_size > 5000
    found = json.loads((tmp_path / "scale.json").read_text())
    table = found["generations"]
    jobs = max(row["jobs"] for row in table)
    assert max(row["nodes"] for row in table) <= 3 * jobs
    early, late = table[2:6], table[-4:]

    def grown(name: str) -> float:
        first, last = (statistics.median(row[name] for row in part) for part in (early, late))
        return last / first

    assert grown("worker_cpu_s") < 1.3
    assert grown("worker_mb") < 1.15
    assert grown("spec_kb") < 1.1
