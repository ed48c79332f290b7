"""Plots of learning and of accuracy.

Each function returns a figure or, where there's nothing to draw, the sentence that says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ionloop.campaign.schema import Advance
from ionloop.evaluate.accuracy_schema import Accuracy
from ionloop.evaluate.hop_bins import NEAR_EQUILIBRIUM, SADDLE, SHOULDER, WINDOW
from ionloop.explore.schema import BandSet
from ionloop.label.schema import LabelShard
from ionloop.reference.schema import Band
from ionloop.report.style import MODEL, NEUTRAL, QUALITATIVE, REFERENCE, fade, ramp, style
from ionloop.train.schema import Calibration

#: Ranges of the hop coordinate that a bin covers.
BIN_RANGES = {
    NEAR_EQUILIBRIUM: [(0.0, WINDOW), (1 - WINDOW, 1.0)],
    SHOULDER: [(WINDOW, 0.5 - WINDOW), (0.5 + WINDOW, 1 - WINDOW)],
    SADDLE: [(0.5 - WINDOW, 0.5 + WINDOW)],
}


def learning_curve(
    calibrations: Sequence[Calibration], shards: Sequence[LabelShard]
) -> go.Figure | str:
    r"""Held-out force RMSE of mobile ions, and training labels, by generation.

    Error bars are RMSE / sqrt(2 n) with n held-out frames: the standard error of the RMSE of
    normal errors, each frame counted once since its ions share one environment.
    """
    if not calibrations and not shards:
        return "No learning curve: no batch has been labelled yet."
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    figure.add_scatter(
        x=[c.generation for c in calibrations],
        y=[1000 * c.rmse_forces for c in calibrations],
        error_y={"array": [1000 * c.rmse_forces / math.sqrt(2 * c.n_frames) for c in calibrations]},
        customdata=[[c.n_frames, c.held_out] for c in calibrations],
        hovertemplate="%{y:.0f} meV/Å on %{customdata[0]} frames: %{customdata[1]}",
        mode="lines+markers",
        name="force RMSE",
        line={"color": MODEL, "width": 3},
        marker={"size": 9},
        showlegend=False,
    )
    training = [s for s in shards if s.purpose == "train"]
    origins = sorted({origin for s in training for origin in s.counts})
    for i, origin in enumerate(origins):
        figure.add_bar(
            x=[s.generation for s in training],
            y=[s.counts.get(origin, 0) for s in training],
            name=origin,
            marker={"color": QUALITATIVE[i % len(QUALITATIVE)]},
            row=2,
            col=1,
        )
    figure.update_layout(barmode="stack")
    figure.update_yaxes(title="force RMSE / meV Å⁻¹", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title="new labels", row=2, col=1)
    figure.update_xaxes(dtick=1)
    figure.update_xaxes(title="generation", row=2, col=1)
    return style(figure, 520)


def parity(accuracy: Accuracy | None) -> go.Figure | str:
    """Model against reference: force components, and energies less their means."""
    if accuracy is None:
        return "No parity plot: the campaign hasn't been evaluated yet."
    if not accuracy.parity_forces:
        return "No parity plot: there are no held-out labels."
    panels = [(accuracy.parity_forces, "force / eV Å⁻¹")]
    if accuracy.parity_energies:
        panels.append((accuracy.parity_energies, "energy − mean / eV per atom"))
    figure = make_subplots(rows=1, cols=len(panels), horizontal_spacing=0.14)
    for col, (points, unit) in enumerate(panels, start=1):
        x, y = np.array(points).T
        ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
        figure.add_scatter(
            x=ends, y=ends, mode="lines", line={"color": NEUTRAL, "dash": "dot"}, row=1, col=col,
            showlegend=False, hoverinfo="skip",
        )  # fmt: skip
        figure.add_scatter(
            x=x.tolist(), y=y.tolist(), mode="markers", row=1, col=col, showlegend=False,
            name=unit, marker={"color": fade(MODEL, 0.5), "size": 5},
        )  # fmt: skip
        figure.update_xaxes(title=f"reference {unit}", row=1, col=col)
        figure.update_yaxes(title=f"model {unit}", row=1, col=col)
    return style(figure, 400, legend=False)


def hop_coordinate_error(accuracy: Accuracy | None) -> go.Figure | str:
    """Force error of the hopping ion along the hop, with the RMS of each bin.

    Points are error vectors' norms, so a bin's component RMSE is drawn times sqrt(3).
    """
    if accuracy is None:
        return "No errors along the hop: the campaign hasn't been evaluated yet."
    if not accuracy.progress_errors:
        return "No errors along the hop: no held-out label lies on a known hop."
    x, y = np.array(accuracy.progress_errors).T
    figure = go.Figure()
    figure.add_scatter(
        x=x.tolist(), y=(1000 * y).tolist(), mode="markers", name="one frame",
        marker={"color": fade(MODEL, 0.5), "size": 7},
    )  # fmt: skip
    for error_bin in accuracy.forces_by_hop_bin:
        height = 1000 * math.sqrt(3) * error_bin.rmse_forces
        spread = error_bin.rmse_error
        bar = None if spread is None else [0, 1000 * math.sqrt(3) * spread, 0]
        for i, (low, high) in enumerate(BIN_RANGES[error_bin.name]):
            figure.add_scatter(
                x=[low, (low + high) / 2, high],
                y=[height] * 3,
                error_y=None if bar is None else {"array": bar},
                mode="lines",
                line={"color": REFERENCE, "width": 3},
                name="RMS of the bin",
                legendgroup="bins",
                showlegend=error_bin is accuracy.forces_by_hop_bin[0] and i == 0,
                hovertext=f"{error_bin.name}, {error_bin.n_frames} frames",
            )
    figure.add_vrect(
        x0=0.5 - WINDOW, x1=0.5 + WINDOW, fillcolor=NEUTRAL, opacity=0.12, line_width=0
    )
    figure.update_xaxes(title="hop coordinate s (shaded: transition state)", range=[-0.03, 1.03])
    figure.update_yaxes(title="force error of the ion / meV Å⁻¹", rangemode="tozero")
    return style(figure)


def calibration(calibrations: Sequence[Calibration]) -> go.Figure | str:
    """Predicted against true errors by quantile bin, and coverage of the 90 % bound."""
    if not calibrations:
        return "No calibration: no committee has been trained yet."
    figure = make_subplots(rows=1, cols=2, column_widths=[0.6, 0.4], horizontal_spacing=0.14)
    top = max((max(p) for c in calibrations for p in c.curve), default=0.0) * 1000
    figure.add_scatter(
        x=[0, top], y=[0, top], mode="lines", line={"color": NEUTRAL, "dash": "dot"},
        showlegend=False, hoverinfo="skip", row=1, col=1,
    )  # fmt: skip
    for c in calibrations:
        last = c is calibrations[-1]
        figure.add_scatter(
            x=[1000 * p[0] for p in c.curve],
            y=[1000 * p[1] for p in c.curve],
            mode="lines+markers",
            name=f"generation {c.generation}",
            line={"color": MODEL if last else fade(NEUTRAL, 0.6), "width": 3 if last else 1.5},
            row=1,
            col=1,
        )
    figure.add_scatter(
        x=[c.generation for c in calibrations],
        y=[100 * c.coverage_90 for c in calibrations],
        error_y={"array": [_coverage_error(c) for c in calibrations]},
        mode="lines+markers",
        line={"color": MODEL, "width": 3},
        name="coverage",
        showlegend=False,
        row=1,
        col=2,
    )
    figure.add_hline(y=90, line={"color": NEUTRAL, "dash": "dot"}, row=1, col=2)
    figure.update_xaxes(title="calibrated spread / meV Å⁻¹", row=1, col=1)
    figure.update_yaxes(title="RMS error / meV Å⁻¹", row=1, col=1)
    figure.update_xaxes(title="generation", dtick=1, row=1, col=2)
    figure.update_yaxes(title="covered by the 90 % bound / %", row=1, col=2)
    return style(figure)


def _coverage_error(found: Calibration) -> float:
    """Return the coverage's standard error, per cent: Wilson's, so not 0 at full coverage."""
    n, p = found.n_frames, found.coverage_90
    return 100 * math.sqrt(p * (1 - p) / n + 1 / (4 * n**2)) / (1 + 1 / n)


def bands(band_sets: Sequence[BandSet], reference: Sequence[Band]) -> go.Figure | str:
    """Energy along each hop: every generation's committee faint, the last bold."""
    drawn = [(s.generation, b) for s in band_sets for b in s.bands]
    classes = sorted({b.path_class for _, b in drawn} | {b.path_class for b in reference})
    if not classes:
        return "No bands: neither the reference nor a committee has relaxed one yet."
    n_cols = min(2, len(classes))
    n_rows = math.ceil(len(classes) / n_cols)
    figure = make_subplots(
        rows=n_rows, cols=n_cols, subplot_titles=classes, horizontal_spacing=0.12,
        vertical_spacing=0.22 / n_rows,
    )  # fmt: skip
    last = max((generation for generation, _ in drawn), default=None)
    named: set[str] = set()

    def add(band: Band, name: str, **look: object) -> None:
        i = classes.index(band.path_class)
        figure.add_scatter(
            x=band.progress().tolist(),
            y=(1000 * (np.array(band.energies) - band.energies[0])).tolist(),
            name=name,
            legendgroup=name,
            showlegend=name not in named,
            row=i // n_cols + 1,
            col=i % n_cols + 1,
            **look,
        )
        named.add(name)

    for generation, band in drawn:
        if generation != last:
            add(band, "earlier generations", mode="lines", line={"color": fade(MODEL, 0.35)})
    for band in reference:
        add(band, "reference", mode="lines+markers", line={"color": REFERENCE, "dash": "dash"})
    for generation, band in drawn:
        if generation == last:
            look = {"color": MODEL, "width": 3}
            add(band, f"committee, generation {last}", mode="lines+markers", line=look)
    figure.update_xaxes(title="progress along the band")
    figure.update_yaxes(title="energy / meV")
    return style(figure, 80 + 330 * n_rows)


