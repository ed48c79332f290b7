"""What a report says of the perfect crystal: static properties and thermal expansion."""

from __future__ import annotations

from ionloop.evaluate.scorecard_schema import Part, Scorecard
from ionloop.report.accuracy_tables import DASH, Table
from ionloop.report.quantity import Quantity
from ionloop.report.scorecard_rows import quantities

_HEADER = ["", "value", "unit", "90 % interval", "how", "doubt"]
_PARTS = ("static", "expansion")


def crystal_tables(card: Scorecard | None) -> dict[str, Table]:
    """Return the tables ``static`` and ``expansion``, or why there are none."""
    return {name: _table(card, name) for name in _PARTS}


def _table(card: Scorecard | None, name: str) -> Table:
    if card is None:
        return Table([], [], "This campaign has no scorecard, or not yet.")
    part: Part = getattr(card, name)
    why = "Left out" if part.status == "not asked" else "It failed"
    missing = f"{why}: {part.reason}" if part.reason else f"{why}."
    return Table(_HEADER, [_row(one) for one in quantities(card, name)], missing)


def _row(one: Quantity) -> list[str]:
    doubt = one.reason or ("" if one.admissible is not False else "not admissible")
    return [one.name, one.value or DASH, one.unit, one.interval, one.how, doubt]
