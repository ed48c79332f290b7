"""The elastic tensor of a relaxed crystal, and how far it can be relied on."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.calculator import Calculator
from pymatgen.core import Structure

from ionloop.evaluate.schema import Check, Estimate

if TYPE_CHECKING:
    from ionloop.evaluate.static import StaticSettings

#: Share of the tensor that may be asymmetric.
ASYMMETRY_MAX = 0.05


def elastic_tensor(
    relaxed: Structure, calculator: Calculator, settings: StaticSettings
) -> tuple[np.ndarray, dict[str, Estimate], list[Check]]:
    r"""Fit stress against strain; ions relax at each strain. Return C, [6, 6], GPa.

    The smaller and the larger half of the strains are fitted apart. Their tensors' mean, weighted
    by :math:`\sum \epsilon^2`, is the fit through all; stress isn't linear in strain, and the
    difference of the two says how far that and the relaxations' noise move a modulus.
    """
    inner, outer = (
        _tensor(relaxed, calculator, settings, *strains) for strains in _halves(settings)
    )
    squares = [sum(e**2 for e in strains[0]) for strains in _halves(settings)]
    raw = (squares[0] * inner + squares[1] * outer) / sum(squares)
    tensor = (raw + raw.T) / 2
    checks = _elastic_checks(raw, tensor)
    doubts = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
    values, smaller, larger = (_moduli(one) for one in (tensor, inner, outer))
    estimator = (
        "Hill's mean of the elastic tensor, ions relaxed at each strain; error: difference of "
        "small and large strains"
    )
    moduli = {
        name: Estimate(
            value=value,
            error=abs(larger[name] - smaller[name]),
            unit="GPa",
            estimator=estimator,
            admissible=not doubts,
            reason="; ".join(doubts) or None,
        )
        for name, value in values.items()
    }
    return tensor, moduli, checks


def _halves(settings: StaticSettings) -> list[tuple[list[float], list[float]]]:
    """Part normal and shear strains into the smaller and the larger ones, by magnitude."""
    kinds = [
        sorted(strains, key=abs) for strains in (settings.normal_strains, settings.shear_strains)
    ]
    return [
        ([*kinds[0][: len(kinds[0]) // 2]], [*kinds[1][: len(kinds[1]) // 2]]),
        ([*kinds[0][len(kinds[0]) // 2 :]], [*kinds[1][len(kinds[1]) // 2 :]]),
    ]


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
