"""How a generation's labels are shared out among the origins of frames."""

from __future__ import annotations

import math

from ionloop.errors import ProfileError
from ionloop.frame import Origin

#: Origins that never take more than their own share. Random frames are for calibration
#: and test and aren't trained on at once: labels that others can't use don't go there.
CAPPED = frozenset({Origin.RANDOM})


def allocate(
    n_total: int, shares: dict[Origin, float], available: dict[Origin, int]
) -> dict[Origin, int]:
    """Share out labels among origins.

    Every origin gets its share by the largest-remainder method, up to what is
    available; what is left over goes to the other origins in proportion to their
    shares, until it's used up or nothing is left. Origins without a share get nothing,
    and ``RANDOM`` never gets more than its share.

    Parameters
    ----------
    n_total
        Labels to share out.
    shares
        Share by origin; only their ratios count.
    available
        Candidates by origin.

    Returns
    -------
    dict[Origin, int]
        Labels by origin, for every origin with a share, in the order of ``shares``.

    Raises
    ------
    ProfileError
        If ``n_total``, a share or an availability is negative, or all shares are 0.
    """
    _check(n_total, shares, available)
    quota = largest_remainder(n_total, shares)
    given = {origin: min(n, available.get(origin, 0)) for origin, n in quota.items()}
    while (left := n_total - sum(given.values())) > 0:
        room = {
            origin: available.get(origin, 0) - given[origin]
            for origin, share in shares.items()
            if share > 0 and origin not in CAPPED
        }
        open_shares = {origin: shares[origin] for origin, n in room.items() if n > 0}
        if not open_shares:
            break
        for origin, n in largest_remainder(left, open_shares).items():
            given[origin] += min(n, room[origin])
    return given


def largest_remainder(n_total: int, shares: dict[Origin, float]) -> dict[Origin, int]:
    """Split a whole number in proportion to shares, by Hamilton's method.

    Ties go to the earlier origin in ``shares``.
    """
    total = sum(shares.values())
    exact = {origin: n_total * share / total for origin, share in shares.items()}
    result = {origin: math.floor(x + 1e-9) for origin, x in exact.items()}
    by_remainder = sorted(exact, key=lambda o: round(result[o] - exact[o], 9))
    for origin in by_remainder[: n_total - sum(result.values())]:
        result[origin] += 1
    return result


def _check(n_total: int, shares: dict[Origin, float], available: dict[Origin, int]) -> None:
    if n_total < 0 or min(available.values(), default=0) < 0:
        msg = f"expected numbers of 0 or more, got n_total={n_total} and {available}"
        raise ProfileError(msg)
    if min(shares.values(), default=-1.0) < 0 or sum(shares.values()) <= 0:
        msg = f"expected shares of 0 or more that don't all vanish, got {shares}"
        raise ProfileError(msg)
