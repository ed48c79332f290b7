"""What follows the last generation: the committee evaluated on trajectories of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobflow import Flow, Job

from ionloop.campaign.schema import CampaignState, Material
from ionloop.errors import EngineError
from ionloop.randomness import derive_seed
from ionloop.routing import route

if TYPE_CHECKING:
    from ionloop.campaign.maker import CampaignMaker


def evaluation_flow(campaign: CampaignMaker, material: Material, state: CampaignState) -> Flow:
    """Make the flow: test MD, its labels, the reference's own MD, and the measures.

    Raises
    ------
    EngineError
        If no generation is finished.
    """
    if not (state.calibration and state.band_set and state.seeds):
        msg = f"{state.campaign_id}: expected a finished generation to evaluate, got none"
        raise EngineError(msg)
    metadata = {"campaign_id": state.campaign_id, "generation": state.generation}
    ev = campaign.evaluate
    runs = campaign.explore.runs(
        material.start,
        material.host,
        state.members,
        state.calibration,
        campaign.profile,
        state.generation,
        temperatures=campaign.profile.transport_temperatures,
        n_steps=ev.md_steps,
        replicas=ev.replicas,
        random_seed=campaign.random_seed,
        first_member=None,
        prefix="test",
        settings=campaign.explore.settings.for_properties(),
    )
    pick = ev.test_frames([run.output for run in runs], campaign.random_seed)
    label = campaign.label.make(
        pick.output.frames,
        campaign.reference,
        campaign.profile,
        state.generation,
        "test",
        state.shards,
        metadata,
    )
    truths = reference_runs(campaign, material) if campaign.reference.cheap else []
    measure = ev.make(
        generation=state.generation,
        start=material.start,
        host=material.host,
        members=state.members,
        calibration=state.calibration,
        bands=state.band_set,
        seeds=state.seeds,
        shards=state.shards,
        shard=label.output,
        model_runs=[run.output for run in runs],
        reference_runs=[run.output for run in truths],
        reference_name=campaign.reference.name,
        profile=campaign.profile,
        hop_distance=max(hop.distance for hop in material.hops),
        time_step=campaign.explore.settings.time_step,
        store_every=campaign.explore.settings.store_every,
        random_seed=campaign.random_seed,
    )
    flow = Flow([*runs, pick, label, *truths, measure], name="evaluation")
    flow.update_metadata({**metadata, "stage": "evaluate"})
    return route(flow)


def reference_runs(campaign: CampaignMaker, material: Material) -> list[Job]:
    """Make the reference's own MD at the transport temperatures."""
    jobs = []
    for i, temperature in enumerate(campaign.profile.transport_temperatures):
        run = campaign.reference.md(
            material.start,
            temperature=temperature,
            n_steps=campaign.evaluate.reference_md_steps,
            time_step=campaign.explore.settings.time_step,
            # D needs no finer frames, and these runs are long.
            store_every=5 * campaign.explore.settings.store_every,
            seed=derive_seed(campaign.random_seed, "reference", i),
            group=f"reference-{i}-{temperature:g}K",
        )
        run.name = f"reference MD {temperature:g} K"
        jobs.append(run)
    return jobs
