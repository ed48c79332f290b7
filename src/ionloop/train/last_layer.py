r"""Uncertainty out of the last layer of one MACE model, at almost no cost.

A model is linear in what enters its last layers, the features :math:`\varphi_i` of atom i. As
in Bayesian linear regression the variance of an atom's energy is then

.. math:: \sigma_i^2 \propto \varphi_i^T (C + \lambda \bar c\, 1)^{-1} \varphi_i,\quad
          C = \sum_{j \in \text{training atoms}} \varphi_j \varphi_j^T

(Bigi, Chong, Ceriotti and Grasselli, Mach. Learn.: Sci. Technol. 5, 045018 (2024): last-layer
prediction rigidity). A forward pass has the features anyway. The force on an ion is as wrong as
the energies around it are, so that it takes the root of its neighbours' squares too, weighted
by a cosine of the distance that ends at the cut-off,

.. math:: s_i^2 = \sum_j \tfrac12\left(1 + \cos\frac{\pi r_{ij}}{r_{max}}\right) \sigma_j^2

(j = i included). The value is no force error; what it is worth for ranking is measured by
``benchmarks/bench_uncertainty.py``, and it is calibrated as a committee's spread is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from matscipy.neighbours import neighbour_list

from ionloop.document import Blob
from ionloop.errors import TrainingError
from ionloop.train.calibration import mobile_ions
from ionloop.train.mace import predict
from ionloop.train.ranking import spearman
from ionloop.train.schema import LastLayers

if TYPE_CHECKING:
    from mace.calculators import MACECalculator

#: Label of the arrays in the store.
FILE = "last_layers.npz"
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
    TrainingError
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
                raise TrainingError(msg)
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
        TrainingError
            If there is no frame.
        """
        sums: dict[int, np.ndarray] = {}
        for z, phi in zip(numbers, features, strict=True):
            for element in np.unique(z).tolist():
                own = phi[z == element]
                sums[element] = sums.get(element, 0.0) + own.T @ own
        if not sums:
            msg = "expected frames that the model was trained on, got none"
            raise TrainingError(msg)
        return cls({z: _factor(c, ridge) for z, c in sums.items()})

    def per_atom(self, numbers: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Return the uncertainty of each atom, shape [n], dimensionless.

        Raises
        ------
        TrainingError
            If there is an element that training didn't have.
        """
        found = np.empty(len(numbers))
        for element in np.unique(numbers).tolist():
            if element not in self.factors:
                msg = f"expected elements {sorted(self.factors)} (atomic numbers), got {element}"
                raise TrainingError(msg)
            here = numbers == element
            found[here] = np.linalg.norm(features[here] @ self.factors[element].T, axis=1)
        return found


def _factor(second_moment: np.ndarray, ridge: float) -> np.ndarray:
    """Return L with LᵀL the inverse of the regularised second moment, shape [f, f]."""
    values, vectors = np.linalg.eigh(second_moment)
    floor = ridge * max(float(values.mean()), np.finfo(float).tiny)
    return np.asarray((vectors / np.sqrt(np.maximum(values, 0.0) + floor)).T)


def spread_over_neighbours(
    values: np.ndarray, pairs: np.ndarray, lengths: np.ndarray, r_max: float
) -> np.ndarray:
    """Let each atom take its neighbours' values too, by the formula of this module.

    Parameters
    ----------
    values
        One an atom, shape [n].
    pairs
        Atoms i and j of each pair within the cut-off, both directions, shape [2, p].
    lengths
        Their distances, shape [p], Å.
    r_max
        Cut-off, Å.
    """
    weights = 0.5 * (1 + np.cos(np.pi * np.minimum(lengths / r_max, 1.0)))
    around = np.bincount(pairs[0], weights * values[pairs[1]] ** 2, minlength=len(values))
    return np.asarray(np.sqrt(values**2 + around))


def fit_last_layers(calculator: MACECalculator, frames: Sequence[Atoms]) -> list[LastLayer]:
    """Fit one to each model of a calculator, on its training frames; each is evaluated once."""
    numbers = [frame.numbers for frame in frames]
    features = zip(*(own for own, _ in evaluated(calculator, frames)), strict=True)
    return [LastLayer.fit(numbers, own) for own in features]


def evaluated(
    calculator: MACECalculator, frames: Sequence[Atoms]
) -> Iterator[tuple[list[np.ndarray], np.ndarray]]:
    """Yield each frame's features by each model, [n, f], and the forces, [k, n, 3], eV/Å."""
    probes = [FeatureProbe(model) for model in calculator.models]
    try:
        for frame in frames:
            _, (forces,) = predict(calculator, [frame])
            yield [probe.features for probe in probes], forces
    finally:
        for probe in probes:
            probe.close()


def describe(
    calculator: MACECalculator,
    training: Sequence[Atoms],
    held_out: Sequence[Atoms],
    mobile_ion: str,
    generation: int,
) -> LastLayers:
    """Fit one to each model, and calibrate it on labels that it wasn't trained on.

    The scale turns a value into the RMS error of the committee's mean, so that it reads as the
    committee's calibrated spread does.

    Parameters
    ----------
    calculator
        The committee.
    training
        Frames that it was trained on.
    held_out
        Labelled frames, with ``REF_forces``.
    mobile_ion
        Element of the mobile ion.
    generation
        Generation of the committee.
    """
    r_max = float(calculator.r_max)
    none: dict[str, Any] = {
        "generation": generation, "n_frames": len(training), "r_max": r_max, "scales": [],
        "rank_correlations": [],
    }  # fmt: skip
    try:
        layers = fit_last_layers(calculator, training)
        known = list(evaluated(calculator, held_out))
    except TrainingError as error:
        return LastLayers(**none, missing=str(error), blob=Blob.from_arrays(FILE))
    mobile = [mobile_ions(atoms, mobile_ion) for atoms in held_out]
    wrong = np.concatenate(
        [
            np.linalg.norm((forces.mean(axis=0) - atoms.arrays["REF_forces"])[ions], axis=1)
            for atoms, ions, (_, forces) in zip(held_out, mobile, known, strict=True)
        ]
    )
    values = [
        np.concatenate(
            [
                ion_values(layer, atoms, features[k], r_max)[ions]
                for atoms, ions, (features, _) in zip(held_out, mobile, known, strict=True)
            ]
        )
        for k, layer in enumerate(layers)
    ]
    return LastLayers(
        generation=generation,
        n_frames=len(training),
        r_max=r_max,
        scales=[float(np.sqrt((wrong**2).mean() / (v**2).mean())) for v in values],
        rank_correlations=[spearman(v, wrong) for v in values],
        blob=Blob.from_arrays(
            FILE,
            **{f"{k}_{z}": f for k, one in enumerate(layers) for z, f in one.factors.items()},
        ),
    )


def read_last_layer(found: LastLayers, member: int) -> LastLayer:
    """Read the one of a member.

    Raises
    ------
    TrainingError
        If there is none.
    """
    if member >= len(found.scales):
        msg = f"expected the last layer of member {member}, got none: {found.missing}"
        raise TrainingError(msg)
    arrays = found.blob.to_arrays()
    own = [name.split("_") for name in arrays if name.startswith(f"{member}_")]
    return LastLayer({int(z): arrays[f"{k}_{z}"] for k, z in own})


def ion_values(layer: LastLayer, atoms: Atoms, features: np.ndarray, r_max: float) -> np.ndarray:
    """Value of each atom of one frame, neighbours included, shape [n], dimensionless."""
    i, j, lengths = neighbour_list("ijd", atoms, r_max)
    values = layer.per_atom(atoms.numbers, features)
    return spread_over_neighbours(values, np.stack([i, j]), lengths, r_max)
