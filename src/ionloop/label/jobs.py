"""Jobs of the label stage: fail-soft, never the same frame twice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from jobflow import Flow, JobConfig, OnMissing, OutputReference, Response, job

from ionloop.document import DATA_FIELDS, fetch_fields, fetch_if_stored, fetch_outputs
from ionloop.errors import LabelError
from ionloop.frame import Frame
from ionloop.label.adopt import adopt
from ionloop.label.budget import affordable, require_size
from ionloop.label.decisions import decisions_uuid, readmit
from ionloop.label.schema import Batch, Decisions, Label, LabelShard, cost_of
from ionloop.label.shards import hold_to_share, make_shard
from ionloop.profile import Profile
from ionloop.reference.base import Reference, differing_settings
from ionloop.reference.quality import judge_point, refuse_jumps
from ionloop.reference.schema import SinglePoint
from ionloop.routing import route

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
        If the reference has other settings here than the earlier batches, or the batch is
        too large for a document of MongoDB.
    """
    check_same_settings(reference, shards)
    asked: list[Frame] = fetch_outputs([frames], "frames")[0] if isinstance(frames, str) else frames
    earlier = fetch_fields(shards, "frame_hashes", "purpose")
    known = {h for shard in earlier for h in shard["frame_hashes"]}
    spent = sum(cost_of(one["purpose"], one["frame_hashes"]) for one in earlier)
    logger.info("%d frames known, %d of them imported", len(known), n_imported)
    fresh, left_out = affordable(new_frames(asked, known), profile.budget, spent, reserve)
    require_size(fresh)
    size = reference.frames_per_job
    chunks = [fresh[i : i + size] for i in range(0, len(fresh), size)]
    statics = []
    for i, chunk in enumerate(chunks):
        static = reference.static(chunk)
        static.name = f"label {purpose} {generation}.{i}"
        statics.append(static)
    batch = Batch(
        campaign_id=metadata.get("campaign_id"),
        generation=generation,
        purpose=purpose,
        chunks=chunks,
        jobs=[static.uuid for static in statics],
        left_out=left_out,
        settings_hash=reference.settings_hash,
        settings=reference.settings,
        expects_stress=reference.has_stress,
    )
    collect = collect_labels(batch, [static.output for static in statics], profile)
    collect.config = JobConfig(on_missing_references=OnMissing.NONE, expose_store=True)
    collect.name = f"collect labels {purpose} {generation}"
    gate = check_batch(collect.uuid, collect.output.n_admitted, batch.campaign_id)
    gate.config = JobConfig(expose_store=True)
    gate.name = f"check labels {purpose} {generation}"
    flow = Flow([*statics, collect, gate], output=gate.output)
    flow.update_metadata(metadata)
    return Response(replace=route(flow))


def check_same_settings(reference: Reference, shards: list[str]) -> None:
    """Compare the reference's settings with those of the campaign's first batch.

    Files that settings hash, as CP2K's basis sets, can change while a campaign runs.

    Raises
    ------
    LabelError
        If they differ, with the keys.
    """
    for first in fetch_fields(shards[:1], "settings_hash", "settings"):
        if first["settings_hash"] != reference.settings_hash:
            keys = "; ".join(differing_settings(first["settings"] or {}, reference.settings)[:5])
            msg = (
                f"expected the settings of the campaign's first labels "
                f"({first['settings_hash']}), got "
                f"{reference.settings_hash}: {keys}; labels of two settings are never mixed: put "
                "back what changed and run `ionloop resume`, or start a new campaign"
            )
            raise LabelError(msg)


@job(data=DATA_FIELDS, output_schema=LabelShard)
def collect_labels(
    batch: Batch, results: list[list[SinglePoint] | None], profile: Profile
) -> LabelShard:
    """Judge every result, and keep all of them: what is refused must be found again."""
    labels: list[Label] = []
    for chunk, points in zip(batch.chunks, results, strict=True):
        answers: Sequence[SinglePoint | None] = points or [None] * len(chunk)
        labels += [
            judge_point(
                frame,
                point,
                batch.settings_hash,
                profile,
                batch.settings,
                expects_stress=batch.expects_stress,
            )
            for frame, point in zip(chunk, answers, strict=True)
        ]
    shard = make_shard(refuse_jumps(labels), batch, profile)
    return readmit(shard, decisions_of(batch.campaign_id).readmissions)


@job
def check_batch(shard: str, n_admitted: int, campaign_id: str | None) -> OutputReference:
    """Hand a shard on, or pause the campaign: this job fails until someone decides.

    ``n_admitted``, of the shard that has the uuid ``shard``, is what makes the job wait.

    Raises
    ------
    BatchPausedError
        If the admitted share is below the campaign's.
    """
    found: LabelShard = fetch_outputs([shard])[0]
    logger.info("%d of %d labels admitted", n_admitted, n_admitted + found.n_quarantined)
    hold_to_share(found, decisions_of(campaign_id), campaign_id)
    return OutputReference(shard)


def decisions_of(campaign_id: str | None) -> Decisions:
    """Read from inside a job what people decided about a campaign's labels."""
    found = fetch_if_stored(decisions_uuid(campaign_id)) if campaign_id else None
    return Decisions(**found) if found else Decisions(campaign_id=campaign_id or "")


@job(data=DATA_FIELDS, output_schema=LabelShard)
def adopt_labels(
    shards: list[str],
    settings: dict[str, Any],
    settings_hash: str,
    profile: Profile,
    campaign_id: str | None = None,
    *,
    has_stress: bool = True,
) -> LabelShard:
    """Take imported shards into the campaign, by its own settings and limits.

    Labels lose their stress where the reference's isn't good enough to train on.

    Raises
    ------
    LabelError
        If a shard isn't there, has other settings, or none of its labels is admitted.
    """
    found = dict(zip(shards, fetch_outputs(shards), strict=True))
    adopted = adopt(found, settings, settings_hash, profile, has_stress=has_stress)
    return readmit(adopted, decisions_of(campaign_id).readmissions)
