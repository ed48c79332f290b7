"""Ordered cells of a partly occupied crystal, ranked by their Ewald energy."""

from __future__ import annotations

from typing import Any

from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.transformations.standard_transformations import (
    OrderDisorderedStructureTransformation,
)

from ionloop.errors import StructureError

#: Orderings looked at for each one wanted: many of the lowest are equal by symmetry.
_TRIED_PER_WANTED = 20


def order_by_ewald(structure: Structure, n: int, formal_charges: dict[str, int]) -> list[Structure]:
    """Return the orderings of lowest electrostatic energy, distinct by symmetry.

    A thin wrapper of pymatgen's ``OrderDisorderedStructureTransformation``; the input
    must be a cell in which every occupancy makes whole ions.

    Parameters
    ----------
    structure
        Partly occupied crystal; an ordered one comes back alone.
    n
        Orderings wanted; fewer come back where there are no more.
    formal_charges
        Formal charge of every element, e.

    Returns
    -------
    list[Structure]
        Ordered cells, lowest Ewald energy first, without oxidation states.

    Raises
    ------
    StructureError
        If ``n`` is below 1, an element has no formal charge, or the occupancies don't
        fit the cell.
    """
    if n < 1:
        msg = f"expected 1 or more orderings, got n={n}"
        raise StructureError(msg)
    if structure.is_ordered:
        return [structure.copy()]
    elements = {element.symbol for element in structure.composition.elements}
    if missing := sorted(elements - set(formal_charges)):
        msg = f"no formal charge for {missing}; add them to Profile.formal_charges"
        raise StructureError(msg)
    charged = structure.copy()
    charged.remove_oxidation_states()
    charged.add_oxidation_state_by_element({el: formal_charges[el] for el in elements})
    try:
        ranked: Any = OrderDisorderedStructureTransformation().apply_transformation(
            charged, return_ranked_list=n * _TRIED_PER_WANTED
        )
    except ValueError as err:
        msg = (
            f"{structure.composition.formula}: expected occupancies that make whole ions, got "
            f"'{err}'; make a supercell in which they do"
        )
        raise StructureError(msg) from err
    return _distinct([entry["structure"] for entry in ranked], n)


def _distinct(ranked: list[Structure], n: int) -> list[Structure]:
    """Keep the first ``n`` of a ranked list that symmetry doesn't map on each other."""
    # Tight: the defaults take neighbouring half-filled sites for one.
    matcher = StructureMatcher(
        ltol=0.01, stol=0.02, angle_tol=0.5, primitive_cell=False, scale=False
    )
    kept: list[Structure] = []
    for candidate in ranked:
        plain = candidate.copy()
        plain.remove_oxidation_states()
        if not any(matcher.fit(plain, other) for other in kept):
            kept.append(plain)
        if len(kept) == n:
            break
    return kept
