r"""Conductivity, collective diffusion and the Haven ratio from one set of lines.

.. math::
    \sigma = \frac{N z^2 e^2 D}{V k_B T}, \quad
    D_\sigma = \lim_{t \to \infty} \frac{1}{6 N} \frac{d}{dt}
    \Big\langle \Big| \sum_i \Delta r_i \Big|^2 \Big\rangle, \quad H_R = D^* / D_\sigma

with tracer :math:`D^*` (Nernst-Einstein) or collective :math:`D_\sigma`; Murch, Solid State
Ionics 7, 177 (1982). Displacements are against the framework.
"""

from __future__ import annotations

import numpy as np

from ionloop.evaluate.intervals import Positive
from ionloop.evaluate.measured import Lines
from ionloop.evaluate.schema import Conduction, Estimate
from ionloop.evaluate.window import WindowRule
from ionloop.units import KB_EV_PER_K, conductivity_to_ms_per_cm, diffusivity_to_cm2_per_s

#: Names of the axes, along which one third of the trace is one component.
AXES = "xyz"
SIGMA_UNIT = "mS/cm"


def sigma_per_d(n_mobile: int, volume: float, temperature: float, charge: float) -> float:
    """Return the conductivity of a D of 1 cm²/s, mS/cm; volume in Å³, charge in e."""
    per = n_mobile * charge**2 / (volume * KB_EV_PER_K * temperature)
    return conductivity_to_ms_per_cm(per / diffusivity_to_cm2_per_s(1.0))


def conduction(
    lines: Lines, d: Estimate, temperature: float, interval: float, charge: float, rule: WindowRule
) -> Conduction:
    """Derive what follows from the lines; what made ``d`` doubtful makes all of it doubtful."""
    measured = lines.measured
    scale = diffusivity_to_cm2_per_s(1 / (2 * interval))  # of one component
    volume = float(np.mean([paths.volume for paths in measured.runs]))
    factor = sigma_per_d(measured.n_ions, volume, temperature, charge)
    tensor, tensor_error = lines.tensor()
    collective = lines.summed()
    how = "GLS of the summed displacement's MSD"
    d_sigma = _scaled(collective, scale / 3, "cm²/s", how, d.reason, rule)
    return Conduction(
        tensor=(tensor * scale).tolist(),
        tensor_error=(tensor_error * scale).tolist(),
        axes=[
            _scaled(lines.along(i), scale, "cm²/s", f"as D, along {AXES[i]}", d.reason, rule)
            for i in range(3)
        ],
        collective=d_sigma,
        sigma=times(d, factor, "Nernst-Einstein, tracer D"),
        sigma_collective=times(d_sigma, factor, "Nernst-Einstein, collective D"),
        haven_ratio=_haven(lines.tracer(), collective, d_sigma.reason),
    )


def times(d: Estimate, factor: float, how: str) -> Estimate:
    """Turn a diffusivity, cm²/s, into a conductivity, mS/cm; a bound stays one."""
    if not np.isfinite(factor):
        return d.model_copy(
            update={
                "value": None, "error": None, "interval": None, "upper_bound": None,
                "unit": SIGMA_UNIT, "estimator": how, "admissible": False,
                "reason": "the cell's volume isn't known",
            }
        )  # fmt: skip
    scaled = {
        name: None if number is None else number * factor
        for name, number in (("value", d.value), ("error", d.error), ("upper_bound", d.upper_bound))
    }
    interval = d.interval and (d.interval[0] * factor, d.interval[1] * factor)
    return d.model_copy(
        update={**scaled, "interval": interval, "unit": SIGMA_UNIT, "estimator": how}
    )


def _scaled(
    slope: Positive, scale: float, unit: str, how: str, doubts: str | None, rule: WindowRule
) -> Estimate:
    relative = float(np.sqrt(slope.relative_variance))
    if slope.value <= 0 or relative > rule.rsd_max:
        return Estimate(
            value=None,
            unit=unit,
            estimator=how,
            admissible=False,
            reason=f"the slope is {slope.value * scale:.1e} ± {abs(slope.error) * scale:.1e} {unit}"
            ", which may be 0; run longer or with more replicas",
        )
    low, high = slope.interval
    return Estimate(
        value=slope.value * scale,
        error=slope.error * scale,
        interval=(low * scale, high * scale),
        unit=unit,
        estimator=how,
        admissible=doubts is None,
        reason=doubts,
    )


def _haven(tracer: Positive, collective: Positive, doubts: str | None) -> Estimate:
    how = "tracer over collective D, F interval"
    if collective.value <= 0 or tracer.value <= 0:
        return Estimate(
            value=None, unit="1", estimator=how, admissible=False, reason="no collective D"
        )
    ratio = tracer.value / collective.value
    relative = np.sqrt(tracer.relative_variance + collective.relative_variance)
    return Estimate(
        value=ratio,
        error=float(ratio * relative),
        interval=tracer.over(collective),
        unit="1",
        estimator=how,
        admissible=doubts is None,
        reason=doubts,
    )
