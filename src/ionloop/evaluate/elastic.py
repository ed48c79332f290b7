"""The elastic tensor of a relaxed crystal, and how far it can be relied on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator
from pymatgen.core import Structure

from ionloop.errors import EvaluationError
from ionloop.evaluate.schema import Check, Estimate

if TYPE_CHECKING:
    from ionloop.evaluate.static import StaticSettings

#: Share of the tensor that may be asymmetric.
ASYMMETRY_MAX = 0.05
#: Strains of each kind that can be halved by their size.
STRAINS_MIN = 4


def check_strains(normal: Sequence[float], shear: Sequence[float]) -> None:
    """Refuse strains that can't be halved by their size.

    With each one's opposite the fit's intercept says nothing of its slope, and what is quadratic
    in strain drops out.

    Raises
    ------
    EvaluationError
        If there are fewer than four of a kind, one has no opposite, or a size comes twice.
    """
    if min(len(normal), len(shear)) < STRAINS_MIN:
        msg = (
            f"elastic tensor: expected {STRAINS_MIN} or more strains of each kind, got "
            f"{len(normal)} and {len(shear)}"
        )
        raise EvaluationError(msg)
    for strains in (normal, shear):
        paired = sorted(strains) == sorted(-e for e in strains)
        if not paired or len({abs(e) for e in strains}) != len(strains) / 2:
            msg = (
                "elastic tensor: expected unlike strains, each with its opposite, as -0.01, "
                f"-0.005, 0.005, 0.01, got {', '.join(f'{e:g}' for e in strains)}"
            )
            raise EvaluationError(msg)


def elastic_tensor(
    relaxed: Structure, calculator: Calculator, settings: StaticSettings
) -> tuple[np.ndarray, dict[str, Estimate], list[Check]]:
    """Fit stress against strain; ions relax at each strain. Return C, [6, 6], GPa.

    The smaller and the larger half of the strains are fitted apart, see :func:`combine`: stress
    isn't linear in strain, and the difference of the two says how far that and the relaxations'
    noise move a modulus.
    """
    strains = settings.normal_strains, settings.shear_strains
    halves = [_halved(kind) for kind in strains]
    inner, outer = (
        _tensor(relaxed, calculator, settings, halves[0][i], halves[1][i]) for i in (0, 1)
    )
    raw, unstrained = combine(inner, outer, *strains)
    tensor = (raw + raw.T) / 2
    checks = _elastic_checks(raw, tensor)
    doubts = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
    values, limits = _moduli(tensor), _moduli(unstrained)
    estimator = (
        "Hill's mean of the elastic tensor, ions relaxed at each strain; error: difference to no "
        "strain, by small and large ones"
    )
    moduli = {
        name: Estimate(
            value=value,
            error=abs(value - limits[name]),
            unit="GPa",
            estimator=estimator,
            admissible=not doubts,
            reason="; ".join(doubts) or None,
        )
        for name, value in values.items()
    }
    return tensor, moduli, checks


def combine(
    inner: np.ndarray, outer: np.ndarray, normal: Sequence[float], shear: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the fit through all strains, and its limit of no strain.

    Rows of C are each of one kind of strain. With opposite strains the slope of a row is
    :math:`\sum \epsilon\sigma / \sum \epsilon^2`, so the fit through all is the halves' mean
    weighted by :math:`\sum \epsilon^2`. The first term that stress has beyond the linear one and
    that opposites leave, :math:`c\,\epsilon^3`, moves a slope by :math:`c m`, where
    :math:`m = \sum \epsilon^4 / \sum \epsilon^2`. So the halves differ by
    :math:`c (m_> - m_<)`, which gives :math:`c` whatever the strains' ratio.

    Parameters
    ----------
    inner, outer
        Tensors as fitted to the smaller and the larger half of the strains, [6, 6]; normal
        strains by rows 0 to 2, shear by 3 to 5.
    normal, shear
        All strains.
    """
    fit, limit = np.empty((6, 6)), np.empty((6, 6))
    for rows, strains in ((slice(0, 3), normal), (slice(3, 6), shear)):
        halves = [np.array(half) for half in _halved(strains)]
        weights = [float((e**2).sum()) for e in halves]
        small, large = (float((e**4).sum() / (e**2).sum()) for e in halves)
        # As the slopes, m of all strains is the halves' mean with these weights.
        whole = (weights[0] * small + weights[1] * large) / sum(weights)
        fit[rows] = (weights[0] * inner[rows] + weights[1] * outer[rows]) / sum(weights)
        limit[rows] = fit[rows] - (outer[rows] - inner[rows]) * whole / (large - small)
    return fit, limit


def _halved(strains: Sequence[float]) -> tuple[list[float], list[float]]:
    """Part strains into the smaller and the larger ones; opposites stay together."""
    by_size = sorted(strains, key=lambda e: (abs(e), e))
    n = 2 * (len(by_size) // 4)
    return by_size[:n], by_size[n:]


def _tensor(
    relaxed: Structure,
    calculator: Calculator,
    settings: StaticSettings,
    normal: list[float],
    shear: list[float],
) -> np.ndarray:
    """Return the elastic tensor by these strains, as fitted, [6, 6], GPa."""
    from matcalc import ElasticityCalc

    strains: dict[str, Any] = {"norm_strains": normal, "shear_strains": shear}
    fit = ElasticityCalc(
        calculator,
        **strains,
        fmax=settings.fmax,
        relax_structure=False,
        relax_deformed_structures=True,
        relax_calc_kwargs={"optimizer": "LBFGS", "max_steps": settings.steps_max},
        units_GPa=True,
        r2_min=-1,
    )
    return np.asarray(fit.calc(relaxed)["elastic_tensor"].voigt, float)


def _moduli(tensor: np.ndarray) -> dict[str, float]:
    """Return Hill's means of a tensor, [6, 6], GPa."""
    from pymatgen.core.elasticity import ElasticTensor

    with warnings.catch_warnings():  # an unstable tensor is told by our own check
        warnings.simplefilter("ignore")
        hill = ElasticTensor.from_voigt((tensor + tensor.T) / 2)
        return {"bulk_vrh": float(hill.k_vrh), "shear_vrh": float(hill.g_vrh)}


def _elastic_checks(raw: np.ndarray, tensor: np.ndarray) -> list[Check]:
    """Judge an elastic tensor as fitted, and made symmetric, both [6, 6], GPa."""
    asymmetry = float(np.abs(raw - raw.T).max() / np.abs(raw).max())
    lowest = float(np.linalg.eigvalsh(tensor).min())
    return [
        Check(
            name="elastic tensor symmetric",
            passed=asymmetry <= ASYMMETRY_MAX,
            detail=f"C and its transpose differ by {asymmetry:.2g} of the largest component, "
            f"expected at most {ASYMMETRY_MAX:g}",
        ),
        Check(
            name="elastically stable",
            passed=lowest > 0,
            detail=f"the lowest eigenvalue of C is {lowest:.3g} GPa, expected above 0",
        ),
    ]
