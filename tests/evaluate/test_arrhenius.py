"""Exact D(T) must give E_a back; no hops must give none."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.evaluate.arrhenius import arrhenius, predict
from ionloop.evaluate.schema import Diffusivity, Estimate
from ionloop.units import KB_EV_PER_K

E_A, D_0 = 0.33, 2.5e-3
TEMPERATURES = (900.0, 1000.0, 1100.0, 1200.0)


def exact(temperature: float) -> float:
    return D_0 * np.exp(-E_A / (KB_EV_PER_K * temperature))


def point(temperature, value, rsd=0.05, *, admissible=True, n_eff=500.0):
    return Diffusivity(
        temperature=temperature,
        d=Estimate(
            value=value,
            error=None if value is None else rsd * value,
            unit="cm²/s",
            estimator="test",
            admissible=admissible,
            reason=None if admissible else "too few hops",
        ),
        n_eff=n_eff,
        alpha=1.0,
        window_fs=(1.0, 2.0),
        msd_time_fs=[],
        msd=[],
        framework_msd=0.0,
        time_ps=1.0,
    )


def test_exact_points_give_the_energy_back():
    points = [
        point(t, exact(t), rsd) for t, rsd in zip(TEMPERATURES, (0.3, 0.1, 0.2, 0.05), strict=True)
    ]
    found = arrhenius(points, "teacher")
    assert found.activation_energy.value == pytest.approx(E_A, abs=1e-9)
    assert np.exp(found.ln_d0) == pytest.approx(D_0, rel=1e-8)
    assert found.activation_energy.admissible
    assert found.activation_energy.unit == "eV"


def test_error_is_the_closed_form_of_a_straight_line():
    rsd = 0.05
    found = arrhenius([point(t, exact(t), rsd) for t in TEMPERATURES], "teacher")
    x = 1 / (KB_EV_PER_K * np.array(TEMPERATURES))
    assert found.activation_energy.error == pytest.approx(
        rsd / np.sqrt(((x - x.mean()) ** 2).sum()), rel=1e-9
    )
    # Four temperatures of 900 to 1200 K with 5 % each: ±0.021 eV.
    assert found.activation_energy.error == pytest.approx(0.021, abs=0.002)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        values = [exact(t) * np.exp(0.1 * rng.normal()) for t in TEMPERATURES]
        points = [point(t, v, 0.1) for t, v in zip(TEMPERATURES, values, strict=True)]
        found = arrhenius(points, "teacher").activation_energy
        # One line in a hundred is taken for two, and counts as a miss.
        hits += found.value is not None and abs(found.value - E_A) < found.error
    assert hits / 300 == pytest.approx(0.683, abs=0.08)


def test_points_without_hops_give_no_energy():
    points = [point(t, None, admissible=False) for t in TEMPERATURES]
    found = arrhenius(points, "model")
    assert found.activation_energy.value is None
    assert found.activation_energy.error is None
    assert "0 of 4 temperatures" in found.activation_energy.reason
    assert found.covariance is None
    assert len(found.points) == 4


def test_two_temperatures_are_too_few_however_many_runs():
    points = [point(t, exact(t)) for t in (900.0, 900.0, 1200.0)]
    found = arrhenius(points, "model").activation_energy
    assert found.value is None
    assert "expected 3 or more" in found.reason


def test_a_weak_point_is_used_and_named():
    points = [point(t, exact(t)) for t in TEMPERATURES[1:]]
    points.append(point(900.0, exact(900.0), 1.3, admissible=False, n_eff=7.0))
    found = arrhenius(points, "model").activation_energy
    assert found.value == pytest.approx(E_A, abs=1e-9)
    assert not found.admissible
    assert "900 K (N_eff 7)" in found.reason


LADDER = (500.0, 570.0, 650.0, 730.0, 800.0, 900.0, 1000.0)


def test_no_line_goes_through_a_transition():
    points = [point(t, exact(t) * (5 if t > 750 else 1)) for t in LADDER]
    found = arrhenius(points, "model")
    assert found.transition == "between 730 and 800 K"
    assert found.activation_energy.value == pytest.approx(E_A, abs=1e-9)
    assert found.activation_energy.admissible
    assert "4 temperatures below the transition" in found.activation_energy.estimator
    assert found.room.d.value == pytest.approx(exact(300.0), rel=1e-7, abs=0)


def test_a_change_of_slope_without_a_jump_is_a_transition_too():
    knee = 750.0
    hot = [exact(t) * np.exp(0.2 / KB_EV_PER_K * (1 / t - 1 / knee)) for t in LADDER]
    points = [point(t, h if t > knee else exact(t)) for t, h in zip(LADDER, hot, strict=True)]
    found = arrhenius(points, "model")
    assert found.transition is not None
    assert found.activation_energy.value == pytest.approx(E_A, abs=0.02)


def test_too_few_points_below_a_transition_give_no_energy():
    points = [point(t, exact(t) * (5 if t > 600 else 1)) for t in LADDER]
    found = arrhenius(points, "model")
    assert found.transition == "between 570 and 650 K"
    assert found.activation_energy.value is None
    assert not found.activation_energy.admissible
    assert "break between 570 and 650 K" in found.activation_energy.reason
    assert found.room is None


def test_three_points_off_a_line_are_flagged():
    points = [point(t, exact(t) * (3 if t == 1000.0 else 1)) for t in (900.0, 1000.0, 1100.0)]
    found = arrhenius(points, "model").activation_energy
    assert not found.admissible
    assert "one line" in found.reason


def test_one_line_is_seldom_broken():
    rng = np.random.default_rng(1)
    broken = 0
    for _ in range(200):
        points = [point(t, exact(t) * np.exp(0.1 * rng.normal()), 0.1) for t in LADDER]
        broken += arrhenius(points, "model").transition is not None
    assert broken / 200 < 0.04


def test_300_k_is_extrapolated_with_its_interval_unless_runs_are_there():
    points = [point(t, exact(t), 0.05) for t in TEMPERATURES]
    found = arrhenius(points, "model").room
    assert found.how == "extrapolated"
    assert found.d.value == pytest.approx(exact(300.0), rel=1e-7, abs=0)
    _, error = predict(arrhenius(points, "model"), np.array([300.0]))
    low, high = found.d.interval
    assert np.log(high / low) == pytest.approx(2 * 1.645 * error[0], rel=1e-3)
    assert found.decades == pytest.approx(np.log10(high / low))
    assert "from 900 K" in found.d.estimator
    there = point(300.0, exact(300.0))
    there.d.interval = (0.9 * exact(300.0), 1.1 * exact(300.0))
    direct = arrhenius([*points, there], "model").room
    assert direct.how == "direct"
    assert direct.d == there.d


def test_a_doubtful_point_at_300_k_gives_way_to_a_line_that_may_be_believed():
    points = [point(t, exact(t), 0.05) for t in TEMPERATURES]
    weak = point(300.0, 2 * exact(300.0), 1.5, admissible=False)
    weak.d.interval = (0.1 * exact(300.0), 9 * exact(300.0))
    alone = arrhenius([*points, weak], "model")
    # The weak point is on the line, so that neither may be believed: the runs themselves count.
    assert alone.room.how == "direct"
    weak.d.error = None  # such a point isn't fitted
    found = arrhenius([*points, weak], "model")
    assert (found.room.how, found.room.d.admissible) == ("extrapolated", True)


def test_a_skewed_interval_moves_the_point_to_its_middle_in_ln():
    points = [point(t, exact(t)) for t in TEMPERATURES]
    for p in points:
        p.d.interval = (p.d.value / 2, p.d.value * 8)
    found = arrhenius(points, "model")
    assert np.exp(found.ln_d0) == pytest.approx(2 * D_0, rel=1e-7)


def test_prediction_passes_through_exact_points_with_growing_error():
    found = arrhenius([point(t, exact(t)) for t in TEMPERATURES], "teacher")
    d, error = predict(found, np.array([300.0, 1050.0]))
    assert d == pytest.approx([exact(300.0), exact(1050.0)], rel=1e-7, abs=0)
    assert error[0] > 10 * error[1]


def test_prediction_without_a_fit_is_refused():
    with pytest.raises(ValueError, match="no Arrhenius fit"):
        predict(arrhenius([], "model"), np.array([300.0]))
