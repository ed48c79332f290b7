"""What a reader hands on: the steps of one file, and the settings that the file states."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ionloop.frame import Frame, Origin
from ionloop.reference.schema import SinglePoint


@dataclass(frozen=True)
class Step:
    """One structure of a file, and what was computed for it.

    Parameters
    ----------
    symbols
        Chemical symbols, one an atom.
    positions
        Cartesian positions, shape [n, 3], Å.
    cell
        Lattice vectors as rows, shape [3, 3], Å.
    energy
        Total energy, eV.
    forces
        Forces, shape [n, 3], eV/Å.
    stress
        Stress, shape [3, 3], ASE's sign, eV/Å³.
    converged
        Whether the electronic problem converged.
    failure
        Why the step is no answer, in words.
    n_scf
        Electronic steps, where the file says.
    magnetization
        Magnetization of the cell, Bohr magnetons, where the file says.
    own
        What the file says of this very frame: fields of :class:`~ionloop.frame.Frame`,
        and ``settings_hash``.
    """

    symbols: list[str]
    positions: np.ndarray
    cell: np.ndarray
    energy: float | None = None
    forces: np.ndarray | None = None
    stress: np.ndarray | None = None
    converged: bool = True
    failure: str | None = None
    n_scf: int | None = None
    magnetization: float | None = None
    own: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """One file or folder, read.

    Parameters
    ----------
    path
        The file or folder.
    engine
        Program and version, as far as the file says.
    settings
        What the file says of the settings; empty where it says nothing.
    steps
        In the file's order.
    charge
        Net charge of the cell, e.
    temperature
        Set temperature of a molecular-dynamics run, K.
    mesh
        Mesh of k-points that the file used; it can prove a spacing, and isn't hashed.
    unknown
        Keys of ``settings`` that the file could have and doesn't state.
    skipped
        Steps, or parts of steps, that are no labels, by reason.
    """

    path: Path
    engine: str
    settings: dict[str, Any]
    steps: list[Step]
    charge: int = 0
    temperature: float | None = None
    mesh: list[int] | None = None
    unknown: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)

    def every(self, stride: int) -> Reading:
        """Keep every ``stride``-th step, the first included."""
        return replace(self, steps=self.steps[::stride])

    def frame(self, i: int, origin: Origin, group: str) -> Frame:
        """Return step ``i`` as a frame; what the file itself says of it wins."""
        step = self.steps[i]
        own = {k: v for k, v in step.own.items() if k in Frame.model_fields}
        return Frame(
            symbols=step.symbols,
            positions=step.positions.tolist(),
            cell=step.cell.tolist(),
            **{
                "charge": self.charge,
                "origin": origin,
                "group": group,
                "temperature": self.temperature,
                **own,
            },
        )

    def point(self, i: int, settings_hash: str) -> SinglePoint:
        """Return the answer of step ``i``; an imported one cost no time here."""
        step = self.steps[i]
        return SinglePoint(
            energy=step.energy,
            forces=None if step.forces is None else step.forces.tolist(),
            stress=None if step.stress is None else step.stress.tolist(),
            converged=step.converged,
            failure=step.failure,
            n_scf=step.n_scf,
            magnetization=step.magnetization,
            settings_hash=settings_hash,
            engine=self.engine,
            wall_s=0.0,
            directory=str(self.path.resolve()),
        )
