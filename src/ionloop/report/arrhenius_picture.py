"""Conductivity of several models against temperature, beside the literature.

As Fig. 3 of Zhu and Zhu, Acc. Mater. Res. 3, 1101 (2022).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ionloop.errors import EvaluationError
from ionloop.evaluate.arrhenius import ROOM, predict
from ionloop.evaluate.schema import Diffusivity, Estimate, Transport
from ionloop.evaluate.scorecard_schema import Scorecard
from ionloop.files import whole
from ionloop.report.literature import LiteratureValue
from ionloop.report.scorecard_names import colours_of, name_of
from ionloop.report.style import NEUTRAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Marks of our own list's values, in turn; OBELiX' are open squares.
_MARKS = "sD^vP*X"


def write_arrhenius(
    cards: Sequence[Scorecard], literature: Sequence[LiteratureValue], path: Path
) -> None:
    """Draw Nernst-Einstein conductivities as .png, .svg or .pdf.

    Filled points are admissible, open ones aren't, bars are 90 % intervals, arrows upper bounds.
    Lines are Arrhenius fits, dashed where they are extrapolated.

    Raises
    ------
    EvaluationError
        If no scorecard has the part diffusion.
    """
    from matplotlib.figure import Figure

    done = [
        (card, card.diffusion.result.transport.transport)
        for card in cards
        if card.diffusion.result is not None
    ]
    if not done:
        msg = "expected a scorecard with the part diffusion, got none: --parts diffusion has it"
        raise EvaluationError(msg)
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    panel = figure.subplots()
    colours = colours_of([card for card, _ in done])
    for card, transport in done:
        draw_model(panel, transport, name_of(card), colours[name_of(card)])
    draw_literature(panel, literature)
    panel.set(xlabel="1000 K / T", ylabel="conductivity / mS cm⁻¹", yscale="log")
    figure.legend(frameon=False, fontsize="small", loc="outside lower center", ncols=2)
    with whole(path) as scratch:
        figure.savefig(scratch, dpi=150)


def draw_model(panel: Axes, transport: Transport, name: str, colour: str) -> None:
    """Draw one model's points and line."""
    for point in transport.points:
        if point.conduction is not None:
            _point(panel, 1000 / point.temperature, point.conduction.sigma, colour)
    energy = transport.activation_energy
    label = f"{name}, no admissible line"
    if energy.value is not None:
        doubt = "" if energy.admissible else " (not admissible)"
        label = f"{name}, $E_a$ = {energy.value:.2f} ± {energy.error or 0:.2f} eV{doubt}"
    inverse, sigma_line = conductivity_line(transport)
    fitted = [p.temperature for p in transport.points if p.d.value]
    measured = inverse <= 1000 / min(fitted, default=np.inf) + 1e-9
    panel.plot(inverse[measured], sigma_line[measured], color=colour)
    panel.plot(inverse[~measured], sigma_line[~measured], "--", color=colour)
    panel.plot([], [], "o-", color=colour, label=label)
    if transport.room is not None and transport.room.sigma is not None:
        _point(panel, 1000 / ROOM, transport.room.sigma, colour)


def conductivity_line(transport: Transport) -> tuple[np.ndarray, np.ndarray]:
    """Return 1000/T from the hottest fitted point to 300 K, and the fitted conductivity, mS/cm.

    D of the fit times what Nernst and Einstein put between D and σ T; empty without a fit.
    """
    known = next(filter(None, map(_factor, transport.points)), None)
    if transport.ln_d0 is None or known is None:
        return np.zeros(0), np.zeros(0)
    hottest = max(p.temperature for p in transport.points if _is_fitted(p, transport))
    inverse = np.linspace(1000 / hottest, 1000 / ROOM, 80)
    d, _ = predict(transport, 1000 / inverse)
    return inverse, known * d * inverse / 1000


def _is_fitted(point: Diffusivity, transport: Transport) -> bool:
    """Whether a point may be on the line: it has a number, and is below the transition."""
    found = re.match(r"between ([\d.]+) and", transport.transition or "")
    below = np.inf if found is None else float(found[1])
    return bool(point.d.value) and point.temperature <= below


def _factor(point: Diffusivity) -> float | None:
    """Return σ T / D, mS/cm K / (cm²/s), the same at all temperatures."""
    sigma = point.conduction.sigma.value if point.conduction else None
    if sigma is None or not point.d.value:
        return None
    return sigma * point.temperature / point.d.value


def _point(panel: Axes, x: float, sigma: Estimate, colour: str) -> None:
    if sigma.value is not None and sigma.value > 0:
        bars = None
        if sigma.interval is not None:
            low, high = sigma.interval
            bars = [[max(0.0, min(sigma.value - low, 0.999 * sigma.value))], [high - sigma.value]]
        face = colour if sigma.admissible else "none"
        panel.errorbar(x, sigma.value, bars, fmt="o", color=colour, mfc=face, capsize=2)
    elif sigma.upper_bound:
        arrow = 0.4 * sigma.upper_bound
        panel.errorbar(x, sigma.upper_bound, arrow, uplims=True, fmt="_", color=colour)


def draw_literature(panel: Axes, literature: Sequence[LiteratureValue]) -> None:
    """Draw published conductivities; activation energies alone stand in the legend."""
    marks = cycle(_MARKS)
    for value in literature:
        what = f"{value.method}, {value.phase}".rstrip(", ")
        if value.conductivity is not None and value.temperature is not None:
            listed = value.source != "OBELiX"
            panel.plot(
                1000 / value.temperature, value.conductivity, next(marks) if listed else "s",
                color="black" if listed else NEUTRAL, mfc="black" if listed else "none",
                label=f"{value.source}: {what}" if listed else None, ms=6 if listed else 5,
            )  # fmt: skip
        elif value.activation_energy is not None:
            text = f"{value.source}: {what}, $E_a$ = {value.activation_energy:.2f} eV"
            panel.plot([], [], " ", label=text)
    if any(value.source == "OBELiX" for value in literature):
        panel.plot([], [], "s", color=NEUTRAL, mfc="none", label="OBELiX: experiments")
