"""Numbers with their intervals, as people write them."""

from __future__ import annotations

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: Lets 9.999999 count as 10.
_ROUNDING = 1e-9
#: Ends of an interval that are farther off, as a factor, have powers of ten of their own.
_FAR = 100.0
#: Decimals beyond which nobody reads on.
_DECIMALS_MAX = 6


def written(
    value: float, interval: tuple[float, float] | None = None, digits: int = 4
) -> tuple[str, str]:
    """Write a number, and its interval to the second digit of its nearer end's distance.

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
    >>> written(1.8e-5, (6.3e-6, 2.8e-4))
    ('1.8 × 10⁻⁵', '(0.6 to 28.0) × 10⁻⁵')
    >>> written(3e-14, (1e-18, 1.6e-10))
    ('3.0 × 10⁻¹⁴', '1.0 × 10⁻¹⁸ to 1.6 × 10⁻¹⁰')
    >>> written(3.8671049)
    ('3.867', '')
    >>> written(0.0)
    ('0', '')
    """
    ends = () if interval is None else interval
    largest = abs(value) or max((abs(end) for end in ends), default=0.0)
    if not all(map(math.isfinite, (value, *ends))):
        return f"{value:g}", " to ".join(f"{end:g}" for end in ends)
    if value and any(end and not 1 / _FAR < abs(end / value) < _FAR for end in ends):
        return written(value, digits=2)[0], " to ".join(written(x, digits=2)[0] for x in ends)
    power = math.floor(math.log10(largest)) if largest else 0
    scale, suffix = 1.0, ""
    if not -4 < power < 5:
        scale, suffix = 10.0**power, f" × 10{str(power).translate(_SUPERSCRIPT)}"
    width = min((abs(end - value) for end in ends if end != value), default=0.0)
    if width:
        n = 1 - math.floor(math.log10(width / scale) + _ROUNDING)
    else:
        n = digits - 1 - (0 if suffix else power)
    n = min(max(n, 0), _DECIMALS_MAX)
    text = f"{value / scale:.{n}f}{suffix}" if value or width else "0"
    if interval is None:
        return text, ""
    said = " to ".join(f"{end / scale:.{n}f}" for end in interval)
    return text, f"({said}){suffix}" if suffix else said
