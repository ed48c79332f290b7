from __future__ import annotations

import numpy as np
import pytest

from ionloop.errors import ExplorationError
from ionloop.explore.bias import UncertaintyBias
from ionloop.explore.candidates import Pick
from ionloop.explore.detector import settle_sites
from ionloop.explore.hops import HopAnalysis
from ionloop.explore.jobs import explore_md, hop_detector, summarise
from ionloop.explore.judged import candidates, driver_of, guards_of, judged
from ionloop.explore.maker import ExploreMaker
from ionloop.explore.replicas import MDRun
from ionloop.explore.schema import Exploration, ExploreSettings, HopEvent
from ionloop.explore.tilt import Tilt
from ionloop.explore.uncertainty import CommitteeUncertainty, fingerprint
from ionloop.frame import Frame, HopTag, Origin
from ionloop.profile import Profile
from ionloop.train.schema import Calibration

SETTINGS = ExploreSettings(time_step=2.0, store_every=5)
TAGS = {"generation": 2, "group": "explore-2-0-900K", "temperature": 900.0}
CALIBRATION = Calibration(
    generation=2, n_frames=4, n_ions=80, held_out="random", scale=2.0, scale_90=3.0,
    coverage_90=0.91, rmse_forces=0.07, sigma_lo=0.1, sigma_hi=0.4, curve=[],
)  # fmt: skip
PROFILE = Profile(
    name="Li3OCl", mobile_ion="Li", formal_charges={"Li": 1, "O": -2, "Cl": -1}, charge=-1,
    temperatures=[600.0, 1200.0, 900.0],
)  # fmt: skip


@pytest.fixture
def start(cell) -> Frame:
    return Frame.from_atoms(cell, origin=Origin.AIMD, group="start", charge=-1)


@pytest.fixture
def judge(committee, cell) -> CommitteeUncertainty:
    return CommitteeUncertainty(committee, np.flatnonzero(cell.symbols == "Li"), 2.0)


def test_a_candidate_is_the_frame_wrapped_with_all_that_is_known(start, judge, cell):
    positions = cell.positions + [7.8, 0.0, -7.8]  # noqa: RUF005
    (frame,) = judged(start, [positions], [Pick(3, Origin.UNCERTAIN)], judge, TAGS)
    inside = np.array(frame.positions) @ np.linalg.inv(cell.cell.array)
    assert ((inside >= 0) & (inside < 1)).all()
    assert frame.frame_hash == start.frame_hash
    assert (frame.origin, frame.charge, frame.temperature) == (Origin.UNCERTAIN, -1, 900.0)
    per_ion = judge.per_ion(cell)
    assert frame.uncertainty == pytest.approx(per_ion.max(), rel=1e-5)
    worst = int(judge.mobile[per_ion.argmax()])
    expected = fingerprint(judge.calculator, cell, worst)
    assert frame.descriptor == pytest.approx(expected, abs=1e-6)


def test_a_hop_s_fingerprint_looks_at_the_ion_that_hops(start, judge, cell):
    ion = int(judge.mobile[judge.per_ion(cell).argmin()])
    tag = HopTag(ion=ion, progress=0.5, path_class="a", event="e")
    (frame,) = judged(start, [cell.positions], [Pick(3, Origin.HOP, tag)], judge, TAGS)
    assert frame.hop == tag
    expected = fingerprint(judge.calculator, cell, ion)
    assert frame.descriptor == pytest.approx(expected, abs=1e-6)


def test_candidates_are_judged_in_batches_as_they_are_alone(start, judge, cell):
    rng = np.random.default_rng(0)
    positions = [cell.positions + rng.normal(scale=0.05, size=(len(cell), 3)) for _ in range(10)]
    picks = [Pick(k, Origin.RANDOM) for k in range(10)]
    frames = judged(start, positions, picks, judge, TAGS, describe=False)
    assert [f.uncertainty for f in frames] == pytest.approx([judge(f.to_atoms()) for f in frames])
    assert [f.descriptor for f in frames] == [None] * 10
    assert judged(start, [], [], judge, TAGS) == []


def test_runs_that_measure_are_not_ended_by_uncertainty():
    settings = ExploreSettings(check_every=20).for_properties()
    assert guards_of(settings, PROFILE, CALIBRATION).sigma_ceiling == np.inf
    assert guards_of(ExploreSettings(), PROFILE, CALIBRATION).sigma_ceiling == pytest.approx(0.8)
    assert (settings.check_every, settings.fingerprints) == (100, False)


BIASED = SETTINGS.model_copy(update={"bias": "tilt"})


