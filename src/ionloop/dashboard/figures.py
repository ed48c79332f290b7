"""The figures of a campaign's page, as JSON that plotly draws in the browser."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from markupsafe import Markup

from ionloop.report.plots import learning_curve
from ionloop.report.style import QUALITATIVE, style
from ionloop.store.overview import Generation, Overview


def figures(found: Overview) -> dict[str, Markup | str]:
    """Return each figure as JSON, or the sentence that says why there is none."""
    calibrations = [g.calibration for g in found.generations if g.calibration]
    drawn = {
        "learning": learning_curve(calibrations, found.shards),
        "barriers": barriers(found.generations),
    }
    return {key: one if isinstance(one, str) else _json(one) for key, one in drawn.items()}


def barriers(generations: Sequence[Generation]) -> go.Figure | str:
    """Barrier of each class of hops by generation; bars: spread over the committee."""
    metrics = [g.judgement.metrics for g in generations if g.judgement]
    classes = sorted({name for m in metrics for name in m.barriers})
    if not classes:
        return "No barriers yet: no judged generation has a band that converged."
    figure = go.Figure()
    for i, name in enumerate(classes):
        rows = [m for m in metrics if name in m.barriers]
        figure.add_scatter(
            x=[m.generation for m in rows],
            y=[1000 * m.barriers[name] for m in rows],
            error_y={"array": [1000 * m.barrier_spread.get(name, 0.0) for m in rows]},
            mode="lines+markers",
            name=name,
            line={"color": QUALITATIVE[i % len(QUALITATIVE)], "width": 3},
            marker={"size": 8},
        )
    figure.update_xaxes(title="generation", dtick=1 if len(metrics) < 20 else None)
    figure.update_yaxes(title="barrier by the committee / meV", rangemode="tozero")
    return style(figure, 360)


def _json(figure: go.Figure) -> Markup:
    """Write JSON that can't end the script element that holds it."""
    text = str(figure.to_json())
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - no character of it means anything to HTML
