"""Launch a campaign through jobflow-remote: build it, look at it, submit it.

    pip install "ionloop[run,remote]"
    cp workflows/jobflow_remote/ionloop.yaml ~/.jfremote/    # and fill it in
    jf -p ionloop project check --errors                     # are all workers there?
    python workflows/launch_remote.py                        # submits, and runs nothing
    jf -p ionloop runner start                               # runs it, on the project's workers
    ionloop status

Runner and workers find the database by IONLOOP_DB_URI; it stands in none of the project's,
the jobs' or the runner's files.
"""

import runpy
from pathlib import Path

from ionloop.cli import run_command
from ionloop.engine import campaign_id_of
from ionloop.engine.remote import submit_remote

FLOWS = Path(__file__).parent.parent / "flows"


def launch() -> None:
    """Submit the quickstart."""
    # 1. What to run. Its jobs name the workers: dft, gpu or light.
    build = runpy.run_path(str(FLOWS / "quickstart.py"))["build"]
    flow = build(teacher="buckingham", random_seed=0)

    # 2. Submit.
    campaign_id = campaign_id_of(flow)
    n_jobs = submit_remote(flow, campaign_id, project="ionloop")
    print(f"submitted {campaign_id}: {n_jobs} jobs so far")
    print("run it with: jf -p ionloop runner start")


if __name__ == "__main__":
    run_command(launch)
