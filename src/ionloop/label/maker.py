"""The label stage: one batch of frames to one shard of labels."""

from __future__ import annotations

from dataclasses import dataclass

from jobflow import Job, JobConfig, Maker, OnMissing, OutputReference

from ionloop.frame import Frame
from ionloop.label.jobs import adopt_labels, label_frames
from ionloop.profile import Profile
from ionloop.reference.base import Reference
from ionloop.routing import KEY, WorkerKind


@dataclass
class LabelMaker(Maker):
    """Ask the reference for labels of a batch of frames.

    Parameters
    ----------
    name
        Name of the job.
    """

    name: str = "label"

    def make(  # noqa: PLR0913
        self,
        frames: list[Frame] | OutputReference | str,
        reference: Reference,
        profile: Profile,
        generation: int,
        purpose: str,
        shards: list[str],
        metadata: dict,
        reserve: int = 0,
        n_imported: int | OutputReference = 0,
    ) -> Job:
        """Make the job; its output, after the labels, is a ``LabelShard``.

        ``reserve`` labels of the campaign's budget are kept back for later batches; the job
        waits for ``n_imported``, the number of labels that the campaign was given.
        """
        tags = {**metadata, "stage": "label"}
        batch = label_frames(
            frames,
            reference,
            profile,
            generation,
            purpose,
            shards,
            tags,
            reserve,
            n_imported=n_imported,
        )
        batch.name = f"{self.name} {purpose} generation {generation}"
        batch.config = JobConfig(expose_store=True)
        # What jobflow puts behind a replacing flow bears missing inputs: it would go on after a
        # batch that pauses the campaign. A whole configuration: jobs share jobflow's own one.
        behind = JobConfig(
            resolve_references=False,
            on_missing_references=OnMissing.ERROR,
            manager_config={KEY: WorkerKind.LIGHT.value},
        )
        batch.update_config(behind, name_filter="store_inputs")
        return batch

    def adopt(
        self, shards: list[str], reference: Reference, profile: Profile, metadata: dict
    ) -> Job:
        """Make the job that takes imported shards into a campaign; its output is one shard."""
        one = adopt_labels(
            shards,
            reference.settings,
            reference.settings_hash,
            profile,
            metadata.get("campaign_id"),
            has_stress=reference.has_stress,
        )
        one.name = f"{self.name} imported"
        one.config = JobConfig(expose_store=True)
        one.update_metadata({**metadata, "stage": "label"})
        return one
