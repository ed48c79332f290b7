"""Relaxed end points that bands of one potential share."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ionloop.frame import Frame


class RelaxedEnds:
    """Each end point of one potential's bands is relaxed once.

    Hops of one structure have their first end in common. The later bands take it as it is, with
    its energy, and count no force calls for it.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Atoms, bool]] = {}

    def relaxed(self, frame: Frame, fmax: float) -> tuple[Atoms, bool] | None:
        """Return a copy of a structure's relaxed one, and whether it converged, if known."""
        found = self._known.get(_key(frame, fmax))
        return None if found is None else (_frozen(found[0]), found[1])

    def add(self, frame: Frame, fmax: float, relaxed: Atoms, *, converged: bool) -> None:
        """Keep what a structure relaxed to."""
        self._known[_key(frame, fmax)] = _frozen(relaxed), converged


def _key(frame: Frame, fmax: float) -> bytes:
    """Identify a structure, atom by atom: a band needs its ends' atoms in one order and cell."""
    arrays = np.array(frame.positions), np.array(frame.cell), np.array([fmax])
    return ",".join(frame.symbols).encode() + b"".join(a.tobytes() for a in arrays)


def _frozen(atoms: Atoms) -> Atoms:
    """Copy atoms with the energy and forces that they have, and no calculator to ask."""
    copy = Atoms(atoms)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    copy.calc = SinglePointCalculator(copy, energy=energy, forces=forces)
    return copy
