"""Intervals of transport hold the truth as often as they say, on walks with known answers.

``benchmarks/bench_transport_coverage.py`` does the same with 200 repeats and more cases.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ionloop.testing.walks import CASES, TOO_FEW, covers, free, measured, run_of

REPEATS = 60
QUICK = [case for case in CASES if case.name != "jump lattice, 60 hops"]


def consistent(hits: int, n: int, low: float, high: float) -> bool:
    """Tell whether hits could come from a coverage between low and high (1 % either side)."""
    return stats.binom.cdf(hits, n, low) > 0.01 and stats.binom.sf(hits - 1, n, high) > 0.01


def test_the_tolerance_refuses_a_wrong_interval():
    """One and a half times too narrow covers 73 %, twice too wide 99.9 %."""
    assert not consistent(round(0.73 * 120), 120, 0.85, 0.95)
    assert not consistent(120, 120, 0.85, 0.95)
    assert consistent(108, 120, 0.85, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_90_percent_intervals_cover_the_truth(case):
    rng = np.random.default_rng(11)
    points = [case.measure(rng) for _ in range(REPEATS)]
    follows = [p.conduction for p in points]
    tracer = [covers(p.d, case.d) for p in points]
    collective = [covers(f and f.collective, case.d / case.haven) for f in follows]
    for found in (tracer, collective):
        known = [x for x in found if x is not None]
        assert len(known) > 0.8 * REPEATS
        assert consistent(sum(known), len(known), 0.85, 0.95)
    mean = np.mean([p.d.value for p in points if p.d.value])
    assert mean == pytest.approx(case.d, rel=0.12, abs=0)


def test_coverage_of_short_walks():
    """The quick version: 120 short walks of few ions, and pairs of ions that move as one."""
    rng = np.random.default_rng(12)
    hits = 0
    for i in range(120):
        walk = np.cumsum(rng.normal(scale=0.6, size=(120, 8, 3)), axis=0)
        walk = np.repeat(walk[:, :4], 2, axis=1) if i % 2 else walk
        hits += bool(covers(measured([run_of(walk, rng)]).d, free(0.6)))
    assert consistent(hits, 120, 0.85, 0.95)


@pytest.mark.parametrize("case", TOO_FEW, ids=lambda case: case.name)
def test_too_few_hops_give_a_bound_that_holds_and_never_a_number(case):
    rng = np.random.default_rng(13)
    points = [case.measure(rng) for _ in range(40)]
    assert all(p.d.value is None and p.conduction is None for p in points)
    held = sum(p.d.upper_bound > case.d for p in points)
    assert consistent(held, len(points), 0.95, 1.0)
    # A bound that always holds since it's huge would be worth nothing.
    assert np.median([p.d.upper_bound for p in points]) < 12 * case.d


def test_ions_that_move_as_one_are_one_ion():
    case = next(c for c in CASES if c.name == "30 ions that move as one")
    found = case.measure(np.random.default_rng(2))
    assert found.conduction.haven_ratio.value == pytest.approx(1 / 30, rel=0.15)
    assert 0.3 < found.n_independent < 4
