"""A worker that isn't the launcher's: CAMPAIGN FOLDER. It says that it is ready, and waits."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import engine_jobs  # noqa: F401
import jobflow
from fireworks import FWorker

from ionloop.engine.launchpad import campaign_query, launchpad
from ionloop.engine.worker import Worker
from ionloop.processes import die_with_parent
from ionloop.settings import get_settings
from ionloop.store.connection import job_store

if __name__ == "__main__":
    campaign_id, folder = sys.argv[1:]
    die_with_parent()
    jobflow.SETTINGS.JOB_STORE = job_store()
    worker = Worker(launchpad(), campaign_id, Path(folder))
    worker.fworker = FWorker(name="light-elsewhere-1", query=campaign_query(campaign_id))
    home = get_settings().home_dir
    (home / "ready").touch()
    while not (home / "go").exists():
        time.sleep(0.01)
    worker.run()
