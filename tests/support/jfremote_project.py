"""jobflow-remote on this machine: the template's project, with shells in place of SLURM.

``python -m jfremote_project SECONDS`` runs the runner until nothing is left to run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).resolve().parents[2] / "workflows" / "jobflow_remote" / "ionloop.yaml"
JF = Path(sys.executable).parent / "jf"


def filled_template(folder: Path, max_jobs: int = 2, delay_s: float = 0.2) -> dict[str, Any]:
    """Return the template's project with local workers and short delays."""
    project = yaml.safe_load(TEMPLATE.read_text())
    names = ("delay_checkout", "delay_check_run_status", "delay_advance_status")
    project["runner"] = dict.fromkeys(names, delay_s)
    for name in project["workers"]:
        project["workers"][name] = {
            "type": "local",
            "scheduler_type": "shell",
            "work_dir": str(folder / "work" / name),
            "execution_cmd": f"{JF} -fe execution run {{}}",
            "max_jobs": max_jobs,
        }
    return project


def write_project(folder: Path, project: dict[str, Any] | None = None) -> dict[str, str]:
    """Write a project file; return the environment variables that lead there, and only there."""
    projects = folder / "jfremote"
    projects.mkdir(parents=True, exist_ok=True)
    (projects / "ionloop.yaml").write_text(yaml.safe_dump(project or filled_template(folder)))
    return {
        "JFREMOTE_PROJECTS_FOLDER": str(projects),
        "JFREMOTE_CONFIG_FILE": str(projects / "none.yaml"),
        "JFREMOTE_PROJECT": "ionloop",
    }


def run_runner(max_seconds: int) -> None:
    """Run the runner in a process of its own until nothing is left to run."""
    command = [sys.executable, "-m", "jfremote_project", str(max_seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"the runner ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        raise RuntimeError(msg)


if __name__ == "__main__":
    from jobflow_remote.jobs.runner import Runner

    Runner().run_all_jobs(max_seconds=int(sys.argv[1]))
