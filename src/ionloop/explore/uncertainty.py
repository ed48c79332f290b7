"""The committee's spread on mobile ions, calibrated, and fingerprints of frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ionloop.explore.driver import CommitteeDriver
from ionloop.train.calibration import ion_spread

if TYPE_CHECKING:
    from mace.calculators import MACECalculator


class CommitteeUncertainty:
    """Judges frames: calibrated spread of the mobile ions' forces.

    Parameters
    ----------
    calculator
        A MACE calculator of several models.
    mobile
        Indices of the mobile ions, shape [m].
    scale
        Factor from raw spread to RMS error, as calibrated.
    """

    def __init__(self, calculator: MACECalculator, mobile: np.ndarray, scale: float) -> None:
        self.calculator = calculator
        self.driver = CommitteeDriver(calculator)
        self.mobile = mobile
        self.scale = scale

    def per_ion(self, atoms: Atoms) -> np.ndarray:
        """Calibrated uncertainty of each mobile ion, shape [m], eV/Å."""
        probe = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
        probe.calc = self.driver
        probe.get_forces()
        return self.scale * ion_spread(self.driver.results["forces_comm"], self.mobile)

    def __call__(self, atoms: Atoms) -> float:
        """Return the largest uncertainty over the mobile ions, eV/Å."""
        return float(self.per_ion(atoms).max())


def fingerprint(calculator: MACECalculator, atoms: Atoms, focus: int) -> list[float]:
    """Describe a frame by invariant MACE features, for diversity.

    Means over each species tell the frame's thermodynamic state; the features of the
    ``focus`` ion, the one that hops or is most uncertain, tell hops apart, which whole-cell
    means hide.

    Returns
    -------
    list[float]
        n_species + 1 blocks of invariant features, dimensionless.
    """
    features = calculator.get_descriptors(atoms.copy(), invariants_only=True)
    if isinstance(features, list):
        features = features[0]
    symbols = np.array(atoms.get_chemical_symbols())
    means = [features[symbols == s].mean(axis=0) for s in sorted(set(symbols))]
    return np.concatenate([*means, features[focus]]).astype(float).tolist()
