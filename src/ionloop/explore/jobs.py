"""Jobs of the explore stage."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jobflow import job

from ionloop.document import DATA_FIELDS, fetch_fields, fetch_outputs, stream_outputs
from ionloop.explore.detector import hop_detector, settle_sites
from ionloop.explore.events import choose_events
from ionloop.explore.found import found_bands
from ionloop.explore.hops import HopAnalysis
from ionloop.explore.judged import candidates, driver_of, guards_of, plan_of
from ionloop.explore.md import run_md
from ionloop.explore.monitor import watch_of
from ionloop.explore.repeat import open_hops
from ionloop.explore.replicas import MDRun
from ionloop.explore.saddles import BandPlan, committee_bands
from ionloop.explore.schema import BandSet, Exploration, ExploreSettings, FoundBands
from ionloop.explore.uncertainty import CommitteeUncertainty
from ionloop.frame import Frame
from ionloop.profile import Profile
from ionloop.reference.base import hash_settings
from ionloop.reference.checkpoint import Checkpoint
from ionloop.reference.schema import Trajectory
from ionloop.seed.schema import Hop
from ionloop.train import mace
from ionloop.train.model_files import model_bytes
from ionloop.train.schema import Calibration, LastLayers


@dataclass(frozen=True)
class Committee:
    """A loaded committee: who steers, who judges."""

    hashes: list[str]
    models: list[bytes]
    calibration: Calibration

    @classmethod
    def fetch(cls, uuids: list[str], calibration: Calibration | str) -> Committee:
        """Fetch members, and the calibration where it's given by uuid, from the store."""
        models = [model_bytes(member) for member in stream_outputs(uuids)]
        hashes = [one["model_hash"] for one in fetch_fields(uuids, "model_hash")]
        known = fetch_outputs([calibration])[0] if isinstance(calibration, str) else calibration
        return cls(hashes, models, known)

    @property
    def settings_hash(self) -> str:
        """One hash for all members."""
        return hash_settings({"models": self.hashes})

    def engine(self, member: int, settings: ExploreSettings) -> str:
        """Name who steers a run."""
        if settings.bias == "uncertainty":
            return f"mace committee mean {self.settings_hash[:12]}"
        return f"mace member {member} {self.hashes[member][:12]}"

    def uncertainty(self, mobile: np.ndarray, dtype: str = "float32") -> CommitteeUncertainty:
        """Make the judge of frames."""
        calculator = mace.committee_calculator(self.models, dtype=dtype)
        return CommitteeUncertainty(calculator, mobile, self.calibration.scale)


@job(data=DATA_FIELDS)
def explore_md(  # noqa: PLR0913
    start: Frame,
    host: Frame,
    members: list[str],
    calibration: Calibration | str,
    profile: Profile,
    generation: int,
    settings: ExploreSettings,
    temperature: float,
    n_steps: int,
    seed: int,
    member: int,
    group: str,
    replicas: int = 1,
    last_layers: LastLayers | None = None,
    plain: list[Exploration] | None = None,
    hops_wanted: int = 0,
) -> list[Exploration]:
    """Run MD on the committee, find its hops, and pick candidates; ``member`` steers.

    Replicas run as one batch; each gives a document. None does, and nothing is run, where the
    ``plain`` runs at this temperature already showed the hops that are wanted. With the member's
    last layer each stored frame of a run without a bias is watched, where the architecture has one.
    """
    if plain is not None and sum(len(run.hops) for run in plain) >= hops_wanted:
        return []
    rng = np.random.default_rng([seed, 11])
    committee = Committee.fetch(members, calibration)
    detector = hop_detector(start, host, profile, settings.time_step * settings.store_every)
    judge = committee.uncertainty(detector.mobile)
    plan = plan_of(settings, temperature, n_steps, seed)
    driver = driver_of(settings, judge.calculator, member, detector, seed)
    watch = watch_of(driver, last_layers, member, detector.mobile)
    same = {"plan": asdict(plan), "start": start.frame_hash, "steered by": member}
    if settings.bias != "none":
        same["bias"] = [settings.bias_words, settings.bias_ramp_fs, settings.bias_patience_fs]
    checkpoint = Checkpoint(
        Path("md.npz"),
        hash_settings({**same, "models": committee.settings_hash, "replicas": replicas}),
    )
    runs = run_md(
        [start.to_atoms()] * replicas,
        driver,
        plan,
        guards_of(settings, profile, committee.calibration, detector),
        judge.per_replica,
        checkpoint,
        watch,
    )
    wall_s = checkpoint.wall_s / replicas
    positions = [np.array(run.positions) for run in runs]
    detector, sites = settle_sites(detector, positions, host, profile)
    engine = committee.engine(member, settings)
    found = []
    for k, run in enumerate(runs):
        tags = {"generation": generation, "group": f"{group}-r{k}", "temperature": temperature}
        analysis = detector.analyse(positions[k], temperature)
        frames = candidates(start, run, analysis, judge, settings, tags, rng)
        known = committee.calibration
        made = summarise(start, run, analysis, frames, known, tags, settings, engine, wall_s)
        found.append(made.model_copy(update={"sites": sites}))
    return found


