"""Which frames are left out where the budget can't pay for all."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.errors import LabelError
from ionloop.frame import Frame
from ionloop.label.budget import affordable, evenly, fair_shares, require_size, within_budget
from ionloop.profile import Budget


def frames(origin: str, n: int, group: str = "g") -> list[Frame]:
    """Frames of one group, told apart by their temperature."""
    return [
        Frame(
            symbols=["Li"], positions=[[0.0, 0.0, 0.0]], cell=np.eye(3).tolist(), origin=origin,
            group=f"{origin}-{group}", temperature=float(i),
        )
        for i in range(n)
    ]  # fmt: skip


def test_all_frames_that_fit_are_kept_in_their_order() -> None:
    batch = [*frames("aimd", 3), *frames("neb", 2), *frames("aimd", 2, "h")]
    assert within_budget(batch, 7) == within_budget(batch, 99) == batch
    assert within_budget(batch, 0) == within_budget([], 5) == []


def test_a_batch_too_large_for_a_document_is_refused_with_what_fits() -> None:
    crystal = frames("aimd", 1)[0].model_copy(
        update={"symbols": ["Li"] * 200, "positions": [[0.123456789] * 3] * 200}
    )
    n_fit = 14_000_000 // len(crystal.model_dump_json())
    require_size([crystal] * n_fit)
    with pytest.raises(LabelError, match=rf"about {n_fit} of them fit: lower Budget"):
        require_size([crystal] * (n_fit + 1))


def test_scarce_origins_are_kept_whole_and_plentiful_ones_thinned() -> None:
    batch = [*frames("aimd", 60), *frames("neb", 5), *frames("strain", 12)]
    kept = within_budget(batch, 25)
    assert Counter(f.origin.value for f in kept) == {"aimd": 10, "neb": 5, "strain": 10}
    assert kept == [f for f in batch if f in kept]


def test_trajectories_of_an_origin_share_alike() -> None:
    batch = [*frames("aimd", 20, "a"), *frames("aimd", 4, "b"), *frames("aimd", 20, "c")]
    kept = within_budget(batch, 18)
    assert Counter(f.group for f in kept) == {"aimd-a": 7, "aimd-b": 4, "aimd-c": 7}


def test_a_trajectory_is_thinned_evenly() -> None:
    kept = [f.temperature for f in within_budget(frames("aimd", 20), 5)]
    assert kept == [2, 6, 10, 14, 18]
    assert [f.temperature for f in within_budget(frames("neb", 5), 1)] == [2]  # the saddle
    assert evenly(range(5), 5) == [0, 1, 2, 3, 4]


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 40))
@settings(deadline=None, max_examples=100)
def test_shares_are_fair(sizes: list[int], n_total: int) -> None:
    given = fair_shares(n_total, [range(n) for n in sizes])
    assert sum(given) == min(n_total, sum(sizes))
    assert all(got <= size for got, size in zip(given, sizes, strict=True))
    thinned = [got for got, size in zip(given, sizes, strict=True) if got < size]
    if thinned:
        assert max(given) - min(thinned) <= 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["aimd", "neb", "hop"]), st.sampled_from("abc")), max_size=30
    ),
    st.integers(0, 35),
)
@settings(deadline=None, max_examples=60)
def test_the_room_is_used_up_and_never_passed(kinds: list[tuple[str, str]], room: int) -> None:
    batch = [
        frames(origin, 1, group)[0].model_copy(update={"temperature": float(i)})
        for i, (origin, group) in enumerate(kinds)
    ]
    kept = within_budget(batch, room)
    assert len(kept) == min(room, len(batch))
    assert [f.temperature for f in kept] == sorted({f.temperature for f in kept})
    assert kept == within_budget(batch, room)


def test_what_is_left_out_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    batch = [*frames("aimd", 6), *frames("neb", 2)]
    with caplog.at_level(logging.WARNING):
        kept, left_out = affordable(batch, Budget(labels_max=20), spent=11, reserve=4)
    assert (len(kept), left_out) == (5, {"aimd": 3})
    (record,) = caplog.records
    assert record.getMessage() == (
        "8 frames to label, 5 left of Budget.labels_max=20 (11 asked before, 4 kept back); "
        "left out: {'aimd': 3}"
    )
    caplog.clear()
    assert affordable(batch, Budget(labels_max=20), spent=12, reserve=0) == (batch, {})
    assert not caplog.records
