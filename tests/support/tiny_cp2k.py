"""The smallest calculations that CP2K does: H2 in a small box, about a second each."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import numpy as np
from ase import Atoms

from ionloop.frame import Frame, Origin
from ionloop.reference.cp2k.inputs import IonicSetGenerator
from ionloop.reference.cp2k.makers import Cp2kStaticMaker
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.cp2k.shell import shell_calculator
from ionloop.reference.schema import SinglePoint

#: Enough for H2's own numbers to be consistent to 1e-4; not to be right.
COARSE = {"cutoff": 120.0, "rel_cutoff": 30.0, "smoothing": False}
#: Enough for finite differences.
FINE = {"cutoff": 200.0, "smoothing": False, "eps_default": 1e-10, "eps_scf": 1e-6}


def h2() -> Atoms:
    """H2 in a box with three different edges, askew."""
    positions = [[0.1, 0.2, 0.3], [1.0, 0.4, 0.35]]
    return Atoms("H2", positions=positions, cell=(3.0, 3.2, 3.4), pbc=True)


def mixed() -> Atoms:
    """Two elements in turn, one atom outside of the cell."""
    places = [[0.1, 0.2, 0.3], [1.6, 1.7, 0.4], [3.15, 0.25, 1.1], [1.5, 1.6, 2.1]]
    return Atoms("HHeHHe", positions=places, cell=(3.0, 3.3, 3.6), pbc=True)


def as_frame(atoms: Atoms, charge: int = 0) -> Frame:
    return Frame.from_atoms(atoms, origin=Origin.RATTLE, group="test", charge=charge)


def compute(atoms: Atoms, folder: Path, dft: Cp2kSettings, charge: int = 0) -> SinglePoint:
    """Compute a label as a worker does."""
    maker = Cp2kStaticMaker(input_set_generator=IonicSetGenerator(dft=dft))
    return maker.compute(as_frame(atoms, charge), folder)


def energies(geometries: list[Atoms], folder: Path, dft: Cp2kSettings) -> list[float]:
    """Compute energies, eV, by one ``cp2k_shell``."""
    with chdir(folder), shell_calculator(as_frame(geometries[0]), dft, "shell") as shell:
        return [shell.get_potential_energy(atoms) for atoms in geometries]


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    result = atoms.copy()
    result.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return result
