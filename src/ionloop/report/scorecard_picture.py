"""The scorecard as a picture: accuracy, static properties, diffusion, cost and stability of models.

As Fig. 4 of Zhu and Zhu, Acc. Mater. Res. 3, 1101 (2022) proposes to judge a potential.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ionloop.evaluate.accuracy import bins_of
from ionloop.evaluate.accuracy_schema import Accuracy, ErrorBin
from ionloop.evaluate.schema import Cost
from ionloop.evaluate.scorecard_schema import Phonons, Scaling, Scorecard, StaticProperties
from ionloop.files import whole
from ionloop.report.scorecard_differences import warning
from ionloop.report.scorecard_names import colours_of, name_of, shortened
from ionloop.report.scorecard_summary import measured_on
from ionloop.report.stability_panel import BAD, draw_stability, draw_verdicts
from ionloop.report.style import NEUTRAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Bins that the accuracy panel shows, by what they are of.
SHOWN = ("species", "hopping ion", "mobile ions by openness")
#: Panels beside one another.
COLUMNS = 3
#: Letters of a model's name that the legend shows.
NAME_LONGEST = 90
#: The axis of D spans this at least.
DECADE = 10.0
#: Errors below this share of the largest lie off the accuracy panel.
NEGLIGIBLE = 1e-5


def write_picture(cards: Sequence[Scorecard], path: Path) -> None:
    """Draw one or more scorecards as .png, .svg or .pdf, each model in its colour."""
    figure = draw(cards)
    with whole(path) as scratch:
        figure.savefig(scratch, dpi=130)


def picture_svg(cards: Sequence[Scorecard]) -> bytes:
    """Draw one or more scorecards as SVG."""
    buffer = io.BytesIO()
    draw(cards).savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def draw(cards: Sequence[Scorecard]) -> Figure:
    """Draw a panel a part, and a table of what fails and what is missing."""
    from matplotlib.figure import Figure

    colours = colours_of(cards)
    rows = -(-(len(PANELS) + 1) // COLUMNS)
    names = [shortened(name, NAME_LONGEST) for name in colours]
    n_legend = _legend_columns(names)
    height = 4.4 * rows + 0.22 * -(-len(names) // n_legend)
    figure = Figure(figsize=(15.5, height), layout="constrained")
    panels = iter(figure.subplots(rows, COLUMNS).flat)
    for name, draw_panel in PANELS.items():
        panel = next(panels)
        done = [card for card in cards if getattr(card, name).status == "done"]
        if done:
            draw_panel(panel, done, colours)
        else:
            _say(panel, _why(cards, name))
        panel.set_title(name, loc="left", fontweight="bold")
        if differs := warning(done, name):
            panel.set_title(_wrapped(differs, 52, 2), loc="right", fontsize=8, color=BAD)
    last = next(panels)
    draw_verdicts(last, cards, colours)
    last.set_title("rules", loc="left", fontweight="bold")
    for unused in panels:
        unused.set_axis_off()
    handles = [
        last.plot([], [], "s", color=colour, label=name)[0]
        for name, colour in zip(names, colours.values(), strict=True)
    ]
    materials = ", ".join(dict.fromkeys(card.material for card in cards))
    figure.legend(handles=handles, loc="outside upper left", ncols=n_legend, frameon=False,
                  title=shortened(materials, 150), alignment="left", title_fontsize=14)  # fmt: skip
    return figure


def _legend_columns(names: Sequence[str]) -> int:
    """Return how many names fit beside one another."""
    return max(1, min(len(names), 160 // (max(map(len, names)) + 6)))


def _why(cards: Sequence[Scorecard], name: str) -> str:
    reasons = dict.fromkeys(getattr(card, name).reason for card in cards)
    return "; ".join(reason for reason in reasons if reason) or "not asked"


def _wrapped(text: str, width: int, n_lines: int) -> str:
    lines = textwrap.wrap(text, width)
    return "\n".join(lines[:n_lines]) + (" …" if len(lines) > n_lines else "")


def _say(panel: Axes, text: str) -> None:
    panel.set_axis_off()
    panel.text(0.5, 0.5, _wrapped(text, 44, 12), ha="center", va="center", color=NEUTRAL,
               transform=panel.transAxes)  # fmt: skip


def shown_bins(found: Accuracy) -> dict[str, ErrorBin]:
    """Return the bins of the accuracy panel by the names that it shows."""
    short = {"hopping ion": "hop", "mobile ions by openness": "mobile", "species": ""}
    return {
        f"{short[what]} {error_bin.name}".strip(): error_bin
        for what, error_bin in bins_of(found)
        if what in SHOWN
    }


def _accuracy(panel: Axes, cards: list[Scorecard], colours: dict[str, str]) -> None:
    """Draw force errors by bin, with their 90 % intervals."""
    found = [(card, shown_bins(card.accuracy.result)) for card in cards if card.accuracy.result]
    names = list(dict.fromkeys(name for _, bins in found for name in bins))
    values = []
    for i, (card, bins) in enumerate(found):
        colour, shift = colours[name_of(card)], 0.6 * ((i + 0.5) / len(found) - 0.5)
        for name, error_bin in bins.items():
            y, rmse = names.index(name) + shift, 1000 * error_bin.rmse_forces
            values.append(rmse)
            panel.plot(rmse, y, "o", color=colour)
            if interval := error_bin.interval:
                panel.plot([1000 * x for x in interval], [y, y], color=colour, lw=1.5)
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    label, largest = "line: 90 % interval", max(values, default=0.0)
    if largest > 0:  # forces that symmetry makes zero would take all decades
        panel.set_xscale("log")
        shown = [v for v in values if v >= NEGLIGIBLE * largest]
        panel.set_xlim(left=min(shown) / 3)
        if off := len(values) - len(shown):
            label += f"; {off} off the axis: negligible"
    panel.set_xlabel(f"force RMSE / meV Å⁻¹ ({label})")


def _static(panel: Axes, cards: list[Scorecard], colours: dict[str, str]) -> None:
    """Draw phonon frequencies; say what else there is in words."""
    lines = []
    for card in cards:
        if (found := card.static.result) is None:
            continue
        lines.append((_words(found), colours[name_of(card)]))
        if found.phonons is not None:
            _draw_phonons(panel, found.phonons, colours[name_of(card)])
    panel.set(xlabel="frequency / THz (below 0: imaginary)", ylabel="phonons / share a THz")
    panel.axvline(0, color=NEUTRAL, lw=0.8)
    low, high = panel.get_ylim()
    panel.set_ylim(low, high * (1 + 0.1 * len(lines)))  # room for the words
    for i, (words, colour) in enumerate(lines):
        panel.text(0.02, 0.97 - 0.055 * i, words, transform=panel.transAxes, va="top", color=colour,
                   fontsize=7.5)  # fmt: skip


def _draw_phonons(panel: Axes, found: Phonons, colour: str) -> None:
    edges = np.array(found.frequencies)
    share = np.array(found.counts) / found.n_modes / np.diff(edges)
    panel.stairs(share, edges, color=colour, fill=True, alpha=0.35)
    panel.stairs(share, edges, color=colour)


def _words(found: StaticProperties) -> str:
    a, b, c = found.lengths
    words = [f"a b c = {a:.3f} {b:.3f} {c:.3f} Å", f"{found.density:.3f} g/cm³"]
    moduli = (("B₀", found.bulk_modulus), ("G", found.shear_vrh))
    for name, estimate in moduli:
        doubt = "" if estimate.admissible else "?"
        value = "–" if estimate.value is None else f"{estimate.value:.3g}"
        words.append(f"{name} {value}{doubt} GPa")
    return ", ".join(words)


def _diffusion(panel: Axes, cards: list[Scorecard], colours: dict[str, str]) -> None:
    """Draw D against temperature."""
    for card in cards:
        if (found := card.diffusion.result) is None:
            continue
        colour = colours[name_of(card)]
        for point in found.transport.transport.points:
            x, d = 1000 / point.temperature, point.d
            if d.value:
                fill = colour if d.admissible else "none"
                panel.plot(x, d.value, "o", color=colour, markerfacecolor=fill)
                panel.plot([x, x], d.interval or [d.value, d.value], color=colour, lw=1)
            elif d.upper_bound:
                panel.plot(x, d.upper_bound, "v", color=colour, markerfacecolor="none")
    panel.set(yscale="log", xlabel="1000 K / T   (open: not admissible; triangle: upper bound)",
              ylabel="D / cm² s⁻¹")  # fmt: skip
    low, high = panel.get_ylim()
    if high < DECADE * low:  # a short axis would make little look like much
        middle = (low * high) ** 0.5
        panel.set_ylim(middle / DECADE**0.5, middle * DECADE**0.5)


def _cost(panel: Axes, cards: list[Scorecard], colours: dict[str, str]) -> None:
    """Draw the time of a step against the number of atoms."""
    for card in cards:
        if (found := card.cost.result) is None:
            continue
        _draw_cost(panel, _of(found, "model"), "o-", colours[name_of(card)], None)
        reference = card.reference.name if card.reference else "reference"
        _draw_cost(panel, _of(found, "reference"), "s--", NEUTRAL, reference)
    panel.set(xscale="log", yscale="log", xlabel="atoms", ylabel="time a step / s")
    hardware = {measured_on(c.cost.result) for c in cards if c.cost.result}
    panel.text(0.98, 0.03, "; ".join(sorted(hardware)), transform=panel.transAxes, ha="right",
               fontsize=8, color=NEUTRAL)  # fmt: skip
    if panel.get_legend_handles_labels()[0]:
        panel.legend(frameon=False, loc="upper left")


def _of(found: Scaling, name: str) -> list[Cost]:
    return [cost for cost in found.costs if cost.calculator == name]


def _draw_cost(panel: Axes, costs: list[Cost], fmt: str, colour: str, label: str | None) -> None:
    if costs:
        x, y = [c.n_atoms for c in costs], [c.seconds_per_step for c in costs]
        panel.plot(x, y, fmt, color=colour, label=label, ms=4)


#: What draws each part.
PANELS: dict[str, Callable[[Axes, list[Scorecard], dict[str, str]], None]] = {
    "accuracy": _accuracy,
    "static": _static,
    "diffusion": _diffusion,
    "cost": _cost,
    "stability": draw_stability,
}
