"""The one module that knows MACE's command line and calculators."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io import write

from ionloop.errors import TrainingError
from ionloop.processes import run_logged
from ionloop.settings import get_settings
from ionloop.train.model_files import own_folder, read_model
from ionloop.train.schema import EpochLog, Hyperparameters

if TYPE_CHECKING:
    from mace.calculators import MACECalculator

logger = logging.getLogger(__name__)

#: Learning rate at the end of a training, as a share of the first.
FINAL_LR = 0.1


@dataclass(frozen=True)
class TrainingTask:
    """All that one training needs.

    Parameters
    ----------
    train, valid
        Atoms as :func:`ionloop.train.dataset.to_training_atoms` writes them.
    hyperparameters, r_max
        The model; ``r_max`` in Å.
    e0s
        Isolated-atom energies by symbol, eV.
    seed
        Seed of weights and shuffling.
    foundation
        A model file to start from, of whose content the caller is sure, since MACE loads it
        as a pickle; None starts from nothing.
    """

    train: Sequence[Atoms]
    valid: Sequence[Atoms]
    hyperparameters: Hyperparameters
    r_max: float
    e0s: dict[str, float]
    seed: int
    foundation: Path | None = None


def train_model(task: TrainingTask, work_dir: Path) -> tuple[Path, list[EpochLog]]:
    """Train one model in a process of its own, one thread, and return file and log.

    A killed training that is called again in the same folder goes on from its last
    checkpoint. That is a pickle too: the folder is this user's alone.

    Raises
    ------
    TrainingError
        If MACE ends without a model, the message names its log; or if others could have
        written to the folder.
    """
    own_folder(work_dir)
    write(work_dir / "train.xyz", list(task.train), format="extxyz")
    write(work_dir / "valid.xyz", list(task.valid), format="extxyz")
    log = work_dir / "mace.log"
    command = [sys.executable, "-m", "ionloop.train.mace_process", *arguments(task, work_dir)]
    status = run_logged(command, log, {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"})
    model = work_dir / "member.model"
    if status != 0 or not model.exists():
        tail = log.read_text(errors="replace").strip().splitlines()[-1:]
        msg = f"MACE training ended with status {status}: {' '.join(tail)}; see {log}"
        raise TrainingError(msg)
    return model, read_log(work_dir / "results")


def arguments(task: TrainingTask, work_dir: Path) -> list[str]:
    """Translate a task into MACE's command line."""
    h = task.hyperparameters
    warm = task.foundation is not None
    epochs = h.warm_epochs if warm else h.epochs
    use_stress = h.stress_weight > 0 and any("REF_stress" in atoms.info for atoms in task.train)
    options: dict[str, Any] = {
        "name": "member",
        "work_dir": work_dir,
        "train_file": work_dir / "train.xyz",
        "valid_file": work_dir / "valid.xyz",
        "energy_key": "REF_energy",
        "forces_key": "REF_forces",
        "stress_key": "REF_stress",
        "E0s": str({atomic_numbers[s]: float(e) for s, e in sorted(task.e0s.items())}),
        "model": "ScaleShiftMACE",
        "scaling": "rms_forces_scaling",
        "hidden_irreps": h.hidden_irreps,
        "r_max": task.r_max,
        "num_interactions": h.num_interactions,
        "max_ell": h.max_ell,
        "correlation": h.correlation,
        "MLP_irreps": h.mlp_irreps,
        "radial_MLP": str(h.radial_mlp),
        "loss": "stress" if use_stress else "weighted",
        "energy_weight": h.energy_weight,
        "forces_weight": h.forces_weight,
        "batch_size": h.batch_size,
        "valid_batch_size": max(h.batch_size, 8),
        "lr": h.lr / 2 if warm else h.lr,
        "scheduler": "ExponentialLR",
        "lr_scheduler_gamma": FINAL_LR ** (1 / epochs),
        "ema_decay": h.ema_decay,
        "max_num_epochs": epochs,
        "eval_interval": min(h.eval_interval, epochs),
        "default_dtype": h.dtype,
        "device": get_settings().device,
        "num_workers": 0,
        "plot": False,
        "seed": task.seed,
    }
    if use_stress:
        options |= {"stress_weight": h.stress_weight, "compute_stress": True}
    if warm:
        options |= {"foundation_model": task.foundation, "multiheads_finetuning": False}
    flags = ["--ema", "--restart_latest"]
    if h.pair_repulsion:
        flags.append("--pair_repulsion")
    return [*(f"--{key}={value}" for key, value in options.items()), *flags]


