"""Small cells of Li3OCl with a teacher's answers, to train on in seconds."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ionloop.reference.forcefield import BuckinghamTeacher


def unit_cells() -> Atoms:
    """Li3OCl 2x2x1 without a Li-Cl pair, 18 atoms: what matters here is that it's quick."""
    one = Atoms(
        "OClLi3",
        scaled_positions=[[0.5] * 3, [0] * 3, [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]],
        cell=[3.9] * 3,
        pbc=True,
    )
    atoms = one * (2, 2, 1)
    del atoms[[1, 2]]
    return atoms


def labelled_cells(n: int) -> list[Atoms]:
    """Rattled cells with the teacher's energies and forces."""
    rng, calculator, found = np.random.default_rng(0), BuckinghamTeacher().calculator(), []
    for _ in range(n):
        atoms = unit_cells()
        atoms.positions += rng.normal(scale=0.12, size=atoms.positions.shape)
        probe = atoms.copy()
        probe.calc = calculator
        atoms.info["REF_energy"] = probe.get_potential_energy()
        atoms.arrays["REF_forces"] = probe.get_forces()
        found.append(atoms)
    return found
