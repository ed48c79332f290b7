"""The pieces of an MD run with VASP: at which step each began, how they join, what is next."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
from pymatgen.core import Structure

from ionloop.frame import Frame
from ionloop.reference.folders import read_text
from ionloop.reference.pieces import make_piece, pieces
from ionloop.reference.vasp.inputs import vasp_structure
from ionloop.reference.vasp.output import read_xdatcar
from ionloop.reference.vasp.runs import read_contcar

logger = logging.getLogger(__name__)

#: At which step a piece began, and where the atoms were then.
START_FILE = "start.json"
#: Fractional positions are the same to this: XDATCAR has eight decimals.
SAME_FRACTION = 1e-7


def new_piece(folder: Path, step: int, structure: Structure) -> Path:
    """Make the next piece's folder.

    Parameters
    ----------
    folder
        The run's folder.
    step
        At which it begins, as :func:`last_stand` has it.
    structure
        Where the atoms are then.
    """
    start = {"step": step, "positions": structure.frac_coords.tolist()}
    return make_piece(folder, {START_FILE: json.dumps(start)})


def join_pieces(parts: list[Path], n_atoms: int) -> np.ndarray:
    """Join trajectories: each piece's own frames follow those up to where it began.

    Returns
    -------
    numpy.ndarray
        Fractional positions of each step, shape [n_steps, n_atoms, 3].
    """
    joined = np.empty((0, n_atoms, 3))
    for piece in parts:
        frames = own_frames(piece, n_atoms)
        if len(frames):
            joined = np.concatenate([joined[: first_step(piece, frames) - 1], frames])
    return joined


def own_frames(piece: Path, n_atoms: int) -> np.ndarray:
    """Return what a piece's own XDATCAR has, shape [n, n_atoms, 3]."""
    return read_xdatcar(read_text(piece / "XDATCAR") or "", n_atoms)


def first_step(piece: Path, frames: np.ndarray) -> int:
    """Return the step of a piece's first frame, from 1: that of its POSCAR, or the next one."""
    start = json.loads(read_text(piece / START_FILE) or "{}")
    repeats = bool(same_places(frames[:1], np.array(start["positions"]))[0])
    return max(start["step"] + (not repeats), 1)


def same_places(frames: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Say for each frame whether its atoms are at these places, shape [n_frames]."""
    return np.abs(nearest(frames - places)).max(axis=(1, 2)) < SAME_FRACTION


def nearest(shift: np.ndarray) -> np.ndarray:
    """Return fractional shifts to the nearest image."""
    return np.asarray(shift - np.rint(shift))


def last_stand(folder: Path, frame: Frame) -> tuple[int, Structure]:
    """Find where a run stands: the last whole CONTCAR of a known step, or its beginning.

    Returns
    -------
    tuple[int, pymatgen.core.Structure]
        Its step, 0 if the run must begin anew, and the structure, with velocities, predictor
        and thermostat as VASP wrote them.
    """
    start, parts = vasp_structure(frame), pieces(folder)
    for i in reversed(range(len(parts))):
        poscar = read_contcar(parts[i]) if len(own_frames(parts[i], len(start))) else None
        if poscar is None or len(poscar.structure) != len(start) or not poscar.velocities:
            continue
        joined = join_pieces(parts[: i + 1], len(start))
        step = step_of(poscar.structure.frac_coords, joined)
        if step is not None:
            logger.info("MD in %s goes on from the CONTCAR of step %d", folder, step)
            return step, poscar.structure
        logger.warning("the CONTCAR in %s is of none of the steps in its XDATCAR", parts[i])
    return 0, start


def step_of(places: np.ndarray, frames: np.ndarray) -> int | None:
    """Find the step at which atoms are at these places.

    A CONTCAR is of a step that XDATCAR has, or of the next one: it lies as far ahead as the
    last step led. Where frames of the XDATCAR were lost, it lies farther.

    Parameters
    ----------
    places
        Fractional positions, shape [n, 3].
    frames
        Those of the steps 1, 2, ..., shape [n_steps, n, 3].

    Returns
    -------
    int | None
        None if it can't be told.
    """
    found = np.flatnonzero(same_places(frames, places))
    if len(found):
        return int(found[-1]) + 1
    if len(frames) < 2:
        return None
    last = nearest(frames[-1] - frames[-2])
    ahead = float((nearest(places - frames[-1]) * last).sum() / max((last**2).sum(), 1e-30))
    return len(frames) + 1 if 0.5 < ahead < 1.5 else None
