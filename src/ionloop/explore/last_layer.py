r"""Uncertainty out of the last layer of one MACE model, at almost no cost.

A model is linear in what enters its last layers, the features :math:`\varphi_i` of atom i. As
in Bayesian linear regression the variance of an atom's energy is then

.. math:: \sigma_i^2 \propto \varphi_i^T (C + \lambda \bar c\, 1)^{-1} \varphi_i,\quad
          C = \sum_{j \in \text{training atoms}} \varphi_j \varphi_j^T

(Bigi, Chong, Ceriotti and Grasselli, Mach. Learn.: Sci. Technol. 5, 045018 (2024): last-layer
prediction rigidity). A forward pass has the features anyway. The value is no force error; what
it is worth for ranking is measured by ``benchmarks/bench_uncertainty.py``, and it is calibrated
as a committee's spread is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ionloop.errors import ExplorationError
from ionloop.explore.driver import CommitteeDriver

if TYPE_CHECKING:
    from mace.calculators import MACECalculator

#: Regularisation as a share of the mean eigenvalue of C: features that training never varied
#: would else be infinitely uncertain by noise alone.
RIDGE = 1e-6


class FeatureProbe:
    """Reads the features that enter the last layers of a model, at each of its evaluations.

    Parameters
    ----------
    model
        A MACE model.

    Raises
    ------
    ExplorationError
        If its readouts are of a kind that isn't known.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        self._seen: dict[int, Any] = {}
        self._hooks = []
        for k, readout in enumerate(model.readouts):
            last = getattr(readout, "linear_2", None) or getattr(readout, "linear", None)
            if last is None:
                msg = (
                    "expected MACE's linear or non-linear readouts, got "
                    f"{type(readout).__name__}; use the committee's spread for this model"
                )
                raise ExplorationError(msg)
            scalars = [
                slice_
                for (_, irrep), slice_ in zip(last.irreps_in, last.irreps_in.slices(), strict=True)
                if irrep.l == 0
            ]
            self._hooks.append(last.register_forward_pre_hook(self._keeper(k, scalars)))

    def _keeper(self, k: int, scalars: Sequence[slice]) -> Any:  # noqa: ANN401
        def keep(_: object, inputs: tuple[Any, ...]) -> None:
            features = inputs[0].detach()
            self._seen[k] = np.concatenate([features[:, s].cpu().numpy() for s in scalars], axis=1)

        return keep

    @property
    def features(self) -> np.ndarray:
        """Features of the last evaluation, shape [n, f]."""
        return np.concatenate([self._seen[k] for k in sorted(self._seen)], axis=1).astype(float)

    def close(self) -> None:
        """Read no more."""
        for hook in self._hooks:
            hook.remove()


@dataclass(frozen=True)
class LastLayer:
    """How unusual an atom's features are, for each element by itself.

    Parameters
    ----------
    factors
        By atomic number, shape [f, f]: the norm of ``factor @ features`` is the uncertainty.
    """

    factors: dict[int, np.ndarray]

    @classmethod
    def fit(
        cls, numbers: Iterable[np.ndarray], features: Iterable[np.ndarray], ridge: float = RIDGE
    ) -> LastLayer:
        """Learn from the training frames.

        Parameters
        ----------
        numbers
            Atomic numbers of each frame, shape [n].
        features
            Features of each frame, shape [n, f].
        ridge
            Regularisation, as a share of the mean eigenvalue.

        Raises
        ------
        ExplorationError
            If there is no frame.
        """
        sums: dict[int, np.ndarray] = {}
        for z, phi in zip(numbers, features, strict=True):
            for element in np.unique(z).tolist():
                own = phi[z == element]
                sums[element] = sums.get(element, 0.0) + own.T @ own
        if not sums:
            msg = "expected frames that the model was trained on, got none"
            raise ExplorationError(msg)
        return cls({z: _factor(c, ridge) for z, c in sums.items()})

    def per_atom(self, numbers: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return the uncertainty of each atom, shape [n], dimensionless.

        Raises
        ------
        ExplorationError
            If there is an element that training didn't have.
        """
        found = np.empty(len(numbers))
        for element in np.unique(numbers).tolist():
            if element not in self.factors:
                msg = f"expected elements {sorted(self.factors)} (atomic numbers), got {element}"
                raise ExplorationError(msg)
            here = numbers == element
            found[here] = np.linalg.norm(features[here] @ self.factors[element].T, axis=1)
        return found


def _factor(second_moment: np.ndarray, ridge: float) -> np.ndarray:
    """Return L with LᵀL the inverse of the regularised second moment, shape [f, f]."""
    values, vectors = np.linalg.eigh(second_moment)
    floor = ridge * max(float(values.mean()), np.finfo(float).tiny)
    return np.asarray((vectors / np.sqrt(np.maximum(values, 0.0) + floor)).T)


def fit_last_layer(calculator: MACECalculator, frames: Sequence[Atoms]) -> LastLayer:
    """Fit to the training frames of a calculator's first model; each is evaluated once."""
    driver = CommitteeDriver(calculator, members=[0])
    probe = FeatureProbe(driver.models[0])
    try:
        return LastLayer.fit(
            (frame.numbers for frame in frames),
            (_features(driver, probe, frame) for frame in frames),
        )
    finally:
        probe.close()


def _features(driver: CommitteeDriver, probe: FeatureProbe, frame: Atoms) -> np.ndarray:
    atoms = frame.copy()
    atoms.calc = driver
    atoms.get_forces()
    return probe.features
