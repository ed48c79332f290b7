"""Jobs that write down all they can see, as a program with a debugging switch would."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import engine_jobs
from jobflow import CURRENT_JOB, Flow, JobConfig, job


@job
def tell(n_labels: int) -> dict:
    """Write the environment, the command lines of all processes and the store, here and there."""
    seen = {
        "environment": dict(os.environ),
        "inherited": subprocess.check_output(["env"], text=True),
        "processes": subprocess.check_output(["ps", "-eo", "args"], text=True),
        "store": [repr(CURRENT_JOB.store), str(CURRENT_JOB.store.docs_store)],
        "job": CURRENT_JOB.job.as_dict(),
        "labels": n_labels,
    }
    Path("seen.json").write_text(json.dumps(seen, default=str))
    return json.loads(Path("seen.json").read_text())


@job
def fail_at_the_database(_: object) -> None:
    """Fail where the database refuses: jobflow's store is in the traceback's frames."""
    store = CURRENT_JOB.store
    store.docs_store._collection.database.client.admin.command("shutdown")


def build(ledger: str, flag: str, campaign: str = "c") -> Flow:
    """Two generations, beside them a job that tells, one that fails and one that is refused."""
    flow = engine_jobs.generation_flow(0, 1, 2, ledger, 0.0)
    telling, refused = tell(2), fail_at_the_database(1)
    for one in (telling, refused):
        one.config = JobConfig(expose_store=True)
    flow = Flow([flow, telling, refused, engine_jobs.fails_once(flag)], name="telling")
    flow.update_metadata({"campaign_id": campaign})
    return flow
