"""Jobs of the label stage: fail-soft, never the same frame twice."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from jobflow import Flow, JobConfig, OnMissing, Response, job

from ionloop.document import DATA_FIELDS, fetch_outputs
from ionloop.errors import LabelError
from ionloop.frame import Frame
from ionloop.label.budget import affordable, by_origin
from ionloop.label.imports import adopt
from ionloop.label.schema import IMPORTED, Label, LabelShard
from ionloop.profile import Profile
from ionloop.reference.base import Reference, differing_settings
from ionloop.reference.quality import judge_point
from ionloop.reference.schema import SinglePoint

logger = logging.getLogger(__name__)


def new_frames(frames: Sequence[Frame], known: set[str]) -> list[Frame]:
    """Drop frames that are known, or that stand in the list already."""
    seen, kept = set(known), []
    for frame in frames:
        if frame.frame_hash not in seen:
            seen.add(frame.frame_hash)
            kept.append(frame)
    return kept


@job(data=DATA_FIELDS)
def label_frames(  # noqa: PLR0913
    frames: list[Frame] | str,
    reference: Reference,
    profile: Profile,
    generation: int,
    purpose: str,
    shards: list[str],
    metadata: dict,
    reserve: int = 0,
    n_imported: int = 0,
) -> Response:
    """Spread frames over static jobs, and collect what comes back.

    ``frames`` may be the uuid of a job whose output has them; ``shards`` are the uuids of
    earlier batches: their frames aren't asked again, and count as spent. Of the budget that
    is left, ``reserve`` labels are kept back. Imported frames aren't asked again either, and
    cost nothing; their number ``n_imported`` is what makes the job wait for them.

    Raises
    ------
    LabelError
        If the reference has other settings here than the earlier batches.
    """
    check_same_settings(reference, shards)
    asked: list[Frame] = fetch_outputs([frames], "frames")[0] if isinstance(frames, str) else frames
    hashes, purposes = fetch_outputs(shards, "frame_hashes"), fetch_outputs(shards, "purpose")
    known = {h for shard in hashes for h in shard}
    spent = sum(len(h) for h, why in zip(hashes, purposes, strict=True) if why != IMPORTED)
    logger.info("%d frames known, %d of them imported", len(known), n_imported)
    fresh, left_out = affordable(new_frames(asked, known), profile.budget, spent, reserve)
    size = reference.frames_per_job
    chunks = [fresh[i : i + size] for i in range(0, len(fresh), size)]
    statics = []
    for i, chunk in enumerate(chunks):
        static = reference.static(chunk)
        static.name = f"label {purpose} {generation}.{i}"
        statics.append(static)
    collect = collect_labels(
        chunks,
        [static.output for static in statics],
        reference.settings_hash,
        profile,
        generation,
        purpose,
        left_out,
        reference.settings,
    )
    collect.config = JobConfig(on_missing_references=OnMissing.NONE)
    collect.name = f"collect labels {purpose} {generation}"
    flow = Flow([*statics, collect], output=collect.output)
    flow.update_metadata(metadata)
    return Response(replace=flow)


def check_same_settings(reference: Reference, shards: list[str]) -> None:
    """Compare the reference's settings with those of the campaign's first batch.

    Files that settings hash, as CP2K's basis sets, can change while a campaign runs.

    Raises
    ------
    LabelError
        If they differ, with the keys.
    """
    for shard, settings_hash in zip(
        shards[:1], fetch_outputs(shards[:1], "settings_hash"), strict=True
    ):
        if settings_hash != reference.settings_hash:
            first = fetch_outputs([shard], "settings")[0] or {}
            keys = "; ".join(differing_settings(first, reference.settings)[:5])
            msg = (
                f"expected the settings of the campaign's first labels ({settings_hash}), got "
                f"{reference.settings_hash}: {keys}; labels of two settings are never mixed: put "
                "back what changed and run `ionloop resume`, or start a new campaign"
            )
            raise LabelError(msg)


@job(data=DATA_FIELDS, output_schema=LabelShard)
def collect_labels(  # noqa: PLR0913
    chunks: list[list[Frame]],
    results: list[list[SinglePoint] | None],
    settings_hash: str,
    profile: Profile,
    generation: int,
    purpose: str,
    left_out: dict[str, int],
    settings: dict[str, Any] | None = None,
) -> LabelShard:
    """Judge every result; raise if too few are admitted.

    ``left_out`` counts by origin the frames that the budget left no label for; ``settings``
    are what ``settings_hash`` was made of.

    Raises
    ------
    LabelError
        If the admitted share is below ``profile.min_success_fraction``.
    """
    labels = []
    for chunk, points in zip(chunks, results, strict=True):
        answers: Sequence[SinglePoint | None] = points or [None] * len(chunk)
        labels += [
            judge_point(frame, point, settings_hash, profile, settings)
            for frame, point in zip(chunk, answers, strict=True)
        ]
    shard = make_shard(labels, settings_hash, profile, generation, purpose)
    return shard.model_copy(update={"left_out": left_out, "settings": settings})


def make_shard(
    labels: Sequence[Label],
    settings_hash: str,
    profile: Profile,
    generation: int,
    purpose: str,
) -> LabelShard:
    """Part admitted from quarantined labels, count them, and hold the batch to its share.

    A test batch isn't held to it: what else the evaluation finds would be lost.
    """
    admitted = [label for label in labels if not label.reasons]
    refused = [label for label in labels if label.reasons]
    reasons = Counter(reason for label in refused for reason in label.reasons)
    few = len(admitted) < profile.min_success_fraction * len(labels)
    if few and purpose == "test":
        logger.warning("%d of %d test labels admitted: %s", len(admitted), len(labels), reasons)
    elif few:
        common, n = reasons.most_common(1)[0]
        folder = next(label.directory for label in refused if common in label.reasons)
        msg = (
            f"{len(admitted)} of {len(labels)} labels admitted, expected a share of at least "
            f"{profile.min_success_fraction:g}; most frequent reason: {common} ({n} times), first "
            f"in {folder or 'an unknown folder'}; jobs that died are run again "
            "by `ionloop resume`; if the calculations themselves fail, start a new campaign with "
            "mended settings or a lower Profile.min_success_fraction"
        )
        raise LabelError(msg)
    return LabelShard(
        generation=generation,
        purpose=purpose,
        labels=admitted,
        quarantined=refused,
        frame_hashes=[label.frame_hash for label in labels],
        n_admitted=len(admitted),
        n_quarantined=len(refused),
        reasons=dict(reasons),
        counts=dict(by_origin(label.frame for label in admitted)),
        settings_hash=settings_hash,
        wall_s=sum(label.wall_s for label in labels),
    )


@job(data=DATA_FIELDS, output_schema=LabelShard)
def adopt_labels(
    shards: list[str], settings: dict[str, Any], settings_hash: str, profile: Profile
) -> LabelShard:
    """Take imported shards into the campaign, by its own settings and limits.

    Raises
    ------
    LabelError
        If a shard isn't there, has other settings, or none of its labels is admitted.
    """
    return adopt(
        dict(zip(shards, fetch_outputs(shards), strict=True)), settings, settings_hash, profile
    )
