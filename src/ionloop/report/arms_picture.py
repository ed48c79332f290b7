"""The picture of ``ionloop arms``: learning curves on the reference's own hops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ionloop.files import whole
from ionloop.report.style import NEUTRAL, QUALITATIVE
from ionloop.study.schema import ArmCurve, ArmStudy, MeanOverSeeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Goals that are drawn: errors at saddles no larger than this times those near equilibrium, and
#: barriers within so many meV.
RATIO_GOAL, BARRIER_GOAL = 1.2, 10.0


def write_picture(found: ArmStudy, path: Path) -> None:
    """Write learning curves as .png, .svg or .pdf; bands are 90 % intervals over seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    for one, colour in zip(found.curves, QUALITATIVE, strict=False):
        for panel, (number, factor) in zip(panels, _numbers(one), strict=True):
            _draw(panel, one, number, factor, colour)
    titles = (
        ("force RMSE of hopping ions at saddles", "meV Å⁻¹"),
        ("the same, over that near equilibrium", "ratio"),
        ("barrier error", "meV"),
        ("hop rates are right within exp(x)", "x"),
    )
    counts = found.curves[0].n_labels
    for panel, (title, unit) in zip(panels, titles, strict=True):
        panel.set(title=title, ylabel=unit, xlabel="labels")
        panel.set_xticks(counts, [str(n) for n in counts])
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_formatter("{x:.0f}")
    panels[0].yaxis.set_minor_formatter("{x:.0f}")
    panels[1].axhline(RATIO_GOAL, color=NEUTRAL, ls="--", lw=1)
    panels[2].axhline(BARRIER_GOAL, color=NEUTRAL, ls="--", lw=1)
    for panel in panels[1:]:
        panel.set_ylim(bottom=0)
    panels[0].legend(frameon=False)
    with whole(path) as scratch:
        figure.savefig(scratch, dpi=150)


def _numbers(one: ArmCurve) -> list[tuple[MeanOverSeeds, float]]:
    return [
        (one.rmse_by_hop_bin["saddle"], 1000.0),
        (one.saddle_ratio, 1.0),
        (one.barrier_error, 1000.0),
        (one.rate_bound, 1.0),
    ]


def _draw(panel: Axes, one: ArmCurve, number: MeanOverSeeds, factor: float, colour: str) -> None:
    """Draw the counts at which every seed has a number."""
    rows = [
        (n, factor * mean, interval)
        for n, mean, interval in zip(one.n_labels, number.mean, number.interval, strict=True)
        if mean is not None
    ]
    if not rows:
        return
    panel.plot([n for n, _, _ in rows], [m for _, m, _ in rows], "o-", ms=4, color=colour,
               label=one.arm)  # fmt: skip
    banded = [(n, i) for n, _, i in rows if i is not None]
    if banded:
        low, high = zip(*((factor * max(a, 0.0), factor * b) for _, (a, b) in banded), strict=True)
        panel.fill_between([n for n, _ in banded], low, high, color=colour, alpha=0.12, lw=0)
