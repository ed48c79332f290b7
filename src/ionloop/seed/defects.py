"""Vacancies in a perfect supercell, spread as far apart as the cell allows."""

from __future__ import annotations

import numpy as np
from pymatgen.core import Structure

from ionloop.errors import StructureError
from ionloop.profile import check_periodic

#: Distances that differ by less count as equal, so that the choice is reproducible, Å.
_TIE = 1e-4


def supercell(structure: Structure, min_height: float) -> Structure:
    """Repeat a cell until opposite faces are far enough apart.

    Parameters
    ----------
    structure
        Ordered crystal.
    min_height
        Smallest distance between opposite faces, Å; twice the potential's cut-off keeps
        an atom from seeing its own image.

    Raises
    ------
    StructureError
        If the structure isn't an ordered crystal.
    """
    check_periodic(structure)
    matrix = structure.lattice.matrix
    areas = np.linalg.norm(np.cross(np.roll(matrix, -1, 0), np.roll(matrix, -2, 0)), axis=1)
    heights = structure.volume / areas
    repeats = np.ceil(min_height / heights - 1e-6).astype(int)
    return structure.copy().make_supercell(np.maximum(repeats, 1).tolist())


def remove_neutral_set(
    structure: Structure,
    removals: dict[str, int],
    rng: np.random.Generator | None = None,
    formal_charges: dict[str, int] | None = None,
) -> Structure:
    """Remove ions, each as far as possible from those already removed.

    The first ion is the first of its element (with ``rng``: any of them); each next
    one is the ion whose nearest removed neighbour is farthest, ties going to the lower
    index. So ``{"Li": 1, "Cl": 1}`` makes a Li vacancy and the farthest Cl vacancy.

    Parameters
    ----------
    structure
        Perfect supercell; it is not changed.
    removals
        Ions to remove by element, in the order of removal.
    rng
        Draws the first ion; None takes the first one in the structure.
    formal_charges
        If given, the set removed must be neutral, e.

    Returns
    -------
    Structure
        The remaining ions in their old order.

    Raises
    ------
    StructureError
        If the structure isn't an ordered crystal, an element is absent or has too few
        ions, nothing is to be removed, or the set removed isn't neutral.
    """
    check_periodic(structure)
    _check_removals(structure, removals, formal_charges)
    symbols = np.array([site.specie.symbol for site in structure])
    distances = structure.distance_matrix
    removed: list[int] = []
    for symbol in [s for s, n in removals.items() for _ in range(n)]:
        ions = np.setdiff1d(np.flatnonzero(symbols == symbol), removed)
        if removed:
            nearest = distances[np.ix_(ions, np.array(removed))].min(axis=1)
            removed.append(int(ions[np.flatnonzero(nearest > nearest.max() - _TIE)[0]]))
        else:
            removed.append(int(ions[0] if rng is None else rng.choice(ions)))
    result = structure.copy()
    result.remove_sites(removed)
    return result


def _check_removals(
    structure: Structure, removals: dict[str, int], formal_charges: dict[str, int] | None
) -> None:
    formula = structure.composition.formula
    if not removals or min(removals.values()) < 1:
        msg = f"expected ions to remove, got {removals}; name them as in {{'Li': 1, 'Cl': 1}}"
        raise StructureError(msg)
    for symbol, n in removals.items():
        present = sum(site.specie.symbol == symbol for site in structure)
        if n >= present:
            msg = (
                f"expected more than {n} {symbol} in {formula}, got {present}; "
                "remove fewer, or use a larger supercell"
            )
            raise StructureError(msg)
    if formal_charges is None:
        return
    if missing := sorted(set(removals) - set(formal_charges)):
        msg = f"no formal charge for {missing}; add them to formal_charges"
        raise StructureError(msg)
    total = sum(n * formal_charges[symbol] for symbol, n in removals.items())
    if total != 0:
        msg = (
            f"expected a neutral set of vacancies, got {removals} with {total:+d} e; "
            "remove compensating ions too"
        )
        raise StructureError(msg)
