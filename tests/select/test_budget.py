"""Shares, remainders and what spills over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop.errors import ProfileError
from ionloop.frame import Origin
from ionloop.profile import Budget
from ionloop.select.budget import allocate, largest_remainder

SHARES = Budget().shares
PLENTY = dict.fromkeys(SHARES, 1000)


def test_thirty_labels_by_the_default_shares() -> None:
    assert allocate(30, SHARES, PLENTY) == {
        Origin.HOP: 12,
        Origin.SADDLE: 6,
        Origin.UNCERTAIN: 6,
        Origin.STRAIN: 3,
        Origin.RANDOM: 3,
    }


def test_largest_remainder_gets_the_odd_label() -> None:
    shares = {Origin.HOP: 0.5, Origin.SADDLE: 0.3, Origin.STRAIN: 0.2}
    assert list(largest_remainder(7, shares).values()) == [4, 2, 1]  # 3.5, 2.1, 1.4
    assert list(largest_remainder(1, shares).values()) == [1, 0, 0]


def test_what_hops_leave_goes_to_the_others_by_share() -> None:
    parts = allocate(30, SHARES, {**PLENTY, Origin.HOP: 2})
    assert parts[Origin.HOP] == 2
    assert parts[Origin.RANDOM] == 3
    assert parts[Origin.SADDLE] == parts[Origin.UNCERTAIN] == 10  # 6 + 10 * 2/5
    assert parts[Origin.STRAIN] == 5
    assert sum(parts.values()) == 30


def test_random_never_exceeds_its_share() -> None:
    available = dict.fromkeys(SHARES, 0) | {Origin.RANDOM: 100}
    assert allocate(30, SHARES, available)[Origin.RANDOM] == 3


def test_randoms_unused_share_is_used_by_others() -> None:
    parts = allocate(30, SHARES, {**PLENTY, Origin.RANDOM: 0})
    assert sum(parts.values()) == 30
    assert parts[Origin.RANDOM] == 0


def test_origin_without_a_share_gets_nothing() -> None:
    assert Origin.AIMD not in allocate(5, SHARES, {Origin.AIMD: 10})
    zero = allocate(5, {Origin.HOP: 1.0, Origin.STRAIN: 0.0}, {Origin.STRAIN: 10})
    assert zero == {Origin.HOP: 0, Origin.STRAIN: 0}


def test_missing_origin_counts_as_none_available() -> None:
    assert allocate(4, SHARES, {Origin.HOP: 9})[Origin.HOP] == 4


@given(
    st.integers(0, 200),
    st.fixed_dictionaries({o: st.floats(0.01, 1) for o in SHARES}),
    st.fixed_dictionaries({o: st.integers(0, 60) for o in SHARES}),
)
def test_nothing_is_lost_and_nobody_gets_too_much(
    n_total: int, shares: dict[Origin, float], available: dict[Origin, int]
) -> None:
    quota = largest_remainder(n_total, shares)
    assert sum(quota.values()) == n_total
    total = sum(shares.values())
    assert all(abs(quota[o] - n_total * shares[o] / total) < 1 for o in shares)
    parts = allocate(n_total, shares, available)
    assert all(0 <= parts[o] <= available[o] for o in shares)
    assert all(parts[o] >= min(quota[o], available[o]) for o in shares)
    random = min(quota[Origin.RANDOM], available[Origin.RANDOM])
    assert parts[Origin.RANDOM] == random
    others = sum(n for o, n in available.items() if o is not Origin.RANDOM)
    assert sum(parts.values()) == random + min(n_total - random, others)


@pytest.mark.parametrize(
    ("n_total", "shares", "available"),
    [
        (-1, SHARES, PLENTY),
        (5, {Origin.HOP: 0.0}, PLENTY),
        (5, {}, PLENTY),
        (5, {Origin.HOP: -1.0, Origin.STRAIN: 2.0}, PLENTY),
        (5, SHARES, {Origin.HOP: -3}),
    ],
)
def test_bad_numbers_are_refused(
    n_total: int, shares: dict[Origin, float], available: dict[Origin, int]
) -> None:
    with pytest.raises(ProfileError, match="expected"):
        allocate(n_total, shares, available)
