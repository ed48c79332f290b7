"""Launch a campaign on FireWorks: build it, look at it, submit it.

Run it from the repository, where ``ionloop db start`` has run or IONLOOP_DB_URI names a
server:

    python workflows/launch.py        # submits, and runs nothing
    ionloop resume                    # runs it on this machine

or, instead of the second, on any machine that reaches the database:

    ionloop work                      # a worker, with a heartbeat; --kind dft, gpu or light

which is also what batch jobs run that ``qlaunch`` submits (``make_cluster.py``,
``docs/howto/cluster.md``), or FireWorks' own ``rlaunch``, as this script prints. Workers find
the store in the file that JOBFLOW_CONFIG_FILE names, and ``rlaunch`` the launch pad in the
file after ``-l``. Both hold the database's password, so only you may read them; it never goes
into the fireworks. Which worker each job needs is written in ``ionloop.routing``.
"""

import runpy
import warnings
from pathlib import Path

from jobflow.managers.fireworks import flow_to_workflow

from ionloop.cli import run_command
from ionloop.engine.launchpad import launchpad
from ionloop.store.connection import database, write_jobflow_config
from ionloop.store.indexes import create_indexes

FLOWS = Path(__file__).parent.parent / "flows"


def launch() -> None:
    """Submit the quickstart."""
    # 1. Where to run it. With `ionloop db start` that is the local mongod.
    create_indexes(database())
    lpad = launchpad()

    # 2. What to run.
    build = runpy.run_path(str(FLOWS / "quickstart.py"))["build"]
    flow = build(teacher="buckingham", random_seed=0)

    # 3. Its name: every job carries it, and so do the jobs that they add.
    campaign_id = flow.jobs[0].metadata["campaign_id"]
    flow.update_metadata({"campaign_id": campaign_id}, dynamic=True)

    # 4. Submit. Seeds don't wait for each other, which FireWorks would warn of.
    warnings.filterwarnings("ignore", "Some jobs are not connected")
    workflow = flow_to_workflow(flow, metadata={"campaign_id": campaign_id})
    lpad.add_wf(workflow)

    # 5. What workers need to know.
    config = write_jobflow_config()
    pad = config.with_name("my_launchpad.yaml")
    pad.touch(mode=0o600)
    lpad.to_file(str(pad))
    print(f"submitted {campaign_id}: {len(workflow)} jobs so far")
    print("run it here with: ionloop resume")
    print("or with workers anywhere: ionloop work --kind dft, gpu or light")
    print(f"or anywhere with: JOBFLOW_CONFIG_FILE={config} rlaunch -l {pad} rapidfire")


if __name__ == "__main__":
    run_command(launch)
