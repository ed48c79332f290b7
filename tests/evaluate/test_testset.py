"""Held-out frames: even over hop bins, some uncertain, the rest random, none twice."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from ionloop.evaluate.hop_bins import HOP_BINS, NEAR_EQUILIBRIUM, SADDLE, SHOULDER, hop_bin
from ionloop.evaluate.testset import pick_test_frames
from ionloop.frame import Frame, HopTag

PROGRESS = {NEAR_EQUILIBRIUM: 0.05, SHOULDER: 0.25, SADDLE: 0.5}
ATOMS = Atoms("Li", cell=[3, 3, 3], pbc=True)


def hops(name: str, n: int, origin: str = "hop") -> list[Frame]:
    tag = {"ion": 0, "progress": PROGRESS[name], "path_class": "c", "event": "e"}
    return [
        Frame.from_atoms(ATOMS, origin=origin, group=f"{name} {k}", hop=HopTag(**tag))
        for k in range(n)
    ]


def random_frames(n: int, origin: str = "random") -> list[Frame]:
    return [Frame.from_atoms(ATOMS, origin=origin, group=f"{origin} {k}") for k in range(n)]


def pick(frames: list[Frame], n_total: int, seed: int = 0) -> list[Frame]:
    return pick_test_frames(frames, n_total, np.random.default_rng(seed))


def bins(frames: list[Frame]) -> Counter:
    return Counter(hop_bin(f.hop.progress) if f.hop else f.origin.value for f in frames)


def test_three_quarters_are_hops_evenly_over_the_bins() -> None:
    """However lopsided the candidates are."""
    frames = [
        *hops(SHOULDER, 5), *hops(NEAR_EQUILIBRIUM, 100), *hops(SADDLE, 4), *random_frames(50)
    ]  # fmt: skip
    found = pick(frames, 16)
    assert bins(found) == {NEAR_EQUILIBRIUM: 4, SHOULDER: 4, SADDLE: 4, "random": 4}
    order = [hop_bin(f.hop.progress) for f in found[:12]]
    assert order == list(HOP_BINS) * 4


def test_a_short_bin_is_made_up_by_the_others() -> None:
    found = pick([*hops(SADDLE, 1), *hops(SHOULDER, 20), *random_frames(20)], 12)
    assert bins(found) == {SADDLE: 1, SHOULDER: 8, "random": 3}


def test_random_frames_fill_up_where_hops_are_few() -> None:
    found = pick([*hops(SADDLE, 2), *random_frames(30)], 12)
    assert bins(found) == {SADDLE: 2, "random": 10}
    assert bins(pick(random_frames(30), 12)) == {"random": 12}


def test_one_eighth_is_uncertain_however_many_there_are() -> None:
    """More of them would make any model look bad; none would leave that origin untested."""
    many = [*random_frames(300, "uncertain"), *random_frames(60)]
    found = pick([*(f for name in HOP_BINS for f in hops(name, 40)), *many], 40)
    assert bins(found) == {**dict.fromkeys(HOP_BINS, 10), "uncertain": 5, "random": 5}
    assert bins(pick(many, 40)) == {"uncertain": 5, "random": 35}
    assert bins(pick(many[:300], 40)) == {"uncertain": 5}


def test_only_these_origins_are_taken() -> None:
    assert pick(random_frames(9, origin="aimd"), 12) == []


def test_fewer_come_back_where_there_are_fewer() -> None:
    assert len(pick([*hops(SADDLE, 2), *random_frames(3)], 100)) == 5
    assert pick([], 12) == []
    assert pick(random_frames(5), 0) == []


def test_the_generator_decides() -> None:
    frames = [*hops(SADDLE, 40), *random_frames(40)]
    assert pick(frames, 12, 1) == pick(frames, 12, 1)
    groups = [{f.group for f in pick(frames, 12, seed)} for seed in (1, 2)]
    assert groups[0] != groups[1]


@given(
    st.lists(st.integers(0, 8), min_size=4, max_size=4),
    st.integers(0, 40),
    st.integers(0, 99),
)
def test_nothing_is_taken_twice(sizes: list[int], n_total: int, seed: int) -> None:
    """Randomly drawn frames that lie on a hop count as hop frames, once."""
    frames = [f for name, n in zip(HOP_BINS, sizes, strict=False) for f in hops(name, n)]
    frames += random_frames(sizes[3])
    frames += [f.model_copy(update={"group": "r" + f.group}) for f in hops(SADDLE, 3, "random")]
    found = pick(frames, n_total, seed)
    assert len({f.group for f in found}) == len(found) <= n_total
    n_hops = sum(f.hop is not None for f in found)
    assert n_hops == min(round(0.75 * n_total), sum(sizes[:3]) + 3)


@pytest.mark.parametrize("name", HOP_BINS)
def test_progress_stands_for_its_bin(name: str) -> None:
    assert hop_bin(PROGRESS[name]) == name
