"""Which kind of worker a job needs: the one table of it.

The kind stands in the job's ``config.manager_config["worker"]``. FireWorks copies that into
the firework's spec, where workers select by it; for jobflow-remote it is the name of the
worker. A job that names none, as one of a flow that wasn't routed, is light.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from types import ModuleType
from typing import Any, TypeVar

from jobflow import Flow, Job

#: Key of the kind in a manager configuration.
KEY = "worker"

Routed = TypeVar("Routed", Flow, Job)


class WorkerKind(StrEnum):
    """Kinds of workers."""

    DFT = "dft"
    GPU = "gpu"
    LIGHT = "light"


#: Where a job's function is defined, and what it needs; the longest name that fits counts,
#: and all other jobs are light. A cheap reference's jobs go where a dear one's would.
KINDS = {
    "atomate2": WorkerKind.DFT,
    "ionloop.reference": WorkerKind.DFT,
    "ionloop.train.jobs": WorkerKind.GPU,
    "ionloop.explore.jobs": WorkerKind.GPU,
    "ionloop.evaluate.jobs.measure_accuracy": WorkerKind.GPU,
    "ionloop.evaluate.jobs.measure_cost": WorkerKind.GPU,
    "ionloop.evaluate.jobs.measure_crystal": WorkerKind.GPU,
    "ionloop.evaluate.jobs.measure_stability": WorkerKind.GPU,
}
#: Jobs that add jobs of several kinds, which are routed where they are made: jobflow would
#: give them the kind of the one that adds them.
ADDING = frozenset({"ionloop.label.jobs.label_frames", "ionloop.campaign.jobs.advance"})


def function_name(job: Job) -> str:
    """Return the dotted name of a job's function; of a Maker's method, that of the Maker."""
    bound = getattr(job.function, "__self__", None)
    if bound is None or isinstance(bound, ModuleType):
        return f"{job.function.__module__}.{job.function.__qualname__}"
    return f"{type(bound).__module__}.{type(bound).__qualname__}"


def stored_name(job: Any) -> str:  # noqa: ANN401 - a Job, or what stands for one in a database
    """Return :func:`function_name` of a job that may be serialised."""
    if isinstance(job, Job):
        return function_name(job)
    function = job["function"]
    bound = function.get("@bound")
    if bound:
        return f"{bound['@module']}.{bound['@class']}"
    return f"{function['@module']}.{function['@callable']}"


def kind_of(job: Job) -> WorkerKind:
    """Return the kind of worker that a job needs."""
    parts = function_name(job).split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((KINDS[name] for name in names if name in KINDS), WorkerKind.LIGHT)


def route(flow: Routed) -> Routed:
    """Write into each job of a flow which kind of worker it needs; return the flow.

    A job that names a worker keeps it.
    """
    for part in flow.jobs if isinstance(flow, Flow) else [flow]:
        if isinstance(part, Flow):
            route(part)
            continue
        chosen = {KEY: kind_of(part).value, **part.config.manager_config}
        changes: dict[str, Any] = {"manager_config": chosen}
        if function_name(part) in ADDING:
            changes["pass_manager_config"] = False
        # A new one: jobs that one decorator made may share theirs.
        part.config = replace(part.config, **changes)
    return flow
