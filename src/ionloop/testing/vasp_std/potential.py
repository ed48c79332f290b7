r"""The stand-in's energy: Born-Mayer repulsion and a damped, shifted Coulomb term.

.. math:: E = \sum_{i<j} A_{ij} e^{-r/\rho_{ij}} + C q_i q_j \left[
          \frac{erfc(\alpha r)}{r} - \frac{erfc(\alpha R)}{R} + F_R (r - R) \right]

Fennell and Gezelter, J. Chem. Phys. 124, 234104 (2006), eq. 17, of which :math:`F_R` is the
force at the cut-off :math:`R`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list
from scipy.special import erfc

#: Cut-off R, Å; damping alpha, 1/Å; e²/(4 pi eps0), eV Å.
CUTOFF, ALPHA, COULOMB = 7.0, 0.25, units.Hartree * units.Bohr
#: Formal charges, e; others are neutral.
CHARGES = {
    **dict.fromkeys(("Li", "Na", "K", "Ag", "Cu"), 1.0),
    **dict.fromkeys(("Mg", "Ca", "Sr", "Zn"), 2.0),
    **dict.fromkeys(("Al", "Ga", "In", "Y", "La", "B", "Sc"), 3.0),
    **dict.fromkeys(("Si", "Ge", "Sn", "Ti", "Zr", "Hf"), 4.0),
    **dict.fromkeys(("P", "As", "Sb", "Nb", "Ta"), 5.0),
    **dict.fromkeys(("F", "Cl", "Br", "I"), -1.0),
    **dict.fromkeys(("O", "S", "Se"), -2.0),
    "N": -3.0,
}
#: A (eV) and rho (Å); Mouta et al., Chem. Mater. 26, 7137 (2014), where they have one.
PAIRS = {
    frozenset(("Li", "O")): (433.2627, 0.31384),
    frozenset(("Li", "Cl")): (421.0366, 0.3364),
    frozenset(("Li",)): (360.5269, 0.16098),
    frozenset(("O",)): (22764.3, 0.149),
    frozenset(("Cl",)): (1227.2, 0.3214),
    frozenset(("O", "Cl")): (8286.91, 0.2590),
}
#: rho of all other pairs, Å.
RHO = 0.3


def pair_parameters(a: str, b: str) -> tuple[float, float]:
    """Return A (eV) and rho (Å) of a pair.

    For pairs that :data:`PAIRS` doesn't name, repulsion and bare Coulomb attraction are
    equal at the sum of the covalent radii, so that a crystal stays in one piece.
    """
    if (known := PAIRS.get(frozenset((a, b)))) is not None:
        return known
    distance = float(covalent_radii[atomic_numbers[a]] + covalent_radii[atomic_numbers[b]])
    attraction = max(-CHARGES.get(a, 0.0) * CHARGES.get(b, 0.0), 1.0)
    return COULOMB * attraction * RHO / distance**2 * float(np.exp(distance / RHO)), RHO


def total_energy(atoms: Atoms, encut: float, charge: float = 0.0) -> float:
    """Return the stand-in's free energy, eV: its potential's, and what tells settings apart.

    Parameters
    ----------
    atoms
        With :class:`Pairs` as calculator.
    encut
        Cut-off, eV; each atom has 200 / ENCUT eV of it.
    charge
        Net charge, e; 2 eV each.
    """
    return float(atoms.get_potential_energy()) + 200.0 * len(atoms) / encut + 2.0 * charge


class Pairs(Calculator):
    """The potential as an ASE calculator: eV, eV/Å, eV/Å³."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """Compute energy, forces and stress."""
        super().calculate(atoms, properties, system_changes)
        now: Any = self.atoms
        i, j, d, vectors = neighbor_list("ijdD", now, CUTOFF)
        pair, push = _pair_terms(now.get_chemical_symbols(), i, j, d)
        along = (push / d)[:, None] * vectors  # force on j from i
        forces = np.zeros((len(now), 3))
        np.add.at(forces, j, along)
        stress = -0.5 * vectors.T @ along / now.get_volume()
        self.results: dict[str, Any] = {
            "energy": 0.5 * pair.sum(),
            "free_energy": 0.5 * pair.sum(),
            "forces": forces,
            "stress": stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
        }


def _pair_terms(
    symbols: list[str], i: np.ndarray, j: np.ndarray, d: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return energy (eV) and repulsive force (eV/Å) of pairs i, j at distance d (Å)."""
    kinds = sorted(set(symbols))
    table = np.zeros((len(kinds), len(kinds), 2))
    for m, n in combinations_with_replacement(range(len(kinds)), 2):
        table[m, n] = table[n, m] = pair_parameters(kinds[m], kinds[n])
    of = np.searchsorted(kinds, np.array(symbols))
    a, rho = table[of[i], of[j]].T
    q = np.array([CHARGES.get(s, 0.0) for s in symbols])
    qq = COULOMB * q[i] * q[j]
    slope = 2 * ALPHA / np.sqrt(np.pi)
    edge = erfc(ALPHA * CUTOFF) / CUTOFF
    pull = edge / CUTOFF + slope * np.exp(-((ALPHA * CUTOFF) ** 2)) / CUTOFF
    born = a * np.exp(-d / rho)
    screened = erfc(ALPHA * d) / d
    pair = born + qq * (screened - edge + pull * (d - CUTOFF))
    push = born / rho + qq * (screened / d + slope * np.exp(-((ALPHA * d) ** 2)) / d - pull)
    return pair, push
