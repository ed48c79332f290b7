"""What running a stage again means for each job of a campaign.

Jobs that the reference answered are paid for. They run again in their old folders, where they
find what is good; and what they were made from, or what asked for them, stays as it is, since
other frames would be other labels. That is also why only the latest generation can run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fireworks import LaunchPad

from ionloop.engine.launchpad import workflow_of
from ionloop.errors import EngineError
from ionloop.routing import KEY, WorkerKind
from ionloop.store.outputs import JobKey, output_classes

#: What a reference answers with.
PAID = frozenset({"SinglePoint", "Trajectory", "Band"})
_BUSY = frozenset({"RUNNING", "RESERVED"})


@dataclass(frozen=True)
class PlannedJob:
    """A job of a campaign, as far as a rerun needs to know it."""

    fw_id: int
    name: str
    stage: str | None
    generation: int | None
    key: JobKey
    launch: int | None = None
    launch_state: str | None = None
    folder: str | None = None
    adds: tuple[JobKey, ...] = ()
    paid: bool = False


@dataclass
class RerunPlan:
    """Which jobs run again, in their old folders or in new ones, and which are removed."""

    stage: str
    generation: int
    again: list[PlannedJob] = field(default_factory=list)
    there: list[PlannedJob] = field(default_factory=list)
    removed: list[PlannedJob] = field(default_factory=list)
    kept: list[PlannedJob] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Say what will be done, a line a kind."""
        parts = [
            ("run again in their old folders, where good results are found", self.there),
            ("run again from the start", self.again),
            ("removed, since jobs that run again add them anew", self.removed),
            ("kept, since results that are paid for were made from them", self.kept),
        ]
        return [f"{len(jobs)} jobs {what}: {_names(jobs)}" for what, jobs in parts if jobs]


def _names(jobs: Iterable[PlannedJob]) -> str:
    """Return names of jobs, numbers left out, each once."""
    counts: dict[str, int] = {}
    for job in jobs:
        name = job.name.rstrip("0123456789. ")
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(name if n == 1 else f"{name} x{n}" for name, n in counts.items())


def plan_rerun(
    lp: LaunchPad, campaign_id: str, stage: str, generation: int | None = None
) -> RerunPlan:
    """Find out what running a stage of the latest generation again would do.

    Raises
    ------
    EngineError
        If there is no such campaign or stage, the generation isn't the latest, jobs of the
        stage or behind it run, none has run, or all are what paid results were made from.
    """
    workflow = workflow_of(lp, campaign_id)
    jobs = _jobs(lp, workflow)
    latest = max((j.generation for j in jobs.values() if j.generation is not None), default=0)
    _check_generation(campaign_id, latest if generation is None else generation, latest)
    chosen = {i for i, j in jobs.items() if (j.stage, j.generation) == (stage, latest)}
    if not chosen:
        stages = sorted({str(j.stage) for j in jobs.values() if j.generation == latest})
        msg = f"expected a stage of generation {latest} ({', '.join(stages)}), got {stage!r}"
        raise EngineError(msg)
    links = {int(i): children for i, children in workflow["links"].items()}
    kept = chosen & _bound(jobs, links)
    begun = {i for i in chosen - kept if jobs[i].launch is not None}
    _check_begun(campaign_id, stage, chosen, kept, begun)
    reached = begun | _reach(begun, links)
    removed = _added(jobs, reached)
    ran = [jobs[i] for i in sorted(reached - removed) if jobs[i].launch is not None]
    _check_idle(campaign_id, [*ran, *(jobs[i] for i in removed)])
    return RerunPlan(
        stage=stage,
        generation=latest,
        again=[job for job in ran if not job.paid],
        there=[job for job in ran if job.paid],
        removed=[jobs[i] for i in sorted(removed)],
        kept=[jobs[i] for i in sorted(kept)],
    )


def _check_generation(campaign_id: str, generation: int, latest: int) -> None:
    if generation != latest:
        msg = (
            f"expected the latest generation of {campaign_id}, {latest}, got {generation}: the "
            "labels of later ones are paid for, and were chosen by its models; start a new "
            "campaign and `ionloop import` them"
        )
        raise EngineError(msg)


def _check_begun(
    campaign_id: str, stage: str, chosen: set[int], kept: set[int], begun: set[int]
) -> None:
    if begun:
        return
    what = "expected jobs that have run, got none"
    if kept == chosen:
        what = (
            "expected one whose results no label is made from; "
            f"all {len(kept)} jobs have labels behind them that are paid for"
        )
    msg = f"stage {stage} of {campaign_id}: {what}; `ionloop status {campaign_id}` shows the stages"
    raise EngineError(msg)


