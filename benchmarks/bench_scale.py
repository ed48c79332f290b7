"""Time, documents and memory of a long campaign, generation by generation.

    python benchmarks/bench_scale.py [--generations 20] [--labels 50] [--frames-per-job 5]
    python benchmarks/bench_scale.py --generations 100 --labels 100 --frames-per-job 1
    python benchmarks/bench_scale.py --database 1000 10000 100000

Labels, judge and engine are real; training and exploration are stand-ins that read what the
real ones read (tests/support/scale_campaign.py). Two workers run the campaign on a throw-away
mongod. Prints a table and, with ``--out``, writes JSON and a picture.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ionloop.engine import run_local, submit
from ionloop.store.connection import database
from ionloop.store.queries import status
from ionloop.testing import environment, throwaway_mongod

#: Where the campaign and its stand-ins are; workers import them from there too.
SUPPORT = Path(__file__).resolve().parents[1] / "tests" / "support"
CAMPAIGN = "scale"
#: Seconds between two looks at processes and documents.
SAMPLE_S = 1.0


def look_at(pid: int) -> tuple[str, dict[str, float]] | None:
    """Return a process of ours: its kind, memory now and at most, MB, and CPU time, s."""
    folder = Path(f"/proc/{pid}")
    try:
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        ticks = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
    except (FileNotFoundError, ProcessLookupError):
        return None
    kinds = {"ionloop.engine.worker": "worker", "mongod": "mongod"}
    kind = next((name for mark, name in kinds.items() if mark in command), None)
    if kind is None or "VmRSS" not in fields:
        return None
    return kind, {
        "mb": int(fields["VmRSS"].split()[0]) / 1e3,
        "peak_mb": int(fields["VmHWM"].split()[0]) / 1e3,
        "cpu_s": sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"),
    }


def children() -> list[int]:
    """Return the processes that this one started."""
    me = os.getpid()
    found: list[int] = []
    for task in Path(f"/proc/{me}/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


class Sampler(threading.Thread):
    """Looks at memory and at the workflow document while the campaign runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended = threading.Event()
        self.rows: list[dict[str, Any]] = []

    def run(self) -> None:
        """Sample until told to end."""
        db = database()
        while not self.ended.wait(SAMPLE_S):
            self.rows.append(self.look(db))

    @staticmethod
    def look(db: Any) -> dict[str, Any]:  # noqa: ANN401
        """Take one sample."""
        size = {"$project": {"bytes": {"$bsonSize": "$$ROOT"}, "nodes": {"$size": "$nodes"}}}
        live = {"metadata.campaign_id": CAMPAIGN, "metadata.archived": {"$exists": False}}
        workflow = next(db.workflows.aggregate([{"$match": live}, size]), {})
        row: dict[str, Any] = {
            "at": time.time(),
            "wf_bytes": workflow.get("bytes", 0),
            "nodes": workflow.get("nodes", 0),
        }
        for pid in children():
            found = look_at(pid)
            if found:
                kind, seen = found
                row[f"{kind}_mb"] = max(row.get(f"{kind}_mb", 0.0), seen["mb"])
                row[f"{kind}_peak"] = max(row.get(f"{kind}_peak", 0.0), seen["peak_mb"])
                row[f"{kind}_cpu"] = row.get(f"{kind}_cpu", 0.0) + seen["cpu_s"]
        return row


def by_generation(rows: list[dict[str, Any]], workers: int) -> list[dict[str, Any]]:
    """Sum up launches and samples, generation by generation."""
    db = database()
    launches = launches_by_generation(db)
    table, begin = [], None
    for generation, runs in sorted(launches.items()):
        end = max(run["end"] for run in runs)
        begin = begin or min(run["start"] for run in runs)
        wall = end - begin
        busy = sum(run["end"] - run["start"] for run in runs)
        seen = [row for row in rows if begin <= row["at"] < end]
        table.append({
            "generation": generation,
            "wall_s": wall,
            "jobs": len(runs),
            "overhead_ms": 1e3 * (workers * wall - busy) / len(runs),
            "job_ms": 1e3 * busy / len(runs),
            "stages_s": stage_times(runs),
            "spec_kb": max(run["spec"] for run in runs) / 1e3,
            "launch_kb": max(run["launch"] for run in runs) / 1e3,
            "wf_kb": max((row["wf_bytes"] for row in seen), default=0) / 1e3,
            "nodes": max((row["nodes"] for row in seen), default=0),
            "worker_mb": max((row.get("worker_mb", 0.0) for row in seen), default=0.0),
            "mongod_mb": max((row.get("mongod_mb", 0.0) for row in seen), default=0.0),
            "worker_cpu_s": cpu_between(rows, "worker_cpu", begin, end),
            "mongod_cpu_s": cpu_between(rows, "mongod_cpu", begin, end),
        })  # fmt: skip
        begin = end
    return table


def cpu_between(rows: list[dict[str, Any]], name: str, begin: float, end: float) -> float:
    """Return the CPU time that processes took between two moments: it knows no other users."""
    known = [(row["at"], row[name]) for row in rows if name in row]
    if not known:
        return 0.0
    first, last = (np.interp(t, *zip(*known, strict=True)) for t in (begin, end))
    return float(last - first)


