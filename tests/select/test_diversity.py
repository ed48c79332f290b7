"""Which frames are chosen, and which are left out for what reason."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ionloop.errors import ProfileError
from ionloop.frame import Frame, HopTag, Origin
from ionloop.profile import Budget
from ionloop.select.diversity import choose
from ionloop.select.schema import Selection

RNG = np.random.default_rng


def frame(
    n: int,
    origin: Origin,
    descriptor: list[float] | None = None,
    uncertainty: float | None = 0.1,
    hop: tuple[float, str] | None = None,
) -> Frame:
    """A frame whose content (one ion's place) is told by ``n``."""
    tag = hop and HopTag(ion=0, progress=hop[0], path_class="p", event=hop[1])
    return Frame(
        symbols=["Li"],
        positions=[[0.01 * n, 0.0, 0.0]],
        cell=(np.eye(3) * 100).tolist(),
        origin=origin,
        group="g",
        descriptor=descriptor,
        uncertainty=uncertainty,
        hop=tag or None,
    )


def pick(frames: list[Frame], n: int, shares: dict[Origin, float], **fields: object) -> Selection:
    own = {
        "known_hashes": set(),
        "min_distance": 0.0,
        "sigma_hi": 1.0,
        "rng": RNG(0),
        "generation": 1,
        **fields,
    }
    return choose(frames, shares=shares, n_total=n, **own)


def test_known_frames_and_repeats_are_dropped() -> None:
    frames = [frame(n, Origin.STRAIN) for n in [0, 1, 2, 2]]
    result = pick(frames, 9, {Origin.STRAIN: 1.0}, known_hashes={frames[0].frame_hash})
    assert (result.n_known, result.n_duplicates) == (1, 1)
    assert [f.frame_hash for f in result.frames] == [frames[1].frame_hash, frames[2].frame_hash]
    assert result.candidates == {"strain": 4}


def test_frames_above_the_ceiling_are_dropped_but_not_the_random_draw() -> None:
    frames = [frame(n, Origin.UNCERTAIN, uncertainty=u) for n, u in enumerate([0.2, 0.9, 5.0])]
    frames += [frame(10, Origin.RANDOM, uncertainty=5.0)]
    shares = {Origin.UNCERTAIN: 0.5, Origin.RANDOM: 0.5}
    result = pick(frames, 2, shares)
    assert result.n_untrusted == 1
    assert sorted(f.uncertainty for f in result.frames) == [0.9, 5.0]
    strict = pick(frames, 2, shares, ceiling_exempt=())
    assert strict.n_untrusted == 2
    assert strict.counts == {"uncertain": 2}


def test_uncertain_takes_the_highest() -> None:
    sigmas = [0.3, 0.1, 0.5, 0.4]
    frames = [frame(n, Origin.UNCERTAIN, uncertainty=s) for n, s in enumerate(sigmas)]
    result = pick(frames, 2, {Origin.UNCERTAIN: 1.0})
    assert sorted(f.uncertainty for f in result.frames) == [0.4, 0.5]


def test_near_duplicates_are_dropped_across_origins() -> None:
    frames = [
        frame(0, Origin.HOP, [0.0, 0.0], hop=(0.5, "a")),
        frame(1, Origin.UNCERTAIN, [0.001, 0.0], uncertainty=0.9),
        frame(2, Origin.UNCERTAIN, [1.0, 1.0], uncertainty=0.2),
    ]
    shares = {Origin.HOP: 0.5, Origin.UNCERTAIN: 0.5}
    result = pick(frames, 2, shares, min_distance=0.1)
    assert [f.positions for f in result.frames] == [frames[0].positions, frames[2].positions]
    assert result.n_duplicates == 1
    assert pick(frames, 3, shares).n_duplicates == 0


def test_near_duplicates_of_labelled_frames_are_dropped() -> None:
    frames = [frame(n, Origin.STRAIN, [float(n)]) for n in range(4)]
    known = np.array([[0.0], [3.0]])
    result = pick(frames, 4, {Origin.STRAIN: 1.0}, min_distance=0.1, known_descriptors=known)
    assert [f.descriptor for f in result.frames] == [[1.0], [2.0]]
    assert result.n_duplicates == 2


def test_budget_that_duplicates_free_goes_to_others() -> None:
    """All hop frames are alike: one is chosen, the rest of the share isn't lost."""
    hops = [frame(n, Origin.HOP, [0.0, 1e-6 * n], hop=(0.5, f"e{n}")) for n in range(10)]
    strains = [frame(100 + n, Origin.STRAIN, [1.0 + n, 2.0 * n]) for n in range(10)]
    shares = {Origin.HOP: 0.8, Origin.STRAIN: 0.2}
    result = pick(hops + strains, 10, shares, min_distance=1e-3)
    assert result.counts == {"hop": 1, "strain": 9}


def test_hop_frames_spread_over_events_and_bins() -> None:
    bins = [0.0, 0.25, 0.5, 0.75, 1.0]
    frames = [
        frame(100 * e + n, Origin.HOP, [float(e), s], hop=(s, f"event{e}"))
        for e in range(10)
        for n, s in enumerate(bins)
    ]
    chosen = pick(frames, 10, {Origin.HOP: 1.0}).frames
    assert Counter(f.hop.progress for f in chosen) == dict.fromkeys(bins, 2)
    assert len({f.hop.event for f in chosen}) == 10


def test_first_hop_frame_is_at_the_saddle() -> None:
    frames = [frame(n, Origin.HOP, [s], hop=(s, "e")) for n, s in enumerate([0.0, 0.3, 0.55, 1.0])]
    assert pick(frames, 1, {Origin.HOP: 1.0}).frames[0].hop.progress == 0.55


def test_random_is_drawn_uniformly() -> None:
    frames = [frame(n, Origin.RANDOM, [float(n)]) for n in range(10)]
    counts = Counter(
        f.positions[0][0]
        for seed in range(200)
        for f in pick(frames, 3, {Origin.RANDOM: 1.0}, rng=RNG(seed), min_distance=9.0).frames
    )
    assert len(counts) == 10
    expected, sigma = 60, np.sqrt(200 * 0.3 * 0.7)
    assert max(abs(n - expected) for n in counts.values()) < 4 * sigma


def test_choice_is_reproducible_and_keeps_the_budget() -> None:
    rng = RNG(1)
    origins = list(Budget().shares)
    frames = [
        frame(n, origins[n % 5], rng.normal(size=6).tolist(), float(rng.random()), (0.5, str(n)))
        for n in range(200)
    ]
    one, two = (pick(frames, 30, Budget().shares, min_distance=0.2) for _ in range(2))
    assert one == two
    assert one.counts == {"hop": 12, "saddle": 6, "uncertain": 6, "strain": 3, "random": 3}
    other = pick(frames, 30, Budget().shares, min_distance=0.2, rng=RNG(9))
    assert other.frames != one.frames


def test_frames_without_descriptors_can_be_chosen() -> None:
    frames = [frame(n, Origin.STRAIN, d) for n, d in enumerate([None, [1.0], [1.0]])]
    result = pick(frames, 3, {Origin.STRAIN: 1.0}, min_distance=0.5)
    assert len(result.frames) == 2
    assert len(pick(frames[:1], 3, {Origin.STRAIN: 1.0}, min_distance=0.5).frames) == 1


def test_nothing_to_choose_from() -> None:
    result = pick([], 5, Budget().shares)
    assert result.frames == []
    assert result.counts == result.candidates == {}


def test_descriptors_of_two_lengths_are_refused() -> None:
    frames = [frame(0, Origin.HOP, [1.0]), frame(1, Origin.HOP, [1.0, 2.0])]
    with pytest.raises(ProfileError, match="one length"):
        pick(frames, 1, {Origin.HOP: 1.0})
