from __future__ import annotations

import numpy as np
import pytest

from ionloop.explore.candidates import Pick, pick_candidates
from ionloop.explore.hops import HopAnalysis, HopDetector
from ionloop.explore.md import MDRun
from ionloop.frame import Origin

DT = 20.0
#: Three ions on a row of sites 3 Å apart, and three framework atoms.
SITES = np.array([[3.0 * k, 0.0, 3.0 * row] for row in range(3) for k in range(4)])
FRAMEWORK = np.array([[1.5, 4.0, 4.0], [5.0, 5.0, 4.0], [9.0, 4.0, 5.0]])


def walk(leave: int, n: int = 80) -> np.ndarray:
    """x of an ion that goes one site on within ten frames; never if ``leave`` is n."""
    return 3.0 * np.clip((np.arange(n) - leave) / 10, 0, 1)


@pytest.fixture(scope="module")
def hopping() -> tuple[MDRun, HopAnalysis]:
    """80 frames in which the first two of three ions hop; a judgement every fourth frame."""
    positions = np.zeros((80, 6, 3))
    for ion, leave in enumerate((20, 45, 80)):
        positions[:, ion, 0] = walk(leave)
        positions[:, ion, 2] = 3.0 * ion
    positions[:, 3:] = FRAMEWORK
    detector = HopDetector(
        np.diag([12.0, 9.0, 12.0]), SITES, np.arange(3), np.arange(3, 6), DT,
        path_classes={(k, k + 1): "row" for k in range(12)},
    )  # fmt: skip
    run = MDRun(
        step=400,
        positions=list(positions),
        checks=[(i, float(np.sin(i))) for i in range(4, 80, 4)],
    )
    analysis = detector.analyse(positions)
    assert len(analysis.events) == 2
    return run, analysis


def pick(hopping, seed: int = 0, stopped: str | None = None, **fields: int) -> list[Pick]:
    run, analysis = hopping
    own = {"max_events": 8, "n_uncertain": 6, "n_random": 5, **fields}
    run = MDRun(step=run.step, positions=run.positions, checks=run.checks, stopped=stopped)
    return pick_candidates(run, analysis, "g", rng=np.random.default_rng(seed), **own)


@pytest.mark.parametrize("seed", range(10))
def test_no_frame_is_picked_twice(hopping, seed):
    indices = [p.index for p in pick(hopping, seed, n_random=30, n_uncertain=19)]
    assert len(indices) == len(set(indices))
    assert all(0 <= i < 80 for i in indices)


def test_hop_frames_carry_their_place_on_the_hop(hopping):
    picks = pick(hopping, n_random=0, n_uncertain=0)
    assert {p.origin for p in picks} == {Origin.HOP}
    run, _ = hopping
    for p in picks:
        leave = (20, 45)[p.hop.ion]
        assert p.hop.progress == pytest.approx(run.positions[p.index][p.hop.ion, 0] / 3.0, abs=0.01)
        assert p.hop.event == f"g-hop-{0 if leave == 20 else 1}"
        assert p.hop.path_class == "row"
    for ion in (0, 1):
        s = sorted(p.hop.progress for p in picks if p.hop.ion == ion)
        assert s == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0], abs=0.06)


def test_the_most_uncertain_frames_are_picked(hopping):
    picks = pick(hopping, n_random=0, max_events=0)
    worst = sorted(range(4, 80, 4), key=lambda i: -np.sin(i))[:6]
    assert [p.index for p in picks] == worst
    assert {(p.origin, p.hop) for p in picks} == {(Origin.UNCERTAIN, None)}


def test_random_frames_are_drawn_from_all_but_the_start(hopping):
    drawn = [p.index for s in range(300) for p in pick(hopping, s, n_uncertain=0, max_events=0)]
    assert len(drawn) == 300 * 5
    counts = np.bincount(drawn, minlength=80)
    assert counts[0] == 0  # the start has been labelled
    assert counts[1:].min() > 0
    assert counts[1:].std() < 3 * np.sqrt(1500 / 79)


def test_random_frames_are_no_worse_for_hops(hopping):
    """They calibrate: what is drawn must not depend on what else is picked."""
    alone = [p.index for p in pick(hopping, 4, n_uncertain=0, max_events=0)]
    among = [p.index for p in pick(hopping, 4) if p.origin is Origin.RANDOM]
    assert sorted(among) == sorted(alone)


def test_too_many_events_are_thinned(hopping):
    events = {p.hop.event for s in range(20) for p in pick(hopping, s, max_events=1) if p.hop}
    assert events == {"g-hop-0", "g-hop-1"}
    for seed in range(5):
        assert len({p.hop.event for p in pick(hopping, seed, max_events=1) if p.hop}) == 1


def test_a_refused_state_is_no_candidate(hopping):
    """Its judgement stands beyond the frames that were kept."""
    run, analysis = hopping
    stopped = MDRun(
        step=385,
        positions=run.positions[:77],
        checks=[(72, 0.1), (77, 9.0)],
        stopped="uncertainty 9.00 eV/Å above the ceiling",
    )
    picks = pick_candidates(
        stopped, analysis, "g", max_events=0, n_uncertain=5, n_random=200,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert {p.index for p in picks} == set(range(1, 77))
    few = pick_candidates(
        stopped, analysis, "g", max_events=0, n_uncertain=5, n_random=0,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    assert [p.index for p in few] == [72]


def test_a_run_that_stopped_at_once_has_no_candidates(hopping):
    run, _ = hopping
    still = HopAnalysis(np.array(run.positions[:1]), np.zeros((1, 3), int), [], [], DT)
    short = MDRun(step=5, positions=run.positions[:1], checks=[(1, 9.0)], stopped="hot")
    picks = pick_candidates(
        short, still, "g", max_events=3, n_uncertain=3, n_random=3, rng=np.random.default_rng(0)
    )
    assert picks == []
