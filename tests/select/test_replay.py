"""``ionloop replay``: labels chosen from a pool, by real trainings as small as can be."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.io import write
from labelled_cells import labelled_cells

from ionloop.cli import main
from ionloop.errors import EvaluationError, ProfileError, TrainingError
from ionloop.frame import Origin
from ionloop.select.arms import ARMS, Arm, View, pick
from ionloop.select.replay import replay
from ionloop.select.replay_curves import compare
from ionloop.select.replay_plan import ReplayPlan
from ionloop.select.schema import Replay, ReplayPoint
from ionloop.train.dataset import Sample
from ionloop.train.labelled import read_labels
from ionloop.train.schema import Hyperparameters

HYPER = {
    "hidden_irreps": "8x0e", "num_interactions": 1, "max_ell": 1, "correlation": 2,
    "radial_mlp": [16], "mlp_irreps": "8x0e", "batch_size": 4, "lr": 0.03, "ema_decay": 0.8,
    "eval_interval": 5, "stress_weight": 0, "dtype": "float32",
}  # fmt: skip
COUNTS = (8, 12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Files as users have them, and what a replay of them left."""
    here = tmp_path_factory.mktemp("replay")
    cells = labelled_cells(40)
    write(here / "pool.extxyz", cells[:30])
    write(here / "test.extxyz", cells[30:])
    (here / "hyper.json").write_text(json.dumps(HYPER))
    return here


@pytest.fixture(scope="module")
def samples(folder) -> list[Sample]:
    return [*read_labels([folder / "pool.extxyz"]), *read_labels([folder / "test.extxyz"])]


def plan(**changes: object) -> ReplayPlan:
    fields = {
        "mobile_ion": "Li", "arms": ("random", "loop"), "counts": COUNTS, "seeds": 1,
        "r_max": 3.8, "hyperparameters": Hyperparameters(**HYPER), "steps": 12,
    }  # fmt: skip
    return ReplayPlan(**{**fields, **changes})


@pytest.fixture(scope="module")
def done(samples, folder) -> tuple[Replay, Path]:
    out = folder / "pool-replay"
    return replay(samples[:30], samples[30:], plan(), out, workers=2), out


def test_all_arms_begin_alike_and_no_label_is_chosen_twice(done):
    found, _ = done
    assert [(p.arm, p.n_labels) for p in found.points] == [
        (arm, n) for arm in ("random", "loop") for n in COUNTS
    ]
    first = [p for p in found.points if p.n_labels == 8]
    assert len({tuple(p.chosen) for p in first}) == 1
    assert len({p.rmse_mobile for p in first}) == 1  # trained once, for all arms
    for point in found.points:
        assert len(set(point.chosen)) == point.n_labels
        assert point.rmse_mobile > 0
    last = {p.arm: set(p.chosen) for p in found.points if p.n_labels == 12}
    assert last["random"] != last["loop"]


def test_what_is_there_is_not_trained_again(done, samples, monkeypatch):
    found, folder = done
    monkeypatch.setattr("ionloop.select.replay.train_committee", pytest.fail)
    again = replay(samples[:30], samples[30:], plan(), folder)
    assert again == found


def test_a_replay_goes_on_where_it_was_stopped(done, samples, tmp_path):
    found, folder = done
    shutil.copytree(folder, tmp_path / "stopped")
    (last,) = (tmp_path / "stopped").glob("loop-0-12-*.json")
    last.unlink()
    told = []
    again = replay(samples[:30], samples[30:], plan(), tmp_path / "stopped", done=told.append)
    assert [p.chosen for p in again.points] == [p.chosen for p in found.points]
    assert [p.rmse_mobile for p in again.points] == [p.rmse_mobile for p in found.points]
    assert told == again.points


def test_a_model_that_somebody_changed_is_not_loaded(done, samples, tmp_path):
    _, folder = done
    shutil.copytree(folder, tmp_path / "changed")
    (last,) = (tmp_path / "changed").glob("loop-0-12-*.json")
    last.unlink()
    for model in (tmp_path / "changed" / "models").glob("*.model"):
        model.write_bytes(b"no model")
    with pytest.raises(TrainingError, match="expected the model that was trained"):
        replay(samples[:30], samples[30:], plan(), tmp_path / "changed")


