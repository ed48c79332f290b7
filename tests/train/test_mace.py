"""Real trainings by MACE, as small as they can be: an import and some epochs each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from labelled_cells import labelled_cells
from mace.tools.checkpoint import CheckpointIO
from pydantic import ValidationError

from ionloop.errors import TrainingError
from ionloop.train.mace import (
    TrainingTask,
    arguments,
    committee_calculator,
    predict,
    read_log,
    train_model,
)
from ionloop.train.schema import EpochLog, Hyperparameters

HYPER = Hyperparameters(
    hidden_irreps="8x0e", num_interactions=1, max_ell=1, correlation=2, radial_mlp=[16],
    mlp_irreps="8x0e", batch_size=2, lr=0.03, ema_decay=0.8, epochs=10, warm_epochs=1,
    eval_interval=1, stress_weight=0, dtype="float32",
)  # fmt: skip
E0S = {"Li": 0.0, "O": 0.0, "Cl": 0.0}


@pytest.fixture(scope="module")
def frames() -> list[Atoms]:
    return labelled_cells(24)


@pytest.fixture(scope="module")
def task(frames) -> TrainingTask:
    return TrainingTask(frames[:18], frames[18:], HYPER, r_max=3.8, e0s=E0S, seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def cold(task, folder) -> tuple[Path, list[EpochLog]]:
    return train_model(task, folder / "cold")


@pytest.fixture(scope="module")
def warm(task, folder, cold) -> tuple[Path, list[EpochLog]]:
    return train_model(replace(task, foundation=cold[0], seed=3), folder / "warm")


def launches(work_dir: Path) -> list[list[dict]]:
    """Lines of the training log, one list a launch."""
    (path,) = (work_dir / "results").glob("*_train.txt")
    found: list[list[dict]] = []
    for line in map(json.loads, path.read_text().splitlines()):
        if line["mode"] == "eval" and line["epoch"] is None:
            found.append([])
        found[-1].append(line)
    return found


def trainer(work_dir: Path) -> int | None:
    """Process id of the MACE that this process started for a folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == os.getpid() and f"--work_dir={work_dir}".encode() in command:
            return int(entry.name)
    return None


@pytest.fixture(scope="module")
def killed(task, folder) -> tuple[Path, list[EpochLog], int, str]:
    """Training that is killed after its second checkpoint and called again.

    File, log, epoch of the checkpoint, and what the first call said.
    """
    work_dir, said = folder / "killed", []
    own = replace(task, seed=2)

    def first_call() -> None:
        try:
            train_model(own, work_dir)
        except TrainingError as error:
            said.append(str(error))

    thread = threading.Thread(target=first_call)
    thread.start()
    checkpoints = work_dir / "checkpoints"
    while thread.is_alive() and not list(checkpoints.glob("*_epoch-[1-9].pt")):
        time.sleep(0.01)
    os.kill(trainer(work_dir), signal.SIGKILL)
    thread.join()
    last = max(int(p.stem.rsplit("-", 1)[1]) for p in checkpoints.glob("*[0-9].pt"))
    return *train_model(own, work_dir), last, "".join(said)


# ---------------------------------------------------------------- trainings


def test_a_training_makes_a_model_and_a_log(cold):
    path, log = cold
    assert path.stat().st_size > 10_000
    assert [x.epoch for x in log] == list(range(-1, 10))
    assert log[-1].loss < 0.5 * log[0].loss
    assert log[-1].rmse_forces < 0.8 * log[0].rmse_forces


def test_its_forces_follow_the_reference(cold, task):
    _, forces = predict(committee_calculator([cold[0]]), task.valid)
    mine = np.concatenate([f[0].ravel() for f in forces])
    truth = np.concatenate([a.arrays["REF_forces"].ravel() for a in task.valid])
    assert np.corrcoef(mine, truth)[0, 1] > 0.6
    # The log speaks of this model, on these frames.
    rmse = np.sqrt(np.mean((mine - truth) ** 2))
    assert rmse == pytest.approx(min(cold[1], key=lambda x: x.loss).rmse_forces, rel=1e-3)