@pytest.mark.parametrize("bias", ["uncertainty", "tilt"])
def test_a_biased_run_is_marked_and_gives_no_random_frames(start, judge, cell, bias):
    settings = ExploreSettings(bias=bias, bias_strength=0.2, n_random=4, n_uncertain=2)
    rng = np.random.default_rng(0)
    positions = [cell.positions + rng.normal(scale=0.05, size=(len(cell), 3)) for _ in range(9)]
    run = MDRun(step=40, positions=positions, checks=[(2, 0.1), (5, 0.3), (7, 0.2)])
    analysis = HopAnalysis(np.array(positions), np.zeros((9, 23), int), [], [], 10.0)
    known = {}
    for name, own in (("biased", settings), ("plain", settings.unbiased())):
        frames = candidates(start, run, analysis, judge, own, TAGS, np.random.default_rng(1))
        made = summarise(start, run, analysis, frames, CALIBRATION, TAGS, own, "mace 1", 3.0)
        known[name] = (made.bias, sorted(frame.origin.value for frame in made.frames))
    words, origins = known["biased"]
    assert words.startswith(f"{bias} 0.2")
    assert origins == ["uncertain"] * 2
    assert known["plain"][0] is None
    assert known["plain"][1].count("random") == 4


def test_who_steers_is_as_the_settings_say(start, judge, cell):
    host = cell.copy()
    host.append("Li")
    host.positions[-1] = [0.0, 1.95, 1.95]
    crystal = Frame.from_atoms(host, origin=Origin.AIMD, group="host")
    detector = hop_detector(start, crystal, PROFILE, 10.0)
    made = {
        bias: driver_of(ExploreSettings(bias=bias), judge.calculator, 1, detector, 3)
        for bias in ("none", "uncertainty", "tilt")
    }
    plain, uncertainty, tilt = made.values()
    assert [len(d.models) for d in (plain, uncertainty.driver, tilt.driver)] == [1, 3, 1]
    assert (type(uncertainty), type(tilt)) == (UncertaintyBias, Tilt)
    assert (uncertainty.tau, tilt.pull.force) == (
        ExploreSettings(bias="uncertainty").strength, ExploreSettings(bias="tilt").strength,
    )  # fmt: skip
    assert (tilt.pull.patience_steps, tilt.pull.ramp_steps) == (1000, 50)
    # The framework is looked at in biased runs alone.
    guards = [
        guards_of(ExploreSettings(bias=bias), PROFILE, CALIBRATION, detector) for bias in made
    ]
    assert [g.framework is not None for g in guards] == [False, True, True]
    assert len(guards[1].framework.atoms) == 16


def test_a_tilt_above_its_cap_is_refused():
    with pytest.raises(ExplorationError, match=r"at most bias_cap \(0.1 eV/Å\), got 0.2"):
        ExploreSettings(bias="tilt", bias_strength=0.2, bias_cap=0.1)
    assert ExploreSettings(bias="uncertainty", bias_strength=0.2, bias_cap=0.1).strength == 0.2


def test_runs_that_measure_are_never_biased():
    assert BIASED.for_properties().bias == "none"
    assert BIASED.bias == "tilt"


def exploration(start: Frame, run: MDRun) -> Exploration:
    sites = np.zeros((len(run.positions), 23), int)
    analysis = HopAnalysis(np.array(run.positions), sites, [], [], 10.0)
    return summarise(start, run, analysis, [], CALIBRATION, TAGS, SETTINGS, "mace 1", 3.0)


def test_a_run_is_summed_up(start, cell):
    checks = [(1, 0.05), (2, 0.0999), (3, 0.1), (4, 0.3)]
    e = exploration(start, MDRun(step=20, positions=[cell.positions] * 5, checks=checks))
    assert (e.n_checked, e.n_trusted, e.unphysical, e.stopped) == (4, 2, False, None)
    assert e.time_ps == pytest.approx(0.04)
    assert e.sigma_quantiles == pytest.approx(
        np.quantile([0.05, 0.0999, 0.1, 0.3], [0, 0.25, 0.5, 0.75, 0.9, 1])
    )
    assert (e.n_mobile, e.trajectory.n_frames, e.trajectory.charge) == (23, 5, -1)
    assert (e.trajectory.frame_interval_fs, e.trajectory.engine) == (10.0, "mace 1")
    assert e.trajectory.positions[2] == pytest.approx(cell.positions, abs=1e-5)


def test_a_run_that_stopped_is_unphysical_whatever_the_reason(start, cell):
    run = MDRun(step=5, positions=[cell.positions] * 2, stopped="uncertainty above the ceiling")
    e = exploration(start, run)
    assert (e.unphysical, e.stopped) == (True, "uncertainty above the ceiling")
    assert (e.n_checked, e.sigma_quantiles) == (0, [])


def test_the_detector_knows_the_host_s_sites_and_the_framework(start, cell):
    host = cell.copy()
    host.append("Li")
    host.positions[-1] = [0.0, 1.95, 1.95]
    crystal = Frame.from_atoms(host, origin=Origin.AIMD, group="host")
    detector = hop_detector(start, crystal, PROFILE, 10.0)
    assert (len(detector.sites), len(detector.mobile), len(detector.framework)) == (24, 23, 16)
    assert {start.symbols[i] for i in detector.mobile} == {"Li"}
    assert detector.frame_interval_fs == 10.0
    assert detector.analyse(np.array([cell.positions] * 30)).events == []


