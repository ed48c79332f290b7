"""The scorecard on one page: accuracy, static properties, diffusion and cost of several models.

As Fig. 4 of Zhu and Zhu, Acc. Mater. Res. 3, 1101 (2022) proposes to judge a potential.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ionloop.evaluate.accuracy import bins_of
from ionloop.evaluate.accuracy_schema import Accuracy, ErrorBin
from ionloop.evaluate.schema import Cost
from ionloop.evaluate.scorecard_schema import Part, Phonons, Scaling, Scorecard, StaticProperties
from ionloop.files import whole
from ionloop.report.style import NEUTRAL, QUALITATIVE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Bins that the accuracy panel shows, by what they are of.
SHOWN = ("species", "hopping ion", "mobile ions by openness")
#: Errors below this share of the largest lie off the accuracy panel.
NEGLIGIBLE = 1e-5


def write_picture(cards: Sequence[Scorecard], path: Path) -> None:
    """Draw one or more scorecards as .png, .svg or .pdf, each model in its colour."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 9), layout="constrained")
    panels = figure.subplots(2, 2)
    colours = colours_of(cards)
    drawn: tuple[tuple[str, Callable[[Axes, list[Scorecard], dict[str, str]], None]], ...] = (
        ("accuracy", _accuracy), ("static", _static), ("diffusion", _diffusion), ("cost", _cost),
    )  # fmt: skip
    for panel, (name, draw) in zip(panels.flat, drawn, strict=True):
        done = [card for card in cards if getattr(card, name).status == "done"]
        if done:
            draw(panel, done, colours)
        else:
            _say(panel, _why(getattr(cards[0], name)))
        panel.set_title(name + _warning(done, name), loc="left", fontweight="bold")
    handles = [
        panels[0, 0].plot([], [], "s", color=colour, label=name)[0]
        for name, colour in colours.items()
    ]
    materials = ", ".join(dict.fromkeys(card.material for card in cards))
    figure.legend(handles=handles, loc="outside upper right", ncols=4, frameon=False)
    figure.suptitle(materials, x=0.02, ha="left")
    with whole(path) as scratch:
        figure.savefig(scratch, dpi=130)


def colours_of(cards: Sequence[Scorecard]) -> dict[str, str]:
    """Give each model a colour; models of one name are told apart by their hash."""
    return dict(zip((name_of(card) for card in cards), QUALITATIVE, strict=False))


def name_of(card: Scorecard) -> str:
    """Name a model so that those of one name are told apart."""
    return f"{card.model.name} ({card.model.sha256[:6]})"


def _why(part: Part) -> str:
    return part.reason or part.status


def _warning(cards: Sequence[Scorecard], name: str) -> str:
    """Say if models weren't asked the same: their numbers aren't to be compared."""
    same = {"accuracy": "labels", "static": "structure", "cost": "structure"}.get(name)
    if same and len({getattr(card, name).settings.get(same) for card in cards}) > 1:
        return f" (not comparable: of different {same}{'' if same == 'labels' else 's'})"
    return ""


def _say(panel: Axes, text: str) -> None:
    panel.set_axis_off()
    wrapped = "\n".join(textwrap.wrap(text, 44))
    panel.text(0.5, 0.5, wrapped, ha="center", va="center", color=NEUTRAL,
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
    panel.set_xlabel("force RMSE / meV Å⁻¹ (line: 90 % interval)")
    largest = max(values, default=0.0)
    if largest > 0:  # forces that symmetry makes zero would take all decades
        panel.set_xscale("log")
        least = min(v for v in values if v >= NEGLIGIBLE * largest)
        panel.set_xlim(left=least / 3)


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
    panel.set_ylim(low, high * (1 + 0.14 * len(lines)))  # room for the words
    for i, (words, colour) in enumerate(lines):
        panel.text(0.02, 0.97 - 0.065 * i, words, transform=panel.transAxes, va="top", color=colour,
                   fontsize=8.5)  # fmt: skip


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
    panel.set(yscale="log", xlabel="1000 K / T", ylabel="D / cm² s⁻¹")
    panel.text(0.02, 0.03, "open: not admissible; triangle: upper bound", fontsize=8,
               color=NEUTRAL, transform=panel.transAxes)  # fmt: skip


def _cost(panel: Axes, cards: list[Scorecard], colours: dict[str, str]) -> None:
    """Draw the time of a step against the number of atoms."""
    for card in cards:
        if (found := card.cost.result) is None:
            continue
        _draw_cost(panel, _of(found, "model"), "o-", colours[name_of(card)], None)
        reference = card.reference.name if card.reference else "reference"
        _draw_cost(panel, _of(found, "reference"), "s--", NEUTRAL, reference)
    panel.set(xscale="log", yscale="log", xlabel="atoms", ylabel="time a step / s")
    hardware = {f"{c.cost.result.cores} cores, {c.cost.result.hardware}" for c in cards
                if c.cost.result}  # fmt: skip
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
