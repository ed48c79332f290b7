"""Extended xyz, as other tools or ``ionloop import --out`` wrote it."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from monty.io import zopen

from ionloop.errors import ImportLabelsError
from ionloop.frame import HOP_KEYS
from ionloop.reference.importers.reading import Reading, Step

#: Facts of a frame that our own files carry.
OWN = ("group", "origin", "charge", "temperature", "generation", "settings_hash", "engine")


def read_extxyz(path: Path) -> Reading:
    """Read all frames of an extended xyz file, gzipped or not.

    ``REF_energy``, ``REF_forces`` and ``REF_stress`` win over ``free_energy`` or ``energy``,
    ``forces``, and ``stress`` or ``virial`` (minus stress times volume).

    Raises
    ------
    ImportLabelsError
        If it can't be read, has no frame or one that isn't periodic.
    """
    try:
        with zopen(path, mode="rt", encoding="utf-8") as stream:
            # ASE jumps back and forth, which makes it take minutes on a gzipped file.
            frames = ase.io.read(StringIO(str(stream.read())), index=":", format="extxyz")
    except Exception as error:
        msg = f"{path}: can't be read as extended xyz: {type(error).__name__}: {error}"
        raise ImportLabelsError(msg) from error
    if not frames:
        msg = f"{path}: expected frames, got none"
        raise ImportLabelsError(msg)
    steps = [_step(atoms, path, i) for i, atoms in enumerate(frames)]
    engines = {str(step.own.get("engine", "unknown")) for step in steps}
    return Reading(path, engines.pop() if len(engines) == 1 else "several", {}, steps)


def _step(atoms: Atoms, path: Path, i: int) -> Step:
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        msg = f"{path}: frame {i}: expected a cell that is periodic in all directions, got none"
        raise ImportLabelsError(msg)
    found = atoms.calc.results if atoms.calc else {}
    energy = next(
        (
            float(source[key])
            for source, key in (
                (atoms.info, "REF_energy"),
                (found, "free_energy"),
                (found, "energy"),
            )
            if source.get(key) is not None
        ),
        None,
    )
    forces = atoms.arrays.get("REF_forces", found.get("forces"))
    return Step(
        symbols=list(atoms.get_chemical_symbols()),
        positions=atoms.positions,
        cell=atoms.cell.array,
        energy=energy,
        forces=None if forces is None else np.array(forces, float),
        stress=_stress(atoms, found),
        own=_own(atoms.info),
    )


def _own(info: dict[str, Any]) -> dict[str, Any]:
    """Return what the frame says of itself, its place on a hop included if it's whole."""
    own = {key: _plain(info[key]) for key in OWN if key in info}
    if all(f"hop_{key}" in info for key in HOP_KEYS):
        hop = {key: _plain(info[f"hop_{key}"]) for key in HOP_KEYS}
        own["hop"] = {**hop, "path_class": str(hop["path_class"]), "event": str(hop["event"])}
    return own


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value.item() if isinstance(value, np.generic) else value


def _stress(atoms: Atoms, found: dict[str, Any]) -> np.ndarray | None:
    """Return a stress of six or nine numbers, shape [3, 3], ASE's sign, eV/Å³."""
    for source, key in ((atoms.info, "REF_stress"), (found, "stress"), (atoms.info, "stress")):
        if source.get(key) is not None:
            return _matrix(source[key])
    for key in ("REF_virial", "REF_virials", "virial", "virials"):
        if atoms.info.get(key) is not None:
            return -_matrix(atoms.info[key]) / atoms.get_volume()
    return None


def _matrix(values: Any) -> np.ndarray:  # noqa: ANN401
    array = np.array(values, float)
    return voigt_6_to_full_3x3_stress(array) if array.size == 6 else array.reshape(3, 3)
