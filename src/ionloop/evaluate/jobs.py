"""Jobs of the evaluate stage."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms
from jobflow import job

from ionloop.document import DATA_FIELDS, fetch_fields, fetch_outputs, stream_outputs
from ionloop.evaluate.accuracy_schema import Accuracy
from ionloop.evaluate.arrhenius import arrhenius
from ionloop.evaluate.band_errors import band_errors, band_frames_of, on_bands
from ionloop.evaluate.campaign_card import Asked, campaign_card, conventional
from ionloop.evaluate.card import evaluate
from ionloop.evaluate.cost import reference_cost, time_calculator
from ionloop.evaluate.endings import early_endings
from ionloop.evaluate.expansion import ExpansionSettings
from ionloop.evaluate.held_out import judge_labels, predict
from ionloop.evaluate.hop_rates import count_hops, hop_activation
from ionloop.evaluate.machine import machine
from ionloop.evaluate.models import Model, resolve_model
from ionloop.evaluate.request import Request
from ionloop.evaluate.runs import diffusivity_of_trajectories, moving_framework
from ionloop.evaluate.schema import Cost, Evaluation, Stability, Transport
from ionloop.evaluate.scorecard import compare_barriers
from ionloop.evaluate.scorecard_schema import Crystal, ModelFacts, Scorecard
from ionloop.evaluate.stability import StabilitySettings, run_stability
from ionloop.evaluate.testset import pick_test_frames
from ionloop.explore.driver import CommitteeDriver
from ionloop.explore.schema import Exploration
from ionloop.frame import Frame
from ionloop.label.schema import Label, LabelShard
from ionloop.profile import Profile
from ionloop.reference.schema import Band, Trajectory
from ionloop.seed.schema import TestFrames
from ionloop.settings import get_settings
from ionloop.train import mace
from ionloop.train.model_files import model_bytes
from ionloop.versions import installed

logger = logging.getLogger(__name__)


@job(data=DATA_FIELDS, output_schema=TestFrames)
def choose_test_frames(
    explorations: list[list[Exploration]], n_total: int, random_seed: int
) -> TestFrames:
    """Pick held-out frames from the final committee's own trajectories, the unbiased ones."""
    plain = [e for replicas in explorations for e in replicas if e.bias is None]
    frames = [frame for e in plain for frame in e.frames]
    rng = np.random.default_rng([random_seed, 29])
    return TestFrames(frames=pick_test_frames(frames, n_total, rng))


@job(data=DATA_FIELDS, output_schema=Accuracy)
def measure_accuracy(
    shard: LabelShard,
    members: list[str],
    calibration: str,
    seeds: str,
    shards: list[str],
    profile: Profile,
    random_seed: int,
) -> Accuracy:
    """Compare the committee with the held-out labels, and with the reference's bands.

    Runs may have lasted too short to give labels; bands have some all the same. ``shards`` are
    the campaign's batches, which have the bands' labels.
    """
    rng = np.random.default_rng([random_seed, 31])
    bands = band_labels(fetch_outputs([seeds], "bands")[0], shards)
    committee = [model_bytes(m) for m in stream_outputs(members)]
    calculator = mace.committee_calculator(committee, dtype="float64")
    labels = shard.labels
    found = judge_labels(
        labels,
        predict(calculator, [x.frame.to_atoms() for x in labels]),
        rng,
        mobile_ion=profile.mobile_ion,
        calibration=fetch_outputs([calibration])[0],
    )
    on_images = predict(calculator, [x.frame.to_atoms() for x in bands])
    along = band_errors(bands, on_images.energies, on_images.forces)
    return found.model_copy(update={"along_bands": along})


def band_labels(bands: Sequence[Band], shards: Sequence[str]) -> list[Label]:
    """Find the labels of the images of the reference's bands; of others nothing is read."""
    frames = band_frames_of(bands)
    hashes = fetch_fields(shards, "frame_hashes")
    wanted = [
        uuid
        for uuid, known in zip(shards, hashes, strict=True)
        if not frames.keys().isdisjoint(known["frame_hashes"])
    ]
    found = (label for labels in stream_outputs(wanted, "labels") for label in labels)
    return on_bands(found, frames)


@job(output_schema=Stability)
def measure_stability(
    start: Frame, members: list[str], member: int, profile: Profile, settings: StabilitySettings
) -> Stability:
    """Run one member hot and long in the campaign's own cell, then without a bath.

    A job that was killed goes on from its checkpoint where it runs again in its folder.
    """
    uuid = members[member]
    data = model_bytes(fetch_outputs([uuid])[0])
    model = member_model(member, data)
    return run_stability(
        start.to_atoms(), model, profile, settings, Path.cwd(), logger.info
    ).model_copy(update={"steered_by": model.facts.name})


def member_model(member: int, data: bytes) -> Model:
    """Make a member a model that runs by the driver of exploration's MD."""
    sha256 = hashlib.sha256(data).hexdigest()
    facts = ModelFacts(
        name=f"mace member {member} {sha256[:12]}",
        kind="mace",
        sha256=sha256,
        hashed="the model file",
        file_hashes=[sha256],
        versions=installed(["mace-torch", "torch", "ase"]),
    )
    return Model(
        (facts.name,),
        facts,
        lambda dtype: CommitteeDriver(mace.committee_calculator([data], dtype=dtype)),
    )


