"""Closed forms: Brownian and lattice walks, cages, drift."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from scipy import stats

from ionloop.errors import EvaluationError
from ionloop.evaluate.bounds import most_hops, upper_bound
from ionloop.evaluate.displacements import paths_of_array
from ionloop.evaluate.runs import diffusivity_of_trajectories, moving_framework
from ionloop.evaluate.schema import Diffusivity
from ionloop.evaluate.transport import diffusivity as diffusivity_of_paths
from ionloop.evaluate.transport import relative_error
from ionloop.evaluate.window import WindowRule
from ionloop.reference.schema import Trajectory
from ionloop.testing.walks import hopping, measured, run_of
from ionloop.testing.walks import lattice as lattice_walk

INTERVAL = 10.0
N_MOBILE = 30
N_HOST = 20
MOBILE = np.arange(N_MOBILE)
HOST = np.arange(N_MOBILE, N_MOBILE + N_HOST)
COMMON = {
    "temperature": 1000.0,
    "mobile": MOBILE,
    "framework": HOST,
    "frame_interval_fs": INTERVAL,
}


def diffusivity(
    replicas: list[np.ndarray], *, mobile: np.ndarray, framework: np.ndarray, **options: object
) -> Diffusivity:
    cell = 20.0 * np.eye(3)
    runs = [paths_of_array(x, mobile, framework, cell) for x in replicas]
    return diffusivity_of_paths(runs, **options)


def with_host(walk: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    host = rng.normal(scale=0.05, size=(len(walk), N_HOST, 3))
    return np.concatenate([walk, host], axis=1)


def brownian(d: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """A walk of diffusivity d, Å²/fs, of ``n`` frames, with a rattling host."""
    steps = rng.normal(scale=np.sqrt(2 * d * INTERVAL), size=(n, N_MOBILE, 3))
    return with_host(np.cumsum(steps, axis=0), rng)


def lattice(a: float, p_hop: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Hops of length a along an axis, with probability p_hop a frame."""
    axis = rng.integers(3, size=(n, N_MOBILE))
    sign = rng.choice([-a, a], size=(n, N_MOBILE)) * (rng.random((n, N_MOBILE)) < p_hop)
    return with_host(np.cumsum(np.eye(3)[axis] * sign[..., None], axis=0), rng)


@pytest.mark.parametrize("seed", range(5))
def test_brownian_walk_gives_d_within_its_interval(seed):
    d = 2e-3  # Å²/fs, so 2e-4 cm²/s
    found = diffusivity(
        [brownian(d, 1500, np.random.default_rng(seed))], hop_distance=2.5, **COMMON
    )
    assert found.d.unit == "cm²/s"
    assert found.d.admissible, found.d.reason
    assert abs(found.d.value - 2e-4) < 3 * found.d.error
    assert found.d.value == pytest.approx(2e-4, rel=0.4, abs=0)
    assert 0.9 < found.alpha < 1.3
    # Ten times the first lag, which is below 70 % of the run here.
    assert found.window_fs[1] == pytest.approx(10 * found.window_fs[0], rel=1e-9)
    assert found.time_ps == pytest.approx(14.99)


@pytest.mark.parametrize("seed", range(3))
def test_lattice_walk_gives_a_squared_over_six_tau(seed):
    a, p_hop = 2.76, 0.01
    exact = 0.1 * a**2 * p_hop / (6 * INTERVAL)  # tau = interval / p_hop; cm²/s
    found = diffusivity(
        [lattice(a, p_hop, 1500, np.random.default_rng(seed))], hop_distance=a, **COMMON
    )
    assert found.d.admissible, found.d.reason
    assert abs(found.d.value - exact) < 3 * found.d.error
    # N_eff counts hops up to the last lag, 70 % of the run.
    assert found.n_eff == pytest.approx(N_MOBILE * p_hop * 0.7 * 1500, rel=0.35, abs=0)
    # He, Zhu & Mo's rule of thumb is for ordinary least squares; ours knows better.
    assert found.d.error < found.d.value * relative_error(found.n_eff)


def test_drift_of_all_atoms_changes_nothing():
    rng = np.random.default_rng(1)
    x = brownian(2e-3, 500, rng)
    drift = np.cumsum(rng.normal(size=(500, 1, 3)), axis=0)
    still, moved = (diffusivity([y], hop_distance=2.5, **COMMON) for y in (x, x + drift))
    assert moved.msd == pytest.approx(still.msd, rel=1e-9, abs=1e-9)
    assert moved.msd_error == pytest.approx(still.msd_error, rel=1e-9, abs=1e-9)
    assert moved.d.value == pytest.approx(still.d.value, rel=1e-9, abs=0)


