"""The order of a saddle: imaginary modes by finite differences."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.vibrations import Vibrations

#: Imaginary modes softer than this are noise of finite differences, eV (24 1/cm).
SOFT = 3e-3
#: Atoms this near to a hopping ion move when modes are counted, Å.
SHELL = 4.0


def around(atoms: Atoms, ions: np.ndarray, radius: float = SHELL) -> np.ndarray:
    """Return the atoms within a radius, Å, of any of the ions, themselves included."""
    away = atoms.get_all_distances(mic=True)[:, ions]
    return np.flatnonzero((away <= radius).any(axis=1))


def imaginary_modes(
    atoms: Atoms, calculator: Calculator, moving: np.ndarray | None = None, delta: float = 0.01
) -> int:
    """Count the imaginary modes of a frame: 1 at a saddle that joins two minima.

    ASE's finite differences of forces, 6 evaluations a moving atom.

    Parameters
    ----------
    atoms
        The frame.
    calculator
        Gives forces.
    moving
        Atoms that move, the others being held, which can hide modes but never make one; None:
        all.
    delta
        Displacement, Å.

    Returns
    -------
    int
        Modes softer than 3 meV, translations among them, aren't counted.
    """
    probe = Atoms(atoms)
    probe.calc = calculator
    chosen = None if moving is None else [int(i) for i in moving]
    with tempfile.TemporaryDirectory() as folder:
        modes = Vibrations(probe, chosen, delta=delta, name=str(Path(folder) / "modes"))
        modes.run()
        energies = modes.get_energies()
    return int((np.abs(energies.imag) > SOFT).sum())