@pytest.mark.parametrize(
    ("sites", "source"), [("crystal", "crystal"), ("density", "density"), ("auto", "crystal")]
)
def test_sites_are_the_profile_s_choice(start, cell, sites, source):
    host = cell.copy()
    host.append("Li")
    host.positions[-1] = [0.0, 1.95, 1.95]
    crystal = Frame.from_atoms(host, origin=Origin.AIMD, group="host")
    rng = np.random.default_rng(0)
    runs = [cell.positions + rng.normal(scale=0.15, size=(40, len(cell), 3)) for _ in range(2)]
    detector = hop_detector(start, crystal, PROFILE, 10.0)
    profile = PROFILE.model_copy(update={"sites": sites})
    settled, choice = settle_sites(detector, runs, crystal, profile)
    assert (choice.source, choice.n_ions) == (source, 23)
    assert choice.share_within > 0.99
    assert len(settled.sites) == choice.n_sites >= 23
    assert settled.analyse(runs[0], 900.0).events == []
    assert (settled is detector) == (sites == "crystal")


def test_hops_of_old_documents_still_read():
    old = {
        "schema_version": 1, "ion": 3, "site_from": 0, "site_to": 1, "t_leave_fs": 10.0,
        "t_arrive_fs": 30.0, "distance": 2.8, "path_class": "Li-Li 2.76 A #0",
    }  # fmt: skip
    hop = HopEvent.model_validate(old)
    assert (hop.event, hop.n_ions, hop.progress, hop.temperature) == (None, 1, [], None)


def test_runs_are_made_hottest_first_with_seeds_of_their_own(start):
    flow = ExploreMaker(replicas=2, md_steps=70).make(
        start, start, [], ["m0", "m1"], CALIBRATION, PROFILE, 3, 1
    )
    *runs, bands, found = flow.jobs
    assert [job.function_args[7] for job in runs] == [1200, 900, 600]
    assert {job.function_args[8] for job in runs} == {70}
    seeds = [job.function_args[9] for job in runs]
    assert len(set(seeds)) == 3
    # Members take turns at steering, and change places from generation to generation.
    assert [job.function_args[10] for job in runs] == [1, 0, 1]
    assert len({job.function_args[11] for job in runs}) == 3
    assert {job.function_args[12] for job in runs} == {2}
    assert [r.uuid for r in flow.output["explorations"]] == [job.uuid for job in runs]
    assert flow.output["bands"].uuid == bands.uuid
    assert flow.output["found"].uuid == found.uuid
    assert ExploreMaker.from_dict(ExploreMaker(settings=SETTINGS).as_dict()).settings == SETTINGS


def test_biased_runs_come_after_plain_ones_of_their_temperature(start):
    maker = ExploreMaker(replicas=2, md_steps=70, settings=BIASED, biased_runs=3, hops_wanted=6)
    flow = maker.make(start, start, [], ["m0", "m1"], CALIBRATION, PROFILE, 3, 1)
    *runs, _, _ = flow.jobs
    plain, biased = runs[:3], runs[3:]
    assert [job.function_args[6].bias for job in runs] == ["none"] * 3 + ["tilt"] * 3
    assert [job.function_args[7] for job in biased] == [1200, 900, 600]
    assert {job.function_args[12] for job in biased} == {3}
    assert [job.function_kwargs["plain"].uuid for job in biased] == [job.uuid for job in plain]
    assert {job.function_kwargs["hops_wanted"] for job in biased} == {6}
    assert not any(job.function_kwargs for job in plain)
    assert len({job.function_args[9] for job in runs}) == 6  # seeds
    assert len({job.function_args[11] for job in runs}) == 6  # groups
    assert [r.uuid for r in flow.output["explorations"]] == [job.uuid for job in runs]
    assert ExploreMaker.from_dict(maker.as_dict()) == maker


@pytest.mark.parametrize("fields", [{"biased_runs": 2}, {"settings": BIASED}])
def test_biased_runs_and_a_bias_belong_together(fields):
    with pytest.raises(ExplorationError, match="set both"):
        ExploreMaker(**fields)


def test_where_heat_shows_enough_hops_nothing_is_biased(start, cell):
    """No model is even loaded: there is none of that name."""
    hop = HopEvent(ion=3, site_from=0, site_to=1, t_leave_fs=0.0, t_arrive_fs=30.0, distance=2.8,
                   path_class="a")  # fmt: skip
    seen = exploration(start, MDRun(step=5, positions=[cell.positions] * 2))
    seen = seen.model_copy(update={"hops": [hop] * 3})
    rest = (start, start, ["no such model"], "none", PROFILE, 3, BIASED, 900.0, 70, 1, 0, "g", 2)
    assert explore_md.original(*rest, plain=[seen, seen], hops_wanted=6) == []
    with pytest.raises(Exception, match="store"):
        explore_md.original(*rest, plain=[seen, seen], hops_wanted=7)