def summarise(  # noqa: PLR0913
    start: Frame,
    run: MDRun,
    analysis: HopAnalysis,
    frames: list[Frame],
    calibration: Calibration,
    tags: dict[str, Any],
    settings: ExploreSettings,
    engine: str,
    wall_s: float,
) -> Exploration:
    """Write what a run showed."""
    sigma = np.array([s for _, s in run.checks])
    quantiles = np.quantile(sigma, [0, 0.25, 0.5, 0.75, 0.9, 1]) if len(sigma) else np.array([])
    interval = settings.time_step * settings.store_every
    return Exploration(
        generation=tags["generation"],
        temperature=tags["temperature"],
        group=tags["group"],
        n_mobile=analysis.site_trajectory.shape[1],
        time_ps=run.step * settings.time_step / 1000.0,
        stopped=run.stopped,
        unphysical=run.stopped is not None,
        hops=analysis.events,
        n_checked=len(sigma),
        n_trusted=int((sigma < calibration.sigma_lo).sum()),
        sigma_quantiles=quantiles.tolist(),
        frames=frames,
        trajectory=Trajectory.from_positions(
            np.array(run.positions),
            start.to_atoms(),
            charge=start.charge,
            temperature=tags["temperature"],
            frame_interval_fs=interval,
            n_steps=run.step,
            stopped=run.stopped,
            group=tags["group"],
            engine=engine,
            wall_s=wall_s,
        ),
        wall_s=wall_s,
        bias=settings.bias_words,
    )


@job(data=DATA_FIELDS, output_schema=BandSet)
def explore_bands(
    hops: list[Hop],
    members: list[str],
    calibration: Calibration | str,
    profile: Profile,
    generation: int,
    settings: ExploreSettings,
) -> BandSet:
    """Relax the enumerated hops' bands on the committee's mean."""
    committee = Committee.fetch(members, calibration)
    symbols = np.array(hops[0].start.symbols)
    judge = committee.uncertainty(np.flatnonzero(symbols == profile.mobile_ion), dtype="float64")
    return committee_bands(
        hops,
        judge.calculator,
        judge,
        BandPlan.of(settings),
        generation=generation,
        model_hash=committee.settings_hash,
    )


@job(data=DATA_FIELDS, output_schema=FoundBands)
def explore_found(  # noqa: PLR0913
    explorations: list[list[Exploration]],
    members: list[str],
    calibration: Calibration | str,
    profile: Profile,
    generation: int,
    settings: ExploreSettings,
    seed: int,
    previous: str | None = None,
) -> FoundBands:
    """Relax bands of hops that MD showed, on the committee's mean, between quenched sides.

    ``previous`` is the uuid of the generation before's: its hops come back until settled.
    """
    runs = [run for replicas in explorations for run in replicas]
    events = choose_events(runs, settings.max_found, np.random.default_rng([seed, 13]))
    committee = Committee.fetch(members, calibration)
    symbols = np.array(runs[0].trajectory.symbols)
    judge = committee.uncertainty(np.flatnonzero(symbols == profile.mobile_ion), dtype="float64")
    return found_bands(
        events,
        judge.calculator,
        judge,
        BandPlan.of(settings),
        profile=profile,
        generation=generation,
        model_hash=committee.settings_hash,
        again=open_hops(
            fetch_outputs([previous])[0] if previous else None,
            settings.max_repeated,
            settings.settled,
        ),
    )
