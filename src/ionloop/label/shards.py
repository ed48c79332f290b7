"""Shards: admitted labels apart from quarantined ones, counted, and held to a share."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ionloop.errors import BatchPausedError
from ionloop.label.budget import by_origin
from ionloop.label.schema import RETRIED, TEST, Batch, Decisions, Label, LabelShard, kind_of
from ionloop.profile import Profile

logger = logging.getLogger(__name__)


def count_kinds(labels: Iterable[Label]) -> dict[str, int]:
    """Count labels by kind of reason, the most frequent first; one with two reasons twice."""
    return dict(Counter(kind for label in labels for kind in label.kinds).most_common())


def example(labels: Iterable[Label], kind: str) -> tuple[str, str]:
    """Return the reason in full and the folder of the first label that was refused for a kind.

    The first that has a folder, if any does: a job that died has none.
    """
    found = [(r, x.directory) for x in labels for r in x.reasons if kind_of(r) == kind]
    reason, folder = next((one for one in found if one[1]), found[0] if found else (kind, ""))
    return " ".join(reason.split()), folder


def make_shard(labels: Sequence[Label], batch: Batch, profile: Profile) -> LabelShard:
    """Part the admitted labels of a batch from the quarantined ones, and count them.

    A test batch isn't held to a share: what else the evaluation finds would be lost.

    Parameters
    ----------
    labels
        Judged, in the order of ``batch.chunks``.
    batch
        What was asked.
    profile
        Its share of success.
    """
    failed = {x.frame_hash for x in labels if RETRIED.intersection(x.kinds)}
    shard = counted(
        labels,
        generation=batch.generation,
        purpose=batch.purpose,
        frame_hashes=[label.frame_hash for label in labels],
        left_out=batch.left_out,
        min_success_fraction=0.0 if batch.purpose == TEST else profile.min_success_fraction,
        failed_jobs=[
            job
            for job, chunk in zip(batch.jobs, batch.chunks, strict=True)
            if any(frame.frame_hash in failed for frame in chunk)
        ],
        settings_hash=batch.settings_hash,
        settings=batch.settings,
        wall_s=sum(label.wall_s for label in labels),
        core_s=core_seconds(labels),
    )
    if batch.purpose == TEST and not may_go_on(
        shard.n_admitted, shard.n_quarantined, profile.min_success_fraction
    ):
        n = len(labels)
        logger.warning("%d of %d test labels admitted: %s", shard.n_admitted, n, shard.reasons)
    return shard


def core_seconds(labels: Sequence[Label]) -> float | None:
    """Sum wall time times cores, s; None if a label that took time doesn't know its cores."""
    spent = [label for label in labels if label.wall_s]
    if any(label.cores is None for label in spent):
        return None
    return sum(label.wall_s * (label.cores or 0) for label in spent)


def counted(labels: Sequence[Label], **fields: Any) -> LabelShard:  # noqa: ANN401
    """Part admitted from quarantined labels, and count both; ``fields`` are the shard's others."""
    admitted = [label for label in labels if not label.reasons]
    refused = [label for label in labels if label.reasons]
    return LabelShard(
        labels=admitted,
        quarantined=refused,
        n_admitted=len(admitted),
        n_quarantined=len(refused),
        reasons=count_kinds(refused),
        counts=dict(by_origin(label.frame for label in admitted)),
        **fields,
    )


def may_go_on(n_admitted: int, n_quarantined: int, share: float) -> bool:
    """Say whether a batch has its share of admitted labels; an empty one has."""
    return n_admitted >= share * (n_admitted + n_quarantined)


def share_of(own: float, decisions: Decisions) -> float:
    """Return the share that a batch is held to: the profile's, or what was decided last.

    A batch that isn't held to one, as a test set, stays free.
    """
    return decisions.shares[-1].min_success_fraction if own and decisions.shares else own


def hold_to_share(shard: LabelShard, decisions: Decisions, campaign_id: str | None) -> None:
    """Refuse to go on with a batch of which too little was admitted.

    Raises
    ------
    BatchPausedError
        With the most frequent reason, its first folder, and what can be done.
    """
    share = share_of(shard.min_success_fraction, decisions)
    if may_go_on(shard.n_admitted, shard.n_quarantined, share):
        return
    n = shard.n_admitted + shard.n_quarantined
    kind, times = Counter(shard.reasons).most_common(1)[0]
    reason, folder = example(shard.quarantined, kind)
    name = campaign_id or "CAMPAIGN"
    again = len(shard.failed_jobs)
    jobs = "1 failed job" if again == 1 else f"{again} failed jobs"
    msg = (
        f"{shard.n_admitted} of {n} labels of generation {shard.generation} admitted, expected a "
        f"share of at least {share:g}; most frequent reason: {kind} ({times} times), first in "
        f"{folder or 'an unknown folder'}{'' if reason == kind else f' ({reason})'}; "
        f"`ionloop labels {name} --quarantined` lists all; `ionloop resume {name}` runs {jobs} of "
        f"this batch again; `ionloop labels readmit {name} HASH` takes a label back; "
        f"`ionloop resume {name} --min-success F` goes on with a share of F"
    )
    raise BatchPausedError(msg)
