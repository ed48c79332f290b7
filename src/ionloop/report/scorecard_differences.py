"""Whether scorecards were asked the same: numbers of different questions aren't compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ionloop.evaluate.scorecard_schema import PARTS, Part, Scorecard
from ionloop.report.scorecard_names import name_of

#: Settings that name the input, and what to call it.
DATA = {"labels": "labels", "structure": "structures"}
#: Settings that name the machine.
MACHINE = ("cores", "hardware")
_LONGEST = 60


@dataclass(frozen=True)
class Difference:
    """One thing that wasn't the same.

    ``values`` has models and what each was asked; ``serious`` if numbers must not be compared.
    """

    part: str
    what: str
    values: tuple[tuple[str, str], ...]
    serious: bool


def differences(cards: Sequence[Scorecard], part: str) -> list[Difference]:
    """Return what differs between the cards that have a part done; other input comes first."""
    parts: list[tuple[str, Part]] = [(name_of(card), getattr(card, part)) for card in cards]
    done = [(who, one) for who, one in parts if one.status == "done"]
    found = []
    for name in dict.fromkeys(key for _, one in done for key in one.settings):
        values = [(who, one.settings.get(name)) for who, one in done]
        what = DATA.get(name, name.replace("_", " "))
        found += _difference(part, what, values, serious=name in DATA or name in MACHINE)
    for name in dict.fromkeys(key for _, one in done for key in one.versions):
        versions = [(who, one.versions.get(name)) for who, one in done]
        found += _difference(part, f"version of {name}", versions, serious=False)
    return sorted(found, key=lambda one: (not one.serious, one.what not in DATA.values()))


def all_differences(cards: Sequence[Scorecard]) -> list[Difference]:
    """Return what differs in all parts, and in the material itself."""
    materials = [(name_of(card), card.material) for card in cards]
    found = _difference("", "materials", materials, serious=True)
    return found + [one for part in PARTS for one in differences(cards, part)]


def _difference(
    part: str, what: str, values: Sequence[tuple[str, Any]], *, serious: bool
) -> list[Difference]:
    if len({json.dumps(value, sort_keys=True) for _, value in values}) < 2:
        return []
    said = tuple((who, _said(value)) for who, value in values)
    return [Difference(part, what, said, serious)]


def warning(cards: Sequence[Scorecard], part: str) -> str:
    """Say in a few words what differs; nothing if nothing does that numbers depend on."""
    found = [one for one in differences(cards, part) if not one.what.startswith("version of ")]
    if serious := [one.what for one in found if one.serious]:
        return f"not comparable: of different {', '.join(serious)}"
    return f"of different {', '.join(one.what for one in found)}" if found else ""


def _said(value: Any) -> str:  # noqa: ANN401 - settings are of any kind
    text = "not stated" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