def _check_idle(campaign_id: str, jobs: Iterable[PlannedJob]) -> None:
    busy = [job for job in jobs if job.launch_state in _BUSY]
    if busy:
        msg = (
            f"expected no running job in what would run again, got {_names(busy)}; "
            f"`ionloop pause {campaign_id}` and wait, or `ionloop cancel {campaign_id}`"
        )
        raise EngineError(msg)


def _jobs(lp: LaunchPad, workflow: dict[str, Any]) -> dict[int, PlannedJob]:
    """Read the jobs of a workflow with their last launches."""
    job = "spec._tasks.job"
    fields = ["fw_id", "name", "launches", "spec.stage", "spec.generation", f"spec.{KEY}"]
    fws = list(
        lp.fireworks.find(
            {"fw_id": {"$in": workflow["nodes"]}}, [*fields, f"{job}.uuid", f"{job}.index"]
        )
    )
    keys = {fw["fw_id"]: _key(fw["spec"]) for fw in fws}
    launches = _last_launches(lp, fws)
    classes = output_classes({uuid for uuid, _ in keys.values()}, lp.db)
    found = {}
    for fw in fws:
        fw_id, spec = fw["fw_id"], fw["spec"]
        launch = launches.get(fw_id, {})
        found[fw_id] = PlannedJob(
            fw_id=fw_id,
            name=fw["name"],
            stage=spec.get("stage"),
            generation=spec.get("generation"),
            key=keys[fw_id],
            launch=launch.get("launch_id"),
            launch_state=launch.get("state"),
            folder=launch.get("launch_dir"),
            adds=_adds(lp, launch),
            paid=spec.get(KEY) == WorkerKind.DFT or classes.get(keys[fw_id]) in PAID,
        )
    return found


def _key(spec: Mapping[str, Any]) -> JobKey:
    job = spec["_tasks"][0]["job"]
    return job["uuid"], job["index"]


def _last_launches(lp: LaunchPad, fws: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    last = {fw["launches"][-1]: fw["fw_id"] for fw in fws if fw["launches"]}
    made = "fws.spec._tasks.job"
    fields = ["launch_id", "state", "launch_dir", "action.gridfs_id"]
    fields += [
        f"action.{how}.{made}.{what}"
        for how in ("detours", "additions")
        for what in ("uuid", "index")
    ]
    found = lp.launches.find({"launch_id": {"$in": list(last)}}, fields)
    return {last[launch["launch_id"]]: launch for launch in found}


def _adds(lp: LaunchPad, launch: Mapping[str, Any]) -> tuple[JobKey, ...]:
    """Return the jobs that a launch added or put in its place."""
    action = launch.get("action") or {}
    if "gridfs_id" in action:  # FireWorks keeps what is over 16 MB elsewhere
        action = lp.get_launch_by_id(launch["launch_id"]).action.to_dict()
    flows = [*action.get("detours", []), *action.get("additions", [])]
    return tuple(_key(fw["spec"]) for flow in flows for fw in flow["fws"])


def _reach(starts: Iterable[int], links: Mapping[int, list[int]]) -> set[int]:
    """Return what can be reached from some nodes; themselves only by a way back."""
    found: set[int] = set()
    ahead = list(starts)
    while ahead:
        new = [i for i in links.get(ahead.pop(), []) if i not in found]
        found.update(new)
        ahead += new
    return found


def _bound(jobs: Mapping[int, PlannedJob], links: Mapping[int, list[int]]) -> set[int]:
    """Return the jobs that asked for paid results, and all that these were made from."""
    by_key = {job.key: job for job in jobs.values()}
    bound = {
        i
        for i, job in jobs.items()
        if any(by_key[k].paid and by_key[k].launch is not None for k in job.adds if k in by_key)
    }
    back: dict[int, list[int]] = {}
    for parent, children in links.items():
        for child in children:
            back.setdefault(child, []).append(parent)
    return bound | _reach(bound, back)


def _added(jobs: Mapping[int, PlannedJob], reached: Iterable[int]) -> set[int]:
    """Return the jobs that those which run again have added, and what these have added."""
    by_key = {job.key: i for i, job in jobs.items()}
    found: set[int] = set()
    ahead = list(reached)
    while ahead:
        new = {by_key[k] for k in jobs[ahead.pop()].adds if k in by_key} - found
        found |= new
        ahead += new
    return found


def journal(plan: RerunPlan) -> dict[str, Any]:
    """Return the plan as it is stored while it is carried out."""
    return {
        "stage": plan.stage,
        "generation": plan.generation,
        "again": [job.fw_id for job in plan.again],
        "there": [{"fw_id": job.fw_id, "folder": job.folder} for job in plan.there],
        "removed": [job.fw_id for job in plan.removed],
        "outdated": [list(job.key) for job in [*plan.again, *plan.there, *plan.removed]],
    }
