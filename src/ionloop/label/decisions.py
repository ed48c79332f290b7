"""What people decide about labels: which quarantined ones are good after all."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import NAMESPACE_URL, uuid5

from ionloop.label.budget import by_origin
from ionloop.label.schema import IMPORTED, OVERRULED, Label, LabelShard, Readmission
from ionloop.label.shards import count_kinds


def decisions_uuid(campaign_id: str) -> str:
    """Return the uuid under which the decisions of a campaign are stored."""
    return str(uuid5(NAMESPACE_URL, f"ionloop-decisions:{campaign_id}"))


def objection(label: Label, settings_hash: str) -> str | None:
    """Say why a quarantined label can't be readmitted; None if it can.

    Only our own limits may be overruled: never a number that isn't one, an electronic problem
    that didn't converge, or settings of another kind.

    Parameters
    ----------
    label
        The label.
    settings_hash
        The campaign's.
    """
    if label.energy is None or label.forces is None:
        return "it has no energy or forces"
    if label.settings_hash != settings_hash:
        return f"it has other settings ({label.settings_hash}), and they are never mixed"
    lasting = [kind for kind in label.kinds if kind not in OVERRULED]
    return f"{lasting[0]} can't be overruled" if lasting else None


def readmit(shard: LabelShard, readmissions: Sequence[Readmission]) -> LabelShard:
    """Move labels from quarantine to the admitted ones, as far as that was decided and may be.

    A label that was computed again and is refused for another reason than was overruled stays.

    Parameters
    ----------
    shard
        A batch; not changed.
    readmissions
        Decisions, on this batch's frames and others; of two on one frame the later counts.

    Returns
    -------
    LabelShard
        Its admitted labels stand in the order in which the frames were asked.
    """
    decided = {one.frame_hash: one for one in readmissions}
    taken, left = [], []
    for label in shard.quarantined:
        decision = decided.get(label.frame_hash)
        refused = objection(label, shard.settings_hash)
        if decision is None or refused or not decision.covers(label):
            left.append(label)
            continue
        taken.append(label.model_copy(update={"reasons": [], "readmitted": decision}))
    if not taken:
        return shard
    hashes = [*shard.frame_hashes]
    if shard.purpose == IMPORTED:  # whose refused frames a campaign may ask again
        hashes += [label.frame_hash for label in taken]
    place = {frame_hash: i for i, frame_hash in enumerate(hashes)}
    labels = sorted([*shard.labels, *taken], key=lambda label: place[label.frame_hash])
    return shard.model_copy(
        update={
            "labels": labels,
            "quarantined": left,
            "frame_hashes": hashes,
            "n_admitted": len(labels),
            "n_quarantined": len(left),
            "n_readmitted": sum(label.readmitted is not None for label in labels),
            "reasons": count_kinds(left),
            "counts": dict(by_origin(label.frame for label in labels)),
        }
    )
