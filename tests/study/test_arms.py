"""``ionloop arms``: small loops on a teacher, by real trainings as small as can be."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_campaign import maker, structures, tiny_mace

from ionloop.campaign.start import material_of
from ionloop.cli import main
from ionloop.cli.arms import print_arms
from ionloop.errors import ProfileError
from ionloop.frame import Origin
from ionloop.profile import Profile
from ionloop.reference.schema import Band
from ionloop.reference.vasp.reference import VaspReference
from ionloop.study.arms import ARMS
from ionloop.study.compare import compare_arms
from ionloop.study.curves import over_seeds
from ionloop.study.plan import ArmsPlan, ReferenceRuns, reference_of
from ionloop.study.schema import ArmStudy, MeanOverSeeds
from ionloop.study.truth import Truth

COUNTS = (12, 18)
ARM_NAMES = ("aimd", "random", "sigma", "loop", "loop+pulled")


def plan(**changes: object) -> ArmsPlan:
    campaign = maker()
    profile = Profile(**{**campaign.profile.model_dump(), "temperatures": [600.0]})
    fields = {
        "profile": profile,
        "material": material_of(profile, *structures()),
        "reference": campaign.reference,
        "seeding": ReferenceRuns([900.0, 1200.0]),
        "testing": ReferenceRuns([1200.0], n_steps=4000),
        "settings": campaign.explore.settings,
        "hyperparameters": tiny_mace(),
        "md_steps": 150,
        "replicas": 1,
        "arms": ARM_NAMES,
        "counts": COUNTS,
        "seeds": 1,
        "steps": 300,
        "n_test": 24,
    }
    return ArmsPlan(**{**fields, **changes})


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> tuple[ArmStudy, Path]:
    folder = tmp_path_factory.mktemp("arms")
    return compare_arms(plan(), folder, workers=2), folder


def test_arms_cost_the_same_labels_and_begin_alike(done):
    found, _ = done
    assert [(p.arm, p.n_labels) for p in found.points] == [
        (a, n) for a in ARM_NAMES for n in COUNTS
    ]
    first = [p for p in found.points if p.n_labels == COUNTS[0]]
    assert len({p.score.model_dump_json() for p in first}) == 1
    for point in found.points:
        assert sum(point.origins.values()) == point.n_labels
        assert point.origins["aimd"] >= COUNTS[0]


def test_each_arm_takes_what_it_says(done):
    last = {p.arm: p for p in done[0].points if p.n_labels == COUNTS[-1]}
    n = COUNTS[-1] - COUNTS[0]
    assert last["aimd"].origins == {"aimd": COUNTS[-1]}
    assert last["aimd"].n_hops is None
    assert last["random"].origins == {"aimd": COUNTS[0], "random": n}
    # All that it found may lie above the uncertainty ceiling: then it is filled up, and says so.
    assert last["sigma"].origins.get("uncertain", 0) + last["sigma"].n_filled == n
    assert last["loop"].origins["saddle"] >= 1
    for arm in ("random", "sigma", "loop", "loop+pulled"):
        assert last[arm].n_hops is not None


def test_pulled_runs_come_beside_the_committee_s_own(done):
    found, folder = done
    last = {p.arm: p for p in found.points if p.n_labels == COUNTS[-1]}
    assert last["loop+pulled"].n_hops >= last["loop"].n_hops
    (journal,) = folder.glob("loop+pulled-0-18-*.jsonl")
    frames = [json.loads(line)["frame"] for line in journal.read_text().splitlines()]
    pulled = [frame for frame in frames if frame["group"].startswith("pulled-")]
    assert pulled
    assert all(frame["origin"] != Origin.RANDOM for frame in pulled)


def test_enough_hops_need_no_pull(done):
    _, folder = done
    (own,) = folder.glob("loop-0-18-*.json")
    enough = plan(arms=("loop+pulled",), hops_wanted=0)
    point = compare_arms(enough, folder, workers=2).points[-1]
    assert point.n_hops == json.loads(own.read_text())["n_hops"]


def test_scores_are_those_of_the_reference_s_own_hops(done):
    found, _ = done
    assert set(found.n_test) == {"near equilibrium", "shoulder", "saddle", "random"}
    assert found.barriers["Li-Li 2.76 A #0"] == pytest.approx(0.239, abs=0.02)
    for point in found.points:
        score = point.score
        bins = score.rmse_by_hop_bin
        assert score.saddle_ratio == pytest.approx(bins["saddle"] / bins["near equilibrium"])
        assert all(0.01 < x < 5 for x in bins.values())
        assert score.rate_bound == max(r.bound for r in score.rate_errors)
        assert set(score.barrier_errors) == set(found.barriers)
        errors = list(score.barrier_errors.values())
        assert score.barrier_error == (None if None in errors else max(errors))


def test_the_reference_s_ends_are_relaxed_as_the_committee_s(done):
    """A barrier counts from an end: one that is relaxed less shifts it."""
    (file,) = (done[1] / "reference").glob("band-*.json")
    band = Band.model_validate_json(file.read_text())
    calculator = plan().reference.teacher.calculator()
    for end in (band.to_atoms()[0], band.to_atoms()[-1]):
        end.calc = calculator
        assert np.abs(end.get_forces()).max() < plan().settings.end_fmax


def test_several_hops_are_printed_one_by_one(done, capsys):
    """A study of two hops, the second made of the first: one column each, in meV."""
    one = done[0].curves[0]
    second = MeanOverSeeds(mean=[0.0123, None], interval=[None, None])
    curve = one.model_copy(update={"barrier_errors": {**one.barrier_errors, "Li-Li 9 A": second}})
    barriers = {**done[0].barriers, "Li-Li 9 A": 0.3}
    print_arms(done[0].model_copy(update={"barriers": barriers, "curves": [curve]}))
    printed = capsys.readouterr().out
    assert "barrier error by hop, meV" in printed
    assert "12.3" in printed
    assert "no band" in printed
    print_arms(done[0])
    assert "by hop" not in capsys.readouterr().out


def test_what_is_there_is_not_done_again(done, monkeypatch):
    found, folder = done
    monkeypatch.setattr("ionloop.study.learned.train_committee", pytest.fail)
    monkeypatch.setattr("ionloop.study.truth.relax_band", pytest.fail)
    assert compare_arms(plan(), folder) == found


def test_it_goes_on_where_it_was_stopped(done, tmp_path):
    found, folder = done
    shutil.copytree(folder, tmp_path / "stopped")
    (last,) = (tmp_path / "stopped").glob("loop-0-18-*.json")
    last.unlink()
    told = []
    again = compare_arms(plan(), tmp_path / "stopped", done=told.append)
    assert [p.score for p in again.points] == [p.score for p in found.points]
    assert [p.origins for p in again.points] == [p.origins for p in found.points]
    assert told == again.points


def test_the_first_labels_are_the_same_whatever_comes_after(tmp_path):
    truth = Truth(plan(), tmp_path)
    few, more = truth.aimd(6, seed=0), truth.aimd(12, seed=0)
    assert [f.frame_hash for f in few] == [f.frame_hash for f in more[:6]]
    assert {f.group for f in more} == {
        f"aimd-{t}K-{block}" for t in (900, 1200) for block in (0, 1)
    }
    assert [f.frame_hash for f in truth.aimd(6, seed=1)] != [f.frame_hash for f in few]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": ("random", "best")}, "expected arms out of .*got best"),
        ({"counts": (40,)}, "rising numbers of labels"),
        ({"md_steps": 0}, "md_steps of 1 or more"),
        ({"arms": ("fine-tune",)}, "expected a foundation model"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes, said):
    with pytest.raises(ProfileError, match=said):
        plan(**changes)


def test_dft_is_too_dear():
    with pytest.raises(ProfileError, match=r"expected a force field as reference.*ionloop replay"):
        reference_of(VaspReference())


def test_the_loop_arm_has_the_profile_s_shares():
    budget = {Origin.HOP: 0.5, Origin.RANDOM: 0.5}
    assert ARMS["loop"].shares_of(budget) == budget
    assert ARMS["hop"].shares_of(budget) == {Origin.HOP: 1.0}
    assert not ARMS["aimd"].explores


def test_a_seed_without_a_number_leaves_the_count_without_one():
    found = over_seeds([[1.0, 3.0], [1.0, None], [2.0]])
    assert found.mean == [2.0, None, 2.0]
    assert found.interval[0] is not None
    assert found.interval[1:] == [None, None]


def test_the_command_prints_what_was_found(done, tmp_path, monkeypatch, capsys):
    """From a flow file to a picture; the plan is the same as above, so that nothing is computed."""
    flow = tmp_path / "flow.py"
    flow.write_text(
        "from tiny_campaign import build as tiny\n\n\ndef build():\n    return tiny('arms')\n"
    )
    options = [
        "--arms", "aimd,random", "--labels", "12,18", "--seeds", "1", "--aimd-temperatures",
        "900,1200", "--temperatures", "600", "--test-temperatures", "1200", "--test-steps", "4000",
        "--n-test", "24", "--md-steps", "150", "--replicas", "1", "--steps", "300",
    ]  # fmt: skip
    picture = tmp_path / "arms.png"
    command = ["ionloop", "arms", str(flow), *options, "--out", str(done[1])]
    monkeypatch.setattr(sys, "argv", [*command, "--json", "--plot", str(picture)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    found = ArmStudy(**json.loads(capsys.readouterr().out))
    assert [c.arm for c in found.curves] == ["aimd", "random"]
    assert picture.stat().st_size > 10_000
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        main()
    printed = capsys.readouterr().out
    assert "barrier" in printed
    assert "first labels: MD of the reference at 900, 1200 K" in printed


def test_a_foundation_model_is_what_the_arm_starts_from(done, tmp_path):
    """Any MACE model of the same elements will do; here one of the comparison's own."""
    _, folder = done
    model = next((folder / "models").glob("member-0-*.model"))
    own = plan(arms=("aimd", "fine-tune"), foundation=model, counts=(12, 16), steps=20)
    found = compare_arms(own, tmp_path, workers=2)
    first = {p.arm: p.score for p in found.points if p.n_labels == 12}
    assert first["fine-tune"].rmse_random < first["aimd"].rmse_random
    other = replace(own, foundation=None, arms=("aimd",))
    assert np.isfinite(compare_arms(other, tmp_path).points[0].score.rate_bound)