def test_the_curve_has_an_error_at_each_of_its_lags():
    """A Brownian ion's squared displacement at a lag has a relative variance of 2/3."""
    x = brownian(2e-3, 1000, np.random.default_rng(13))
    found = diffusivity([x], hop_distance=2.5, **COMMON)
    assert len(found.msd_error) == len(found.msd) == len(found.msd_time_fs)
    assert found.msd_error[0] == 0.0
    # The longest lag has one origin, so that nothing is averaged but the ions.
    expected = 6 * 2e-3 * found.msd_time_fs[-1] * np.sqrt(2 / 3 / N_MOBILE)
    assert found.msd_error[-1] == pytest.approx(expected, rel=0.4)


def test_ten_times_longer_interval_gives_ten_times_smaller_d():
    x = brownian(2e-3, 2000, np.random.default_rng(3))
    slow = COMMON | {"frame_interval_fs": 10 * INTERVAL}
    one = diffusivity([x], hop_distance=2.5, **COMMON).d.value
    ten = diffusivity([x], hop_distance=2.5, **slow).d.value
    assert one / ten == pytest.approx(10, rel=1e-9)


@pytest.mark.parametrize("amplitude", [0.1, 0.4])
def test_caged_motion_gives_no_number(amplitude):
    rng = np.random.default_rng(4)
    cage = with_host(rng.normal(scale=amplitude, size=(4000, N_MOBILE, 3)), rng)
    found = diffusivity([cage], hop_distance=2.76, **COMMON)
    assert found.d.value is None
    assert found.d.error is None
    assert not found.d.admissible
    assert "effective hops" in found.d.reason
    assert "D <" in found.d.reason


def test_a_harmonic_oscillation_gives_no_number():
    rng = np.random.default_rng(5)
    phase = rng.uniform(0, 2 * np.pi, size=(N_MOBILE, 3))
    t = np.arange(4000)[:, None, None]
    x = with_host(0.5 * np.sin(0.37 * t + phase), rng)
    assert diffusivity([x], hop_distance=2.76, **COMMON).d.value is None


def test_dilute_hops_in_a_cage_are_flagged_not_hidden():
    rng = np.random.default_rng(6)
    a, p_hop, n = 2.76, 2e-4, 2000
    x = lattice(a, p_hop, n, rng)
    x[:, MOBILE] += rng.normal(scale=0.25, size=(n, N_MOBILE, 3))
    found = diffusivity([x], hop_distance=a, **COMMON)
    assert max(found.msd[: int(0.7 * len(found.msd))]) < 0.5 * a**2
    assert found.d.value is not None
    assert abs(found.d.value - 0.1 * a**2 * p_hop / (6 * INTERVAL)) < 2 * found.d.error
    assert not found.d.admissible
    assert "cage" in found.d.reason
    # The cage (6 sigma² = 0.375 Å², 1.5 hops over 30 ions) isn't counted as hops.
    assert found.n_eff < N_MOBILE * max(found.msd) / a**2


def test_motion_that_slows_down_is_flagged():
    rng = np.random.default_rng(7)
    t = np.arange(1, 2001)
    slow = with_host(np.cumsum(rng.normal(size=(2000, N_MOBILE, 3)), axis=0), rng)
    slow[:, MOBILE] *= (t**-0.3)[:, None, None]
    found = diffusivity([slow], hop_distance=1.0, **COMMON)
    assert not found.d.admissible
    assert "D drifts from block to block" in found.d.reason


def test_a_moving_framework_is_flagged():
    rng = np.random.default_rng(8)
    x = brownian(2e-3, 3000, rng)
    x[:, HOST] += np.cumsum(rng.normal(scale=0.1, size=(3000, N_HOST, 3)), axis=0)
    found = diffusivity([x], hop_distance=2.5, **COMMON)
    assert not found.d.admissible
    assert "framework" in found.d.reason
    words = moving_framework([found], 2.5)
    assert words is not None
    assert words.endswith(" at 1000 K, expected at most 0.9 Å²)")
    held = diffusivity([brownian(2e-3, 3000, rng)], hop_distance=2.5, **COMMON)
    assert moving_framework([held], 2.5) is None


def test_identical_replicas_pool_to_the_same_d_with_twice_the_hops():
    x = brownian(2e-3, 2000, np.random.default_rng(9))
    one = diffusivity([x], hop_distance=2.5, **COMMON)
    two = diffusivity([x, x.copy()], hop_distance=2.5, **COMMON)
    assert two.d.value == pytest.approx(one.d.value, rel=1e-12, abs=0)
    assert two.n_eff == pytest.approx(2 * one.n_eff, rel=1e-12)
    assert two.time_ps == pytest.approx(2 * one.time_ps)
    assert two.d.error < one.d.error


