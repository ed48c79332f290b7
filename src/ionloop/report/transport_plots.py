"""Plots of diffusion; like :mod:`ionloop.report.plots`, a figure or the reason for none."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from plotly.colors import unlabel_rgb
from plotly.subplots import make_subplots

from ionloop.evaluate.arrhenius import predict
from ionloop.evaluate.schema import Diffusivity, Evaluation, Transport
from ionloop.report.style import MODEL, REFERENCE, fade, ramp, style


def _transports(evaluation: Evaluation) -> list[tuple[str, Transport]]:
    found = [("model", evaluation.model_transport)]
    if evaluation.reference_transport is not None:
        found.append(("reference", evaluation.reference_transport))
    return found


def msd(evaluation: Evaluation | None) -> go.Figure | str:
    """MSD with its standard error against lag time, logarithmic; the fitted window is bold."""
    if evaluation is None:
        return "No mean squared displacements: the campaign hasn't been evaluated yet."
    panels = [(name, t) for name, t in _transports(evaluation) if t.points]
    if not panels:
        return "No mean squared displacements: no trajectory was long enough."
    figure = make_subplots(
        rows=1, cols=len(panels), shared_yaxes=True, horizontal_spacing=0.06,
        subplot_titles=[f"{name}: {t.calculator}" for name, t in panels],
    )  # fmt: skip
    temperatures = sorted({p.temperature for _, t in panels for p in t.points})
    colours = dict(zip(temperatures, ramp(len(temperatures)), strict=True))
    named: set[float] = set()
    for col, (_, transport) in enumerate(panels, start=1):
        for point in transport.points:
            first = point.temperature not in named
            add_msd(figure, point, colours[point.temperature], col, named=first)
            named.add(point.temperature)
    figure.update_xaxes(title="lag time / ps", type="log")
    figure.update_yaxes(type="log")
    figure.update_yaxes(title="MSD of mobile ions / Å²", row=1, col=1)
    return style(figure, 440)


def add_msd(figure: go.Figure, point: Diffusivity, colour: str, col: int, *, named: bool) -> None:
    """Draw one MSD into a column; the legend lists it if it's ``named``."""
    _add_band(figure, point, colour, col)
    for x, y, bold in curve_parts(point):
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": colour, "width": 4 if bold else 1.5},
            name=f"{point.temperature:g} K",
            legendgroup=f"{point.temperature:g}",
            showlegend=not bold and named,
            row=1,
            col=col,
        )


def _add_band(figure: go.Figure, point: Diffusivity, colour: str, col: int) -> None:
    """Draw one standard error of the MSD about it, where it's known."""
    if not point.msd_error:
        return
    time, curve, error = (np.array(x) for x in (point.msd_time_fs, point.msd, point.msd_error))
    shown = (time > 0) & (curve > 0)
    time, curve, error = time[shown] / 1000, curve[shown], error[shown]
    # An edge at or below 0 has no logarithm: it's cut at a hundredth of the MSD.
    low = np.maximum(curve - error, 0.01 * curve)
    red, green, blue = unlabel_rgb(colour)
    figure.add_scatter(
        x=[*time, *time[::-1]],
        y=[*(curve + error), *low[::-1]],
        fill="toself",
        fillcolor=f"rgba({red:g},{green:g},{blue:g},0.2)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        legendgroup=f"{point.temperature:g}",
        showlegend=False,
        row=1,
        col=col,
    )


def curve_parts(point: Diffusivity) -> list[tuple[list[float], list[float], bool]]:
    """Return the whole curve and, bold, its fitted part; lags in ps, zeros left out."""
    time, curve = np.array(point.msd_time_fs), np.array(point.msd)
    positive = (time > 0) & (curve > 0)
    low, high = point.window_fs or (np.inf, -np.inf)
    fitted = positive & (time >= low) & (time <= high) & (point.d.value is not None)
    return [
        ((time[mask] / 1000).tolist(), curve[mask].tolist(), bold)
        for mask, bold in ((positive, False), (fitted, True))
        if mask.any()
    ]


def arrhenius(evaluation: Evaluation | None) -> go.Figure | str:
    """D against 1000/T with errors and fit; hollow points aren't admissible."""
    if evaluation is None:
        return "No Arrhenius plot: the campaign hasn't been evaluated yet."
    transports = _transports(evaluation)
    if not any(p.d.value for _, t in transports for p in t.points):
        reasons = [p.d.reason for _, t in transports for p in t.points if p.d.reason]
        return "No Arrhenius plot: no temperature gave a diffusivity. " + " ".join(reasons[:1])
    figure = go.Figure()
    for (name, transport), colour in zip(transports, (MODEL, REFERENCE), strict=False):
        _add_fit(figure, transport, name, colour)
        figure.add_trace(points_of(transport, colour, f"{name}: {transport.calculator}"))
    figure.update_xaxes(title="1000 K / T")
    figure.update_yaxes(title="D / cm² s⁻¹", type="log", tickformat=".0e", dtick="D2")
    return style(figure, 440)


def points_of(transport: Transport, colour: str, name: str) -> go.Scatter:
    """Return D against 1000/T with its error; hollow points aren't admissible."""
    points = [p for p in transport.points if p.d.value]
    errors = [p.d.error or 0.0 for p in points]
    # A bar that reaches D ≤ 0 has no logarithm: it's cut at a hundredth of D.
    down = [min(e, 0.99 * (p.d.value or 0.0)) for p, e in zip(points, errors, strict=True)]
    return go.Scatter(
        x=[1000 / p.temperature for p in points],
        y=[p.d.value for p in points],
        error_y={"array": errors, "arrayminus": down, "symmetric": False},
        mode="markers",
        name=name,
        marker={
            "color": colour,
            "size": 10,
            "symbol": ["circle" if p.d.admissible else "circle-open" for p in points],
            "line": {"color": colour, "width": 2},
        },
        customdata=[[p.temperature, p.n_eff] for p in points],
        hovertemplate="%{y:.2e} cm²/s at %{customdata[0]:g} K, N_eff %{customdata[1]:.0f}",
    )


def _add_fit(figure: go.Figure, transport: Transport, name: str, colour: str) -> None:
    """Draw the fitted line with its band of one standard error, where there is a fit."""
    if transport.ln_d0 is None:
        return
    ends = [p.temperature for p in transport.points]
    inverse = np.linspace(1000 / max(ends), 1000 / min(ends), 60)
    d, error = predict(transport, 1000 / inverse)
    figure.add_scatter(
        x=[*inverse, *inverse[::-1]],
        y=[*(d * np.exp(error)), *(d * np.exp(-error))[::-1]],
        fill="toself",
        fillcolor=fade(colour, 0.15),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=inverse.tolist(), y=d.tolist(), mode="lines", name=f"{name} fit", showlegend=False,
        line={"color": colour}, hoverinfo="skip",
    )  # fmt: skip
