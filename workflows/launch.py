"""Launch a campaign on FireWorks: build it, look at it, submit it.

Run it from the repository:

    python workflows/launch.py            # submits
    ionloop resume                        # runs it on this machine
    rlaunch rapidfire                     # or on a cluster's node

Workers find the store in the file that JOBFLOW_CONFIG_FILE names; it never goes into
the fireworks, since each of them would carry the database's password.
"""

import runpy
from pathlib import Path

from fireworks import LaunchPad
from jobflow.managers.fireworks import flow_to_workflow

from ionloop.settings import get_settings
from ionloop.store.connection import database, database_uri, write_jobflow_config
from ionloop.store.indexes import create_indexes

flows = Path(__file__).parent.parent / "flows"

# 1. What to run.
flow = runpy.run_path(str(flows / "quickstart.py"))["build"](teacher="buckingham", random_seed=0)

# 2. Its name: every job carries it, and so do the jobs that they add.
first_job = flow.jobs[0]
campaign_id = first_job.metadata["campaign_id"]
flow.update_metadata({"campaign_id": campaign_id}, dynamic=True)

# 3. Where to run it. With `ionloop db start` that is the local mongod.
create_indexes(database())
lpad = LaunchPad(host=database_uri(), name=get_settings().db_name, uri_mode=True)
if lpad.fw_id_assigner.find_one() is None:
    lpad.reset("", require_password=False)

# 4. Submit.
workflow = flow_to_workflow(flow, metadata={"campaign_id": campaign_id})
lpad.add_wf(workflow)
print(f"submitted {campaign_id}; workers need JOBFLOW_CONFIG_FILE={write_jobflow_config()}")
