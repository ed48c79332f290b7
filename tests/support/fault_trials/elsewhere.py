"""A worker that isn't the launcher's: CAMPAIGN FOLDER PARENT."""

from __future__ import annotations

import sys
from pathlib import Path

from fireworks import FWorker

from ionloop.engine.launchpad import campaign_query, launchpad
from ionloop.engine.worker import Worker
from ionloop.processes import die_with_parent
from ionloop.store.connection import write_jobflow_config

if __name__ == "__main__":
    import jobflow

    from ionloop.store.connection import job_store

    campaign_id, folder, _ = sys.argv[1:]
    die_with_parent()
    write_jobflow_config()
    jobflow.SETTINGS.JOB_STORE = job_store()
    worker = Worker(launchpad(), campaign_id, Path(folder))
    worker.fworker = FWorker(name="light-elsewhere-1", query=campaign_query(campaign_id))
    worker.run()
