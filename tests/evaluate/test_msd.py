"""The FFT against the double loop; drift and masses by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.errors import EvaluationError
from ionloop.evaluate.msd import mean_squared_displacement, time_averaged_msd
from ionloop.explore.hops import remove_drift

MOBILE, HOST = np.arange(30), np.arange(30, 50)


def test_msd_equals_the_double_loop():
    rng = np.random.default_rng(0)
    x = np.cumsum(rng.normal(size=(40, 3, 3)), axis=0) + 1000.0
    direct = [0.0]
    direct += [((x[m:] - x[:-m]) ** 2).sum(axis=2).mean() for m in range(1, 40)]
    assert time_averaged_msd(x) == pytest.approx(np.array(direct), rel=1e-9, abs=1e-12)


def test_ballistic_motion_goes_as_t_squared():
    velocity = np.array([0.3, -0.2, 0.1])
    x = np.arange(50)[:, None, None] * velocity
    x = np.concatenate([x, np.zeros((50, 1, 3))], axis=1)
    msd = mean_squared_displacement(x, np.array([0]), np.array([1]))
    assert msd[1:] == pytest.approx(0.14 * np.arange(1, 50) ** 2, rel=1e-9, abs=0)


def test_drift_of_all_atoms_changes_nothing():
    rng = np.random.default_rng(1)
    x = np.cumsum(rng.normal(scale=0.25, size=(500, 50, 3)), axis=0)
    x[:, HOST] = rng.normal(scale=0.05, size=(500, 20, 3))
    drift = np.cumsum(rng.normal(size=(500, 1, 3)), axis=0)
    still = mean_squared_displacement(x, MOBILE, HOST)
    moved = mean_squared_displacement(x + drift, MOBILE, HOST)
    assert moved == pytest.approx(still, rel=1e-9, abs=1e-9)
    assert time_averaged_msd((x + drift)[:, MOBILE])[100] > 2 * still[100]


def test_masses_hold_the_centre_of_mass():
    x = np.zeros((2, 3, 3))
    x[1, 1], x[1, 2] = (3.0, 0, 0), (0.0, 0, 0)
    masses = np.array([1.0, 2.0, 1.0])
    fixed = remove_drift(x, np.array([1, 2]), masses=masses)
    assert fixed[1, 0] == pytest.approx([-2.0, 0, 0])
    assert remove_drift(x, np.array([1, 2]))[1, 0] == pytest.approx([-1.5, 0, 0])
    plain, weighted = (
        mean_squared_displacement(x, np.array([0]), np.array([1, 2]), m) for m in (None, masses)
    )
    assert (plain[1], weighted[1]) == (pytest.approx(1.5**2), pytest.approx(2.0**2))


def test_no_framework_is_refused():
    with pytest.raises(EvaluationError, match="framework ion"):
        mean_squared_displacement(np.zeros((5, 2, 3)), np.array([0]), np.array([], int))
