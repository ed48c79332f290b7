"""Colours and layout that the figures share; legible on light and dark pages."""

from __future__ import annotations

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

MODEL = "#3b82c4"
REFERENCE = "#e0813a"
NEUTRAL = "#8b95a3"
QUALITATIVE = (
    "#3b82c4", "#e0813a", "#4aa564", "#c9577f", "#8f6fc4", "#b59a2f", "#3aa6a6", "#8b95a3",
)  # fmt: skip


def style(figure: go.Figure, height: int = 400, *, legend: bool = True) -> go.Figure:
    """Give a figure the report's looks: no background of its own, legend above the axes."""
    figure.update_layout(
        template="none",
        height=height,
        autosize=True,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#56606e"},
        margin={"l": 68, "r": 20, "t": 64 if legend else 24, "b": 56},
        legend={"orientation": "h", "x": 0, "y": 1.1, "yanchor": "bottom", "traceorder": "normal"},
        hoverlabel={"namelength": -1},
    )
    axis = {
        "gridcolor": "rgba(139,149,163,0.25)",
        "zeroline": False,
        "linecolor": NEUTRAL,
        "showline": True,
        "ticks": "outside",
        "tickcolor": NEUTRAL,
        "title_standoff": 8,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def ramp(n: int) -> list[str]:
    """Return ``n`` colours from cold to hot, none too dark or too light for either page."""
    return list(sample_colorscale("Plasma", [0.2 + 0.6 * i / max(n - 1, 1) for i in range(n)]))


def fade(colour: str, alpha: float) -> str:
    """Return a colour '#rrggbb' with an opacity of 0 to 1."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"
