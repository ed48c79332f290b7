"""Numbers with their intervals, as people write them."""

from __future__ import annotations

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: Decimals beyond which nobody reads on.
_DECIMALS_MAX = 6


def written(
    value: float, interval: tuple[float, float] | None = None, digits: int = 4
) -> tuple[str, str]:
    """Write a number, and its interval to the second digit of half its width.

    Parameters
    ----------
    value
        The number.
    interval
        Its ends; None writes ``digits`` significant digits.
    digits
        Significant digits without an interval.

    Examples
    --------
    >>> written(71.3349, (69.12, 73.2))
    ('71.3', '69.1 to 73.2')
    >>> written(2.04e-6, (1.71e-6, 2.4e-6))
    ('2.04 × 10⁻⁶', '(1.71 to 2.40) × 10⁻⁶')
    >>> written(3.8671049)
    ('3.867', '')
    >>> written(0.0)
    ('0', '')
    """
    largest = max(abs(x) for x in (value, *(interval or ())))
    if not math.isfinite(largest):
        return f"{value:g}", "" if interval is None else f"{interval[0]:g} to {interval[1]:g}"
    power = math.floor(math.log10(largest)) if largest else 0
    scale, suffix = 1.0, ""
    if not -4 < power < 5:
        scale, suffix = 10.0**power, f" × 10{str(power).translate(_SUPERSCRIPT)}"
    width = None if interval is None else abs(interval[1] - interval[0]) / 2
    if width:
        n = 1 - math.floor(math.log10(width / scale))
    else:
        n = digits - 1 - (0 if suffix else power)
    n = min(max(n, 0), _DECIMALS_MAX)
    text = f"{value / scale:.{n}f}{suffix}" if value or width else "0"
    if interval is None:
        return text, ""
    ends = f"{interval[0] / scale:.{n}f} to {interval[1] / scale:.{n}f}"
    return text, f"({ends}){suffix}" if suffix else ends
