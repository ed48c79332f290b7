"""DeePMD-kit's folders of npy files: ``type.raw``, ``type_map.raw``, ``set.*/*.npy``.

Units are Å, eV, eV/Å; the virial (eV) is minus the stress times the volume.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ionloop.errors import ImportLabelsError
from ionloop.reference.importers.reading import Reading, Step


def read_deepmd(path: Path, type_map: list[str] | None = None) -> Reading:
    """Read a system, its sets in order; also of DeePMD's mixed type.

    Parameters
    ----------
    path
        The folder of ``type.raw``.
    type_map
        Elements by type, where the folder has no ``type_map.raw``.

    Raises
    ------
    ImportLabelsError
        If a file is missing, isn't periodic, or the sizes contradict each other.
    """
    types = np.loadtxt(path / "type.raw", dtype=int, ndmin=1)
    if (path / "nopbc").exists():
        msg = f"{path}: expected a periodic system, got a molecule (nopbc)"
        raise ImportLabelsError(msg)
    named = path / "type_map.raw"
    names = named.read_text().split() if named.exists() else type_map
    if names is None or max(types, default=0) >= len(names):
        msg = f"{path}: expected type_map.raw with all elements, got {names}; give --type-map Li,O"
        raise ImportLabelsError(msg)
    steps = [step for part in sorted(path.glob("set.*")) for step in _set(part, types, names)]
    if not steps:
        msg = f"{path}: expected folders set.* with frames, got none"
        raise ImportLabelsError(msg)
    return Reading(path, "unknown", {}, steps)


def _set(path: Path, types: np.ndarray, names: list[str]) -> list[Step]:
    """Read a set; single precision is what the file has, not what is made of it."""
    coord = _array(path, "coord", 3 * len(types))
    box = _array(path, "box", 9)
    if coord is None or box is None:
        msg = f"{path}: expected coord.npy and box.npy, got not both"
        raise ImportLabelsError(msg)
    energy = _array(path, "energy", 1)
    force = _array(path, "force", 3 * len(types))
    virial = _array(path, "virial", 9)
    mixed = path / "real_atom_types.npy"
    kinds = np.load(mixed).astype(int) if mixed.exists() else np.tile(types, (len(coord), 1))
    parts = [x for x in (box, energy, force, virial, kinds) if x is not None]
    if any(len(x) != len(coord) for x in parts):
        msg = f"{path}: expected as many frames in every file as in coord.npy ({len(coord)})"
        raise ImportLabelsError(msg)
    steps = []
    for i in range(len(coord)):
        cell = box[i].reshape(3, 3)
        steps.append(
            Step(
                symbols=[names[kind] for kind in kinds[i]],
                positions=coord[i].reshape(-1, 3),
                cell=cell,
                energy=None if energy is None else float(energy[i, 0]),
                forces=None if force is None else force[i].reshape(-1, 3),
                stress=None
                if virial is None
                else -virial[i].reshape(3, 3) / abs(np.linalg.det(cell)),
            )
        )
    return steps


def _array(path: Path, name: str, width: int) -> np.ndarray | None:
    file = path / f"{name}.npy"
    if not file.exists():
        return None
    array = np.load(file, allow_pickle=False).astype(float)
    if array.size % width:
        msg = f"{file}: expected rows of {width} numbers, got the shape {array.shape}"
        raise ImportLabelsError(msg)
    return array.reshape(-1, width)
