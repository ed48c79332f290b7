"""Keep a campaign's workflow document small: settled generations move into archives.

FireWorks keeps a workflow as one document, which it reads, rebuilds and replaces three times a
job. A campaign of 100 generations has 11,500 jobs, so a job would cost more and more. What is
settled moves into workflow documents of its own, one a compaction, which FireWorks' tools find
by a job's number as they find any workflow.

The live document keeps ``metadata.campaign_id``: whoever asks for the workflow of a campaign
gets it. An archive has ``metadata.archive_of`` instead. Fireworks and launches stay as they are.

Under the lock of the live document the archive is written first, then the live document is made
smaller in one write. Killed between the two, the jobs stand in both: the next compaction deletes
the archive and begins again. So a job is never in neither, which recovery would delete.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from fireworks import LaunchPad

from ionloop.engine.locking import workflow_if_free

logger = logging.getLogger(__name__)

#: Generations that stay in the live document behind the latest one: their jobs may run again.
KEPT = 1
#: Seconds to wait for another worker's change of the workflow; it takes some ten ms.
PATIENCE_S = 2.0


class Compactor:
    """Compacts campaigns when they have grown; a worker asks after each job."""

    def __init__(self, lp: LaunchPad) -> None:
        self.lp = lp
        self.seen: dict[str, int] = {}

    def after_job(self, campaign_id: str) -> int:
        """Archive what is settled if jobs were added since the last look; return their number."""
        n = n_live(self.lp, campaign_id)
        if n <= self.seen.get(campaign_id, 0):
            return 0
        moved = compact(self.lp, campaign_id)
        self.seen[campaign_id] = n - moved
        return moved


def n_live(lp: LaunchPad, campaign_id: str) -> int:
    """Count the jobs of a campaign's live document without fetching it."""
    count = {"$project": {"n": {"$size": "$nodes"}}}
    found = lp.workflows.aggregate([{"$match": {"metadata.campaign_id": campaign_id}}, count])
    return int(next(iter(found), {"n": 0})["n"])


def compact(lp: LaunchPad, campaign_id: str, kept: int = KEPT) -> int:
    """Move settled generations out of a campaign's live document.

    A generation is settled if each of its jobs is COMPLETED, or has failed and all that waited
    for it have COMPLETED without. The latest one and the ``kept`` before it stay, and so does
    every generation behind one that isn't settled.

    Returns
    -------
    int
        Jobs that were moved; 0 too if others kept changing the workflow, since there is a
        next time.

    Raises
    ------
    EngineError
        If there is no such campaign.
    """
    with workflow_if_free(lp, campaign_id, PATIENCE_S) as workflow:
        if workflow is None:
            return 0
        _undo_half_done(lp, campaign_id, workflow)
        settled = _settled_nodes(lp, workflow, kept)
        if not settled:
            return 0
        lp.workflows.insert_one(_archive(workflow, settled, campaign_id))
        rest = set(workflow["nodes"]) - settled
        lp.workflows.update_one({"_id": workflow["_id"]}, {"$set": _part(workflow, rest)})
        logger.info("campaign %s: %d settled jobs archived", campaign_id, len(settled))
        return len(settled)


def _undo_half_done(lp: LaunchPad, campaign_id: str, workflow: dict[str, Any]) -> None:
    """Delete archives of jobs that are still live: their compaction was killed half-way."""
    twice = {"metadata.archive_of": campaign_id, "nodes": {"$in": workflow["nodes"]}}
    if lp.workflows.delete_many(twice).deleted_count:
        logger.info("campaign %s: a compaction that was killed begins again", campaign_id)


def _settled_nodes(lp: LaunchPad, workflow: dict[str, Any], kept: int) -> set[int]:
    """Return the jobs of all generations that are settled and old enough."""
    generations = _generations(lp, workflow["nodes"])
    states, links = workflow["fw_states"], workflow["links"]

    def is_settled(node: int) -> bool:
        children = links.get(str(node), [])
        borne = bool(children) and all(states[str(c)] == "COMPLETED" for c in children)
        state = states[str(node)]
        return state == "COMPLETED" or (state == "FIZZLED" and borne)

    unsettled = (g for node, g in generations.items() if not is_settled(node))
    first_open = min([*unsettled, max(generations.values(), default=0) - kept])
    return {node for node, g in generations.items() if g < first_open}


def _generations(lp: LaunchPad, nodes: Collection[int]) -> dict[int, int]:
    """Return the generation of each job that has one; others stay in the live document."""
    known = {"fw_id": {"$in": list(nodes)}, "spec.generation": {"$type": "number"}}
    found = lp.fireworks.find(known, {"fw_id": 1, "spec.generation": 1})
    return {fw["fw_id"]: int(fw["spec"]["generation"]) for fw in found}


def _part(workflow: dict[str, Any], nodes: set[int]) -> dict[str, Any]:
    """Return what a workflow document says of some of its jobs; links to others are dropped."""

    def among(links: dict[str, list[int]]) -> dict[str, list[int]]:
        inside = {k: [n for n in v if n in nodes] for k, v in links.items() if int(k) in nodes}
        return dict(inside)

    parents = among(workflow["parent_links"])
    return {
        "nodes": [node for node in workflow["nodes"] if node in nodes],
        "links": among(workflow["links"]),
        "parent_links": {child: found for child, found in parents.items() if found},
        "fw_states": {k: v for k, v in workflow["fw_states"].items() if int(k) in nodes},
    }


def _archive(workflow: dict[str, Any], nodes: set[int], campaign_id: str) -> dict[str, Any]:
    """Make the document of settled jobs."""
    return {
        **_part(workflow, nodes),
        "metadata": {"archive_of": campaign_id},
        "name": f"{workflow['name']} (archive)",
        "state": "COMPLETED",
        "created_on": workflow["created_on"],
        "updated_on": datetime.now(UTC),
    }
