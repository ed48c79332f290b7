"""Synthetic trajectories with known hops."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.errors import ExplorationError
from ionloop.explore.hops import HopDetector
from ionloop.explore.positions import assign_sites, progress, remove_drift, unwrap
from ionloop.explore.residence import find_hops

A = 3.0
N_SITES = 4
DT = 20.0
CELL = np.diag([N_SITES * A, 9.0, 9.0])
#: A row of four sites along x, and three framework atoms.
SITES = np.array([[k * A, 0.0, 0.0] for k in range(N_SITES)])
FRAMEWORK = np.array([[1.5, 4.0, 4.0], [5.0, 5.0, 4.0], [9.0, 4.0, 5.0]])


def path(stays: list[tuple[float, int]], ramp: int = 5) -> np.ndarray:
    """x (in A) over time: stay at each place for some frames, go straight in between."""
    x: list[float] = []
    for place, n in stays:
        if x:
            x += list(np.linspace(x[-1], place, ramp + 2)[1:-1])
        x += [place] * n
    return np.array(x) * A


def trajectory(xs: list[np.ndarray], noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Ions on the row first, then the framework."""
    ions = np.zeros((len(xs[0]), len(xs), 3))
    for k, x in enumerate(xs):
        ions[:, k, 0] = x
    frame = np.broadcast_to(FRAMEWORK, (len(ions), 3, 3))
    positions = np.concatenate([ions, frame], axis=1)
    return positions + np.random.default_rng(seed).normal(scale=noise, size=positions.shape)


def detector(n_ions: int = 1, **fields: object) -> HopDetector:
    given_fields = {
        "cell": CELL,
        "sites": SITES,
        "mobile": np.arange(n_ions),
        "framework": n_ions + np.arange(3),
        "frame_interval_fs": DT,
        **fields,
    }
    return HopDetector(**given_fields)


def test_one_hop_is_found_with_its_times_distance_and_class() -> None:
    x = path([(0, 30), (1, 30)])
    events = detector(path_classes={(0, 1): "row"}).detect(trajectory([x]))
    assert len(events) == 1
    event = events[0]
    assert (event.ion, event.site_from, event.site_to) == (0, 0, 1)
    assert event.t_leave_fs == 31 * DT  # s = 1/3 at frame 31, then 1/2 (a tie) at 32
    assert event.t_arrive_fs in {32 * DT, 33 * DT}
    assert event.distance == pytest.approx(A)
    assert event.path_class == "row"


def test_thermal_noise_alone_gives_no_hop() -> None:
    assert detector().detect(trajectory([path([(2, 500)])], noise=0.4)) == []


def test_hops_survive_thermal_noise() -> None:
    x = path([(0, 60), (1, 60), (2, 60), (1, 60)], ramp=4)
    events = detector().detect(trajectory([x], noise=0.3, seed=3))
    assert [(e.site_from, e.site_to) for e in events] == [(0, 1), (1, 2), (2, 1)]
    assert all(e.path_class == "other" for e in events)


@pytest.mark.parametrize("visit", [1, 9])
def test_recrossing_is_no_hop(visit: int) -> None:
    """A stay below 200 fs (10 frames) on the other side doesn't count."""
    x = A * np.array([0.0] * 40 + [1.0] * visit + [0.0] * 40)
    assert detector().detect(trajectory([x])) == []


def test_long_enough_visit_is_two_hops() -> None:
    x = A * np.array([0.0] * 40 + [1.0] * 10 + [0.0] * 40)
    events = detector().detect(trajectory([x]))
    assert [(e.site_from, e.site_to) for e in events] == [(0, 1), (1, 0)]
    assert detector(residence_fs=201.0).detect(trajectory([x])) == []


def test_shuttling_before_settling_is_one_hop() -> None:
    x = A * np.array([0.0] * 40 + [1.0, 0.0] * 8 + [1.0] * 40)
    events = detector().detect(trajectory([x]))
    assert [(e.site_from, e.site_to) for e in events] == [(0, 1)]


def test_passing_a_site_without_staying_is_one_long_hop() -> None:
    events = detector().detect(trajectory([path([(0, 40), (1, 3), (2, 40)])]))
    assert [(e.site_from, e.site_to) for e in events] == [(0, 2)]
    assert events[0].distance == pytest.approx(2 * A)


def test_hop_at_the_very_end_is_not_counted_yet() -> None:
    assert detector().detect(trajectory([path([(0, 40), (1, 5)])])) == []


