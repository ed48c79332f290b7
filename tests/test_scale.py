"""The benchmark of long campaigns, in small: nothing but what training reads grows."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def bench(out: Path, generations: int, frames_per_job: int) -> dict[str, Any]:
    command = [
        sys.executable, ROOT / "benchmarks" / "bench_scale.py", "--generations", str(generations),
        "--labels", "10", "--frames-per-job", str(frames_per_job), "--out", out,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((out / "scale.json").read_text())


def grown(early: list[dict[str, Any]], late: list[dict[str, Any]], name: str) -> float:
    first, last = (statistics.median(row[name] for row in part) for part in (early, late))
    return last / first


def test_documents_do_not_grow_with_generations(tmp_path):
    """What can be told without a clock: sizes and numbers of what FireWorks reads and writes."""
    found = bench(tmp_path, 8, 5)
    table = found["generations"]
    jobs = max(row["jobs"] for row in table)
    assert max(row["nodes"] for row in table) <= 3 * jobs < found["jobs"] / 2
    assert grown(table[2:4], table[-3:-1], "spec_kb") < 1.1
    assert grown(table[2:4], table[-3:-1], "launch_kb") < 1.3  # the judge's history
    assert found["report_peak_mb"] < 1000


@pytest.mark.slow
def test_a_generation_costs_the_same_at_the_end_as_at_the_beginning(tmp_path):
    table = bench(tmp_path, 16, 1)["generations"]
    assert (tmp_path / "scale.png").stat().st_size > 5000
    early, late = table[2:6], table[-4:]
    assert grown(early, late, "worker_cpu_s") < 1.3
    assert grown(early, late, "worker_mb") < 1.15
    assert grown(early, late, "spec_kb") < 1.1
