"""Imported labels become a campaign's: judged once more, by its own settings and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ionloop.errors import LabelError
from ionloop.label.imports import Imported, imported_shard, without_duplicates, without_stress
from ionloop.label.schema import Label, LabelShard, Refusal
from ionloop.label.shards import example
from ionloop.profile import Profile
from ionloop.reference.importers.compare import Stated, compare
from ionloop.reference.quality import judge_point, refuse_jumps
from ionloop.reference.schema import SinglePoint


def adopt(
    shards: Mapping[str, LabelShard],
    settings: Mapping[str, Any],
    settings_hash: str,
    profile: Profile,
    *,
    has_stress: bool = True,
) -> LabelShard:
    """Judge imported shards by a campaign's settings and limits, and make one shard of them.

    Parameters
    ----------
    shards
        Imported shards by uuid.
    settings
        Settings of the campaign's reference.
    settings_hash
        Their hash.
    profile
        The campaign's profile.
    has_stress
        Whether the reference's stress is good enough to train on; if not, labels lose theirs.

    Raises
    ------
    LabelError
        If a shard has other settings, or none of their labels is admitted.
    """
    labels: list[Label] = []
    for uuid, shard in shards.items():
        if shard.settings_hash != settings_hash:
            found = compare(settings, Stated(shard.settings or {}))
            keys = "; ".join([*found.differing, *(f"{k}: not stated" for k in found.unproven)][:5])
            msg = (
                f"expected imported labels of the reference's settings ({settings_hash}), got "
                f"{shard.settings_hash} in {uuid}: {keys}; labels of two settings are never mixed: "
                "import the files again with --campaign ID, and --trust for what they don't state"
            )
            raise LabelError(msg)
        labels += [_judged_again(label, settings_hash, profile) for label in shard.labels]
        labels += shard.quarantined
    if not has_stress:  # the refused ones too: somebody may admit them
        labels = [without_stress(label) for label in labels]
    judged = refuse_jumps(without_duplicates(labels))
    kept = imported_shard(Imported(judged, dict(settings), settings_hash))
    if not kept.n_admitted:
        why = "".join(f": {example(judged, kind)[0]}" for kind in [*kept.reasons][:1])
        msg = (
            f"expected imported labels, got {len(labels)} of which none is admitted{why}; "
            "import others, or leave CampaignMaker.imported empty"
        )
        raise LabelError(msg)
    return kept


def _judged_again(label: Label, settings_hash: str, profile: Profile) -> Label:
    """Judge an imported label by a campaign's limits."""
    point = SinglePoint(
        converged=True,
        **label.model_dump(include=set(SinglePoint.model_fields) & set(Label.model_fields)),
    )
    judged = judge_point(label.frame, point, settings_hash, profile)
    reasons = [*judged.reasons]
    if foreign := sorted(set(label.frame.symbols) - set(profile.formal_charges)):
        reasons.append(Refusal.ELEMENTS.because(", ".join(foreign)))
    if label.frame.charge != profile.charge:
        reasons.append(Refusal.CELL_CHARGE.because())
    return judged.model_copy(update={"reasons": reasons})
