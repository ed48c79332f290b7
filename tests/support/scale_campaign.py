"""A campaign of many generations without learning: what is left is labels, loop and database.

Labels are real, by the Buckingham teacher, and so are the label stage, the judge and the step to
the next generation. Training, exploration and selection are stand-ins, which read what the real
ones read and return documents of the real kind. Workers import this module by PYTHONPATH.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jobflow import Flow, Job, JobConfig, OutputReference, job
from tiny_campaign import CHARGES, structures

from ionloop.campaign.maker import CampaignMaker
from ionloop.campaign.schema import CampaignState, Material
from ionloop.document import DATA_FIELDS, Blob, fetch_fields, fetch_outputs
from ionloop.explore.maker import ExploreMaker
from ionloop.explore.schema import BandSet, Exploration, FoundBands
from ionloop.frame import Frame, Origin
from ionloop.kept import Kept
from ionloop.label.schema import LabelShard
from ionloop.profile import Budget, Profile
from ionloop.reference.forcefield import ForceFieldReference
from ionloop.reference.schema import Trajectory
from ionloop.seed.displace import rattle
from ionloop.seed.maker import SeedMaker
from ionloop.seed.schema import Displacements, Hop, SeedFrames
from ionloop.select.distances import nearest_known
from ionloop.select.maker import SelectMaker
from ionloop.select.schema import Selection
from ionloop.train.jobs import partition, read_samples
from ionloop.train.maker import CommitteeMaker
from ionloop.train.schema import (
    Calibration,
    Foresight,
    Hyperparameters,
    LastLayers,
    Member,
    OriginForesight,
)

#: Numbers of a frame's fingerprint, as a small MACE model has.
N_DESCRIPTOR = 64
#: What waits for which job: all stand-ins read from the store.
READS = JobConfig(expose_store=True)


def rattled(start: Frame, n: int, seed: list[int], origin: Origin, group: str) -> list[Frame]:
    """Make frames near a first one, with fingerprints that mean nothing."""
    rng = np.random.default_rng(seed)
    made = [rattle(start, 0.03, rng, origin=origin, group=f"{group}-{i // 5}") for i in range(n)]
    return [
        frame.model_copy(update={"descriptor": rng.normal(size=N_DESCRIPTOR).tolist()})
        for frame in made
    ]


@job(data=DATA_FIELDS, output_schema=SeedFrames)
def stand_in_seeds(start: Frame, n: int) -> SeedFrames:
    """Make the frames of generation 0."""
    frames = rattled(start, n, [0], Origin.AIMD, "aimd")
    return SeedFrames(frames=frames, bands=[], counts={"aimd": n})


@job(data=DATA_FIELDS, output_schema=Member)
def stand_in_member(
    index: int, generation: int, shards: list[str], n_new: int, model_bytes: int
) -> Member:
    """Read all labels as training does; the model is noise."""
    train, valid, _ = partition(read_samples(shards), generation, 0)
    return member(index, generation, len(train), len(valid), model_bytes, f"{n_new} labels")


def member(
    index: int, generation: int, n_train: int, n_valid: int, model_bytes: int, version: str
) -> Member:
    """Make a member of noise."""
    noise = np.random.default_rng([generation, index]).bytes(model_bytes)
    blob = Blob.from_bytes(noise, "mace.model")
    return Member(
        index=index, seed=index, generation=generation, warm_start=generation > 0,
        n_train=n_train, n_valid=n_valid, model_hash=blob.sha256, model_file=blob, log=[],
        hyperparameters=Hyperparameters(), mace_version=version, wall_s=0.0,
    )  # fmt: skip


@job(data=DATA_FIELDS, output_schema=Calibration)
def stand_in_calibration(members: list[Member], generation: int, shards: list[str]) -> Calibration:
    """Read members and labels as the calibration does."""
    _, valid, _ = partition(read_samples(shards), generation, 0)
    for one in members:
        one.model_file.to_bytes()
    return calibrated(generation, len(valid))


@job(data=DATA_FIELDS, output_schema=LastLayers)
def stand_in_last_layers(members: list[Member], generation: int, shards: list[str]) -> LastLayers:
    """Read members and labels, as the real one does, and learn nothing."""
    train, _, _ = partition(read_samples(shards), generation, 0)
    return LastLayers(
        generation=generation, n_frames=len(train), r_max=5.0, scales=[], rank_correlations=[],
        missing=f"{len(members)} stand-ins", blob=Blob.from_arrays("none.npz"),
    )  # fmt: skip


@job(data=DATA_FIELDS, output_schema=Foresight)
def stand_in_foresight(
    members: list[str], calibration: str, shard: str, generation: int, n_new: int
) -> Foresight:
    """Read the committee and the new labels, as the real one does."""
    read_samples([shard])
    for one in fetch_outputs(members):
        one.model_file.to_bytes()
    known = fetch_outputs([calibration])[0]
    found = OriginForesight(
        origin="all", n_frames=n_new, n_ions=n_new, coverage_90=0.9, interval=None, error_ratio=1.0
    )
    return Foresight(generation=generation, committee=known.generation, origins=[found])


def calibrated(generation: int, n_frames: int) -> Calibration:
    """Make a calibration of made-up numbers."""
    return Calibration(
        generation=generation, n_frames=n_frames, n_ions=1, held_out="none", scale=1.0,
        scale_90=2.0, coverage_90=0.9, rmse_forces=0.05, sigma_lo=0.1, sigma_hi=0.5, curve=[],
    )  # fmt: skip


@job(data=DATA_FIELDS)
def stand_in_run(
    start: Frame,
    members: list[str],
    calibration: Calibration,
    generation: int,
    i: int,
    n: int,
    last_layers: LastLayers | None,
) -> list[Exploration]:
    """Return candidates and a trajectory of 100 frames."""
    assert last_layers is None or last_layers.generation == generation
    rng = np.random.default_rng([generation, i])
    walk = np.array(start.positions) + rng.normal(scale=0.05, size=(100, len(start.symbols), 3))
    group = f"explore-{generation}-{i}"
    run = Exploration(
        generation=generation, temperature=600.0 + i, group=group, n_mobile=23, time_ps=1.0,
        unphysical=False, hops=[], n_checked=100, n_trusted=100, wall_s=0.0,
        sigma_quantiles=[0.0] * 6,
        frames=rattled(start, n, [generation + 1, i + 1], Origin.HOP, group),
        trajectory=Trajectory.from_positions(
            walk, start.to_atoms(), temperature=600.0 + i, frame_interval_fs=10.0, n_steps=100,
            group=group, engine=f"none, {len(members)} members, {calibration.scale}", wall_s=0.0,
        ),
    )  # fmt: skip
    return [run]


@job(data=DATA_FIELDS, output_schema=BandSet)
def stand_in_bands(calibration: Calibration) -> BandSet:
    """Return barriers that never settle."""
    g = calibration.generation
    barriers = {"Li-Li 2.76 A #0": 0.3 + 0.05 * (g % 2)}
    return BandSet(
        generation=g, bands=[], barriers=barriers, barrier_spread=dict.fromkeys(barriers, 0.1),
        frames=[], n_unphysical=0, wall_s=0.0,
    )  # fmt: skip


@job(data=DATA_FIELDS, output_schema=FoundBands)
def stand_in_found(
    explorations: list[list[Exploration]], generation: int, previous: str | None
) -> FoundBands:
    """Read the runs and what was found before, as the real one does, and find nothing."""
    assert previous is None or fetch_outputs([previous])[0].generation == generation - 1
    return FoundBands(
        generation=generation, bands=[], n_imaginary=[], frames=[], n_events=len(explorations),
        n_returned=len(explorations), n_broken=0, wall_s=0.0,
    )  # fmt: skip


def described(shard: LabelShard) -> np.ndarray:
    """Return the fingerprints of a shard's frames, shape [m, d], where a model would make them."""
    return np.array([x.frame.descriptor for x in (*shard.labels, *shard.quarantined)])


