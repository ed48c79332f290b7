"""The picture of ``ionloop transport``: mean squared displacements and Arrhenius line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ionloop.evaluate.arrhenius import ROOM, predict
from ionloop.evaluate.schema import Transport, TransportAnalysis
from ionloop.files import whole
from ionloop.report.style import MODEL, fade, ramp, style
from ionloop.report.transport_plots import add_msd, curve_parts, points_of

BAND = 0.2


def write_picture(analysis: TransportAnalysis, path: Path) -> None:
    """Write an interactive page (.html) or a picture (.png)."""
    with whole(path) as scratch:
        if path.suffix == ".html":
            overview(analysis).write_html(scratch, include_plotlyjs=True)
        else:
            _draw(analysis, scratch)


def overview(analysis: TransportAnalysis) -> go.Figure:
    """MSD of every temperature, the fitted window bold, beside D against 1000/T with 300 K."""
    transport = analysis.transport
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.12)
    for point, colour in zip(transport.points, ramp(len(transport.points)), strict=True):
        add_msd(figure, point, colour, 1, named=True)
    figure.add_trace(points_of(transport, MODEL, f"D of {analysis.mobile_ion}"), row=1, col=2)
    inverse, d, error = _line(transport)
    if len(d):
        edges = [*(d * np.exp(error)), *(d * np.exp(-error))[::-1]]
        figure.add_scatter(
            x=[*inverse, *inverse[::-1]], y=edges, fill="toself", fillcolor=fade(MODEL, BAND),
            line={"width": 0}, mode="lines", hoverinfo="skip", showlegend=False, row=1, col=2,
        )  # fmt: skip
        figure.add_scatter(
            x=inverse, y=d, mode="lines", line={"color": MODEL}, name="Arrhenius line", row=1, col=2
        )
    figure.update_xaxes(title="lag time / ps", type="log", row=1, col=1)
    figure.update_yaxes(title="MSD / Å²", type="log", row=1, col=1)
    figure.update_xaxes(title="1000 K / T", row=1, col=2)
    figure.update_yaxes(title="D / cm² s⁻¹", type="log", tickformat=".0e", row=1, col=2)
    return style(figure, 460)


def _line(transport: Transport) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return 1000/T from the hottest point to 300 K, D and the standard error of ln D."""
    if transport.ln_d0 is None:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    ends = [ROOM, *(p.temperature for p in transport.points)]
    inverse = np.linspace(1000 / max(ends), 1000 / min(ends), 60)
    return inverse, *predict(transport, 1000 / inverse)


def _draw(analysis: TransportAnalysis, path: Path) -> None:
    from matplotlib.figure import Figure

    transport = analysis.transport
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for point, colour in zip(transport.points, _hex(len(transport.points)), strict=True):
        for x, y, bold in curve_parts(point):
            name = None if bold else f"{point.temperature:g} K"
            left.loglog(x, y, color=colour, lw=3.5 if bold else 1.2, label=name)
        if point.d.value and point.d.interval:
            low, high = point.d.interval
            bars = [[point.d.value - low], [high - point.d.value]]
            face = colour if point.d.admissible else "none"
            right.errorbar(
                1000 / point.temperature, point.d.value, bars, fmt="o", color=colour, mfc=face
            )
        elif point.d.upper_bound:
            right.errorbar(
                1000 / point.temperature, point.d.upper_bound, 0.4 * point.d.upper_bound,
                uplims=True, fmt="_", color=colour,
            )  # fmt: skip
    inverse, d, error = _line(transport)
    if len(d):
        right.plot(inverse, d, color=MODEL)
        right.fill_between(inverse, d * np.exp(-error), d * np.exp(error), color=MODEL, alpha=BAND)
    left.set(xlabel="lag time / ps", ylabel="MSD / Å²")
    left.legend(frameon=False)
    right.set(xlabel="1000 K / T", ylabel="D / cm² s⁻¹", yscale="log")
    figure.savefig(path, dpi=150)


def _hex(n: int) -> list[str]:
    from plotly.colors import unlabel_rgb

    shades = [unlabel_rgb(colour) for colour in ramp(n)]
    return ["#" + "".join(f"{round(part):02x}" for part in shade) for shade in shades]
