"""CP2K's output with the files beside it: input or restart, positions, forces, cells.

An output holds energies, stress and convergence of every evaluation; structures come from
the input (a single calculation) or from the trajectory (molecular dynamics, relaxation),
whose frames are found again in the output by their energies. The stress file of molecular
dynamics (``*-1.stress``) isn't read: it holds the pressure with the kinetic part of the
moving atoms.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from monty.os.path import zpath

from ionloop.errors import ImportLabelsError, UnsafePathError
from ionloop.paths import component
from ionloop.reference.folders import read_text
from ionloop.reference.importers.cp2k_input import (
    Cp2kInputFile,
    cell_of,
    coordinates_of,
    element_of,
)
from ionloop.reference.importers.cp2k_output import Evaluation, evaluations
from ionloop.reference.importers.cp2k_settings import settings_of
from ionloop.reference.importers.reading import Reading, Step
from ionloop.units import HARTREE_EV, HARTREE_PER_BOHR_EV_PER_ANGSTROM

#: Energies of a trajectory have ten decimals, hartree.
SAME_ENERGY = 2e-10
#: Why a step is taken without its stress.
SMOOTHED = "stress that is wrong by GPa, of a smoothed density; the label is taken without it"


def read_cp2k(path: Path) -> Reading:
    """Read a CP2K output, gzipped or not, and what stands beside it.

    Raises
    ------
    ImportLabelsError
        If it has no result, or the files that it needs aren't there.
    """
    output = read_text(path) or ""
    version = re.search(r"CP2K version (\S+)", output)
    project = re.search(r"GLOBAL\| Project name\s+(\S+)", output)
    if version is None or project is None:
        msg = f"{path}: expected CP2K's output, got no line with its version and project"
        raise ImportLabelsError(msg)
    given = _input(path, output, project[1])
    found = evaluations(output)
    if not found:
        msg = f"{path}: expected a finished calculation, got no total energy"
        raise ImportLabelsError(msg)
    cell = cell_of(given)
    trajectory = _beside(path, f"{project[1]}-pos-1.xyz")
    if trajectory is None:
        steps = [_single(path, given, cell, found)]
    else:
        steps = _trajectory(path, given, cell, found, project[1])
    settings = settings_of(given, version[1])
    wrong = 0
    if settings["smoothing"] is not False:
        wrong = sum(step.stress is not None for step in steps)
        steps = [replace(step, stress=None) for step in steps]
    temperature = given.value("MOTION/MD/TEMPERATURE")
    moves = re.search(r"GLOBAL\| Run type\s+(\S+)", output)
    return Reading(
        path=path,
        engine=f"cp2k {version[1]}",
        settings=settings,
        steps=steps,
        charge=int(float(given.number("FORCE_EVAL/DFT/CHARGE", 0))),
        temperature=float(temperature)
        if temperature and moves and moves[1] in ("MD", "MOLECULAR_DYNAMICS")
        else None,
        skipped={SMOOTHED: wrong} if wrong else {},
    )


def _beside(path: Path, name: str) -> Path | None:
    try:
        found = Path(zpath(str(path.parent / component(name, "a file beside it"))))
    except UnsafePathError as error:
        msg = f"{path}: {error}"
        raise ImportLabelsError(msg) from error
    return found if found.exists() else None


def _input(path: Path, output: str, project: str) -> Cp2kInputFile:
    """Find the run's input, or its last restart file."""
    named = re.search(r"CP2K\| Input file name\s+(\S+)", output)
    names = [*([Path(named[1]).name] if named else []), f"{project}.inp", f"{project}-1.restart"]
    for name in names:
        if file := _beside(path, name):
            return Cp2kInputFile.read(file)
    msg = (
        f"{path}: expected {' or '.join(dict.fromkeys(names))} beside it, got none; the output "
        "alone has neither basis sets nor a cell with enough digits"
    )
    raise ImportLabelsError(msg)


def _single(path: Path, given: Cp2kInputFile, cell: np.ndarray, found: list[Evaluation]) -> Step:
    """Make the step of a calculation without a trajectory.

    Raises
    ------
    ImportLabelsError
        If atoms moved: the structures of its other evaluations are lost.
    """
    if len(found) > 1:
        msg = f"{path}: {len(found)} evaluations, and no *-pos-1.xyz that says of which structures"
        raise ImportLabelsError(msg)
    symbols, positions = coordinates_of(given, cell)
    return _step(symbols, positions, cell, found[0], found[0].forces)


