"""One number of a scorecard as its page shows it."""

from __future__ import annotations

from dataclasses import dataclass

from ionloop.report.digits import written


@dataclass(frozen=True)
class Quantity:
    """One number of one model.

    ``admissible`` is None where no rule was asked.
    """

    name: str
    unit: str
    value: str
    interval: str = ""
    how: str = ""
    admissible: bool | None = None
    reason: str = ""


def say(value: float, digits: int = 4) -> str:
    """Write a count, or a number to some significant digits."""
    return str(value) if isinstance(value, int) else written(value, digits=digits)[0]


def scaled(
    name: str, unit: str, factor: float, value: float, interval: tuple[float, float] | None
) -> Quantity:
    """Write a number and its interval in another unit."""
    ends = None if interval is None else (factor * interval[0], factor * interval[1])
    return Quantity(name, unit, *written(factor * value, ends))
