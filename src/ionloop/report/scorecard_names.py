"""Names and colours of models in pictures and on pages of scorecards."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from ionloop.evaluate.scorecard_schema import Scorecard
from ionloop.report.style import QUALITATIVE


def name_of(card: Scorecard) -> str:
    """Name a model so that those of one name are told apart."""
    return f"{card.model.name} ({card.model.sha256[:6]})"


def colours_of(cards: Sequence[Scorecard]) -> dict[str, str]:
    """Give each model a colour, by its name; beyond eight models they come again."""
    names = dict.fromkeys(name_of(card) for card in cards)
    return dict(zip(names, cycle(QUALITATIVE), strict=False))


def shortened(name: str, longest: int) -> str:
    """Cut the middle out of a long name: its end tells models apart.

    >>> shortened("a_very_long_name_of_a_committee (3f2a1b)", 24)
    'a_very_long…tee (3f2a1b)'
    """
    if len(name) <= longest:
        return name
    end = longest // 2
    return f"{name[: longest - end - 1]}…{name[-end:]}"
