"""The picture of ``ionloop replay``: learning curves, by how open an ion's surroundings are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ionloop.files import whole
from ionloop.report.style import NEUTRAL, QUALITATIVE
from ionloop.select.schema import Replay, ReplayCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Bins of mobile ions that have a panel of their own, beside all ions.
PANELS = ("near equilibrium", "bottleneck")


def write_picture(found: Replay, path: Path) -> None:
    """Write learning curves as .png, .svg or .pdf; bands are 90 % intervals over seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(1, 1 + len(PANELS), sharey=True)
    for curve, colour in zip(found.curves, QUALITATIVE, strict=False):
        _all_ions(panels[0], curve, colour)
        for panel, name in zip(panels[1:], PANELS, strict=True):
            panel.plot(curve.n_labels, curve.rmse_by_openness[name], "o-", ms=4, color=colour)
    goal = sum(found.targets.values()) / len(found.targets)
    panels[0].axhline(goal, color=NEUTRAL, ls="--", lw=1, label="target")
    counts = found.curves[0].n_labels
    for panel, name in zip(panels, (f"all {found.mobile_ion} ions", *PANELS), strict=True):
        panel.set(xscale="log", yscale="log", xlabel="labels", title=name)
        panel.set_xticks(counts, [str(n) for n in counts])
        panel.set_xticks([], minor=True)
        panel.yaxis.set_major_formatter("{x:.3g}")
        panel.yaxis.set_minor_formatter("{x:.2g}")
    panels[0].set_ylabel("force RMSE / eV Å⁻¹")
    panels[0].legend(frameon=False)
    with whole(path) as scratch:
        figure.savefig(scratch, dpi=150)


def _all_ions(panel: Axes, curve: ReplayCurve, colour: str) -> None:
    panel.plot(curve.n_labels, curve.rmse_mobile, "o-", ms=4, color=colour, label=curve.arm)
    if all(curve.interval):
        low, high = zip(*(i for i in curve.interval if i), strict=True)
        panel.fill_between(curve.n_labels, low, high, color=colour, alpha=0.15, lw=0)
