"""Fingerprints of labelled frames by the committee that made the candidates' ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ionloop.explore.uncertainty import fingerprints


def labelled_fingerprints(
    frames: Sequence[Atoms], calculator: Calculator, mobile_ion: str
) -> np.ndarray:
    """Describe labelled frames once more; fingerprints of different models don't compare.

    A candidate has one fingerprint, of the ion that it was picked for; a label teaches the
    forces on all ions. So every mobile ion of a labelled frame gives a fingerprint, and a
    candidate is known if it's near any of them.

    Parameters
    ----------
    frames
        Labelled frames, one or more, each with one mobile ion or more.
    calculator
        MACE's calculator of the committee's first member.
    mobile_ion
        Element of the mobile ion.

    Returns
    -------
    np.ndarray
        Shape [m, d], m the number of mobile ions of all frames, dimensionless.
    """
    described = []
    for frame in frames:
        ions = np.flatnonzero(np.array(frame.get_chemical_symbols()) == mobile_ion)
        described.append(fingerprints(calculator, frame, ions))
    return np.concatenate(described)
