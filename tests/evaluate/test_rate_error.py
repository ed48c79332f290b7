from __future__ import annotations

import numpy as np
import pytest

from ionloop.errors import EvaluationError
from ionloop.evaluate.rate_error import rate_error, spacing
from ionloop.units import KB_EV_PER_K

T = 800.0
BETA = 1 / (KB_EV_PER_K * T)


def test_a_constant_error_changes_no_rate():
    found = rate_error([0.3, 0.3], [0.2, 0.7], [0.3, 0.3, 0.3], T)
    assert (found.low, found.high, found.first_order) == pytest.approx((0, 0, 0), abs=1e-9)


def test_a_barrier_too_high_is_a_rate_too_low():
    """All of the path lifted by the same energy: the bracket closes on exp(-beta dE)."""
    found = rate_error([0.1] * 4, [0.1, 0.4, 0.6, 0.9], [0.0] * 5, T)
    assert found.low == pytest.approx(-0.1 * BETA)
    assert found.high == pytest.approx(-0.1 * BETA)
    assert found.bound == pytest.approx(0.1 * BETA)


def test_the_bracket_holds_the_rate_of_a_path_that_can_be_integrated():
    """One coordinate: k is the flux of a path whose conductances add up in series.

    The reference's free energy is flat along the path, the model's is off by dV(s). Then
    k_model / k_ref = 1 / <exp(beta dV)> for a path that is crossed by diffusion, and the
    harmonic reading of the same errors is <exp(-beta dV)>: both lie within.
    """
    rng = np.random.default_rng(0)
    s = np.sort(rng.uniform(0, 1, 4000))
    dv = 0.04 * np.sin(7 * s) + 0.02
    basin = rng.normal(0.01, 0.02, 4000)
    found = rate_error(dv, s, basin, T)
    exact_basin = -np.log(np.mean(np.exp(-BETA * basin)))
    diffusive = -np.log(np.mean(np.exp(BETA * dv))) + exact_basin
    assert found.low == pytest.approx(diffusive, abs=0.01)
    assert found.low < found.high
    assert found.low <= -BETA * np.mean(dv) + exact_basin <= found.high


def test_frames_count_by_the_stretch_of_the_path_that_they_stand_for():
    weights = spacing(np.array([0.9, 0.1, 0.12, 0.11]))
    assert weights.sum() == pytest.approx(1)
    assert weights == pytest.approx([0.49, 0.105, 0.395, 0.01])
    crowd = rate_error([0.0] * 50 + [0.1], [0.1] * 50 + [0.9], [0.0], T)
    assert crowd.first_order == pytest.approx(-0.05 * BETA)


@pytest.mark.parametrize(
    ("path", "progress", "rest", "kelvin"),
    [
        ([], [], [0.1], T),
        ([0.1], [0.5], [], T),
        ([0.1], [0.5, 0.6], [0.1], T),
        ([0.1], [0.5], [0.1], 0),
    ],
)
def test_what_gives_no_bracket_is_refused(path, progress, rest, kelvin):
    with pytest.raises(EvaluationError, match="expected frames on hops"):
        rate_error(path, progress, rest, kelvin)
