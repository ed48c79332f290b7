"""Displaced and strained frames, and frames of a trajectory."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Structure

from ionloop.errors import StructureError
from ionloop.frame import Frame, Origin, frame_hash
from ionloop.reference.schema import Trajectory

#: What a displaced frame may be made of.
Source = Frame | Atoms | Structure


def rattle(source: Source, stdev: float, rng: np.random.Generator, **fields: Any) -> Frame:  # noqa: ANN401
    """Displace every atom by normal noise, less its mean.

    Parameters
    ----------
    source
        Frame, atoms or structure; charge, generation and temperature of a frame are kept.
    stdev
        Standard deviation of each Cartesian component, Å.
    rng
        Source of the noise.
    fields
        The frame's own fields; ``origin`` and ``group`` have defaults.

    Returns
    -------
    Frame
        Origin rattle, in a group of its own.

    Raises
    ------
    StructureError
        If ``stdev`` is negative.
    """
    if not stdev >= 0:
        msg = f"expected a rattle of 0 Å or more, got {stdev:g}; use 0.05 to 0.15"
        raise StructureError(msg)
    atoms, fields = _unpack(source, fields)
    noise = rng.normal(scale=stdev, size=(len(atoms), 3))
    atoms.positions += noise - noise.mean(axis=0)
    return _pack(atoms, Origin.RATTLE, fields)


def strain(
    source: Source,
    volume_fraction: float,
    shear: float,
    rng: np.random.Generator,
    **fields: Any,  # noqa: ANN401
) -> Frame:
    r"""Strain a cell homogeneously, atoms with it.

    .. math:: F = \left(\frac{1 + v}{\det(I + e)}\right)^{1/3} (I + e)

    with ``v`` uniform in ±``volume_fraction`` and ``e`` symmetric, its diagonal 0 and
    its other elements uniform in ±``shear``; so det F = 1 + v exactly.

    Parameters
    ----------
    source
        Frame, atoms or structure; charge, generation and temperature of a frame are kept.
    volume_fraction
        Largest relative change of volume, below 0.5.
    shear
        Largest shear strain, below 0.5.
    rng
        Source of the strains.
    fields
        The frame's own fields; ``origin`` and ``group`` have defaults.

    Returns
    -------
    Frame
        Origin strain, in a group of its own.

    Raises
    ------
    StructureError
        If an amplitude is out of range.
    """
    if not (0 <= volume_fraction < 0.5 and 0 <= shear < 0.5):
        msg = (
            "expected a volume fraction and a shear of 0 to below 0.5, got "
            f"{volume_fraction:g} and {shear:g}; use about 0.06 and 0.03"
        )
        raise StructureError(msg)
    atoms, fields = _unpack(source, fields)
    deform = np.eye(3)
    upper = np.triu_indices(3, k=1)
    deform[upper] = rng.uniform(-shear, shear, size=3)
    deform.T[upper] = deform[upper]
    volume = 1 + rng.uniform(-volume_fraction, volume_fraction)
    deform *= (volume / np.linalg.det(deform)) ** (1 / 3)
    atoms.set_cell(atoms.cell.array @ deform, scale_atoms=True)
    return _pack(atoms, Origin.STRAIN, fields)


def decorrelated_frames(
    trajectory: Trajectory,
    every: int,
    skip: int = 0,
    **fields: Any,  # noqa: ANN401
) -> list[Frame]:
    """Take every n-th frame of a trajectory.

    Parameters
    ----------
    trajectory
        The run; its group, temperature and charge pass to the frames.
    every
        Distance between frames taken, in stored frames.
    skip
        Stored frames left out at the start, for equilibration.
    fields
        The frames' own fields; ``origin`` is aimd by default.

    Returns
    -------
    list[Frame]
        Frames in order of time.

    Raises
    ------
    StructureError
        If ``every`` is below 1, or no frame is left after ``skip``.
    """
    if every < 1 or not 0 <= skip < trajectory.n_frames:
        msg = (
            f"{trajectory.group}: expected every >= 1 and skip below {trajectory.n_frames} "
            f"stored frames, got every={every} and skip={skip}; run longer or skip less"
        )
        raise StructureError(msg)
    own: dict[str, Any] = {
        "origin": Origin.AIMD,
        "group": trajectory.group,
        "temperature": trajectory.temperature,
        "charge": trajectory.charge,
        **fields,
    }
    return [
        Frame(
            symbols=trajectory.symbols,
            positions=positions.tolist(),
            cell=trajectory.cell,
            **own,
        )
        for positions in trajectory.positions[skip::every]
    ]


def _unpack(source: Source, fields: dict[str, Any]) -> tuple[Atoms, dict[str, Any]]:
    """Return atoms that may be changed, and the new frame's fields."""
    if isinstance(source, Atoms):
        return source.copy(), fields
    if isinstance(source, Structure):
        frame = Frame.from_structure(source, origin=Origin.AIMD, group="")
        return frame.to_atoms(), {"charge": frame.charge, **fields}
    kept = {
        "charge": source.charge,
        "generation": source.generation,
        "temperature": source.temperature,
    }
    return source.to_atoms(), {**kept, **fields}


def _pack(atoms: Atoms, origin: Origin, fields: dict[str, Any]) -> Frame:
    symbols = list(atoms.get_chemical_symbols())
    digest = frame_hash(symbols, atoms.positions, atoms.cell.array, fields.get("charge", 0))
    return Frame.from_atoms(
        atoms, **{"origin": origin, "group": f"{origin.value}-{digest}", **fields}
    )