def stage_times(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Add up the jobs' own times by stage, s."""
    times: dict[str, float] = defaultdict(float)
    for run in runs:
        times[run["stage"]] += run["end"] - run["start"]
    return dict(times)


def launches_by_generation(db: Any) -> dict[int, list[dict[str, Any]]]:  # noqa: ANN401
    """Return when each job ran, and how large its documents are."""
    fields = {"fw_id": 1, "spec.generation": 1, "spec.stage": 1, "size": {"$bsonSize": "$$ROOT"}}
    fireworks = {fw["fw_id"]: fw for fw in db.fireworks.aggregate([{"$project": fields}])}
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    wanted = {"fw_id": 1, "time_start": 1, "time_end": 1, "size": {"$bsonSize": "$$ROOT"}}
    ended = {"$match": {"time_end": {"$ne": None}}}
    for launch in db.launches.aggregate([ended, {"$project": wanted}]):
        fw = fireworks[launch["fw_id"]]
        found[fw["spec"]["generation"]].append({
            "stage": fw["spec"]["stage"],
            "start": seconds(launch["time_start"]),
            "end": seconds(launch["time_end"]),
            "spec": fw["size"],
            "launch": launch["size"],
        })  # fmt: skip
    return found


def seconds(when: str | datetime) -> float:
    """Turn FireWorks' UTC, which may not say so, into seconds since the epoch."""
    at = datetime.fromisoformat(when) if isinstance(when, str) else when
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run the campaign; return the table and what was asked."""
    import scale_campaign

    flow = scale_campaign.build(
        CAMPAIGN, args.generations, args.labels, args.frames_per_job, args.model_bytes
    )
    submit(flow, CAMPAIGN)
    sampler = Sampler()
    sampler.start()
    begin = time.perf_counter()
    final = run_local(CAMPAIGN, args.workers)
    wall = time.perf_counter() - begin
    sampler.ended.set()
    sampler.join()
    if final.state != "finished" or final.n_labels != args.generations * args.labels:
        msg = f"expected a finished campaign with all its labels, got {final}"
        raise RuntimeError(msg)
    begin = time.perf_counter()
    status(CAMPAIGN)
    status_s = time.perf_counter() - begin
    launcher_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    report_s, report_mb = report()
    return {
        "asked": {k: v for k, v in vars(args).items() if k != "out"},
        "wall_s": wall,
        "jobs": sum(final.jobs.values()),
        "status_ms": 1e3 * status_s,
        "launcher_peak_mb": launcher_mb,
        "report_s": report_s,
        "report_peak_mb": report_mb,
        "worker_peak_mb": max(row.get("worker_peak", 0.0) for row in sampler.rows),
        "mongod_peak_mb": max(row.get("mongod_peak", 0.0) for row in sampler.rows),
        "generations": by_generation(sampler.rows, args.workers),
    }


def report() -> tuple[float, float]:
    """Write the campaign's report by the command; return its time, s, and most memory, MB."""
    begin = time.perf_counter()
    page = Path(os.environ["IONLOOP_HOME"]) / "report.html"
    command = [sys.executable, "-m", "ionloop.cli", "report", CAMPAIGN, "--out", str(page)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, ended, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(ended)
    if process.returncode or page.stat().st_size < 10_000:
        msg = f"expected a report, got exit status {process.returncode}"
        raise RuntimeError(msg)
    return time.perf_counter() - begin, used.ru_maxrss / 1e3


COLUMNS = (
    "generation", "wall_s", "worker_cpu_s", "mongod_cpu_s", "jobs", "overhead_ms", "job_ms",
    "wf_kb", "nodes", "spec_kb", "launch_kb", "worker_mb", "mongod_mb",
)  # fmt: skip


def show(found: dict[str, Any]) -> None:
    """Print ten generations, and what grew from the first quarter to the last."""
    table = found["generations"]
    print(" ".join(f"{name:>12}" for name in COLUMNS))
    step = max(len(table) // 10, 1)
    for row in table[::step]:
        print(" ".join(f"{row[name]:12.1f}" for name in COLUMNS))
    quarter = max(len(table) // 4, 1)
    early, late = table[1 : 1 + quarter], table[-quarter:]
    for name in ("wall_s", "worker_cpu_s", "mongod_cpu_s", "overhead_ms", "job_ms"):
        first, last = (statistics.median(row[name] for row in part) for part in (early, late))
        print(
            f"{name}: {first:.1f} in the first quarter, {last:.1f} in the last ({last / first:.2f})"
        )
    stages = sorted(table[-1]["stages_s"])
    for stage in stages:
        first, last = (
            statistics.median(row["stages_s"].get(stage, 0.0) for row in part)
            for part in (early, late)
        )
        print(f"  {stage}: {first:.2f} s -> {last:.2f} s")
    print({k: v for k, v in found.items() if k != "generations"})


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", type=int, default=20)
    parser.add_argument("--labels", type=int, default=50, help="a generation")
    parser.add_argument("--frames-per-job", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model-bytes", type=int, default=1_000_000)
    parser.add_argument(
        "--database", type=int, nargs="+", metavar="LABELS", help="time queries instead"
    )
    parser.add_argument("--out", type=Path, help="folder for scale.json and scale.png")
    args = parser.parse_args()
    sys.path.insert(0, str(SUPPORT))
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    with throwaway_mongod() as uri, tempfile.TemporaryDirectory(prefix="bench-scale-") as home:
        variables = {"IONLOOP_HOME": home, "IONLOOP_DB_URI": uri, "OMP_NUM_THREADS": "1"}
        with environment(variables):
            if args.database:
                from scale_database import measure_queries, show_queries

                found, name = measure_queries(args.database), "queries"
                show_queries(found)
            else:
                found, name = measure(args), "scale"
                show(found)
                if args.out:
                    from scale_picture import draw

                    args.out.mkdir(parents=True, exist_ok=True)
                    draw(found, args.out / "scale.png")
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / f"{name}.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
