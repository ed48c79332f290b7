"""Load a flow from a Python file, and hand it to FireWorks."""

from __future__ import annotations

import importlib.util
import inspect
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from jobflow import Flow, Job
from jobflow.managers.fireworks import flow_to_workflow

from ionloop.campaign.maker import CampaignMaker
from ionloop.campaign.schema import Material
from ionloop.engine.launchpad import campaign_query, launchpad
from ionloop.errors import EngineError, IonloopError
from ionloop.settings import Settings, get_settings
from ionloop.store.connection import database
from ionloop.store.indexes import create_indexes
from ionloop.store.remote_progress import is_remote

_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def load_flow(path_or_name: str | Path, **params: Any) -> Flow | Job:  # noqa: ANN401
    """Build the flow of a Python file that has ``build(**params) -> Flow``.

    Parameters
    ----------
    path_or_name
        A file, or the name of one in the folder ``flows``.
    **params
        What ``build`` is called with.

    Raises
    ------
    EngineError
        If there is no such file, it can't be imported, has no ``build``, takes other
        parameters, or builds no flow.
    """
    path = _find_flow(Path(path_or_name))
    build = getattr(_load_module(path), "build", None)
    if not callable(build):
        msg = f"{path}: expected a function build(...) -> Flow, got none; add one"
        raise EngineError(msg)
    signature = inspect.signature(build)
    try:
        signature.bind(**params)
    except TypeError as error:
        msg = f"{path}: build{signature} refuses the parameters: {error}; mend --set"
        raise EngineError(msg) from error
    flow = build(**params)
    if not isinstance(flow, Flow | Job):
        msg = f"{path}: expected build() to return a Flow, got {type(flow).__name__}"
        raise EngineError(msg)
    return flow


def _find_flow(path: Path) -> Path:
    named = [Path("flows") / f"{path}.py"] if path.suffix != ".py" else []
    for candidate in [path, *named]:
        if candidate.is_file():
            return candidate
    msg = f"no flow {path}; expected a Python file, or the name of one in the folder flows/"
    raise EngineError(msg)


def _load_module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ionloop_flow_{path.stem}", path)
    if spec is None or spec.loader is None:
        msg = f"{path}: expected a Python file (.py)"
        raise EngineError(msg)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except IonloopError:
        raise
    except Exception as error:
        msg = f"{path}: can't be imported: {type(error).__name__}: {error}"
        raise EngineError(msg) from error
    return module


def parse_parameters(pairs: Sequence[str]) -> dict[str, Any]:
    """Turn ``key=value`` strings into parameters; values are read as YAML.

    >>> parse_parameters(["random_seed=3", "teacher=chgnet", "temperatures=[600, 900]"])
    {'random_seed': 3, 'teacher': 'chgnet', 'temperatures': [600, 900]}

    Raises
    ------
    EngineError
        If a string has no ``=`` or its value is no YAML.
    """
    params = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if not found or not key.isidentifier():
            msg = f"--set: expected key=value, got {pair!r}"
            raise EngineError(msg)
        try:
            params[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            msg = f"--set {key}: expected a number, word or YAML value, got {value!r}"
            raise EngineError(msg) from error
    return params


def campaign_id_of(flow: Flow | Job) -> str:
    """Return the campaign id that the first job of a flow carries.

    Raises
    ------
    EngineError
        If it carries none.
    """
    first = flow
    while isinstance(first, Flow) and first.jobs:
        first = first.jobs[0]
    if not isinstance(first, Job):
        msg = f"{flow.name}: expected a flow with jobs, got an empty one"
        raise EngineError(msg)
    campaign_id = first.metadata.get("campaign_id")
    if not campaign_id:
        msg = (
            f"{flow.name}: its first job has no metadata['campaign_id']; "
            "build the flow with a CampaignMaker, or call flow.update_metadata"
        )
        raise EngineError(msg)
    return str(campaign_id)


def check_campaign_id(campaign_id: str) -> None:
    """Make sure that an id can name a folder.

    Raises
    ------
    EngineError
        If it can't.
    """
    if not _SAFE_ID.fullmatch(campaign_id):
        msg = f"campaign id: expected letters, digits, '.', '_' and '-', got {campaign_id!r}"
        raise EngineError(msg)


def submit(flow: Flow | Job, campaign_id: str, settings: Settings | None = None) -> int:
    """Add a flow to FireWorks' database as one campaign; return its number of jobs.

    The store isn't passed: it would put the database's password into each firework.

    Raises
    ------
    EngineError
        If the id can't name a folder, or there is a campaign of this name.
    """
    settings = settings or get_settings()
    check_campaign_id(campaign_id)
    create_indexes(database(settings))
    lp = launchpad(settings)
    here = lp.workflows.find_one({"metadata.campaign_id": campaign_id}, {"_id": 1})
    if here or is_remote(campaign_id, lp.db):
        msg = f"campaign {campaign_id} exists; go on with `ionloop resume {campaign_id}`"
        raise EngineError(msg)
    # What a submission that was killed half-way left: FireWorks adds the workflow last.
    lp.fireworks.delete_many(campaign_query(campaign_id))
    flow.update_metadata({"campaign_id": campaign_id}, dynamic=True)
    with warnings.catch_warnings():  # FireWorks needs no order among unconnected jobs
        warnings.filterwarnings("ignore", "Some jobs are not connected")
        # No store: its URI, password and all, would be written into every firework.
        workflow = flow_to_workflow(flow, metadata={"campaign_id": campaign_id})
    lp.add_wf(workflow)
    return len(workflow)


def campaign_of(flow: Flow | Job) -> tuple[CampaignMaker, Material]:
    """Return the campaign of a flow that its Maker built, and what it is about.

    Raises
    ------
    EngineError
        If the flow is no campaign's.
    """
    for job in _jobs(flow):
        makers = [x for x in job.function_args if isinstance(x, CampaignMaker)]
        materials = [x for x in job.function_args if isinstance(x, Material)]
        if makers and materials:
            return makers[0], materials[0]
    msg = f"{flow.name}: expected the flow of a CampaignMaker, got one without a generation to add"
    raise EngineError(msg)


def _jobs(flow: Flow | Job) -> Iterator[Job]:
    """Yield the jobs of a flow, as they stand in it."""
    for part in flow.jobs if isinstance(flow, Flow) else [flow]:
        if isinstance(part, Job):
            yield part
        else:
            yield from _jobs(part)
