"""What a report says of the perfect crystal: static properties and thermal expansion."""

from __future__ import annotations

from ionloop.evaluate.scorecard_schema import Part, Scorecard
from ionloop.report.accuracy_tables import DASH, Table
from ionloop.report.quantity import Quantity
from ionloop.report.scorecard_rows import quantities

_HEADER = ["", "value", "unit", "90 % interval", "how", "doubt"]
#: What stands for a part, by its name, where the campaign asked for none.
_OFF = {
    "static": "Left out: EvaluateMaker.static is off.",
    "expansion": "Left out: EvaluateMaker.expansion_ps is 0.",
}


def crystal_tables(card: Scorecard | None) -> dict[str, Table]:
    """Return the tables ``static`` and ``expansion``, or why there are none."""
    return {name: _table(card, name) for name in _OFF}


def _table(card: Scorecard | None, name: str) -> Table:
    if card is None:
        return Table([], [], "This campaign has no scorecard, or not yet.")
    part: Part = getattr(card, name)
    missing = _OFF[name] if part.status == "not asked" else f"It failed: {part.reason}"
    return Table(_HEADER, [_row(one) for one in quantities(card, name)], missing)


def _row(one: Quantity) -> list[str]:
    doubt = one.reason or ("" if one.admissible is not False else "not admissible")
    return [one.name, one.value or DASH, one.unit, one.interval, one.how, doubt]
