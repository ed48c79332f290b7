"""The curves of ``bench_scale.py`` as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw time, workflow document, memory and stages against generations."""
    table = found["generations"]
    x = [row["generation"] for row in table]
    figure, axes = plt.subplots(2, 2, figsize=(8, 5.5), sharex=True, layout="constrained")
    panels = [
        ("CPU time of a generation, s", [("workers", "worker_cpu_s"), ("mongod", "mongod_cpu_s")]),
        ("jobs in the workflow document", [("nodes", "nodes")]),
        ("memory, MB", [("largest worker", "worker_mb"), ("mongod", "mongod_mb")]),
    ]
    for axis, (title, lines) in zip(axes.flat, panels, strict=False):
        for name, key in lines:
            axis.plot(x, [row[key] for row in table], label=name)
        axis.set_title(title, fontsize="medium")
        axis.set_ylim(bottom=0)
        axis.legend(fontsize="small")
    stages = axes[1, 1]
    for stage in ("label", "train", "select", "judge", "advance"):
        stages.plot(x, [row["stages_s"].get(stage, 0.0) for row in table], label=stage)
    stages.set_title("wall time of the jobs by stage, s", fontsize="medium")
    stages.set_ylim(bottom=0)
    stages.legend(fontsize="small", ncols=2)
    for axis in axes[1]:
        axis.set_xlabel("generation")
    asked = found["asked"]
    figure.suptitle(
        f"{asked['labels']} labels a generation, {asked['frames_per_job']} a job, "
        f"{asked['workers']} workers, {found['jobs']} jobs",
        fontsize="medium",
    )
    figure.savefig(path, dpi=80)
