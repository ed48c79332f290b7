"""The activation energy of the hop rate, against counts drawn from a known one."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.evaluate.hop_rates import HOPS_MIN, count_hops, hop_activation
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


@pytest.mark.parametrize("counts", [(0, 0, 0), (1, 2, HOPS_MIN - 4), (0, 20, 30)])
def test_too_few_hops_give_no_number_but_a_reason(counts):
    found = hop_activation(rates(counts))
    assert found.value is None
    assert not found.admissible
    assert "hops at" in found.reason


@pytest.mark.parametrize("interval", [10.0, 50.0])
def test_hops_are_counted_after_the_skip_on_frames_50_fs_apart(interval):
    # Li on a line of sites 2 Å apart; one hop at 0.5 ps (skipped) and one at 3 ps.
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
        n_steps=1, group="g", engine="test", wall_s=0.0,
    )  # fmt: skip
    profile = Profile(
        name="x", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1}, small_cell_reason="test"
    )
    (found,) = count_hops([run], start, host, profile, skip_fs=1000.0)
    assert found.n_hops == 1
    assert found.ion_time_ps == pytest.approx(5.0, abs=0.1)
