"""Intervals of transport hold the truth as often as they say, on walks with known answers.

``benchmarks/bench_transport_coverage.py`` writes the same as a table.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ionloop.evaluate.conduction import sigma_per_d
from ionloop.testing.walks import (
    CASES,
    COLD_ENERGY,
    EDGE,
    TOO_FEW,
    arrhenius_of_walks,
    covers,
    free,
    measured,
    run_of,
    step_at,
)

REPEATS = 200
DILUTE = "jump lattice, 60 hops"


def consistent(hits: int, n: int, low: float, high: float) -> bool:
    """Tell whether hits could come from a coverage between low and high (1 % either side)."""
    return stats.binom.cdf(hits, n, low) > 0.01 and stats.binom.sf(hits - 1, n, high) > 0.01


def test_the_tolerance_refuses_a_wrong_interval():
    """One and a half times too narrow covers 73 %, twice too wide 99.9 %."""
    assert not consistent(round(0.73 * 120), 120, 0.85, 0.95)
    assert not consistent(120, 120, 0.85, 0.95)
    assert consistent(108, 120, 0.85, 0.95)


def hits(found: list[bool | None]) -> tuple[int, int]:
    """Count intervals that hold the truth, and all that there are."""
    known = [x for x in found if x is not None]
    return sum(known), len(known)


def judged(counted: dict[tuple[str, str], tuple[int, int]]) -> None:
    """Hold each count to 85 to 95 % but for chance, and all counts of a quantity to just that."""
    odd = {
        place: (held, n)
        for place, (held, n) in counted.items()
        # Of few hops the error is too large rather than too small.
        if not consistent(held, n, 0.85, 1.0 if place[0] == DILUTE else 0.95)
        or n < (0.6 if place[0] == DILUTE else 0.9) * REPEATS
    }
    assert odd == {}
    for quantity in {what for _, what in counted}:
        own = [x for (case, what), x in counted.items() if what == quantity and case != DILUTE]
        share = sum(held for held, _ in own) / sum(n for _, n in own)
        assert 0.85 <= share <= 0.95, quantity


@pytest.mark.slow
def test_90_percent_intervals_of_diffusion_cover_the_truth():
    rng = np.random.default_rng(11)
    counted = {}
    for case in CASES:
        points = [case.measure(rng) for _ in range(REPEATS)]
        follows = [p.conduction for p in points]
        counted |= {
            (case.name, "tracer"): hits([covers(p.d, case.d) for p in points]),
            (case.name, "axis"): hits([covers(f.axes[0], case.d) for f in follows]),
            (case.name, "collective"): hits(
                [covers(f.collective, case.d / case.haven) for f in follows]
            ),
            (case.name, "Haven"): hits([covers(f.haven_ratio, case.haven) for f in follows]),
        }
        mean = np.mean([p.d.value for p in points if p.d.value])
        assert mean == pytest.approx(case.d, rel=0.05, abs=0), case.name
    # All ions are one, so that the ratio is exact.
    assert counted.pop(("30 ions that move as one", "Haven")) == (REPEATS, REPEATS)
    judged(counted)


@pytest.mark.slow
def test_90_percent_intervals_of_arrhenius_lines_cover_the_truth():
    rng = np.random.default_rng(14)
    counted = {}
    for two_slopes in (False, True):
        found = [arrhenius_of_walks(rng, two_slopes=two_slopes) for _ in range(REPEATS)]
        room = free(step_at(300.0, two_slopes=two_slopes))
        name = "two slopes" if two_slopes else "one line"
        counted |= {
            (name, "E_a"): hits([covers(x.activation_energy, COLD_ENERGY) for x in found]),
            (name, "300 K"): hits([covers(x.room.d if x.room else None, room) for x in found]),
        }
        broken = sum(x.transition is not None for x in found)
        assert broken == REPEATS if two_slopes else broken < 0.05 * REPEATS
    judged(counted)


def test_coverage_of_short_walks():
    """The quick version: 120 short walks of few ions, and pairs of ions that move as one."""
    rng = np.random.default_rng(12)
    held = 0
    for i in range(120):
        walk = np.cumsum(rng.normal(scale=0.6, size=(120, 8, 3)), axis=0)
        walk = np.repeat(walk[:, :4], 2, axis=1) if i % 2 else walk
        held += bool(covers(measured([run_of(walk, rng)]).d, free(0.6)))
    assert consistent(held, 120, 0.85, 0.95)


@pytest.mark.parametrize("case", TOO_FEW, ids=lambda case: case.name)
def test_too_few_hops_give_a_bound_that_holds_and_never_a_number(case):
    rng = np.random.default_rng(13)
    points = [case.measure(rng) for _ in range(40)]
    assert all(p.d.value is None for p in points)
    follows = [p.conduction for p in points]
    for bounds in (
        [p.d for p in points],
        *([f.axes[i] for f in follows] for i in range(3)),
        [f.collective for f in follows],
    ):
        assert all(b.value is None and "effective hops" in b.reason for b in bounds)
        held = sum(b.upper_bound > case.d for b in bounds)
        assert consistent(held, len(points), 0.95, 1.0)
    for p in points:
        sigma = p.conduction.sigma.upper_bound / p.d.upper_bound
        assert sigma == pytest.approx(sigma_per_d(20, EDGE**3, 500.0, 1.0), rel=1e-9)
        assert p.conduction.haven_ratio.value is None
        assert "how ions move together" in p.conduction.haven_ratio.reason
    # A bound that always holds since it's huge would be worth nothing.
    assert np.median([p.d.upper_bound for p in points]) < 12 * case.d


def test_ions_that_move_as_one_are_one_ion():
    case = next(c for c in CASES if c.name == "30 ions that move as one")
    found = case.measure(np.random.default_rng(2))
    # An ion moves against the common centre by nothing, so that the ratio is exact.
    assert found.conduction.haven_ratio.value == pytest.approx(1 / 30, rel=1e-9)
    assert found.conduction.haven_ratio.error == 0
    assert 0.3 < found.n_independent < 4


def test_the_haven_ratio_is_tracer_over_collective_d():
    case = next(c for c in CASES if c.name == "half of each step in common")
    found = case.measure(np.random.default_rng(3))
    follows = found.conduction
    assert follows.haven_ratio.value == pytest.approx(
        found.d.value / follows.collective.value, rel=0.05
    )
    low, high = follows.haven_ratio.interval
    assert 1 / 30 < low < follows.haven_ratio.value < high


def test_one_ion_has_a_haven_ratio_of_one():
    rng = np.random.default_rng(4)
    walk = np.cumsum(rng.normal(scale=0.5, size=(400, 1, 3)), axis=0)
    found = measured([run_of(walk, rng)])
    assert found.conduction.haven_ratio.value == 1
