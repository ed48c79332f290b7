"""Carry out a planned rerun, any number of times: each step is fine when it was done before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fireworks import LaunchPad

from ionloop.store.outputs import mark_jobs_outdated


def carry_out(lp: LaunchPad, workflow: dict[str, Any]) -> None:
    """Do what stands in the ``metadata.rerun`` of a locked, held workflow; all of it again is fine.

    The fireworks that run again stay paused until the campaign is released.
    """
    noted = workflow["metadata"]["rerun"]
    mark_jobs_outdated([(uuid, index) for uuid, index in noted["outdated"]], lp.db)
    _remove(lp, workflow, set(noted["removed"]))
    for fw_id in noted["again"]:
        reset(lp, fw_id, None)
    for job in noted["there"]:
        reset(lp, job["fw_id"], job["folder"])
    ids = [*noted["again"], *(job["fw_id"] for job in noted["there"])]
    states = {f"fw_states.{fw_id}": "PAUSED" for fw_id in ids}
    lp.workflows.update_one({"_id": workflow["_id"]}, {"$set": {**states, "state": "PAUSED"}})


def _remove(lp: LaunchPad, workflow: dict[str, Any], removed: set[int]) -> None:
    """Take fireworks out of a workflow, then delete them; what the list lacks is no loss."""
    gone = {str(i) for i in removed}

    def without(links: Mapping[str, list[int]]) -> dict[str, list[int]]:
        return {k: [i for i in v if i not in removed] for k, v in links.items() if k not in gone}

    parents = {child: some for child, some in without(workflow["parent_links"]).items() if some}
    fields = {
        "nodes": [i for i in workflow["nodes"] if i not in removed],
        "links": without(workflow["links"]),
        "parent_links": parents,
        "fw_states": {k: v for k, v in workflow["fw_states"].items() if k not in gone},
    }
    lp.workflows.update_one({"_id": workflow["_id"]}, {"$set": fields})
    query = {"fw_id": {"$in": sorted(removed)}}
    kinds = ["launches", "archived_launches"]
    ran = [i for fw in lp.fireworks.find(query, kinds) for kind in kinds for i in fw[kind]]
    lp.launches.delete_many({"launch_id": {"$in": ran}})
    lp.fireworks.delete_many(query)


def reset(lp: LaunchPad, fw_id: int, folder: str | None) -> None:
    """Forget the launches of a firework; it will run in ``folder``, or in a new one."""
    moved = {
        "archived_launches": {"$setUnion": ["$archived_launches", "$launches"]},
        "launches": [],
        "state": "PAUSED",
        "updated_on": datetime.now(UTC),
    }
    there = {"spec._launch_dir": folder} if folder else {}
    old = ["spec._recovery", "spec._fizzled_parents", "spec._exception_details"]
    old += [] if folder else ["spec._launch_dir"]
    change = [{"$set": {**moved, **there}}, {"$unset": old}]
    lp.fireworks.update_one({"fw_id": fw_id}, change)