def test_interval_covers_the_truth_where_every_ion_hops_often():
    d, hits, held = 2e-3, 0, 0
    for seed in range(40):
        x = brownian(d, 1000, np.random.default_rng(100 + seed))
        found = diffusivity([x], hop_distance=0.8, **COMMON)
        hits += abs(found.d.value - 0.1 * d) < found.d.error
        held += found.d.interval[0] < 0.1 * d < found.d.interval[1]
    assert 0.5 < hits / 40 < 0.85
    assert 0.8 < held / 40 < 0.98


def test_replicas_that_differ_widen_the_error():
    rng = np.random.default_rng(10)
    alike = diffusivity([brownian(5e-3, 1500, rng) for _ in range(2)], hop_distance=2.5, **COMMON)
    pair = [brownian(1e-3, 1500, rng), brownian(9e-3, 1500, rng)]
    apart = diffusivity(pair, hop_distance=2.5, **COMMON)
    assert apart.d.error / apart.d.value > 3 * alike.d.error / alike.d.value
    assert apart.n_independent < 0.2 * N_MOBILE < alike.n_independent


def test_error_above_d_is_a_number_but_not_admissible():
    x = brownian(2e-3, 4000, np.random.default_rng(0))
    found = diffusivity([x], hop_distance=2.5, rule=WindowRule(rsd_max=0.01), **COMMON)
    assert found.d.value is not None
    assert not found.d.admissible
    assert "the error is" in found.d.reason


def test_relative_error_is_he_zhu_mo():
    assert relative_error(54) == pytest.approx(0.51, abs=0.005)
    assert relative_error(813) == pytest.approx(0.16, abs=0.005)


def test_no_hops_bound_is_three_events():
    # The Poisson upper limit at 95 % of nothing seen is -ln 0.05 = 3.00 events.
    assert upper_bound(0.0, 10 * 1e5, 3.0, 1e6) == pytest.approx(
        -np.log(0.05) * 9.0 / (6 * 10 * 1e5) * 0.1, rel=1e-4, abs=0
    )


