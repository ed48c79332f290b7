"""Activation energy from diffusivities at several temperatures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ionloop.evaluate.schema import Diffusivity, Estimate, Transport
from ionloop.units import KB_EV_PER_K

ESTIMATOR = "weighted least squares of ln D on 1/kT, var(ln D) = RSD²"
TEMPERATURES_MIN = 3
#: Below this probability of its χ², a straight line doesn't describe the points.
P_VALUE_MIN = 0.01


def arrhenius(points: Sequence[Diffusivity], calculator: str) -> Transport:
    r"""Fit the activation energy.

    .. math:: \ln D = \ln D_0 - E_a / kT, \quad
              C = (X^T W X)^{-1}, \quad W = \mathrm{diag}(1 / RSD^2)

    Points that aren't admissible but have a number are used with their error, and E_a
    then isn't admissible either and says why.

    Parameters
    ----------
    points
        Diffusivities, one a temperature; those without a number are kept but not fitted.
    calculator
        Who computed the forces.

    Returns
    -------
    Transport
        E_a in eV with one standard error, ln(D0 / cm² s⁻¹), and their covariance;
        None with a reason below three usable temperatures.
    """
    points = sorted(points, key=lambda p: p.temperature)
    usable = [p for p in points if p.d.value and p.d.error]
    temperatures = {p.temperature for p in usable}
    if len(temperatures) < TEMPERATURES_MIN:
        return Transport(
            calculator=calculator,
            points=points,
            activation_energy=Estimate(
                value=None,
                unit="eV",
                estimator=ESTIMATOR,
                admissible=False,
                reason=(
                    f"D has a number at {len(temperatures)} of "
                    f"{len({p.temperature for p in points})} temperatures, expected "
                    f"{TEMPERATURES_MIN} or more; run longer, hotter or at more temperatures"
                ),
            ),
        )
    solution, covariance, p_value = _fit(usable)
    reason = _objections(usable, p_value)
    return Transport(
        calculator=calculator,
        points=points,
        activation_energy=Estimate(
            value=float(solution[1]),
            error=float(np.sqrt(covariance[1, 1])),
            unit="eV",
            estimator=f"{ESTIMATOR}, {len(temperatures)} temperatures",
            admissible=reason is None,
            reason=reason,
        ),
        ln_d0=float(solution[0]),
        covariance=covariance.tolist(),
    )


def _fit(points: Sequence[Diffusivity]) -> tuple[np.ndarray, np.ndarray, float]:
    """Return (ln D0, E_a), their covariance, and the probability of a worse χ²."""
    kt = KB_EV_PER_K * np.array([p.temperature for p in points])
    values = np.array([p.d.value for p in points], float)
    rsd = np.array([p.d.error for p in points], float) / values
    design = np.column_stack([np.ones(len(points)), -1 / kt]) / rsd[:, None]
    target = np.log(values) / rsd
    # 1/kT is large and nearly constant: QR keeps digits that the normal equations lose.
    q, r = np.linalg.qr(design)
    solution = np.linalg.solve(r, q.T @ target)
    inverse = np.linalg.inv(r)
    chi2 = float(((target - design @ solution) ** 2).sum())
    return solution, inverse @ inverse.T, float(stats.chi2.sf(chi2, len(points) - 2))


def _objections(points: Sequence[Diffusivity], p_value: float) -> str | None:
    found = []
    if weak := [p for p in points if not p.d.admissible]:
        shown = ", ".join(f"{p.temperature:g} K{_hops(p)}" for p in weak)
        found.append(f"uses diffusivities that aren't admissible by themselves: {shown}")
    if p_value < P_VALUE_MIN:
        found.append(
            f"the points don't lie on one line (p = {p_value:.1e}): "
            "look for a phase transition or a curved plot"
        )
    return "; ".join(found) or None


def _hops(point: Diffusivity) -> str:
    return "" if point.n_eff is None else f" (N_eff {point.n_eff:.0f})"


def predict(transport: Transport, temperatures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the fitted D, cm²/s, and the standard error of ln D, each of shape [n].

    The error comes from the full covariance, [1, -1/kT] C [1, -1/kT]^T.

    Raises
    ------
    ValueError
        If the transport has no fit.
    """
    if transport.ln_d0 is None or transport.activation_energy.value is None:
        msg = f"{transport.calculator} has no Arrhenius fit"
        raise ValueError(msg)
    rows = np.column_stack([np.ones(len(temperatures)), -1 / (KB_EV_PER_K * temperatures)])
    mean = rows @ np.array([transport.ln_d0, transport.activation_energy.value])
    variance = np.einsum("ij,jk,ik->i", rows, np.array(transport.covariance), rows)
    return np.exp(mean), np.sqrt(variance)
