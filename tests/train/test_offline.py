"""``ionloop train``: a committee on a file of labels, by real trainings, as small as can be."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from labelled_cells import labelled_cells

from ionloop.errors import TrainingError
from ionloop.train.calibration import mobile_ions
from ionloop.train.labelled import BLOCKS, fit_e0s, read_labels
from ionloop.train.offline import Recipe, train_committee
from ionloop.train.schema import Hyperparameters, TrainedCommittee

HYPER = {
    "hidden_irreps": "8x0e", "num_interactions": 1, "max_ell": 1, "correlation": 2,
    "radial_mlp": [16], "mlp_irreps": "8x0e", "batch_size": 2, "lr": 0.03, "ema_decay": 0.8,
    "epochs": 15, "eval_interval": 2, "stress_weight": 0, "dtype": "float32",
}  # fmt: skip
PROFILE = {
    "name": "Li3OCl", "mobile_ion": "Li", "formal_charges": {"Li": 1, "O": -2, "Cl": -1},
    "r_max": 3.8,
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    with gzip.open(folder / "data.extxyz.gz", "wt") as stream:
        write(stream, labelled_cells(24), format="extxyz")
    (folder / "profile.json").write_text(json.dumps(PROFILE))
    (folder / "hyper.json").write_text(json.dumps(HYPER))
    return folder


@pytest.fixture(scope="module")
def trained(inputs) -> tuple[Path, TrainedCommittee]:
    samples = read_labels([inputs / "data.extxyz.gz"])
    recipe = Recipe("Li", 3.8, Hyperparameters(**HYPER), size=2)
    return inputs / "models", train_committee(samples, recipe, inputs / "models")


def test_frames_without_a_group_split_by_blocks_and_named_groups_stay(inputs, tmp_path):
    groups = [s.frame.group for s in read_labels([inputs / "data.extxyz.gz"])]
    assert len(set(groups)) == BLOCKS
    assert groups == sorted(groups, key=groups.index)  # consecutive
    named = labelled_cells(2)
    for i, atoms in enumerate(named):
        atoms.info |= {"group": f"run {i}", "origin": "neb", "charge": 1}
    write(tmp_path / "named.extxyz", named)
    samples = read_labels([tmp_path / "named.extxyz"])
    assert [s.frame.group for s in samples] == ["run 0", "run 1"]
    assert samples[0].frame.origin.value == "neb"
    assert samples[0].atoms.info["config_energy_weight"] == 0.0


def test_a_frame_without_forces_is_named(tmp_path):
    bare = labelled_cells(1)[0]
    del bare.arrays["REF_forces"]
    write(tmp_path / "bare.extxyz", [labelled_cells(1)[0], bare])
    with pytest.raises(TrainingError, match=r"frame 1: expected energy and forces"):
        read_labels([tmp_path / "bare.extxyz"])


def test_e0s_are_fitted_and_their_limit_is_said(inputs, caplog):
    samples = read_labels([inputs / "data.extxyz.gz"])
    with caplog.at_level(logging.WARNING):
        e0s = fit_e0s(samples)
    assert "can't tell the energies of 3 elements apart" in caplog.text
    atoms = samples[0].atoms
    mean = np.mean([s.atoms.info["REF_energy"] for s in samples])
    assert sum(e0s[s] for s in atoms.get_chemical_symbols()) == pytest.approx(mean)


def test_the_committee_learns_and_its_spread_is_calibrated(trained):
    folder, committee = trained
    for member in committee.members:
        assert member.log[-1].rmse_forces < 0.75 * member.log[0].rmse_forces
        assert (folder / member.file).is_file()
    assert {member.sha256 for member in committee.members} != {committee.members[0].sha256}
    n_valid = committee.members[0].n_valid
    assert 4 <= n_valid <= 6  # 15 % of 24, by blocks of one or two
    assert n_valid + committee.members[0].n_train == 24
    assert committee.calibration.n_ions == 11 * n_valid
    assert committee.calibration.scale > 0
    stored = TrainedCommittee.model_validate_json((folder / "committee.json").read_text())
    assert stored.members == committee.members


def test_the_same_command_takes_what_is_there_and_another_trains(trained, inputs, main):
    folder, committee = trained
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.model")}
    command = [
        "train", f"{inputs / 'data.extxyz.gz'}", "--profile", f"{inputs / 'profile.json'}",
        "--out", f"{folder}", "--hyperparameters", f"{inputs / 'hyper.json'}", "--size", "2",
    ]  # fmt: skip
    status, out, _ = main(*command, "--json")
    assert status == 0
    assert [m["file"] for m in json.loads(out)["members"]] == [m.file for m in committee.members]
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.model")} == before
    other = next(folder.glob("*.model"))
    kept = other.read_bytes()
    other.write_bytes(b"another pickle")
    status, _, err = main(*command)
    assert (status, "expected the model that was trained" in err) == (2, True)
    other.write_bytes(kept)
    status, out, _ = main(*command, "--seed", "1")
    assert status == 0
    assert "times the committee's spread" in out
    assert len(list(folder.glob("*.model"))) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 1}, "expected a committee of 2 models or more, got 1"),
        ({"mobile_ion": "Na"}, r"expected the mobile ion Na in every label, got 24 without it"),
    ],
)
def test_what_cant_be_trained_is_refused(inputs, tmp_path, change, message):
    samples = read_labels([inputs / "data.extxyz.gz"])
    stated = {"mobile_ion": "Li", "r_max": 3.8, "hyperparameters": Hyperparameters(**HYPER)}
    with pytest.raises(TrainingError, match=message):
        train_committee(samples, Recipe(**{**stated, **change}), tmp_path)


def test_mobile_ions_are_found():
    assert mobile_ions(Atoms("LiOLi"), "Li").tolist() == [0, 2]


@pytest.mark.parametrize("n_labels", [12, 40, 320, 4000])
def test_a_training_of_so_many_steps_validates_often_enough(n_labels):
    """With few epochs a long interval would keep the model of the first."""
    hyper = Hyperparameters(batch_size=4, eval_interval=10)
    found = Recipe("Li", 5.0, hyper).for_steps(n_labels, 500).hyperparameters
    assert found.epochs * np.ceil(0.85 * n_labels / 4) >= 500
    assert 1 <= found.eval_interval <= max(found.epochs / 10, 1)
