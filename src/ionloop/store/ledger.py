"""What a campaign cost: its attempts at jobs, its batches of labels, its measured speed-up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo.database import Database

from ionloop.errors import StoreError
from ionloop.evaluate.schema import Cost
from ionloop.evaluate.scorecard_schema import SpeedUp
from ionloop.evaluate.speed_up import speed_ups
from ionloop.label.schema import IMPORTED
from ionloop.report.ledger import (
    by_generation,
    by_kind,
    by_stage,
    core_hours_per_label,
    line,
    reference_share,
)
from ionloop.report.ledger_schema import LabelsSpent, Ledger, LedgerLine
from ionloop.store.attempts import launch_groups, remote_groups
from ionloop.store.connection import OUTPUTS, database
from ionloop.store.queries import is_campaign
from ionloop.store.records import parse
from ionloop.store.remote_progress import is_remote

#: What is missing where jobflow-remote runs a campaign.
LAST_ONLY = (
    "jobflow-remote keeps the times of each job's last attempt alone: earlier ones are missing, "
    "and cores of those that failed"
)


def ledger(campaign_id: str, db: Database[dict[str, Any]] | None = None) -> Ledger:
    """Sum up what a campaign cost so far, whoever runs it.

    Raises
    ------
    StoreError
        If there is no such campaign.
    """
    db = database() if db is None else db
    if not is_campaign(campaign_id, db):
        msg = f"unknown campaign {campaign_id!r}; `ionloop status --all` lists them"
        raise StoreError(msg)
    remote = is_remote(campaign_id, db)
    groups = (remote_groups if remote else launch_groups)(campaign_id, db)
    total, kinds = line("all", groups), by_kind(groups)
    return Ledger(
        campaign_id=campaign_id,
        backend="jobflow-remote" if remote else "FireWorks",
        at=datetime.now(UTC),
        total=total,
        stages=by_stage(groups),
        generations=by_generation(groups),
        kinds=kinds,
        reference_share=reference_share(kinds),
        label_cost=labels_spent(campaign_id, kinds, db),
        speed_up=measured_speed_ups(campaign_id, db),
        notes=[*_unknown(total), *([LAST_ONLY] if remote else [])],
    )


def _unknown(total: LedgerLine) -> Iterator[str]:
    """Say what isn't known."""
    hours = total.total.wall_unknown_s / 3600
    if hours:
        yield (
            f"{hours:.3g} h of wall time ran on an unknown number of cores and are in no "
            "core-hours: launches from before cores were kept, or a command that doesn't say"
        )
    if total.n_lost or total.n_running:
        yield "attempts that run or whose workers were lost count up to their last sign of life"


def labels_spent(
    campaign_id: str, kinds: Sequence[LedgerLine], db: Database[dict[str, Any]]
) -> LabelsSpent:
    """Count the labels of a campaign by origin, and what their calculations took.

    Of a batch that was stored twice the later counts, as in
    :func:`ionloop.store.progress.label_counts`.
    """
    batch = ("generation", "purpose", "frame_hashes")
    fields = ("n_admitted", "n_quarantined", "counts", "wall_s", "core_s")
    found = list(
        db[OUTPUTS].aggregate(
            [
                {"$match": {"metadata.campaign_id": campaign_id, "output.@class": "LabelShard"}},
                {"$sort": {"completed_at": 1}},
                {
                    "$group": {
                        "_id": {name: f"$output.{name}" for name in batch},
                        **{name: {"$last": f"$output.{name}"} for name in fields},
                    }
                },
                {"$project": {"_id": 0, "purpose": "$_id.purpose", **dict.fromkeys(fields, 1)}},
            ]
        )
    )
    computed = [one for one in found if one["purpose"] != IMPORTED]
    n_admitted = sum(one["n_admitted"] for one in computed)
    by_origin: Counter[str] = Counter()
    for one in computed:
        by_origin.update({k: n for k, n in one["counts"].items() if not k.startswith("@")})
    known = bool(computed) and all(one.get("core_s") is not None for one in computed)
    return LabelsSpent(
        n_admitted=n_admitted,
        n_quarantined=sum(one["n_quarantined"] for one in computed),
        n_imported=sum(one["n_admitted"] for one in found if one["purpose"] == IMPORTED),
        by_origin=dict(by_origin),
        calculations_wall_s=sum(one["wall_s"] for one in computed),
        calculations_core_hours=sum(one["core_s"] for one in computed) / 3600 if known else None,
        core_hours_per_label=core_hours_per_label(kinds, n_admitted),
    )


def measured_speed_ups(campaign_id: str, db: Database[dict[str, Any]]) -> list[SpeedUp]:
    """Compare what the last evaluation timed; nothing before it."""
    query = {"metadata.campaign_id": campaign_id, "output.@class": "Evaluation"}
    found = db[OUTPUTS].find_one(query, {"output.cost": 1}, sort=[("completed_at", -1)])
    costs = found["output"].get("cost") or [] if found else []
    return speed_ups([parse(Cost, cost) for cost in costs])
