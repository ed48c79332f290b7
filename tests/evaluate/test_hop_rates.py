"""The activation energy of the hop rate, against counts drawn from a known one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ionloop.evaluate.hop_rates import (
    HOPS_MIN,
    P_VALUE_MIN,
    Misfit,
    count_hops,
    hop_activation,
    misfit,
)
from ionloop.evaluate.jobs import choose_test_frames, measure_transport, trajectories_of
from ionloop.explore.schema import Exploration
from ionloop.frame import Frame, Origin
from ionloop.judge.schema import HopRate
from ionloop.profile import Profile
from ionloop.reference.schema import Trajectory
from ionloop.units import KB_EV_PER_K

E_A = 0.35
TEMPERATURES = (1000.0, 1250.0, 1500.0)


def rates(counts, ion_time_ps=200.0):
    return [
        HopRate(temperature=t, n_hops=int(n), ion_time_ps=ion_time_ps)
        for t, n in zip(TEMPERATURES, counts, strict=True)
    ]


def expected(total_at_hottest: float) -> np.ndarray:
    x = 1 / (KB_EV_PER_K * np.array(TEMPERATURES))
    return total_at_hottest * np.exp(-E_A * (x - x[-1]))


def test_exact_counts_give_the_exact_energy():
    found = hop_activation(rates(np.rint(expected(1e9))))
    assert found.value == pytest.approx(E_A, abs=1e-6)
    assert found.unit == "eV"


def test_the_interval_covers_two_thirds_at_few_hops():
    rng = np.random.default_rng(0)
    hits, widths = [], []
    for counts in rng.poisson(expected(15.0), size=(400, 3)):
        found = hop_activation(rates(counts))
        if found.value is not None:
            hits.append(abs(found.value - E_A) < found.error)
            widths.append(found.error)
    assert len(hits) > 350
    assert 0.61 < np.mean(hits) < 0.78
    assert np.mean(widths) > 0.05


def test_twice_the_time_with_twice_the_hops_is_the_same_energy():
    once = hop_activation(rates([5, 9, 14]))
    twice = hop_activation(rates([10, 18, 28], ion_time_ps=400.0))
    assert twice.value == pytest.approx(once.value, rel=1e-9)
    assert twice.error == pytest.approx(once.error / np.sqrt(2), rel=1e-9)


def test_misfit_is_the_formula_on_counts_by_hand():
    # Rate 0.1/ps at every temperature (E = 0) in 100 ion-ps: 10 hops are expected each.
    found = misfit(rates([10, 20, 0], ion_time_ps=100.0), np.array([np.log(0.1), 0.0]))
    assert found.deviance == pytest.approx(2 * (20 * np.log(2) - 10 + 10))
    assert found.pearson == pytest.approx(0 + 10 + 10)
    assert found.freedom == 1


def test_p_value_and_dispersion_are_those_of_chi_square():
    assert Misfit(6.635, 4.0, 1).p_value == pytest.approx(0.01, rel=1e-3)
    assert Misfit(9.210, 4.0, 2).p_value == pytest.approx(0.01, rel=1e-3)
    assert Misfit(9.0, 4.0, 2).dispersion == pytest.approx(2.0)
    assert Misfit(9.0, 1.0, 2).dispersion == 1.0


def test_counts_on_one_line_are_admissible():
    found = hop_activation(rates(np.rint(expected(500.0))))
    assert found.admissible
    assert found.reason is None
    assert "overdispersion" not in found.estimator


@pytest.mark.parametrize("middle", [0.5, 2.0])
def test_counts_on_a_bent_line_are_not(middle):
    counts = expected(500.0) * [1.0, middle, 1.0]
    found = hop_activation(rates(np.rint(counts)))
    assert found.value is not None
    assert not found.admissible
    assert "don't lie on one Arrhenius line (deviance" in found.reason
    assert "1 degree of freedom" in found.reason


def test_overdispersed_counts_widen_the_error_and_say_so():
    """Hops in bursts of four: counts have four times Poisson's variance."""
    rng = np.random.default_rng(1)
    temperatures = np.linspace(1000.0, 1500.0, 12)
    mean = 60.0 * np.exp(-E_A / KB_EV_PER_K * (1 / temperatures - 1 / 1500.0))
    hits, narrow, scales = [], [], []
    for bursts in rng.poisson(mean / 4, size=(100, 12)):
        counts = [
            HopRate(temperature=t, n_hops=int(4 * n), ion_time_ps=200.0)
            for t, n in zip(temperatures, bursts, strict=True)
        ]
        found = hop_activation(counts)
        _, _, words = found.estimator.partition("error times ")
        scale = float(words.split()[0]) if words else 1.0
        scales.append(scale)
        hits.append(abs(found.value - E_A) < found.error)
        narrow.append(abs(found.value - E_A) < found.error / scale)
    assert np.mean(scales) == pytest.approx(2.0, rel=0.15)
    assert 0.55 < np.mean(hits) < 0.8
    assert np.mean(narrow) < 0.5


