"""Which stored outputs are a job's whole answer, so that it needn't run again."""

from __future__ import annotations

from typing import Any

from fireworks import LaunchPad

from ionloop.store.queries import stored_output

#: Documents that a job returns without adding jobs: such an output is the whole answer.
#: Other jobs (CampaignStart, Advance, and those that replace themselves) run again.
FINAL_OUTPUTS = frozenset(
    {
        "Accuracy",
        "Band",
        "BandSet",
        "Calibration",
        "Cost",
        "Crystal",
        "Evaluation",
        "Exploration",
        "Foresight",
        "FoundBands",
        "Judgement",
        "LabelShard",
        "LastLayers",
        "Member",
        "Scorecard",
        "SeedFrames",
        "Selection",
        "SinglePoint",
        "Stability",
        "TestFrames",
        "Trajectory",
        "Transport",
    }
)


def has_final_output(lp: LaunchPad, fw: dict[str, Any]) -> bool:
    """Whether the output that a job stored is its whole answer."""
    tasks = fw["spec"].get("_tasks") or [{}]
    job = tasks[0].get("job")
    if not job:
        return False
    doc = stored_output(job["uuid"], job["index"], lp.db)
    return doc is not None and is_final(doc["output"])


def is_final(output: object) -> bool:
    """Whether a stored output, or each part of a list, is of a job that adds no jobs."""
    parts = output if isinstance(output, list) else [output]
    return bool(parts) and all(
        isinstance(part, dict) and part.get("@class") in FINAL_OUTPUTS for part in parts
    )