def test_a_warm_start_begins_where_its_parent_ended(cold, warm):
    best = min(x.loss for x in cold[1])
    path, log = warm
    assert log[0].epoch == -1
    assert log[0].loss == pytest.approx(best, rel=1e-3)
    assert [x.epoch for x in log] == [-1, 0]  # warm_epochs, not epochs
    assert path.read_bytes() != cold[0].read_bytes()


@pytest.mark.parametrize("which", ["cold", "warm"])
def test_close_atoms_repel(which, request):
    """ZBL stays through a warm start: no training frame has Li at 0.8 Å."""
    calculator = committee_calculator([request.getfixturevalue(which)[0]], dtype="float64")
    energies, pushes = [], []
    for distance in (0.5, 0.8, 1.2):
        pair = Atoms("Li2", [[0, 0, 0], [distance, 0, 0]], cell=[20.0] * 3, pbc=True)
        pair.calc = calculator
        energies.append(pair.get_potential_energy())
        pushes.append(pair.get_forces()[1, 0])
    assert energies[0] > energies[1] + 5.0 > energies[2] + 5.0
    assert pushes[0] > pushes[1] > 3.0


def test_a_killed_training_goes_on_from_its_checkpoint(killed, folder):
    path, log, last, said = killed
    assert "MACE training ended with status -9" in said
    assert "mace.log" in said
    first, second = launches(folder / "killed")
    assert path.exists()
    assert last >= 1
    trained = [sorted({x["epoch"] for x in part if x["mode"] == "opt"}) for part in (first, second)]
    assert trained[0][0] == 0
    # MACE takes up the checkpoint's epoch again, and no epoch before it.
    assert trained[1] == list(range(last, HYPER.epochs))
    text = (folder / "killed" / "mace.log").read_text()
    assert f"member_run-2_epoch-{last}.pt" in text.split("===TRAINING===")[1]
    before, after = first[0]["loss"], second[0]["loss"]
    assert after < 0.9 * before
    assert [x.epoch for x in log] == list(range(-1, HYPER.epochs))
    assert log[0].loss == before


# ---------------------------------------------------------------- committee


def test_predictions_have_a_row_a_member(cold, killed, task):
    calculator = committee_calculator([cold[0], killed[0]])
    energies, forces = predict(calculator, task.valid[:3])
    assert energies.shape == (3, 2)
    assert [f.shape for f in forces] == [(2, 18, 3)] * 3
    for frame, e, f in zip(task.valid[:3], energies, forces, strict=True):
        atoms = frame.copy()
        atoms.calc = calculator
        assert f.mean(axis=0) == pytest.approx(atoms.get_forces(), abs=1e-5)
        assert e.mean() == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
        for k, path in enumerate((cold[0], killed[0])):
            atoms.calc = committee_calculator([path])
            assert f[k] == pytest.approx(atoms.get_forces(), abs=1e-5)
    assert np.abs(forces[0][0] - forces[0][1]).max() > 1e-3
    assert task.valid[0].calc is None


def test_one_model_predicts_a_committee_of_one(cold, task):
    energies, forces = predict(committee_calculator([cold[0]]), task.valid[:2])
    assert energies.shape == (2, 1)
    assert forces[0].shape == (1, 18, 3)


# ---------------------------------------------------------------- refused


def test_a_missing_model_file_is_one_line(tmp_path):
    with pytest.raises(TrainingError, match=r"expected a MACE model at .*none\.model") as raised:
        committee_calculator([tmp_path / "none.model"])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"nothing like a model", b"PK\x03\x04 cut off"])
def test_a_broken_model_file_is_refused(tmp_path, content):
    path = tmp_path / "broken.model"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"expected MACE models in \['broken.model'\]"):
        committee_calculator([path])


def test_unknown_hyperparameters_are_errors():
    with pytest.raises(ValidationError, match="hiden_irreps\n  Extra inputs are not permitted"):
        Hyperparameters(hiden_irreps="8x0e")
    with pytest.raises(ValidationError, match="dtype"):
        Hyperparameters(dtype="float16")


# ---------------------------------------------------------------- command line


def options(task: TrainingTask) -> dict[str, str]:
    words = [word.removeprefix("--").partition("=") for word in arguments(task, Path("w"))]
    return {key: value for key, _, value in words}