def test_drift_of_the_whole_cell_is_removed() -> None:
    still = trajectory([path([(0, 400)])], noise=0.1)
    hopping = trajectory([path([(0, 60), (1, 60)])], noise=0.1)
    for positions, n_hops in [(still, 0), (hopping, 1)]:
        drift = np.linspace(0, 2.5 * A, len(positions))[:, None, None] * np.array([1.0, 0.3, 0.0])
        assert len(detector().detect(positions + drift)) == n_hops
        wrapped = (positions + drift) % np.diag(CELL)
        assert len(detector().detect(wrapped)) == n_hops
    without = detector(framework=np.array([], int)).detect(
        still + np.linspace(0, 2.5 * A, 400)[:, None, None] * np.array([1.0, 0, 0])
    )
    assert len(without) == 2  # the drift looks like hops if nobody removes it


def test_offset_from_the_reference_sites_is_removed() -> None:
    """A trajectory that starts shifted by half a hop needs the framework's sites."""
    positions = trajectory([path([(0, 40), (1, 40)])]) + np.array([0.6 * A, 0.0, 0.0])
    wrong = detector().detect(positions)[0]
    right = detector(framework_sites=FRAMEWORK).detect(positions)[0]
    assert (right.site_from, right.site_to) == (0, 1)
    assert (wrong.site_from, wrong.site_to) == (1, 2)


@pytest.mark.parametrize("wrapped", [True, False])
def test_crossing_the_boundary(wrapped: bool) -> None:
    positions = trajectory([path([(3, 40), (4, 40)])], noise=0.1)
    if wrapped:
        positions %= np.diag(CELL)
    events = detector().detect(positions)
    assert [(e.site_from, e.site_to) for e in events] == [(3, 0)]
    assert events[0].distance == pytest.approx(A)


def test_two_ions_come_in_order_of_arrival() -> None:
    first = path([(2, 80), (3, 35)])
    second = path([(0, 40), (1, 75)])
    events = detector(2).detect(trajectory([first, second]))
    assert [(e.ion, e.site_from, e.site_to) for e in events] == [(1, 0, 1), (0, 2, 3)]


def test_ions_may_follow_each_other_at_once() -> None:
    """A concerted move of two ions counts as two hops at one time."""
    ions = [path([(0, 40), (1, 40)], ramp=4), path([(1, 40), (2, 40)], ramp=4)]
    events = detector(2).detect(trajectory(ions))
    assert len(events) == 2
    assert events[0].t_arrive_fs == events[1].t_arrive_fs


def test_rate_of_a_random_walk() -> None:
    """Every jump of a walk with known jumps is found; their number is Poisson."""
    rng = np.random.default_rng(5)
    n, mean_wait = 40, 60
    waits = 12 + rng.exponential(mean_wait - 12, size=n + 1).astype(int)
    places = np.cumsum(np.concatenate([[0], rng.choice([-1, 1], size=n)]))
    x = np.concatenate([[place] * wait for place, wait in zip(places, waits, strict=True)]) * A
    events = detector().detect(trajectory([x], noise=0.2))
    assert len(events) == n
    assert [e.site_to for e in events] == (places[1:] % N_SITES).tolist()
    rate = len(events) / (len(x) * DT)
    assert rate == pytest.approx(1 / (mean_wait * DT), rel=3 / np.sqrt(n))


def test_progress_and_window_frames() -> None:
    x = path([(3, 40), (4, 40)], ramp=7)  # s = 1/8 ... 7/8, across the boundary
    analysis = detector().analyse(trajectory([x]) % np.diag(CELL))
    s = analysis.progress(0)
    assert s == pytest.approx(x / A - 3)
    frames = analysis.window_frames(0)
    assert sorted(frames) == [0.0, 0.25, 0.5, 0.75, 1.0]
    for target, frame in frames.items():
        assert s[frame] == pytest.approx(target)


def test_window_does_not_reach_beyond_its_margin() -> None:
    x = path([(0, 40), (1, 40)], ramp=7)
    analysis = detector().analyse(trajectory([x]))
    event = analysis.events[0]
    frames = analysis.window_frames(0, margin_fs=DT)
    assert min(frames.values()) * DT >= event.t_leave_fs - DT
    assert max(frames.values()) * DT <= event.t_arrive_fs + DT


def test_fast_hop_gives_each_frame_once() -> None:
    x = A * np.array([0.0] * 40 + [1.0] * 40)
    frames = detector().analyse(trajectory([x])).window_frames(0)
    assert len(set(frames.values())) == len(frames) == 2
    assert set(frames) == {0.0, 1.0}


