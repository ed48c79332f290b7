"""Activation energy from diffusivities at several temperatures, never through a transition."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from ionloop.evaluate.intervals import LEVEL
from ionloop.evaluate.schema import Diffusivity, Estimate, Room, Transport
from ionloop.evaluate.segments import (
    P_VALUE_MIN,
    TEMPERATURES_MIN,
    Line,
    find_break,
    fit_line,
)
from ionloop.units import KB_EV_PER_K

ESTIMATOR = "weighted least squares of ln D on 1/kT"
ROOM = 300.0
#: A temperature this near is 300 K itself, K.
ROOM_WIDTH = 5.0
_Z = float(stats.norm.ppf((1 + LEVEL) / 2))


def arrhenius(points: Sequence[Diffusivity], calculator: str) -> Transport:
    r"""Fit the activation energy, and say what D is at 300 K.

    .. math:: \ln D = \ln D_0 - E_a / kT, \quad
              C = (X^T W X)^{-1} \max(1, \chi^2 / \nu), \quad W = \mathrm{diag}(1 / s^2)

    with the standard error s of ln D from each point's 90 % interval. Where two lines are
    needed (:func:`~ionloop.evaluate.segments.find_break`) there was a transition between
    two temperatures: only the points below it are fitted. Points that aren't admissible but
    have a number are used with their error, and E_a then isn't admissible either and says why.

    Parameters
    ----------
    points
        Diffusivities, one a temperature; those without a number are kept but not fitted.
    calculator
        Who computed the forces.

    Returns
    -------
    Transport
        E_a in eV with one standard error, ln(D0 / cm² s⁻¹), their covariance, and 300 K;
        no E_a but a reason below three usable temperatures on one line.
    """
    points = sorted(points, key=lambda p: p.temperature)
    usable = [p for p in points if p.d.value and p.d.error]
    below, transition = _below_transition(usable)
    reason = _too_few(points, usable, below, transition)
    if reason is not None:
        none = Estimate(value=None, unit="eV", estimator=ESTIMATOR, admissible=False, reason=reason)
        return Transport(
            calculator=calculator, points=points, activation_energy=none,
            transition=transition, room=direct(points),
        )  # fmt: skip
    line = fit_line(*logarithms(below, lambda p: p.d))
    reason = _objections(below, line.p_value)
    error = float(np.sqrt(line.covariance[1, 1]))
    value = float(line.solution[1])
    energy = Estimate(
        value=value,
        error=error,
        interval=(value - _Z * error, value + _Z * error),
        unit="eV",
        estimator=f"{ESTIMATOR}, {len({p.temperature for p in below})} temperatures"
        + (" below the transition" if transition else ""),
        admissible=reason is None,
        reason=reason,
    )
    return Transport(
        calculator=calculator,
        points=points,
        activation_energy=energy,
        ln_d0=float(line.solution[0]),
        covariance=line.covariance.tolist(),
        transition=transition,
        room=_better(direct(points), extrapolate(below, line, reason)),
    )


def logarithms(
    points: Sequence[Diffusivity], pick: Callable[[Diffusivity], Estimate]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return temperatures, K, ln of a positive estimate, and its standard error, each [n].

    The middle of the interval in ln stands for the value: that of a skewed estimate is too
    low on average. Documents from before intervals were kept give value and error.
    """
    rows = []
    for point in points:
        found = pick(point)
        if found.interval is not None and found.interval[0] > 0:
            low, high = np.log(found.interval)
            rows.append((point.temperature, (low + high) / 2, (high - low) / (2 * _Z)))
        elif found.value and found.error:
            rows.append((point.temperature, np.log(found.value), found.error / found.value))
    temperatures, middle, errors = np.array(rows, float).reshape(-1, 3).T
    return temperatures, middle, errors


def extrapolate(points: Sequence[Diffusivity], line: Line, reason: str | None) -> Room:
    """Say what the line gives at 300 K; ``reason`` is what speaks against the line."""
    ln_d, error = line.at(ROOM)
    reach = f"extrapolated from {min(p.temperature for p in points):g} K"
    return Room(
        how="extrapolated",
        d=exponential(ln_d, error, "cm²/s", f"Arrhenius line of D, {reach}", reason),
        sigma=None if (factor := room_factor(points)) is None else exponential(
            ln_d + np.log(factor), error, "mS/cm", f"Arrhenius line of D, {reach}", reason
        ),
        decades=2 * _Z * error / np.log(10),
    )  # fmt: skip


def exponential(ln_x: float, error: float, unit: str, how: str, reason: str | None) -> Estimate:
    """Make an estimate of its logarithm and the standard error of that."""
    value = float(np.exp(ln_x))
    return Estimate(
        value=value,
        error=value * error,
        interval=(float(np.exp(ln_x - _Z * error)), float(np.exp(ln_x + _Z * error))),
        unit=unit,
        estimator=how,
        admissible=reason is None,
        reason=reason,
    )


def room_factor(points: Sequence[Diffusivity]) -> float | None:
    """Return σ/D at 300 K, mS/cm over cm²/s, with the coldest point's cell; None if unknown."""
    for point in points:
        sigma = point.conduction and point.conduction.sigma.value
        if sigma and point.d.value:
            return sigma / point.d.value * point.temperature / ROOM
    return None


def direct(points: Sequence[Diffusivity]) -> Room | None:
    """Return what runs at 300 K themselves gave; None if there are none with a number."""
    for point in points:
        if abs(point.temperature - ROOM) <= ROOM_WIDTH and point.d.value and point.d.interval:
            sigma = point.conduction.sigma if point.conduction else None
            low, high = point.d.interval
            return Room(how="direct", d=point.d, sigma=sigma, decades=float(np.log10(high / low)))
    return None


def _better(runs: Room | None, line: Room) -> Room:
    """Choose runs at 300 K themselves, unless the line alone may be believed."""
    if runs is None or (line.d.admissible and not runs.d.admissible):
        return line
    return runs


def _below_transition(usable: list[Diffusivity]) -> tuple[list[Diffusivity], str | None]:
    """Return the points of the colder phase, and where it ends; all and None if it doesn't."""
    if len(usable) <= TEMPERATURES_MIN:
        return usable, None
    temperatures, ln_d, errors = logarithms(usable, lambda p: p.d)
    place = find_break(temperatures, ln_d, errors)
    if place is None:
        return usable, None
    low, high = temperatures[place - 1], temperatures[place]
    return usable[:place], f"between {low:g} and {high:g} K"


def _too_few(
    points: Sequence[Diffusivity],
    usable: Sequence[Diffusivity],
    below: Sequence[Diffusivity],
    transition: str | None,
) -> str | None:
    temperatures = {p.temperature for p in usable}
    if len(temperatures) < TEMPERATURES_MIN:
        return (
            f"D has a number at {len(temperatures)} of {len({p.temperature for p in points})} "
            f"temperatures, expected {TEMPERATURES_MIN} or more; run longer, hotter or at more "
            "temperatures"
        )
    if len({p.temperature for p in below}) < TEMPERATURES_MIN:
        return (
            f"the points don't lie on one line but break {transition}, as at a phase transition, "
            f"with {len(below)} temperatures below, expected {TEMPERATURES_MIN} or more there"
        )
    return None


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
