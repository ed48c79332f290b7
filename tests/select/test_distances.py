"""Distances between fingerprints, and their scale."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.frame import Frame
from ionloop.select import distances
from ionloop.select.distances import distances_to, nearest_known, standardise

RNG = np.random.default_rng


def described(descriptors: np.ndarray) -> list[Frame]:
    return [
        Frame(
            symbols=["Li"], positions=[[0.0, 0.0, 0.0]], cell=np.eye(3).tolist(), origin="hop",
            group="g", descriptor=row.tolist(),
        )
        for row in descriptors
    ]  # fmt: skip


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


def test_distances_in_blocks_are_those_of_all_pairs(monkeypatch):
    rng = np.random.default_rng(3)
    points, others = rng.normal(size=(7, 4)), rng.normal(size=(50, 4))
    expected = np.linalg.norm(points[:, None] - others[None], axis=2).min(axis=1)
    assert distances_to(points, others) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(distances, "_PAIRS", 20)  # two others at a time
    assert distances_to(points, others) == pytest.approx(expected, rel=1e-12)


def test_known_descriptors_may_come_one_array_at_a_time():
    rng = np.random.default_rng(4)
    frames, known = described(rng.normal(size=(9, 3))), rng.normal(size=(12, 3))
    points, nearest = nearest_known(frames, known)
    _, again = nearest_known(frames, iter([known[:5], known[5:6], known[6:]]))
    assert again == pytest.approx(nearest, rel=1e-12)
    assert points == pytest.approx(standardise(frames, known)[0], rel=1e-12)
    assert np.isinf(nearest_known(frames, iter([]))[1]).all()
    assert np.isinf(nearest_known(frames, None)[1]).all()