def test_the_command_line_says_what_the_task_says(task):
    found = options(task)
    assert found["E0s"] == "{17: 0.0, 3: 0.0, 8: 0.0}"
    assert (found["hidden_irreps"], found["r_max"], found["seed"]) == ("8x0e", "3.8", "1")
    assert (found["max_num_epochs"], found["lr"], found["loss"]) == ("10", "0.03", "weighted")
    assert float(found["lr_scheduler_gamma"]) ** 10 == pytest.approx(0.1)
    assert {"pair_repulsion", "ema", "restart_latest"} <= set(found)
    assert not {"foundation_model", "compute_stress"} & set(found)


def test_a_warm_start_is_shorter_and_slower(task):
    found = options(replace(task, foundation=Path("parent.model")))
    assert found["foundation_model"] == "parent.model"
    assert found["multiheads_finetuning"] == "False"
    assert (found["max_num_epochs"], found["lr"]) == ("1", "0.015")


def test_stress_is_trained_on_where_it_has_weight_and_labels(task):
    heavy = replace(task, hyperparameters=HYPER.model_copy(update={"stress_weight": 5.0}))
    assert options(heavy)["loss"] == "weighted"  # no label has one
    labelled = [a.copy() for a in task.train]
    for atoms in labelled:
        atoms.info["REF_stress"] = np.zeros((3, 3))
    found = options(replace(heavy, train=labelled))
    assert (found["loss"], found["stress_weight"], found["compute_stress"]) == (
        "stress", "5.0", "True",
    )  # fmt: skip


def test_repulsion_can_be_left_out(task):
    bare = replace(task, hyperparameters=HYPER.model_copy(update={"pair_repulsion": False}))
    assert "pair_repulsion" not in options(bare)


def test_a_log_of_two_launches_has_each_epoch_once(tmp_path):
    def line(epoch: int | None, loss: float) -> str:
        return json.dumps({"mode": "eval", "epoch": epoch, "loss": loss, "rmse_f": loss / 10})

    opt = json.dumps({"mode": "opt", "epoch": 0, "loss": 1.0})
    first = [line(None, 9.0), opt, line(0, 8.0), line(1, 7.0), line(2, 6.0)]
    second = [line(None, 7.1), line(1, 6.9), line(2, 5.5), line(3, 5.0)]
    (tmp_path / "member_run-1_train.txt").write_text("\n".join(first + second))
    found = read_log(tmp_path)
    assert [(x.epoch, x.loss) for x in found] == [(-1, 9.0), (0, 8.0), (1, 6.9), (2, 5.5), (3, 5.0)]
    assert found[0].rmse_forces == pytest.approx(0.9)
    assert found[0].rmse_energy is None


def test_a_line_that_a_kill_cut_is_left_out(tmp_path):
    line = json.dumps({"mode": "eval", "epoch": 0, "loss": 1.0})
    cut = '{"mode": "ev'
    (tmp_path / "m_train.txt").write_text(f"{line}\n{cut}{line}\n{line.replace('0,', '1,')}\n{cut}")
    assert [entry.epoch for entry in read_log(tmp_path)] == [0, 1]


@pytest.mark.parametrize("died", ["killed", "disk full"])
def test_a_training_that_dies_in_a_save_keeps_the_checkpoint_before(tmp_path, died):
    """MACE's own save has deleted it by then."""
    script = f"""
import os, signal, torch
from mace.tools import checkpoint
from ionloop.train import mace_process

checkpoint.CheckpointIO.save = mace_process.save_whole
io = checkpoint.CheckpointIO({str(tmp_path)!r}, "a")
for epoch in (1, 2):
    io.save({{"model": torch.full((1000,), epoch)}}, epoch)

def dies(obj, f):
    with open(f, "wb") as file:
        file.write(b"PK" * 100)
        file.flush()
        if {died == "killed"}:
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(28, "No space left on device")

torch.save = dies
io.save({{}}, 3)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == (-signal.SIGKILL if died == "killed" else 1), done.stderr
    cut = {"a_epoch-3.tmp.pt"} if died == "killed" else set()
    assert {path.name for path in tmp_path.iterdir()} == {"a_epoch-2.pt"} | cut
    found = CheckpointIO(str(tmp_path), "a").load_latest()
    assert found is not None
    assert found[1] == 2
    assert found[0]["model"].unique().tolist() == [2]