def test_true_lines_of_few_hops_are_seldom_refused():
    """The chi-square law is approximate for few counts; 1 % is meant."""
    refused = []
    for counts in np.random.default_rng(5).poisson(expected(15.0), size=(600, 3)):
        found = hop_activation(rates(counts))
        if found.value is not None:
            refused.append(not found.admissible)
    # Of 600 at a true 1 %, more than 2 % happen with probability 1 %.
    assert stats.binom.sf(0.02 * len(refused), len(refused), P_VALUE_MIN) < 0.02
    assert np.mean(refused) < 0.02


@pytest.mark.parametrize("counts", [(0, 1, 2), (20, 40, 60)])
def test_runs_that_ended_early_are_named_with_or_without_a_number(counts):
    words = "1 of 3 runs ended early (at 1500 K: too hot)"
    found = hop_activation(rates(counts), words)
    assert not found.admissible
    assert words in found.reason
    assert (found.value is None) == (sum(counts) < HOPS_MIN)


@pytest.mark.parametrize("counts", [(0, 0, 0), (1, 2, HOPS_MIN - 4), (0, 20, 30)])
def test_too_few_hops_give_no_number_but_a_reason(counts):
    found = hop_activation(rates(counts))
    assert found.value is None
    assert not found.admissible
    assert "hops at" in found.reason


def run_on_a_line(interval, stopped=None):
    """Li on a line of sites 2 Å apart; one hop at 0.5 ps and one at 3 ps of 6."""
    cell = np.diag([8.0, 6.0, 6.0])
    sites = [[0, 0, 0], [2, 0, 0], [4, 0, 0], [6, 0, 0]]
    host = Frame(
        symbols=["Li"] * 4 + ["Cl"], positions=[*sites, [1, 3, 3]], cell=cell.tolist(),
        origin=Origin.AIMD, group="host",
    )  # fmt: skip
    start = host.model_copy(update={"symbols": ["Li", "Cl"], "positions": [[0, 0, 0], [1, 3, 3]]})
    times = np.arange(0, 6000.0, interval)
    positions = np.zeros((len(times), 2, 3))
    positions[:, 1] = [1, 3, 3]
    positions[times >= 500, 0, 0] = 2.0
    positions[times >= 3000, 0, 0] = 4.0
    run = Trajectory.from_positions(
        positions, start.to_atoms(), temperature=1000.0, frame_interval_fs=interval,
        n_steps=1, stopped=stopped, group="g", engine="test", wall_s=0.0,
    )  # fmt: skip
    profile = Profile(
        name="x", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1}, small_cell_reason="test"
    )
    return run, start, host, profile


@pytest.mark.parametrize("interval", [10.0, 50.0])
def test_hops_are_counted_after_the_skip_on_frames_50_fs_apart(interval):
    run, start, host, profile = run_on_a_line(interval)
    (found,) = count_hops([run], start, host, profile, skip_fs=1000.0)
    assert found.n_hops == 1
    assert found.ion_time_ps == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize("stopped", [None, "too hot"])
def test_a_run_that_ended_early_is_named_at_d_and_at_the_hop_rate(stopped):
    run, start, host, profile = run_on_a_line(50.0, stopped)
    found = measure_transport.original([run], "x", start, host, profile, 2.0, 1000.0)
    for estimate in (found.points[0].d, found.hop_activation_energy):
        assert ("ended early (at 1000 K: too hot)" in estimate.reason) == (stopped is not None)


def test_hops_in_events_give_the_same_energy_with_a_larger_error():
    single = rates([20, 45, 90])
    events = [r.model_copy(update={"n_effective": r.n_hops / 4}) for r in single]
    alone, together = hop_activation(single), hop_activation(events)
    assert together.value == pytest.approx(alone.value)
    assert together.error == pytest.approx(2 * alone.error)
    assert "worth 39 independent ones" in together.estimator


def test_hops_may_be_counted_between_density_peaks():
    run, start, host, profile = run_on_a_line(50.0)
    density = profile.model_copy(update={"sites": "density"})
    (found,) = count_hops([run], start, host, density, skip_fs=0.0)
    assert (found.n_hops, found.n_effective) == (2, 2.0)


def test_biased_runs_give_neither_rates_nor_test_frames():
    run, start, host, profile = run_on_a_line(50.0)
    frame = start.model_copy(update={"origin": Origin.RANDOM, "uncertainty": 0.1})
    plain = Exploration(
        generation=0, temperature=1000.0, group="r", n_mobile=1, time_ps=6.0, unphysical=False,
        hops=[], n_checked=1, n_trusted=1, sigma_quantiles=[], frames=[frame], trajectory=run,
        wall_s=1.0,
    )  # fmt: skip
    biased = plain.model_copy(update={"bias": "tilt 0.1 eV/Å"})
    assert trajectories_of([[plain, biased], run]) == [run, run]
    both = measure_transport.original([[plain, biased]], "x", start, host, profile, 2.0, 1000.0)
    alone = measure_transport.original([[plain]], "x", start, host, profile, 2.0, 1000.0)
    assert both == alone
    assert alone.hop_rates[0].n_hops == 1
    assert len(choose_test_frames.original([[plain, plain]], 9, 0).frames) == 2
    assert len(choose_test_frames.original([[plain, biased]], 9, 0).frames) == 1
