"""The committee's spread on mobile ions, calibrated, and fingerprints of frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ionloop.explore.driver import CommitteeDriver, stack
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
        self.mobile = mobile
        self.scale = scale
        self._driver: CommitteeDriver | None = None

    def per_ion(self, atoms: Atoms) -> np.ndarray:
        """Calibrated uncertainty of each mobile ion, shape [m], eV/Å."""
        return self.per_replica_and_ion([atoms])[0]

    def __call__(self, atoms: Atoms) -> float:
        """Return the largest uncertainty over the mobile ions, eV/Å."""
        return float(self.per_ion(atoms).max())

    def per_replica(self, replicas: Sequence[Atoms]) -> np.ndarray:
        """Return each replica's largest uncertainty over the mobile ions, shape [r], eV/Å."""
        return self.per_replica_and_ion(replicas).max(axis=1)

    def per_replica_and_ion(self, replicas: Sequence[Atoms]) -> np.ndarray:
        """Calibrated uncertainty, shape [r, m], eV/Å; the models see replicas as one batch."""
        n = len(replicas[0])
        if self._driver is None or self._driver.n_atoms != n:
            self._driver = CommitteeDriver(self.calculator, n_atoms=n)
        together = stack(replicas)
        together.calc = self._driver
        together.get_forces()
        forces = self._driver.results["forces_comm"]
        blocks = np.split(forces, len(replicas), axis=1)
        return self.scale * np.array([ion_spread(block, self.mobile) for block in blocks])


def fingerprints(
    calculator: MACECalculator, atoms: Atoms, focuses: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Describe a frame by invariant MACE features, for diversity, at the cost of one evaluation.

    Means over each species tell the frame's thermodynamic state; the features of a focus
    ion, the one that hops or is most uncertain, tell hops apart, which whole-cell means hide.

    Returns
    -------
    np.ndarray
        One row a focus ion: n_species + 1 blocks of invariant features of the first model,
        dimensionless.
    """
    features = calculator.get_descriptors(atoms.copy(), invariants_only=True)
    if isinstance(features, list):
        features = features[0]
    symbols = np.array(atoms.get_chemical_symbols())
    means = [features[symbols == s].mean(axis=0) for s in sorted(set(symbols))]
    shared = np.tile(np.concatenate(means), (len(focuses), 1))
    return np.hstack([shared, features[focuses]]).astype(float)


def fingerprint(calculator: MACECalculator, atoms: Atoms, focus: int) -> list[float]:
    """Describe a frame with one focus ion: see :func:`fingerprints`."""
    return fingerprints(calculator, atoms, [focus])[0].tolist()