def progress(advances: Sequence[Advance]) -> go.Figure | str:
    """Hop rates by temperature with counting errors, and the share of trusted frames."""
    if not advances:
        return "No hops yet: no generation has been judged."
    figure = make_subplots(rows=1, cols=2, column_widths=[0.6, 0.4], horizontal_spacing=0.14)
    rates = [(a.generation, r) for a in advances for r in a.judgement.metrics.hop_rates]
    temperatures = sorted({r.temperature for _, r in rates})
    for temperature, colour in zip(temperatures, ramp(len(temperatures)), strict=True):
        # A run that stopped before its first step has no time to divide by.
        rows = [(g, r) for g, r in rates if r.temperature == temperature and r.ion_time_ps > 0]
        figure.add_bar(
            x=[g for g, _ in rows],
            y=[r.n_hops / r.ion_time_ps for _, r in rows],
            error_y={
                "array": [math.sqrt(r.n_hops) / r.ion_time_ps for _, r in rows],
                "color": NEUTRAL,
            },
            customdata=[[r.n_hops] for _, r in rows],
            hovertemplate="%{customdata[0]} hops, %{y:.3g} per ion and ps",
            name=f"{temperature:g} K",
            marker={"color": colour},
            row=1,
            col=1,
        )
    figure.add_scatter(
        x=[a.generation for a in advances],
        y=[100 * a.judgement.metrics.trusted_share for a in advances],
        mode="lines+markers",
        name="trusted frames",
        line={"color": MODEL, "width": 3},
        showlegend=False,
        row=1,
        col=2,
    )
    figure.update_xaxes(title="generation", dtick=1)
    figure.update_yaxes(title="hops per ion and ps", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title="trusted frames / %", range=[0, 103], row=1, col=2)
    return style(figure)
