"""Panels of the scorecard's picture that show at once which model fails, and where."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ionloop.evaluate.scorecard_schema import PARTS, Scorecard, Stability
from ionloop.report.digits import written
from ionloop.report.scorecard_names import name_of, shortened
from ionloop.report.scorecard_walk import Kind, knows_framework, parts_of, verdict_of
from ionloop.report.style import NEUTRAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GOOD, BAD = "#1f8a4c", "#c2413b"
#: Mark and colour of a part by what became of it.
MARKS: dict[Kind, tuple[str, str]] = {
    "good": ("✓", GOOD),
    "bad": ("✗", BAD),
    "done": ("•", NEUTRAL),
    "missing": ("missing", BAD),
    "not asked": ("–", NEUTRAL),
}
_WRAP = 58
_LINES_MAX = 2


def draw_stability(panel: Axes, cards: Sequence[Scorecard], colours: dict[str, str]) -> None:
    """Draw how long each model's hot run survived of what was asked, and which rules fail."""
    found = [(card, card.stability.result) for card in cards if card.stability.result]
    longest = max(one.picoseconds for _, one in found)
    for i, (card, one) in enumerate(found):
        verdict = verdict_of(card.stability)
        colour = BAD if verdict.kind == "bad" else colours[name_of(card)]
        panel.barh(i, one.picoseconds, 0.3, color="none", edgecolor=colour, lw=1.2)
        panel.barh(i, one.survived_ps, 0.3, color=colours[name_of(card)])
        mark, said = MARKS[verdict.kind]
        _write(panel, i - 0.19, f"{mark} {verdict.text}", said, "bottom", "bold")
        _write(panel, i + 0.19, _details(one), NEUTRAL, "top", "normal")
    panel.set_ylim(max(len(found), 2) - 0.35, -0.6)
    panel.set_xlim(0, 1.02 * longest)
    panel.set_yticks([])
    panel.set_xlabel("survived of what was asked / ps")


def _write(panel: Axes, y: float, text: str, colour: str, side: str, weight: str) -> None:
    lines = textwrap.wrap(text, _WRAP)
    if len(lines) > _LINES_MAX:
        lines = [*lines[: _LINES_MAX - 1], f"{lines[_LINES_MAX - 1]} …"]
    panel.text(0.015, y, "\n".join(lines), transform=panel.get_yaxis_transform(), va=side,
               color=colour, fontsize=8, fontweight=weight)  # fmt: skip


def _details(found: Stability) -> str:
    words = [f"Lindemann {found.lindemann:.3f}"] if knows_framework(found) else []
    if found.stopped is not None:
        return ", ".join([found.stopped, *words])
    if found.drift is not None and found.drift.value is not None:
        error = f" ± {written(found.drift.error, digits=2)[0]}" if found.drift.error else ""
        words.append(f"drift {written(found.drift.value, digits=2)[0]}{error} {found.drift.unit}")
    return ", ".join(words)


def draw_verdicts(panel: Axes, cards: Sequence[Scorecard], colours: dict[str, str]) -> None:
    """Draw a table of parts and models: which rules hold, and what is missing."""
    from matplotlib.lines import Line2D

    panel.set_axis_off()
    left, top = 0.4, 0.85
    step, height = (1 - left) / len(PARTS), min(0.14, 0.75 / len(cards))
    for k, part in enumerate(PARTS):
        panel.text(left + (k + 0.4) * step, top, part, rotation=35, fontsize=8,
                   transform=panel.transAxes)  # fmt: skip
    for i, card in enumerate(cards):
        y = top - (i + 0.9) * height
        panel.add_line(Line2D([0.015], [y], color=colours[name_of(card)], marker="s",
                              transform=panel.transAxes))  # fmt: skip
        panel.text(0.04, y, shortened(name_of(card), 22), va="center", fontsize=8,
                   transform=panel.transAxes)  # fmt: skip
        for k, found in enumerate(parts_of(card).values()):
            mark, colour = MARKS[verdict_of(found).kind]
            size = 13 if len(mark) == 1 else 8
            panel.text(left + (k + 0.5) * step, y, mark, ha="center", va="center", color=colour,
                       fontsize=size, fontweight="bold", transform=panel.transAxes)  # fmt: skip
    panel.text(0, 0, "✓ all rules hold   ✗ a rule fails   • has no rules   – not asked",
               fontsize=8, color=NEUTRAL, transform=panel.transAxes)  # fmt: skip