def _step(
    symbols: list[str],
    positions: np.ndarray,
    cell: np.ndarray,
    evaluation: Evaluation,
    forces: np.ndarray | None,
) -> Step:
    return Step(
        symbols=symbols,
        positions=positions,
        cell=cell,
        energy=evaluation.energy * HARTREE_EV,
        forces=forces,
        stress=evaluation.stress,
        converged=evaluation.converged,
        n_scf=evaluation.n_scf,
    )


def _trajectory(
    path: Path, given: Cp2kInputFile, cell: np.ndarray, found: list[Evaluation], project: str
) -> list[Step]:
    """Make a step of every frame of a trajectory, in its order."""
    for kind in ("TRAJECTORY", "FORCES"):
        if unit := given.value(f"MOTION/PRINT/{kind}/UNIT"):
            msg = f"{path}: {kind} in {unit}; expected CP2K's default units"
            raise ImportLabelsError(msg)
    frames = _xyz(_beside(path, f"{project}-pos-1.xyz"))
    forces = {step: values for step, _, _, values in _xyz(_beside(path, f"{project}-frc-1.xyz"))}
    cells = _cells(path, given, cell, project, [frame[0] for frame in frames])
    steps, at = [], 0
    for (number, energy, symbols, positions), here in zip(frames, cells, strict=True):
        at = _find(found, energy, at)
        if at < 0:
            lost = "no evaluation of this energy in the output"
            steps.append(Step(symbols, positions, here, converged=False, failure=lost))
            at = 0
            continue
        own = forces.get(number)
        force = found[at].forces if own is None else own * HARTREE_PER_BOHR_EV_PER_ANGSTROM
        steps.append(_step(symbols, positions, here, found[at], force))
    return steps


def _find(found: list[Evaluation], energy: float, start: int) -> int:
    """Return the evaluation with an energy, looking forward first; -1 if there is none."""
    order = [*range(start, len(found)), *range(start)]
    return next((i for i in order if abs(found[i].energy - energy) < SAME_ENERGY), -1)


def _xyz(path: Path | None) -> list[tuple[int, float, list[str], np.ndarray]]:
    """Read step, energy, symbols and vectors of each frame; one that was cut off is dropped."""
    lines = (read_text(path) or "").splitlines() if path else []
    frames, at = [], 0
    while at < len(lines) and lines[at].strip().isdigit():
        size = int(lines[at])
        rows = [line.split() for line in lines[at + 2 : at + 2 + size]]
        numbers = re.search(r"i\s*=\s*(\d+).*?E\s*=\s*(\S+)", lines[at + 1] if rows else "")
        if len(rows) < size or numbers is None or any(len(row) < 4 for row in rows):
            break
        vectors = np.array([row[1:4] for row in rows], float)
        symbols = [element_of(row[0]) for row in rows]
        frames.append((int(numbers[1]), float(numbers[2]), symbols, vectors))
        at += size + 2
    return frames


def _cells(
    path: Path, given: Cp2kInputFile, cell: np.ndarray, project: str, steps: list[int]
) -> list[np.ndarray]:
    """Return each frame's cell, Å, of the cell file where there is one.

    Raises
    ------
    ImportLabelsError
        If the cell moved and nobody wrote down how.
    """
    file = _beside(path, f"{project}-1.cell")
    moves = str(given.value("MOTION/MD/ENSEMBLE", "")).upper().startswith("NP")
    moves = moves or str(given.value("GLOBAL/RUN_TYPE", "")).upper() == "CELL_OPT"
    if file is None:
        if moves:
            msg = f"{path}: the cell moves; expected {project}-1.cell beside it, got none"
            raise ImportLabelsError(msg)
        return [cell] * len(steps)
    table = {}
    for line in (read_text(file) or "").splitlines():
        words = line.split()
        if words and words[0].isdigit() and len(words) >= 11:
            table[int(words[0])] = np.array(words[2:11], float).reshape(3, 3)
    if missing := [step for step in steps if step not in table]:
        msg = f"{file}: expected the cell of every frame, got none of step {missing[0]}"
        raise ImportLabelsError(msg)
    return [table[step] for step in steps]
