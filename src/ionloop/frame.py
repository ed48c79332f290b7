"""A frame: a structure with its origin, before anyone has labelled it."""

from __future__ import annotations

import hashlib
import warnings
from enum import StrEnum
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from pydantic import Field
from pymatgen.core import Structure

from ionloop.document import Document


class Origin(StrEnum):
    """Where a frame comes from."""

    AIMD = "aimd"
    NEB = "neb"
    RATTLE = "rattle"
    STRAIN = "strain"
    HOP = "hop"
    SADDLE = "saddle"
    UNCERTAIN = "uncertain"
    RANDOM = "random"


class HopTag(Document):
    """Where on which hop a frame lies."""

    ion: int = Field(description="Index of the mobile ion in the frame.")
    progress: float = Field(description="s, 0 at the old site and 1 at the new one.")
    path_class: str = Field(description="Symmetry class of the hop.")
    event: str = Field(description="Identifies the hop event or band.")


#: What extended xyz says of a hop, each key after ``hop_``.
HOP_KEYS = ("ion", "progress", "path_class", "event")


class Frame(Document):
    """A periodic structure, where it comes from, and what is known of it."""

    symbols: list[str] = Field(description="Chemical symbols, one an atom.")
    positions: list[list[float]] = Field(description="Cartesian positions, [n, 3], Å.")
    cell: list[list[float]] = Field(description="Lattice vectors as rows, [3, 3], Å.")
    charge: int = Field(0, description="Net charge of the cell, e.")
    origin: Origin = Field(description="Where the frame comes from.")
    generation: int = Field(0, description="Generation that found the frame.")
    group: str = Field(description="Trajectory or band: the unit that splits never cut.")
    temperature: float | None = Field(None, description="Set temperature, K.")
    hop: HopTag | None = Field(None, description="Position on a hop, where there is one.")
    uncertainty: float | None = Field(
        None, description="Calibrated force uncertainty, largest over mobile ions, eV/Å."
    )
    descriptor: list[float] | None = Field(
        None, description="Fingerprint of the frame for diversity, dimensionless."
    )

    @classmethod
    def from_atoms(cls, atoms: Atoms, **fields: Any) -> Frame:  # noqa: ANN401
        """Make a frame of ASE atoms; ``fields`` are the frame's own."""
        return cls(
            symbols=list(atoms.get_chemical_symbols()),
            positions=np.asarray(atoms.positions, float).tolist(),
            cell=np.asarray(atoms.cell.array, float).tolist(),
            **fields,
        )

    @classmethod
    def from_structure(cls, structure: Structure, **fields: Any) -> Frame:  # noqa: ANN401
        """Make a frame of a pymatgen structure, with its charge unless ``fields`` has one."""
        return cls(
            symbols=[site.specie.symbol for site in structure],
            positions=structure.cart_coords.tolist(),
            cell=structure.lattice.matrix.tolist(),
            **{"charge": structure_charge(structure), **fields},
        )

    def to_atoms(self) -> Atoms:
        """Return ASE atoms, periodic in all directions; ASE has no place for the charge."""
        return Atoms(self.symbols, positions=self.positions, cell=self.cell, pbc=True)

    def to_structure(self) -> Structure:
        """Return a pymatgen structure."""
        return Structure(
            self.cell,
            self.symbols,
            self.positions,
            coords_are_cartesian=True,
            charge=self.charge or None,
        )

    @property
    def frame_hash(self) -> str:
        """Content hash: species, cell, wrapped positions (1e-4 Å), charge."""
        return frame_hash(self.symbols, np.array(self.positions), np.array(self.cell), self.charge)


def structure_charge(structure: Structure) -> int:
    """Return a structure's net charge, e: the stated one, or the sum of oxidation states."""
    with warnings.catch_warnings():  # elements without oxidation states add up to 0
        warnings.filterwarnings("ignore", "Structure charge")
        return round(structure.charge)


def frame_hash(symbols: list[str], positions: np.ndarray, cell: np.ndarray, charge: int = 0) -> str:
    """Hash a periodic structure by content.

    Parameters
    ----------
    symbols
        Chemical symbols, one an atom.
    positions
        Cartesian positions, shape [n, 3], Å; atoms moved by lattice vectors hash alike.
    cell
        Lattice vectors as rows, shape [3, 3], Å.
    charge
        Net charge of the cell, e.

    Returns
    -------
    str
        20 hexadecimal digits.
    """
    grid = 1e-4
    fractional = positions @ np.linalg.inv(cell)
    lengths = np.linalg.norm(cell, axis=1)
    n_grid = np.maximum(np.rint(lengths / grid), 1)
    ticks = np.mod(np.rint(fractional * n_grid), n_grid).astype(np.int64)
    digest = hashlib.sha256()
    digest.update(np.array([atomic_numbers[s] for s in symbols], dtype=np.int64).tobytes())
    digest.update(np.rint(cell / grid).astype(np.int64).tobytes())
    digest.update(ticks.tobytes())
    digest.update(str(charge).encode())
    return digest.hexdigest()[:20]