#: As selection keeps what was asked.
KEPT = Kept(["labels", "quarantined"], described, lambda found: int(found.nbytes))


@job(data=DATA_FIELDS, output_schema=Selection)
def stand_in_selection(
    explorations: list[list[Exploration]],
    bands: BandSet,
    shards: list[str],
    generation: int,
    n: int,
) -> Selection:
    """Read the frames of all labels as selection does, and take the first new candidates."""
    known = {h for one in fetch_fields(shards, "frame_hashes") for h in one["frame_hashes"]}
    found = [f for runs in explorations for e in runs for f in e.frames] + bands.frames
    fresh = [f for f in found if f.frame_hash not in known][:n]
    fresh = [f.model_copy(update={"generation": generation}) for f in fresh]
    _, nearest = nearest_known(fresh, KEPT.stream(shards))
    return Selection(
        generation=generation, frames=fresh, counts={"hop": len(fresh)}, n_untrusted=0,
        candidates={"hop": len(found)}, n_known=len(found) - len(fresh),
        n_duplicates=int((nearest < 0.1).sum()),
    )  # fmt: skip


@job
def stand_in_evaluation(shards: list[str]) -> int:
    """End the campaign."""
    return len(shards)


@dataclass
class StandInSeed(SeedMaker):
    """Seeds without the reference's MD."""

    n_frames: int = 10

    def make(self, start: Frame, *_: object) -> Flow:
        """Make one job."""
        seeds = stand_in_seeds(start, self.n_frames)
        return Flow([seeds], output=seeds.output, name=self.name)