def read_log(results: Path) -> list[EpochLog]:
    """Read the validation lines of MACE's training log, one an epoch.

    A training that went on from a checkpoint writes its first losses, and that of the
    checkpoint's epoch, a second time: the first before training and the last of each
    epoch count.
    """
    found: dict[int, EpochLog] = {}
    for path in sorted(results.glob("*_train.txt")):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # a kill or a full disk cut it
                logger.warning("%s: a line is cut off", path)
                continue
            if entry.get("mode") != "eval":
                continue
            epoch = -1 if entry.get("epoch") is None else entry["epoch"]
            if epoch == -1 and found:
                continue
            found[epoch] = EpochLog(
                epoch=epoch,
                loss=entry["loss"],
                rmse_forces=entry.get("rmse_f"),
                rmse_energy=entry.get("rmse_e_per_atom"),
            )
    return [found[epoch] for epoch in sorted(found)]


def mace_version() -> str:
    """Version of mace-torch."""
    return version("mace-torch")


def threads() -> int:
    """Return the threads that torch steps with in this process."""
    import torch

    return int(torch.get_num_threads())


def committee_calculator(
    models: Sequence[bytes | Path], *, dtype: str = "float32"
) -> MACECalculator:
    """Make ASE's calculator of one or several models; forces are the mean.

    With several models ``results`` also holds ``forces_comm`` [k, n, 3] and
    ``energy_comm`` [k].

    A model file is a pickle, and loading one runs what stands in it. So jobs give the bytes
    that :func:`ionloop.train.model_files.model_bytes` checked, and they are loaded from memory:
    no file lies between check and load. Paths are for files of the caller's own.

    Raises
    ------
    TrainingError
        If a model file is missing or can't be read.
    """
    files = [m if isinstance(m, bytes) else read_model(m) for m in models]
    names = [m.name for m in models if isinstance(m, Path)] or "the store"
    import torch

    torch.set_num_threads(1)
    device = get_settings().device
    try:
        with redirect_stdout(sys.stderr):  # it prints as it is imported; stdout is for JSON
            from mace.calculators import MACECalculator

            # weights_only refuses MACE's file: it holds the module, not the weights alone.
            loaded = [
                torch.load(BytesIO(f), map_location=device, weights_only=False) for f in files
            ]
            return MACECalculator(models=loaded, device=device, default_dtype=dtype)
    except (RuntimeError, EOFError, OSError, AttributeError, UnpicklingError) as error:
        msg = f"expected MACE models in {names}, got {error}; train them again"
        raise TrainingError(msg) from error


def predict(
    calculator: MACECalculator, frames: Sequence[Atoms]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Evaluate all members on frames.

    Returns
    -------
    tuple
        Energies, shape [n_frames, k], eV; forces, one array [k, n, 3] a frame, eV/Å.
    """
    energies, forces = [], []
    for frame in frames:
        atoms = frame.copy()
        atoms.calc = calculator
        mean = atoms.get_forces()
        energies.append(_member_energies(calculator, atoms.get_potential_energy()))
        forces.append(np.array(calculator.results.get("forces_comm", mean[None])))
    return np.array(energies), forces


def _member_energies(calculator: MACECalculator, mean: float) -> np.ndarray:
    """Read every member's energy; a single model has just the mean."""
    values = calculator.results.get("energy_comm")
    return np.array([mean]) if values is None else np.asarray(values, float).reshape(-1)
