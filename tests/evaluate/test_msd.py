"""The FFT against the double loop; sums of ions; pooling; drift."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.evaluate.displacements import paths_of_array
from ionloop.evaluate.msd import at_lags, curves, msd_tensor, pool
from ionloop.explore.positions import remove_drift


def test_msd_equals_the_double_loop():
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=(40, 3, 3)), axis=0) + 1000.0
    direct = np.zeros((40, 3, 3))
    for m in range(1, 40):
        step = x[m:] - x[:-m]
        direct[m] = np.einsum("kia,kib->ab", step, step) / (40 - m) / 3
    found = msd_tensor(x)
    assert found == pytest.approx(direct, rel=1e-8, abs=1e-9)
    lags = np.array([1, 7, 39])
    assert at_lags([x[:, :2], x[:, 2:]], lags) == pytest.approx(
        np.trace(found, axis1=1, axis2=2)[lags], rel=1e-9
    )


def test_ballistic_motion_goes_as_t_squared():
    x = np.arange(50)[:, None, None] * np.array([0.3, -0.2, 0.1])
    assert np.trace(msd_tensor(x), axis1=1, axis2=2)[1:] == pytest.approx(
        0.14 * np.arange(1, 50) ** 2, rel=1e-9, abs=0
    )


def test_drift_is_the_plain_mean_of_the_framework():
    x = np.zeros((2, 3, 3))
    x[1, 1], x[1, 2] = (3.0, 0, 0), (0.0, 0, 0)
    assert remove_drift(x, np.array([1, 2]))[1, 0] == pytest.approx([-1.5, 0, 0])


def test_ions_that_move_as_one_have_a_collective_msd_n_times_as_large():
    walk = np.cumsum(np.random.default_rng(1).normal(size=(50, 1, 3)), axis=0)
    x = np.concatenate([np.repeat(walk, 5, axis=1), np.zeros((50, 2, 3))], axis=1)
    found = curves(paths_of_array(x, np.arange(5), np.array([5, 6])))
    assert found.collective == pytest.approx(5 * found.tracer, rel=1e-9, abs=1e-9)


def test_a_short_run_weighs_less():
    """At lag 1 runs of 11 and 6 frames have 10 and 5 origins."""
    found = pool([np.zeros((11, 3, 3)), np.ones((6, 3, 3))])
    assert found.shape == (6, 3, 3)
    assert found[1] == pytest.approx(np.full((3, 3), 1 / 3))
