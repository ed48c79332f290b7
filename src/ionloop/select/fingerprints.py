"""Fingerprints of labelled frames by the committee that made the candidates' ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from ase import Atoms

from ionloop.frame import Frame


class Describer(Protocol):
    """What is needed of one MACE model's calculator."""

    def get_descriptors(self, atoms: Atoms, *, invariants_only: bool) -> np.ndarray:
        """Return the features of each atom, shape [n, f]."""


def labelled_fingerprints(
    frames: Sequence[Frame], calculator: Describer, mobile_ion: str
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
    return np.concatenate([_each_ion(f.to_atoms(), calculator, mobile_ion) for f in frames])


def _each_ion(atoms: Atoms, calculator: Describer, mobile_ion: str) -> np.ndarray:
    """Give each mobile ion's fingerprint at the cost of one.

    The layout is that of :func:`ionloop.explore.uncertainty.fingerprint`.
    """
    features = calculator.get_descriptors(atoms, invariants_only=True)
    symbols = np.array(atoms.get_chemical_symbols())
    means = [features[symbols == s].mean(axis=0) for s in sorted(set(symbols))]
    own = features[symbols == mobile_ion]
    shared = np.tile(np.concatenate(means), (len(own), 1))
    return np.hstack([shared, own]).astype(float)