@job(output_schema=Transport)
def measure_transport(
    runs: list[Trajectory | list[Exploration]],
    calculator: str,
    start: Frame,
    host: Frame,
    profile: Profile,
    hop_distance: float,
    skip_fs: float,
) -> Transport:
    """Estimate D, its activation energy and that of the hop rate; replicas are pooled."""
    trajectories = trajectories_of(runs)
    by_temperature: dict[float, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        by_temperature[trajectory.temperature].append(trajectory)
    charge = profile.formal_charges[profile.mobile_ion]
    points = [
        diffusivity_of_trajectories(
            same, profile.mobile_ion, hop_distance, skip_fs=skip_fs, charge=charge
        )
        for _, same in sorted(by_temperature.items())
    ]
    rates = count_hops(trajectories, start, host, profile, skip_fs)
    doubts = [early_endings(trajectories), moving_framework(points, hop_distance)]
    reason = "; ".join(filter(None, doubts)) or None
    return arrhenius(points, calculator).model_copy(
        update={"hop_rates": rates, "hop_activation_energy": hop_activation(rates, reason)}
    )


def trajectories_of(runs: Sequence[Trajectory | list[Exploration]]) -> list[Trajectory]:
    """List the trajectories of the reference's runs, or of the model's batches of replicas.

    Biased ones are left out: their ions are pushed.
    """
    return [
        trajectory
        for run in runs
        for trajectory in (
            [run]
            if isinstance(run, Trajectory)
            else [replica.trajectory for replica in run if replica.bias is None]
        )
    ]


@job
def measure_cost(
    start: Frame, members: list[str], shard: LabelShard, n_timed: int, random_seed: int
) -> list[Cost]:
    """Time one model and the committee here; the reference's labels say what they took."""
    rng = np.random.default_rng([random_seed, 37])
    atoms = start.to_atoms()
    files = [model_bytes(m) for m in stream_outputs(members)]
    here = {"hardware": machine()["hardware"]}  # another worker puts the scorecard together
    models = [one.model_copy(update=here) for one in model_cost(atoms, files, n_timed, rng)]
    return [*models, *reference_cost(shard, len(atoms))]


def model_cost(
    atoms: Atoms, files: Sequence[bytes], n_timed: int, rng: np.random.Generator
) -> list[Cost]:
    """Time the first model and the committee with the calculator that MD runs, one replica."""
    calculator = mace.committee_calculator(files)  # torch has the threads now that it steps with
    threads = mace.threads() if get_settings().device == "cpu" else None
    return [
        time_calculator(
            atoms,
            partial(CommitteeDriver, calculator, members),
            n_timed,
            rng,
            name=name,
            note="energy and forces as MD computes them, one replica; other jobs may run beside",
            cores=threads,
        )
        for name, members in (("one MACE model", [0]), (f"committee of {len(files)}", None))
    ]


@job(output_schema=Crystal)
def measure_crystal(
    host: Frame,
    members: list[str],
    profile: Profile,
    static: bool,  # noqa: FBT001 - what a job is given is stored by name
    expansion: ExpansionSettings | None,
) -> Crystal:
    """Compute static properties and expansion of the perfect crystal by the committee's mean.

    What fails is missing with its reason; runs that were killed go on from their checkpoints.
    """
    files = []
    for i, member in enumerate(stream_outputs(members)):
        files.append(f"member-{i}.model")
        Path(files[-1]).write_bytes(model_bytes(member))
    request = Request(
        model=resolve_model(files),
        profile=profile,
        parts=["static"] * static + ["expansion"] * (expansion is not None),
        structure=conventional(host),
        expansion=expansion or ExpansionSettings(),
    )
    found = evaluate(request, Path.cwd() / "crystal", logger.info)
    facts = found.model.model_copy(update={"files": []})  # of this job's folder
    return Crystal(model=facts, static=found.static, expansion=found.expansion)


# No data store: scorecards are small.
@job(output_schema=Scorecard)
def assemble_card(
    evaluation: Evaluation,
    crystal: Crystal,
    shard: LabelShard,
    calibration: str,
    start: Frame,
    profile: Profile,
    asked: Asked,
) -> Scorecard:
    """Put the scorecard together that compares with those of other models."""
    known = fetch_outputs([calibration])[0]
    return campaign_card(evaluation, crystal, shard.labels, known, start, profile, asked)


# No data store: the evaluation is small, and its `model` is a number, not a file.
@job(output_schema=Evaluation)
def assemble_evaluation(  # noqa: PLR0913
    generation: int,
    accuracy: Accuracy,
    model_transport: Transport,
    reference_transport: Transport | None,
    cost: list[Cost],
    bands: str,
    seeds: str,
    stability: list[Stability],
    stability_ps: float,
) -> Evaluation:
    """Put the scorecard together."""
    return Evaluation(
        generation=generation,
        accuracy=accuracy,
        barriers=compare_barriers(fetch_outputs([bands])[0], fetch_outputs([seeds], "bands")[0]),
        model_transport=model_transport,
        reference_transport=reference_transport,
        cost=cost,
        stability=stability,
        stability_ps=stability_ps,
    )