def test_the_bound_of_many_ions_is_poisson_s_and_that_of_one_is_wider():
    poisson = stats.chi2.ppf(0.95, 2 * 4 + 2) / 2
    assert most_hops(4.0, 1e6, 3) == pytest.approx(poisson, rel=1e-3)
    assert most_hops(4.0, 1, 3) > 3 * poisson
    # The negative binomial's own distribution function, asked for the limit.
    limit, r = most_hops(4.0, 2, 3), 3.0
    assert stats.nbinom.cdf(4, r, r / (r + limit)) == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize(
    ("n_ions", "hops", "group"), [(1, 6, 1), (1, 12, 1), (4, 8, 1), (20, 6, 1), (20, 1, 4)]
)
def test_the_bound_holds_for_few_ions_and_for_ions_that_hop_together(n_ions, hops, group):
    """``hops`` events expected, each of ``group`` ions: the bound holds in 95 % or more."""
    rng = np.random.default_rng(n_ions + hops)
    p_hop = hops / (600 * n_ions / group)
    held = n = 0
    for _ in range(150):
        walk = lattice_walk(600, n_ions // group, p_hop, rng)
        found = measured([run_of(np.repeat(walk, group, axis=1), rng)])
        if found.d.upper_bound is not None:
            n += 1
            held += found.d.upper_bound > hopping(p_hop)
    assert n >= 40
    assert stats.binom.cdf(held, n, 0.95) > 0.01


def test_trajectories_are_split_by_mobile_ion_and_skip_equilibration():
    x = brownian(2e-3, 2000, np.random.default_rng(11))
    atoms = Atoms("Li" * N_MOBILE + "O" * N_HOST, cell=[20] * 3, pbc=True)
    fields = {
        "temperature": 900.0,
        "frame_interval_fs": INTERVAL,
        "n_steps": 2000,
        "group": "a",
        "engine": "test",
        "wall_s": 0.0,
    }
    trajectory = Trajectory.from_positions(x, atoms, **fields)
    found = diffusivity_of_trajectories([trajectory], "Li", 2.5, skip_fs=5000.0)
    direct = diffusivity([x[500:]], hop_distance=2.5, **(COMMON | {"temperature": 900.0}))
    assert found.temperature == 900.0
    assert found.time_ps == pytest.approx(14.99)
    assert found.d.value == pytest.approx(direct.d.value, rel=1e-4, abs=0)
    hot = Trajectory.from_positions(x, atoms, **(fields | {"temperature": 1200.0}))
    with pytest.raises(EvaluationError, match="one temperature"):
        diffusivity_of_trajectories([trajectory, hot], "Li", 2.5)


def test_runs_that_ended_early_make_d_inadmissible_by_name():
    x = brownian(2e-3, 1000, np.random.default_rng(3))
    atoms = Atoms(["Li"] * N_MOBILE + ["O"] * N_HOST, positions=x[0], cell=[20.0] * 3, pbc=True)
    fields = {
        "temperature": 900.0, "frame_interval_fs": INTERVAL, "n_steps": 1, "group": "a",
        "engine": "test", "wall_s": 0.0,
    }  # fmt: skip
    whole = Trajectory.from_positions(x, atoms, **fields)
    short = Trajectory.from_positions(x[:53], atoms, stopped="atoms too close", **fields)
    one = diffusivity_of_trajectories([whole], "Li", 2.5, skip_fs=500.0)
    assert one.d.admissible, one.d.reason
    # Too short to be used: the number is that of the others, but of survivors only.
    both = diffusivity_of_trajectories([short, whole], "Li", 2.5, skip_fs=500.0)
    assert both.d.value == one.d.value
    assert not both.d.admissible
    assert "1 of 2 runs ended early (at 900 K: atoms too close)" in both.d.reason
    # Long enough to be used, and still no whole run.
    half = Trajectory.from_positions(x[:900], atoms, stopped="too hot", **fields)
    alone = diffusivity_of_trajectories([half], "Li", 2.5, skip_fs=500.0)
    assert alone.d.value is not None
    assert not alone.d.admissible
    assert "1 of 1 runs ended early (at 900 K: too hot)" in alone.d.reason
    none = diffusivity_of_trajectories([short, short], "Li", 2.5, skip_fs=500.0)
    assert (none.d.value, none.d.admissible, none.msd, none.temperature) == (None, False, [], 900.0)
    assert "no run outlasts 500 fs of equilibration by 4 frames, got [53, 53]" in none.d.reason
    assert "2 of 2 runs ended early" in none.d.reason
    # What wasn't measured is missing, not 0.
    assert (none.n_eff, none.framework_msd, none.window_fs) == (None, None, None)
    assert moving_framework([none], 2.5) is None


def test_a_short_hop_distance_is_not_conservative():
    """Hops of length 2a counted by a are four times too many: the docstring's warning."""
    a, p_hop = 1.4, 0.002
    x = lattice(2 * a, p_hop, 3000, np.random.default_rng(12))
    short, true = (diffusivity([x], hop_distance=h, **COMMON) for h in (a, 2 * a))
    assert true.n_eff == pytest.approx(N_MOBILE * p_hop * 0.7 * 3000, rel=0.35, abs=0)
    assert short.n_eff == pytest.approx(4 * true.n_eff, rel=0.1)
    assert relative_error(short.n_eff) - 0.04 == pytest.approx(
        (relative_error(true.n_eff) - 0.04) / 2, rel=0.1
    )


def test_bad_input_is_refused_in_words():
    x = np.zeros((10, N_MOBILE + N_HOST, 3))
    common = COMMON | {"mobile": np.array([0]), "framework": np.array([], int)}
    with pytest.raises(EvaluationError, match="framework ion"):
        diffusivity([x], hop_distance=2.5, **common)
    with pytest.raises(EvaluationError, match="four or more frames"):
        diffusivity([x[:3]], hop_distance=2.5, **COMMON)
    with pytest.raises(EvaluationError, match="mobile ions"):
        diffusivity([x], hop_distance=2.5, **(COMMON | {"mobile": np.array([], int)}))
    with pytest.raises(EvaluationError, match="hop distance"):
        diffusivity([x], hop_distance=0.0, **COMMON)


def test_ions_that_stay_in_a_plane_have_no_d_across_it():
    rng = np.random.default_rng(5)
    walk = np.cumsum(rng.normal(scale=0.4, size=(400, 20, 3)), axis=0)
    walk[:, :, 2] = 0.0
    host = np.zeros((400, N_HOST, 3))
    found = diffusivity(
        [np.concatenate([walk, host], axis=1)], mobile=np.arange(20),
        framework=np.arange(20, 20 + N_HOST), hop_distance=2.5, temperature=500.0,
        frame_interval_fs=10.0,
    )  # fmt: skip
    along = found.conduction.axes
    assert [one.value is None for one in along] == [False, False, True]
    assert "may be 0" in along[2].reason
