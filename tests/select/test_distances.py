"""Points far from each other, and the scale of their distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.frame import Frame
from ionloop.select.distances import distances_to, farthest_points, standardise

RNG = np.random.default_rng


def described(descriptors: np.ndarray) -> list[Frame]:
    return [
        Frame(
            symbols=["Li"], positions=[[0.0, 0.0, 0.0]], cell=np.eye(3).tolist(), origin="hop",
            group="g", descriptor=row.tolist(),
        )
        for row in descriptors
    ]  # fmt: skip


def test_farthest_points_of_a_line() -> None:
    points = np.array([[0.0], [0.1], [5.0], [9.9], [10.0]])
    assert farthest_points(points, 3)[0].tolist() == [0, 4, 2]


def test_farthest_points_start_from_what_is_chosen() -> None:
    points = np.array([[0.0], [4.0], [10.0]])
    chosen, _ = farthest_points(points, 1, start=np.array([[9.0]]))
    assert chosen.tolist() == [0]


def test_near_duplicates_are_counted() -> None:
    points = np.array([[0.0], [0.1], [0.2], [5.0], [5.1]])
    chosen, n_duplicates = farthest_points(points, 5, min_distance=1.0)
    assert chosen.tolist() == [0, 4]
    assert n_duplicates == 3


@given(st.integers(1, 30), st.integers(0, 40), st.floats(0, 0.5), st.integers(0, 100))
@settings(deadline=None, max_examples=60)
def test_chosen_points_keep_their_distance(n: int, k: int, gap: float, seed: int) -> None:
    points = RNG(seed).random((n, 3))
    chosen, n_duplicates = farthest_points(points, k, min_distance=gap, rng=RNG(seed))
    assert len(set(chosen.tolist())) == len(chosen) <= min(k, n)
    apart = np.linalg.norm(points[chosen][:, None] - points[chosen], axis=-1)
    assert (apart[~np.eye(len(chosen), dtype=bool)] >= gap).all()
    if len(chosen) < k:
        assert len(chosen) + n_duplicates == n


def test_distance_does_not_depend_on_scale_or_length() -> None:
    rng = RNG(0)
    raw = rng.normal(size=(50, 8)) * np.logspace(-3, 3, 8) + 5
    one, _ = standardise(described(raw))
    twice = np.hstack([raw, raw, np.ones((50, 2))])
    two, _ = standardise(described(twice))
    gaps = [np.linalg.norm(x[:, None] - x, axis=-1) for x in (one, two)]
    assert gaps[0] == pytest.approx(gaps[1])
    assert (gaps[0] ** 2).mean() == pytest.approx(2.0)  # independent draws: 2 variances


def test_others_are_scaled_alike() -> None:
    raw = RNG(1).normal(size=(20, 4)) * [1.0, 10.0, 100.0, 0.0]
    points, known = standardise(described(raw), raw[:5])
    assert known == pytest.approx(points[:5])
    assert distances_to(points, known)[:5] == pytest.approx(0.0, abs=1e-9)
    assert distances_to(points, known)[5:].min() > 0


def test_nothing_is_infinitely_far() -> None:
    assert np.isinf(distances_to(np.zeros((3, 2)), None)).all()
    assert np.isinf(distances_to(np.zeros((3, 2)), np.zeros((0, 2)))).all()