def test_hop_over_half_the_cell_goes_the_way_that_the_ion_went() -> None:
    """In a cell of two sites the minimum image can't tell +a from -a."""
    cell = np.diag([2 * A, 9.0, 9.0])
    for target in (1.0, -1.0):
        positions = trajectory([path([(0, 40), (target, 40)], ramp=7)])
        analysis = detector(cell=cell, sites=SITES[:2]).analyse(positions)
        event = analysis.events[0]
        assert (event.site_from, event.site_to) == (0, 1)
        assert event.distance == pytest.approx(A)
        s = analysis.progress(0)
        assert (s.min(), s.max()) == pytest.approx((0, 1), abs=1e-9)


def test_oblique_cell_finds_the_nearest_site() -> None:
    cell = np.array([[6.0, 0, 0], [3.0, 5.2, 0], [1.0, 2.0, 5.5]])
    rng = np.random.default_rng(0)
    sites, points = rng.random((5, 3)) @ cell, rng.normal(scale=15, size=(50, 1, 3))
    nearest, copies = assign_sites(points, sites, cell)
    shifts = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3), -1).reshape(-1, 3) @ cell
    for k, point in enumerate(points[:, 0]):
        gaps = np.linalg.norm(sites[:, None] + shifts - point, axis=-1)
        assert nearest[k, 0] == gaps.min(axis=1).argmin()
        assert np.linalg.norm(copies[k, 0] - point) == pytest.approx(gaps.min())


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), min_size=1, max_size=25),
    st.integers(1, 6),
)
@settings(deadline=None, max_examples=150)
def test_hops_form_a_chain_of_long_stays(runs: list[tuple[int, int]], n_residence: int) -> None:
    sites = np.concatenate([[site] * n for site, n in runs])
    hops = find_hops(sites, n_residence)
    for leave, arrive in hops:
        assert leave < arrive
        assert sites[leave] != sites[arrive]
    for (_, arrive), (leave, _) in pairwise(hops):
        assert sites[arrive] == sites[leave]
        assert leave - arrive + 1 >= n_residence
    if n_residence == 1:
        assert len(hops) == np.count_nonzero(np.diff(sites))


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_unwrap_undoes_wrapping(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cell = np.array([[6.0, 0, 0], [3.0, 5.2, 0], [1.0, 2.0, 5.5]])
    walk = np.cumsum(rng.uniform(-0.5, 0.5, size=(60, 4, 3)), axis=0)
    wrapped = ((walk @ np.linalg.inv(cell)) % 1.0) @ cell
    again = unwrap(wrapped, cell)
    assert again - again[0] == pytest.approx(walk - walk[0], abs=1e-9)
    assert unwrap(walk, cell) == pytest.approx(walk, abs=1e-9)


def test_remove_drift_fixes_the_framework_and_is_idempotent() -> None:
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(20, 5, 3)) + np.arange(20)[:, None, None]
    framework = np.array([1, 3])
    once = remove_drift(positions, framework)
    assert once[:, framework].mean(axis=1) == pytest.approx(
        np.broadcast_to(positions[0, framework].mean(axis=0), (20, 3))
    )
    assert remove_drift(once, framework) == pytest.approx(once)


def test_progress_is_linear_and_blind_to_sideways_motion() -> None:
    start, end = np.array([1.0, 0, 0]), np.array([1.0, 2.0, 0])
    points = np.array([[1.0, 0, 0], [3.0, 1.0, 5.0], [1.0, 3.0, 0]])
    assert progress(points, start, end) == pytest.approx([0.0, 0.5, 1.5])


def test_size_of_a_real_run_is_quick() -> None:
    rng = np.random.default_rng(0)
    cell = np.eye(3) * 7.8
    sites = rng.random((24, 3)) * 7.8
    positions = rng.normal(scale=0.1, size=(2000, 40, 3))
    positions[:, :23] += sites[:23]
    run = HopDetector(cell, sites, np.arange(23), np.arange(23, 40), 10.0)
    begin = time.process_time()
    run.detect(positions)
    assert time.process_time() - begin < 5.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cell": np.ones(3)}, "cell: expected shape"),
        ({"frame_interval_fs": 0.0}, "above 0 fs"),
        ({"mobile": np.array([], int)}, "mobile ions"),
        ({"framework_sites": FRAMEWORK[:2]}, "framework_sites"),
    ],
)
def test_bad_input_says_what_to_do(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ExplorationError, match=message):
        detector(**fields)
