r"""Conductivity, collective diffusion and the Haven ratio from one set of lines.

.. math::
    \sigma = \frac{N z^2 e^2 D}{V k_B T}, \quad
    D_\sigma = \lim_{t \to \infty} \frac{1}{6 N} \frac{d}{dt}
    \Big\langle \Big| \sum_i \Delta r_i \Big|^2 \Big\rangle, \quad H_R = D^* / D_\sigma

with tracer :math:`D^*` (Nernst-Einstein) or collective :math:`D_\sigma`; Murch, Solid State
Ionics 7, 177 (1982). Displacements are against the framework.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ionloop.evaluate.displacements import Paths
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
        haven_ratio=haven_ratio(lines.apart(), collective, measured.n_ions, d_sigma.reason),
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


def bounds(
    runs: Sequence[Paths],
    d: Estimate,
    along: Sequence[float],
    temperature: float,
    charge: float,
    why: str,
) -> Conduction:
    r"""Say what is left to say where too few ions hop: bounds, and a reason where there is none.

    Whatever ions do together, :math:`|\sum_i \Delta r_i|^2 \le N \sum_i |\Delta r_i|^2`, so that
    collective D is at most N times tracer D; the Haven ratio has no bound of use.

    Parameters
    ----------
    runs
        Paths of independent runs of one kind.
    d
        Tracer D with an upper bound, cm²/s.
    along
        Upper bounds along the axes, shape [3], cm²/s.
    temperature, charge
        K, e.
    why
        There is no number.
    """
    n = runs[0].n_mobile
    volume = float(np.mean([paths.volume for paths in runs]))
    factor = sigma_per_d(n, volume, temperature, charge)
    whole = d.model_copy(update={"reason": why})
    collective = whole.model_copy(
        update={
            "upper_bound": None if d.upper_bound is None else n * d.upper_bound,
            "estimator": "N times the bound of tracer D, as if all ions moved as one",
        }
    )
    return Conduction(
        axes=[
            whole.model_copy(update={"upper_bound": b, "estimator": f"as D, along {axis}"})
            for axis, b in zip(AXES, along, strict=True)
        ],
        collective=collective,
        sigma=times(whole, factor, "Nernst-Einstein, bound of tracer D"),
        sigma_collective=times(collective, factor, "Nernst-Einstein, bound of collective D"),
        haven_ratio=Estimate(
            value=None, unit="1", estimator="tracer over collective D", admissible=False,
            reason=f"{why}: they don't tell how ions move together",
        ),
    )  # fmt: skip


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


def haven_ratio(
    apart: Positive | None, together: Positive, n_ions: int, doubts: str | None
) -> Estimate:
    r"""Divide tracer by collective D, with the interval of two numbers that share data.

    .. math:: H_R = \frac{1}{N} \Big( 1 + (N - 1) \frac{D_w}{D_\sigma} \Big)

    since an ion's displacement is that of the ions' common centre and one against it:
    :math:`N D^* = D_\sigma + (N - 1) D_w`. Unlike :math:`D^*` and :math:`D_\sigma` the two are
    independent where ions are Gaussian and alike, so that their ratio has an F distribution.

    Parameters
    ----------
    apart
        D_w, of ions against their centre; None where they move as one.
    together
        Collective D.
    n_ions
        N.
    doubts
        Why it isn't admissible; None if it is.
    """
    how = "motion against and of the ions' common centre, F interval"
    if together.value <= 0 or (apart is not None and apart.value <= 0):
        return Estimate(
            value=None, unit="1", estimator=how, admissible=False,
            reason="a slope isn't above 0; run longer or with more replicas",
        )  # fmt: skip
    rest, error, interval = 0.0, 0.0, (0.0, 0.0)
    if apart is not None:
        rest = (n_ions - 1) * apart.value / together.value
        error = rest * float(np.sqrt(apart.relative_variance + together.relative_variance))
        low, high = apart.over(together)
        interval = ((n_ions - 1) * low, (n_ions - 1) * high)
    return Estimate(
        value=(1 + rest) / n_ions,
        error=error / n_ions,
        interval=((1 + interval[0]) / n_ions, (1 + interval[1]) / n_ions),
        unit="1",
        estimator=how,
        admissible=doubts is None,
        reason=doubts,
    )