def test_a_point_is_told_and_kept_before_the_next_begins(done, samples, tmp_path):
    _, folder = done
    shutil.copytree(folder / "models", tmp_path / "models")

    class StoppedError(Exception):
        pass

    def stop(point: ReplayPoint) -> None:
        raise StoppedError(point.arm)

    with pytest.raises(StoppedError):
        replay(samples[:30], samples[30:], plan(), tmp_path, done=stop)
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_labels_are_hidden_until_chosen(done, samples, tmp_path, monkeypatch):
    """Neither selection nor what it sees depends on labels that weren't chosen."""
    seen = []

    def look(_arm: Arm, view: View, _n: int, _rng: np.random.Generator) -> list[int]:
        seen.append(view)
        raise LookupError

    monkeypatch.setattr("ionloop.select.replay.pick", look)
    shutil.copytree(done[1] / "models", tmp_path / "models")
    with pytest.raises(LookupError):
        replay(samples[:30], samples[30:], plan(arms=("random",)), tmp_path)
    for atoms in [*seen[0].candidates, *seen[0].labelled]:
        assert not atoms.info
        assert atoms.calc is None
        assert set(atoms.arrays) == {"numbers", "positions"}


def test_repeats_count_once_and_test_frames_in_the_pool_are_refused(samples, tmp_path):
    with pytest.raises(EvaluationError, match="got 1 that are"):
        replay(samples[:30], samples[29:], plan(), tmp_path)
    with pytest.raises(EvaluationError, match=r"expected 12 different frames or more .* got 10"):
        replay(samples[:10] * 2, samples[30:], plan(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": ("random", "best")}, "expected arms out of .* got best"),
        ({"arms": ("sigma",)}, "expected the arm random or a target"),
        ({"counts": (8, 8)}, "rising numbers of labels"),
        ({"counts": (4, 8)}, "from 8"),
        ({"target": 0.0}, "target above 0"),
        ({"steps": 0}, "steps of 1 or more"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes, said):
    with pytest.raises(ProfileError, match=said):
        plan(**changes)


def test_trainings_cost_the_same_steps_whatever_the_labels():
    for n in (40, 80, 320):
        epochs = plan(steps=800).recipe(n, 0).hyperparameters.epochs
        assert epochs * int(np.ceil(0.85 * n / 4)) == pytest.approx(800, rel=0.1)


class Fake:
    """A view whose numbers are given: what the arms make of them is tested, not MACE."""

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        cells = labelled_cells(1)[0]
        self.candidates = [cells.copy() for _ in range(n)]
        for atoms in self.candidates:
            atoms.rattle(0.1, rng=rng)
        self.groups = [f"run {i % 3}" for i in range(n)]
        self.labelled: list[object] = []
        self.mobile_ion = "Li"
        n_ions = int((cells.symbols == "Li").sum())
        self.spread = [rng.exponential(size=n_ions) for _ in range(n)]
        self.open = [rng.exponential(scale=0.2, size=n_ions) for _ in range(n)]
        self.committee = None


def test_each_arm_chooses_what_it_is_for():
    rng = np.random.default_rng(0)
    view = Fake(60, rng)
    worst = np.array([s.max() for s in view.spread])
    widest = np.array([q.max() for q in view.open])
    sigma = pick(ARMS["sigma"], view, 10, rng)
    assert set(sigma) == set(np.argsort(-worst)[:10])
    bare = Arm({Origin.HOP: 1.0}, describes=False, min_distance=0.0)
    bottleneck = pick(bare, view, 30, rng)
    s = 0.5 * np.minimum(widest / np.quantile(widest, 0.99), 1)
    bins = np.abs(np.array([0, 0.25, 0.5])[:, None] - s[bottleneck]).argmin(axis=0)
    population = np.abs(np.array([0, 0.25, 0.5])[:, None] - s).argmin(axis=0)
    rarest = np.bincount(population, minlength=3).argmin()
    assert (bins == rarest).mean() > (population == rarest).mean()
    mixed = Arm(ARMS["loop"].shares, describes=False, min_distance=0.0)
    for n in (1, 10, 60, 80):
        chosen = pick(mixed, view, n, rng)
        assert len(chosen) == len(set(chosen)) == min(n, 60)


def test_a_pool_of_near_duplicates_still_costs_all_arms_the_same(monkeypatch):
    view = Fake(20, np.random.default_rng(1))
    monkeypatch.setattr("ionloop.select.arms.fingerprint", lambda *_: [1.0, 2.0])
    assert len(set(pick(ARMS["diverse"], view, 12, np.random.default_rng(2)))) == 12


def test_the_committee_is_loaded_only_for_arms_that_look():
    cells = labelled_cells(12)
    view = View(cells, ["a"] * 12, [], "Li", load=pytest.fail)
    assert len(pick(ARMS["random"], view, 5, np.random.default_rng(0))) == 5


def points(arm: str, errors: dict[int, list[float]]) -> list[ReplayPoint]:
    return [
        ReplayPoint(
            arm=arm, seed=seed, n_labels=n, chosen=[], rmse_mobile=e, rmse_forces=e,
            rmse_energy=e, rmse_by_openness=dict.fromkeys(
                ("near equilibrium", "shoulder", "bottleneck"), e
            ), wall_s=0.0,
        )
        for seed, row in errors.items()
        for n, e in zip((40, 80, 160), row, strict=True)
    ]  # fmt: skip


def test_arms_are_compared_seed_by_seed():
    all_points = [
        *points("random", {0: [4, 2, 1], 1: [8, 4, 2]}),
        *points("loop", {0: [4, 1, 0.5], 1: [8, 2, 1]}),
        *points("bad", {0: [4, 3, 2], 1: [8, 2, 1]}),
    ]
    targets = {0: 1.0, 1: 2.0}
    loop = compare("loop", all_points, targets)
    assert loop.labels_to_target == {0: pytest.approx(80), 1: pytest.approx(80)}
    assert loop.mean_share == pytest.approx(0.5)
    assert loop.share_interval == (pytest.approx(0.5), pytest.approx(0.5))
    assert loop.rmse_mobile == [6, 1.5, 0.75]
    bad = compare("bad", all_points, targets)
    assert bad.share_of_random == {0: None, 1: pytest.approx(0.5)}
    assert bad.mean_share is None
    assert compare("random", all_points, targets).mean_share == pytest.approx(1.0)


def test_the_command_prints_tables_or_json_and_a_picture(done, folder, monkeypatch, capsys):
    """Nothing is trained here: the fixture's replay was of the same files and plan."""
    found, _ = done
    monkeypatch.setattr("ionloop.train.offline.mace.train_model", pytest.fail)
    monkeypatch.chdir(folder)
    arguments = [
        "ionloop", "replay", "pool.extxyz", "--test", "test.extxyz", "--mobile", "Li", "--arms",
        "random,loop", "--seeds", "1", "--labels", "8,12", "--steps", "12", "--r-max", "3.8",
        "--hyperparameters", "hyper.json", "--plot", "curves.png",
    ]  # fmt: skip
    for extra in (["--json"], []):
        monkeypatch.setattr(sys, "argv", [*arguments, *extra])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        text = capsys.readouterr().out
        if extra:
            assert Replay.model_validate_json(text) == found
    assert "labels to target" in text
    assert "random's error at 12 labels" in text
    assert (folder / "curves.png").stat().st_size > 10_000


def test_the_command_refuses_what_it_cannot_read(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for bad, said in (("8,x", "expected whole numbers"), ("12,8", "rising numbers of labels")):
        arguments = ["pool.extxyz", "--test", "test.extxyz", "--mobile", "Li", "--labels", bad]
        monkeypatch.setattr(sys, "argv", ["ionloop", "replay", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code
        assert said in "".join(capsys.readouterr().err.split("\n")).replace("│ ", "")