@dataclass
class StandInCommittee(CommitteeMaker):
    """Members that read and don't learn."""

    model_bytes: int = 100_000

    def make(
        self,
        generation: int,
        shards: list[str],
        previous: list[str],
        profile: Profile,
        e0s: object,
        random_seed: int,
        n_new: int | OutputReference,
    ) -> Flow:
        """Make the members and their calibration."""
        members = [
            stand_in_member(i, generation, shards, n_new, self.model_bytes)
            for i in range(self.size)
        ]
        calibration = stand_in_calibration([m.output for m in members], generation, shards)
        layers = stand_in_last_layers([m.output for m in members], generation, shards)
        own = [*members, calibration, layers]
        for one in own:
            one.config = READS
        output = {
            "members": [m.output for m in members],
            "calibration": calibration.output,
            "last_layers": layers.output,
        }
        return Flow(own, output=output, name=f"{self.name} {generation}")

    def foresight(self, generation: int, shard: str, previous: list[str], calibration: str,
                  profile: Profile, random_seed: int,
                  n_new: int | OutputReference) -> Job:  # fmt: skip
        """Make the job that looks at new labels."""
        one = stand_in_foresight(previous, calibration, shard, generation, n_new)
        one.config = READS
        return one


@dataclass
class StandInExplore(ExploreMaker):
    """Runs and bands without a model."""

    n_frames: int = 5

    def make(
        self,
        start: Frame,
        host: Frame,
        hops: list[Hop],
        members: list[str],
        calibration: OutputReference,
        profile: Profile,
        generation: int,
        random_seed: int,
        last_layers: OutputReference | None = None,
        previous_found: str | None = None,
    ) -> Flow:
        """Make one run a temperature, and the bands."""
        runs = [
            stand_in_run(start, members, calibration, generation, i, self.n_frames, last_layers)
            for i in range(len(profile.temperatures))
        ]
        bands = stand_in_bands(calibration)
        explored = [run.output for run in runs]
        found = stand_in_found(explored, generation, previous_found)
        found.config = READS
        output = {"explorations": explored, "bands": bands.output, "found": found.output}
        return Flow([*runs, bands, found], output=output, name=f"{self.name} {generation}")


@dataclass
class StandInSelect(SelectMaker):
    """The first new candidates."""

    def make(self, explorations: list, bands: OutputReference, found: OutputReference,
             calibration: OutputReference, shards: list[str], profile: Profile, generation: int,
             *_: object) -> Job:  # fmt: skip
        """Make the job."""
        n = profile.budget.labels_per_generation
        one = stand_in_selection(explorations, bands, shards, generation, n)
        one.config = READS
        return one


@dataclass
class ScaleCampaign(CampaignMaker):
    """A campaign that ends without an evaluation."""

    def evaluation(self, material: Material, state: CampaignState) -> Flow:
        """Make one job that does nothing."""
        end = stand_in_evaluation(state.shards)
        end.update_metadata({
            "campaign_id": state.campaign_id, "generation": state.generation, "stage": "evaluate"
        })  # fmt: skip
        return Flow([end], name="evaluation")


def build(
    campaign_id: str = "scale",
    generations: int = 8,
    labels: int = 10,
    frames_per_job: int = 5,
    model_bytes: int = 100_000,
) -> Flow:
    """Make the flow: ``labels`` labels in each of ``generations`` generations."""
    temperatures = [600.0, 700.0]
    maker = ScaleCampaign(
        profile=Profile(
            name="scale",
            mobile_ion="Li",
            formal_charges=CHARGES,
            r_max=3.8,
            hop_distance_max=2.8,
            seed_temperatures=temperatures,
            temperatures=temperatures,
            transport_temperatures=[900, 1000, 1100],
            budget=Budget(
                labels_max=generations * labels + 1000,
                generations_max=generations,
                labels_per_generation=labels,
            ),
        ),
        reference=ForceFieldReference(frames_per_job=frames_per_job),
        seed=StandInSeed(displacements=Displacements(n_rattle=0, n_strain=0), n_frames=labels),
        train=StandInCommittee(size=2, model_bytes=model_bytes),
        explore=StandInExplore(n_frames=-(-labels // len(temperatures))),
        select=StandInSelect(),
    )
    return maker.make(*structures(), campaign_id=campaign_id)
