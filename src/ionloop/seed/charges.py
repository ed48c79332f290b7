"""Formal charges of a crystal, and the neutral vacancies that they allow."""

from __future__ import annotations

import math

from pymatgen.core import Structure

from ionloop.errors import StructureError
from ionloop.profile import check_periodic


def formal_charges(structure: Structure) -> dict[str, int]:
    """Guess formal charges from the composition; pymatgen's most frequent assignment.

    Raises
    ------
    StructureError
        If no assignment of whole charges is neutral.
    """
    check_periodic(structure)
    # Of the reduced formula: the number of assignments explodes with the number of ions.
    guesses = structure.composition.element_composition.oxi_state_guesses(max_sites=-1)
    if not guesses or any(q != round(q) for q in guesses[0].values()):
        msg = (
            f"no neutral formal charges found for {structure.composition.reduced_formula}; "
            "state Profile.formal_charges yourself"
        )
        raise StructureError(msg)
    return {symbol: round(q) for symbol, q in guesses[0].items()}


def neutral_vacancies(charges: dict[str, int], mobile_ion: str) -> dict[str, int]:
    """Return the smallest neutral set of vacancies that frees the mobile ion.

    The mobile ions that leave are compensated by the counter-ion of smallest charge, as
    in a Schottky defect: one Li and one Cl in Li3OCl, two Li and one O in Li2O.

    Raises
    ------
    StructureError
        If the mobile ion has no charge, or no ion can compensate it.
    """
    q = charges.get(mobile_ion, 0)
    counter = {s: c for s, c in charges.items() if c * q < 0}
    if not counter:
        msg = (
            f"expected a charged mobile ion with counter-ions, got {mobile_ion} in {charges}; "
            "set Profile.mobile_ion and formal_charges"
        )
        raise StructureError(msg)
    symbol = min(counter, key=lambda s: (abs(counter[s]), s))
    multiple = math.lcm(abs(q), abs(counter[symbol]))
    return {mobile_ion: multiple // abs(q), symbol: multiple // abs(counter[symbol])}
