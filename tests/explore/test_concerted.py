"""Events of hops: made chains are found, independent ions aren't."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.explore.concerted import (
    Hops,
    concerted_share,
    group_hops,
    ions_of_events,
    share_by_chance,
)

CELL = np.diag([30.0, 10.0, 10.0])


def hops(rows: list[tuple[int, float, float, float, float]]) -> Hops:
    """Rows of (ion, leave, arrive, x of the old site, x of the new one)."""
    table = np.array(rows, float).reshape(-1, 5)
    ends = np.zeros((len(table), 2, 3))
    ends[:, :, 0] = table[:, 3:]
    return Hops(table[:, 0].astype(int), table[:, 1:3], ends)


def test_an_ion_that_moves_into_the_site_another_leaves_is_one_event() -> None:
    chain = hops([(0, 100, 150, 0, 3), (1, 120, 200, 3, 6), (2, 390, 450, 6, 9)])
    assert group_hops(chain, CELL).tolist() == [0, 0, 0]  # 190 fs lie between the last two
    assert group_hops(chain, CELL, window_fs=189).tolist() == [0, 0, 1]


def test_time_is_counted_from_the_end_of_one_to_the_begin_of_the_other() -> None:
    slow = hops([(0, 0, 1000, 0, 3), (1, 1200, 1300, 3, 6), (2, 1501, 1600, 6, 9)])
    assert group_hops(slow, CELL).tolist() == [0, 0, 1]


def test_hops_far_apart_are_not_one_event_however_simultaneous() -> None:
    apart = hops([(0, 100, 150, 0, 3), (1, 100, 150, 8, 11)])
    assert group_hops(apart, CELL).tolist() == [0, 1]
    assert group_hops(apart, CELL, reach=5.0).tolist() == [0, 0]


def test_the_cell_s_faces_are_no_border() -> None:
    across = hops([(0, 100, 150, 27, 30), (1, 100, 150, 0, 3)])
    assert group_hops(across, CELL).tolist() == [0, 0]


def test_a_hop_on_at_once_belongs_to_the_event_but_makes_it_no_concerted_one() -> None:
    one_ion = hops([(4, 0, 50, 0, 3), (4, 200, 250, 3, 6)])
    events = group_hops(one_ion, CELL)
    assert events.tolist() == [0, 0]
    assert concerted_share(one_ion.ions, events) == 0.0


def test_events_are_numbered_by_time_and_their_ions_counted_once() -> None:
    rows = [(7, 5000, 5050, 0, 3), (1, 0, 50, 0, 3), (2, 10, 60, 3, 6), (1, 220, 240, 3, 0)]
    events = group_hops(hops(rows), CELL)
    assert events.tolist() == [1, 0, 0, 0]
    assert ions_of_events(hops(rows).ions, events).tolist() == [2, 1]
    assert concerted_share(hops(rows).ions, events) == pytest.approx(3 / 4)


def test_all_pairs_are_seen_as_a_loop_sees_them() -> None:
    rng = np.random.default_rng(2)
    begin = rng.uniform(0, 5000, 120)
    table = np.column_stack(
        [
            rng.integers(0, 9, 120),
            begin,
            begin + rng.uniform(0, 600, 120),
            rng.uniform(0, 30, (120, 2)),
        ]
    )
    made = hops([tuple(row) for row in table])
    found = group_hops(made, CELL)
    linked = np.eye(120, dtype=bool)
    for i in range(120):
        for j in range(120):
            gap = max(made.times[i, 0], made.times[j, 0]) - min(made.times[i, 1], made.times[j, 1])
            d = made.ends[i][:, None, 0] - made.ends[j][None, :, 0]
            near = np.abs(d - 30 * np.rint(d / 30)).min() <= 1.0
            linked[i, j] |= gap <= 200 and near
    for _ in range(120):
        linked = linked @ linked
    assert (linked == (found[:, None] == found[None])).all()


def test_independent_ions_are_as_concerted_as_chance_says_and_pairs_more() -> None:
    rng = np.random.default_rng(0)
    n, duration = 400, 400_000.0
    site = rng.integers(0, 10, n)
    begin = rng.uniform(0, duration, n)
    alone = hops(
        [
            (k % 40, t, t + 50, 3 * s, 3 * s + 3)
            for k, (t, s) in enumerate(zip(begin, site, strict=True))
        ]
    )
    share = concerted_share(alone.ions, group_hops(alone, CELL))
    chance, error = share_by_chance(alone, CELL, duration, rng)
    assert 0.05 < chance < 0.3
    assert abs(share - chance) < 4 * error
    pairs = hops(
        [
            (ion, t, t + 50, 3 * s + shift, 3 * s + shift + 3)
            for k, (t, s) in enumerate(zip(begin[:200], site[:200], strict=True))
            for ion, shift in ((k % 20, 0), (20 + k % 20, 3))
        ]
    )
    share = concerted_share(pairs.ions, group_hops(pairs, CELL))
    chance, error = share_by_chance(pairs, CELL, duration, rng)
    assert share == 1.0
    assert chance < 0.4


def test_no_hops_are_no_events() -> None:
    none = hops([])
    assert len(group_hops(none, CELL)) == 0
    assert np.isnan(concerted_share(none.ions, group_hops(none, CELL)))
    assert np.isnan(share_by_chance(none, CELL, 100.0, np.random.default_rng(0))).all()
