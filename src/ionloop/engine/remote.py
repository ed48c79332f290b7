"""Submit a campaign through jobflow-remote, whose runner then takes FireWorks' place.

The project file is made from ``workflows/jobflow_remote/ionloop.yaml``. Its stores are
ionloop's own database, and its workers are named as the kinds that jobs ask for: for each
job, also for one that another adds or is replaced by, jobflow-remote takes the worker that
the job's ``manager_config`` names, and only where there is none that of the submission, or
of the job that adds it.
"""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jobflow import Flow, Job
from jobflow.core.flow import get_flow

from ionloop.engine.flows import check_campaign_id
from ionloop.errors import EngineError
from ionloop.routing import WorkerKind
from ionloop.settings import Settings, get_settings
from ionloop.store.connection import database
from ionloop.store.indexes import create_indexes
from ionloop.store.queries import is_campaign

if TYPE_CHECKING:
    from jobflow_remote.config.base import Project

TEMPLATE = "workflows/jobflow_remote/ionloop.yaml"
_STORES = "ionloop.store.jfremote"
#: What the project file says of stores; with other ones outputs would lie where nobody looks,
#: and jobs wouldn't find what earlier generations stored.
STORES: dict[str, Any] = {
    "queue.store": {"@module": _STORES, "@class": "Queue"},
    "jobstore": {
        "@module": "jobflow.core.store",
        "@class": "JobStore",
        "docs_store": {"@module": _STORES, "@class": "Outputs"},
        "additional_stores": {"data": {"@module": _STORES, "@class": "Blobs"}},
    },
    "remote_jobstore": {
        "store": {"@module": "ionloop.store.handover", "@class": "Handover"},
        "extension": "json",
    },
}


def submit_remote(
    flow: Flow | Job,
    campaign_id: str,
    project: str | None = None,
    settings: Settings | None = None,
) -> int:
    """Add a flow to jobflow-remote's queue as one campaign; return its number of jobs.

    Parameters
    ----------
    flow
        The flow, each of whose jobs names its kind of worker (:mod:`ionloop.routing`).
    campaign_id
        Name of the campaign.
    project
        jobflow-remote's project; None takes JFREMOTE_PROJECT's, or the only one.

    Raises
    ------
    EngineError
        If jobflow-remote isn't installed, the project isn't what the template says, the
        id can't name a folder, or there is a campaign of this name.
    """
    settings = settings or get_settings()
    jobflow_remote = _jobflow_remote()
    check_campaign_id(campaign_id)
    found = _project(jobflow_remote, project)
    db = database(settings)
    if is_campaign(campaign_id, db):
        msg = f"campaign {campaign_id} exists; `ionloop status {campaign_id}` shows how far it is"
        raise EngineError(msg)
    _initialise(found)
    create_indexes(db)  # jobflow-remote drops all indexes, of outputs too, when it makes a queue
    whole = get_flow(flow)
    whole.update_metadata({"campaign_id": campaign_id}, dynamic=True)
    whole.metadata["campaign_id"] = campaign_id
    with warnings.catch_warnings():  # seeds don't wait for each other
        warnings.filterwarnings("ignore", "Some jobs are not connected")
        ids = jobflow_remote.submit_flow(whole, worker=WorkerKind.LIGHT.value, project=found.name)
    return len(ids)


def _jobflow_remote() -> ModuleType:
    try:
        import jobflow_remote
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "jobflow_remote":
            raise
        msg = 'expected jobflow-remote, got none; pip install "ionloop[run,remote]"'
        raise EngineError(msg) from error
    return jobflow_remote


def _project(jobflow_remote: ModuleType, name: str | None) -> Project:
    """Read the project and hold it to the template."""
    from jobflow_remote.config.base import ConfigError

    manager = jobflow_remote.ConfigManager()
    try:
        project = manager.get_project(name)
    except ConfigError as error:
        msg = (
            f"no usable project of jobflow-remote in {manager.projects_folder}: {error}; "
            f"copy {TEMPLATE} there and fill it in; `jf -p ionloop project check` shows errors"
        )
        raise EngineError(msg) from error
    check_project(project)
    return project


def check_project(project: Project) -> None:
    """Make sure that a project keeps its data in ionloop's database and knows all workers.

    Raises
    ------
    EngineError
        If not. The message repeats nothing of the project's stores: they may hold a password.
    """
    have = {
        "queue.store": project.queue.store,
        "jobstore": project.jobstore,
        "remote_jobstore": project.remote_jobstore,
    }
    wrong = [key for key, value in STORES.items() if have[key] != value]
    if wrong:
        msg = (
            f"project {project.name}: expected the template's {' and '.join(wrong)}, got others; "
            f"copy them from {TEMPLATE}"
        )
        raise EngineError(msg)
    missing = sorted({kind.value for kind in WorkerKind} - set(project.workers))
    if missing:
        msg = (
            f"project {project.name}: expected workers named {', '.join(WorkerKind)}, got no "
            f"{', '.join(missing)}; add it as in {TEMPLATE}"
        )
        raise EngineError(msg)


def _initialise(project: Project) -> None:
    """Make a new queue, as ``jf admin reset`` does; leave one that exists alone."""
    controller = project.get_job_controller()
    try:
        if controller.auxiliary.find_one({"next_id": {"$exists": True}}) is None:
            controller.reset(max_limit=1)
    finally:
        controller.close()
