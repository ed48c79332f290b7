"""A made-up campaign of three generations; the numbers are chosen, not computed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import numpy as np

from ionloop.campaign.schema import Advance, CampaignStart, CampaignState
from ionloop.document import Blob
from ionloop.evaluate.arrhenius import arrhenius
from ionloop.evaluate.held_out import Predicted, judge_labels
from ionloop.evaluate.schema import (
    Check,
    Contact,
    Cost,
    Diffusivity,
    Estimate,
    Evaluation,
    Stability,
)
from ionloop.evaluate.scorecard import compare_barriers
from ionloop.evaluate.scorecard_schema import (
    AccuracyPart,
    CostPart,
    DiffusionPart,
    ModelFacts,
    Scorecard,
    StaticPart,
)
from ionloop.evaluate.speed_up import speed_ups
from ionloop.explore.schema import BandSet, Exploration, FoundBands, HopEvent, Repeated, Saddle
from ionloop.frame import Frame, HopTag, Origin
from ionloop.judge.schema import Criterion, HopRate, Judgement, Metrics
from ionloop.label.schema import Label, LabelShard
from ionloop.reference.schema import Band, Trajectory
from ionloop.report.ledger import Group, by_generation, by_kind, by_stage, line
from ionloop.report.ledger_schema import LabelsSpent, Ledger
from ionloop.seed.schema import SeedFrames
from ionloop.store.schema import CampaignRecord
from ionloop.train.schema import (
    Calibration,
    EpochLog,
    Foresight,
    Hyperparameters,
    Member,
    OriginForesight,
)
from ionloop.units import KB_EV_PER_K

CELL = 7.82
SYMBOLS = ["Li"] * 5 + ["O", "O", "Cl"]
CLASSES = {"Li-Li 2.76 A #0": 0.332, "Li-Li 3.91 A #1": 0.910}
TEMPERATURES = (900.0, 1050.0, 1200.0, 1500.0)
ORIGINS = (Origin.HOP, Origin.SADDLE, Origin.UNCERTAIN, Origin.STRAIN, Origin.RANDOM)
QUARANTINE = "force 41.2 eV/Å above the ceiling of 30 eV/Å <script>alert(1)</script>"


def make_frame(rng, origin, generation, group, progress=None):
    hop = None
    if progress is not None:
        name = next(iter(CLASSES))
        hop = HopTag(ion=0, progress=progress, path_class=name, event=group)
    return Frame(
        symbols=SYMBOLS,
        positions=rng.uniform(0, CELL, size=(len(SYMBOLS), 3)).tolist(),
        cell=(CELL * np.eye(3)).tolist(),
        origin=origin,
        generation=generation,
        group=group,
        hop=hop,
    )


def make_label(frame, rng, reasons=()):
    return Label(
        frame=frame,
        frame_hash=frame.frame_hash,
        energy=-30.0 + rng.normal(scale=0.4),
        forces=rng.normal(scale=0.8, size=(len(SYMBOLS), 3)).tolist(),
        settings_hash="5e771f6a5e771f6a",
        engine="LAMMPS 2 Apr 2025",
        wall_s=0.2,
        directory="/scratch/label",
        reasons=list(reasons),
    )


def make_shard(rng, generation):
    origins = (Origin.AIMD, Origin.NEB, Origin.RATTLE) if generation == 0 else ORIGINS
    tagged = {Origin.NEB, Origin.HOP, Origin.SADDLE}
    labels = [
        make_label(
            make_frame(
                rng,
                origin,
                generation,
                f"g{generation}-{origin.value}-{i % 3}",
                float(rng.uniform()) if origin in tagged else None,
            ),
            rng,
        )
        for origin in origins
        for i in range(12 if generation == 0 else 6)
    ]
    bad = make_frame(rng, Origin.HOP, generation, f"g{generation}-hop-bad", 0.5)
    quarantined = [make_label(bad, rng, [QUARANTINE])] if generation else []
    counts = {o.value: sum(x.frame.origin is o for x in labels) for o in origins}
    return LabelShard(
        generation=generation,
        purpose="train",
        labels=labels,
        quarantined=quarantined,
        frame_hashes=[x.frame_hash for x in [*labels, *quarantined]],
        n_admitted=len(labels),
        n_quarantined=len(quarantined),
        reasons={QUARANTINE: 1} if quarantined else {},
        counts=counts,
        settings_hash="5e771f6a5e771f6a",
        wall_s=12.0,
    )


def make_foresight(generation):
    parts = [
        ("all", 24, 0.83, (0.80, 0.86)),
        ("hop", 12, 0.71, (0.62, 0.79)),
        ("random", 1, 1.0, None),
    ]
    warning = "errors are larger than the committee says"
    return Foresight(
        generation=generation,
        committee=generation - 1,
        origins=[
            OriginForesight(
                origin=origin, n_frames=n, n_ions=5 * n, coverage_90=share, interval=interval,
                error_ratio=1.31, warning=warning if origin == "hop" else None,
            )
            for origin, n, share, interval in parts
        ],
    )  # fmt: skip


def make_band(name, barrier, engine):
    s = np.linspace(0, 1, 7)
    images = np.zeros((7, len(SYMBOLS), 3))
    images[:, 0, 0] = 2.76 * s
    return Band(
        symbols=SYMBOLS,
        cell=(CELL * np.eye(3)).tolist(),
        images=images.tolist(),
        energies=(-30.0 + barrier * np.sin(np.pi * s) ** 2).tolist(),
        ion=0,
        path_class=name,
        hop_distance=2.76,
        converged=True,
        fmax=0.05,
        n_force_calls=120,
        engine=engine,
        settings_hash="5e771f6a5e771f6a",
        wall_s=3.0,
    )


def make_band_set(generation):
    shift = 0.12 / 3**generation
    barriers = {name: barrier - shift for name, barrier in CLASSES.items()}
    return BandSet(
        generation=generation,
        bands=[make_band(name, barrier, "committee") for name, barrier in barriers.items()],
        barriers=barriers,
        barrier_spread=dict.fromkeys(barriers, shift / 3),
        frames=[],
        n_unphysical=0,
        wall_s=8.0,
    )


def make_found_bands(generation):
    band = make_band("found, 2 ions: <b> + a", 0.274, "committee")
    return FoundBands(
        generation=generation, bands=[band], n_imaginary=[1], frames=[], n_events=4, n_returned=2,
        n_broken=1, wall_s=9.0, saddles=[make_saddle(band)],
        # A band that was repeated isn't an event of its own generation.
        repeated=[Repeated(index=0, first=0, before=0.263, now=0.251)] if generation == 2 else [],
    )  # fmt: skip


def make_saddle(band):
    return Saddle(
        path_class=band.path_class, method="sella 2.6.0", energy=0.251, barrier=0.251, fmax=0.004,
        converged=True, moved=0.08, n_imaginary=1, n_force_calls=98, rejected=None, frame_hash="f",
    )  # fmt: skip


def make_calibration(generation):
    curve = [(x, x * (1 + 0.1 * (-1) ** i)) for i, x in enumerate((0.03, 0.06, 0.1, 0.16))]
    return Calibration(
        generation=generation,
        n_frames=8 + generation,
        n_ions=40,
        held_out="the random tenth",
        scale=2.6,
        scale_90=4.1,
        coverage_90=0.86 + 0.02 * generation,
        rmse_forces=0.12 / (1 + generation),
        sigma_lo=0.1,
        sigma_hi=0.3,
        curve=curve,
    )


def make_exploration(generation, temperature):
    hop = HopEvent(
        ion=0,
        site_from=1,
        site_to=2,
        t_leave_fs=10.0,
        t_arrive_fs=50.0,
        distance=2.76,
        path_class=next(iter(CLASSES)),
    )
    trajectory = Trajectory(
        symbols=SYMBOLS,
        cell=(CELL * np.eye(3)).tolist(),
        temperature=temperature,
        frame_interval_fs=20.0,
        n_frames=100,
        n_steps=1000,
        group=f"g{generation}-{temperature:g}",
        engine="committee",
        wall_s=20.0,
        blob=Blob(filename="blob", sha256="", content=""),
    )
    unphysical = generation == 0 and temperature > 1000
    return Exploration(
        generation=generation,
        temperature=temperature,
        group=trajectory.group,
        n_mobile=5,
        time_ps=2.0,
        stopped="closest contact 1.1 Å below 1.3 Å" if unphysical else None,
        unphysical=unphysical,
        hops=[hop] * int(3 + (temperature - 600) / 100 + generation),
        n_checked=100,
        n_trusted=80 + 9 * generation,
        sigma_quantiles=[0.01, 0.03, 0.05, 0.08, 0.1, 0.2],
        frames=[],
        trajectory=trajectory,
        wall_s=20.0,
    )


def make_advance(generation, n_labels, explorations):
    bands = make_band_set(generation)
    converged = generation == 2
    reason = (
        "barriers changed by 8 meV, within 10 meV"
        if converged
        else f"barriers changed by {60 - 20 * generation} meV, more than 10 meV"
    )
    metrics = Metrics(
        generation=generation,
        n_labels=n_labels,
        barriers=bands.barriers,
        barrier_spread=bands.barrier_spread,
        hop_rates=[
            HopRate(temperature=e.temperature, n_hops=len(e.hops), ion_time_ps=10.0)
            for e in explorations
        ],
        trusted_share=(80 + 9 * generation) / 100,
        unphysical_events=sum(e.unphysical for e in explorations),
        rmse_forces=0.12 / (1 + generation),
        coverage_90=0.9,
        n_selected=30,
    )
    judgement = Judgement(
        generation=generation,
        converged=converged,
        stop=converged,
        reasons=[reason],
        criteria=[
            Criterion(
                name="barrier change",
                passed=converged,
                value=8.0 if converged else 60.0 - 20 * generation,
                limit=10.0,
                unit="meV",
                reason=reason,
            )
        ],
        metrics=metrics,
    )
    state = CampaignState(campaign_id="li3ocl-0001", generation=generation + 1)
    return Advance(
        campaign_id="li3ocl-0001",
        generation=generation,
        judgement=judgement,
        next_step="evaluate" if converged else "generation",
        state=state,
    )


def make_member(generation, index):
    return Member(
        index=index,
        seed=17 + index,
        generation=generation,
        warm_start=generation > 0,
        n_train=90,
        n_valid=9,
        model_hash=f"{generation}{index}" * 32,
        model_file=Blob(filename="model", sha256="", content=""),
        log=[EpochLog(epoch=0, loss=1.0)],
        hyperparameters=Hyperparameters(lr=0.02),
        mace_version="0.3.16",
        wall_s=40.0,
    )


def make_point(temperature, energy, *, rsd=0.2, missing=False):
    d = 3e-3 * np.exp(-energy / (KB_EV_PER_K * temperature))
    lag = np.linspace(0, 20_000, 101)
    reason = "3.1 effective hops, expected 5 or more" if missing else None
    return Diffusivity(
        temperature=temperature,
        d=Estimate(
            value=None if missing else d,
            error=None if missing else rsd * d,
            unit="cm²/s",
            estimator="OLS of the drift-corrected MSD; error by 3.43/√N_eff + 0.04",
            admissible=not missing,
            reason=reason,
        ),
        n_eff=3.1 if missing else 150.0,
        alpha=0.97,
        window_fs=(4000.0, 14_000.0),
        msd_time_fs=lag.tolist(),
        msd=(0.3 * (1 - np.exp(-lag / 200)) + 60 * d * lag).tolist(),
        msd_error=(0.2 * 60 * d * lag).tolist(),
        framework_msd=0.2,
        time_ps=20.0,
    )


def make_evaluation(rng, shards):
    held_out = [x for s in shards for x in s.labels][::2]
    held_out = [
        x.model_copy(update={"stress": rng.normal(scale=0.01, size=(3, 3)).tolist()})
        for x in held_out
    ]
    forces = [np.array(x.forces) + rng.normal(scale=0.05, size=(3, 8, 3)) for x in held_out]
    energies = [x.energy + rng.normal(scale=0.02, size=3) for x in held_out]
    stresses = [np.array(x.stress) + rng.normal(scale=0.001, size=(3, 3)) for x in held_out]
    cold, *others = TEMPERATURES
    model = [make_point(cold, 0.31, missing=True)] + [make_point(t, 0.31) for t in others]
    reference = [make_point(t, 0.33, rsd=0.1) for t in TEMPERATURES]
    bands = [make_band(name, barrier, "LAMMPS") for name, barrier in CLASSES.items()]
    return Evaluation(
        generation=2,
        accuracy=judge_labels(
            held_out, Predicted(np.array(energies), forces, stresses), rng, mobile_ion="Li",
            calibration=make_calibration(2),
        ),
        barriers=compare_barriers(make_band_set(2), bands),
        model_transport=arrhenius(model, "committee of 3 MACE"),
        reference_transport=arrhenius(reference, "Buckingham-Coulomb"),
        cost=[
            Cost(
                calculator="committee of 3 MACE",
                n_atoms=38,
                seconds_per_step=0.05,
                quartiles=(0.048, 0.061),
                n_timed=20,
            ),
            Cost(
                calculator="Buckingham-Coulomb",
                n_atoms=38,
                seconds_per_step=9e-5,
                n_timed=20,
                note="one thread",
            ),
        ],
        stability=[make_stability(i) for i in range(3)],
        stability_ps=500.0,
    )  # fmt: skip


def make_stability(member, *, stopped=None):
    """Make a run that lasted, or that ended after 31 ps."""
    checks = [
        Check(name="the run stays physical", passed=stopped is None,
              detail=f"ended after 31 ps: {stopped}" if stopped else "500 ps at 1800 K"),
        Check(name="the framework stays solid", passed=True, detail="Lindemann ratio 0.081"),
    ]  # fmt: skip
    return Stability(
        temperature=1800.0, repeats=[1, 1, 1], n_atoms=38, picoseconds=500.0,
        survived_ps=31.0 if stopped else 500.0, stopped=stopped, lindemann=0.081, wandering=0.02,
        contacts=[Contact(pair=("Li", "O"), distance=1.62)], nve_ps=0.0 if stopped else 10.0,
        drift=None if stopped else Estimate(
            value=0.12, error=0.03, unit="meV/atom/ps", estimator="line", admissible=True
        ),
        scatter=None, checks=checks, steered_by=f"mace member {member} 2{member}2{member}",
    )  # fmt: skip


def make_start():
    return CampaignStart(
        campaign_id="li3ocl-0001",
        profile={"name": "Li3OCl", "mobile_ion": "Li"},
        campaign={"generations": 3},
        reference="buckingham",
        settings={"pair_style": "buck/coul/long 7.0"},
        settings_hash="5e771f6a5e771f6a",
        versions={"ionloop": "0.1.0", "mace-torch": "0.3.16"},
        random_seed=1234,
    )


def make_record(generations=3, *, evaluated=True):
    rng = np.random.default_rng(0)
    shards = [make_shard(rng, g) for g in range(generations)]
    runs = [[make_exploration(g, t) for t in (600.0, 900.0, 1200.0)] for g in range(generations)]
    totals = np.cumsum([s.n_admitted for s in shards]).tolist()
    return CampaignRecord(
        campaign_id="li3ocl-0001",
        start=make_start(),
        seeds=SeedFrames(
            frames=[],
            bands=[make_band(name, barrier, "LAMMPS") for name, barrier in CLASSES.items()],
            counts={},
        ),
        shards=shards,
        members=[make_member(g, i) for g in range(generations) for i in range(3)],
        calibrations=[make_calibration(g) for g in range(generations)],
        foresights=[make_foresight(g) for g in range(1, generations)],
        explorations=[e for run in runs for e in run],
        band_sets=[make_band_set(g) for g in range(generations)],
        found_bands=[make_found_bands(g) for g in range(generations)],
        advances=[make_advance(g, totals[g], runs[g]) for g in range(generations)],
        evaluation=make_evaluation(rng, shards) if evaluated else None,
    )


def make_card(*files: bytes, key: str = "a", material: str = "Li3OCl") -> Scorecard:
    """Make a scorecard of a committee of these model files, with no result."""
    hashes = [hashlib.sha256(data).hexdigest() for data in files]
    facts = ModelFacts(
        name="m", kind="mace", sha256="".join(hashes)[:64] or "none", hashed="the model files",
        file_hashes=hashes, versions={"mace-torch": "0.3.16"},
    )  # fmt: skip
    return Scorecard(
        material=material, mobile_ion="Li", model=facts,
        accuracy=AccuracyPart(status="missing", reason="a test", key=key),
        static=StaticPart(status="not asked"), cost=CostPart(status="not asked"),
        diffusion=DiffusionPart(status="not asked"),
    )  # fmt: skip


def make_ledger() -> Ledger:
    """A ledger whose sums can be done in the head: 4 cores, of 10 h one was lost."""

    def group(stage: str, function: str, outcome: str, hours: float) -> Group:
        return Group(stage, 0, function, outcome, 1, 1, 3600 * hours, 4 * 3600 * hours, 0.0)

    groups = [
        group("label", "ionloop.reference.cp2k.makers.Cp2kStaticMaker", "done", 7.0),
        group("label", "ionloop.reference.cp2k.makers.Cp2kStaticMaker", "failed", 1.0),
        group("train", "ionloop.train.jobs.train_member", "done", 2.0),
    ]
    costs = [
        Cost(calculator=name, n_atoms=38, seconds_per_step=s, n_timed=20, cores=cores)
        for name, s, cores in (("one MACE model", 0.05, 1), ("reference (cp2k 2023.1)", 20.0, 4))
    ]
    return Ledger(
        campaign_id="li3ocl",
        backend="FireWorks",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        total=line("all", groups),
        stages=by_stage(groups),
        generations=by_generation(groups),
        kinds=by_kind(groups),
        reference_share=0.8,
        label_cost=LabelsSpent(
            n_admitted=64, by_origin={"hop": 40, "saddle": 24}, core_hours_per_label=0.5
        ),
        speed_up=speed_ups(costs),
        notes=["what isn't known"],
    )
