"""Each criterion can pass and fail; caps stop; reasons carry numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ionloop.errors import EvaluationError
from ionloop.judge.criteria import log_rate_change
from ionloop.judge.schema import Criterion, HopRate, Judgement, Limits, Metrics
from ionloop.judge.verdict import judge
from ionloop.profile import Budget

PATH = "Li-Li 2.76 A #0"
LIMITS = Limits()
BUDGET = Budget(labels_max=400, generations_max=8)


def rate(n_hops: int, time: float = 200.0, temperature: float = 900.0) -> HopRate:
    return HopRate(temperature=temperature, n_hops=n_hops, ion_time_ps=time)


def metrics(generation: int, **fields: object) -> Metrics:
    own = {
        "generation": generation,
        "n_labels": 100,
        "barriers": {PATH: 0.330},
        "barrier_spread": {PATH: 0.005},
        "hop_rates": [rate(50)],
        "trusted_share": 0.99,
        "unphysical_events": 0,
        "rmse_forces": 0.05,
        "coverage_90": 0.9,
        "n_selected": 30,
        **fields,
    }
    return Metrics(**own)


def verdict(before: dict[str, object], now: dict[str, object], **budget: int) -> Judgement:
    own = BUDGET.model_copy(update=budget)
    return judge([metrics(1, **before), metrics(2, **now)], own, LIMITS)


def criterion(judgement: Judgement, name: str) -> Criterion:
    return next(c for c in judgement.criteria if c.name == name)


def test_all_settled_converges() -> None:
    result = verdict({}, {})
    assert result.converged
    assert result.stop
    assert all(c.passed for c in result.criteria)
    assert result.reasons[-1] == "converged: all 6 criteria pass"
    assert len(result.reasons) == 7


def test_one_generation_never_converges() -> None:
    result = judge([metrics(0)], BUDGET, LIMITS)
    assert not result.converged
    assert not result.stop
    failed = [c for c in result.criteria if not c.passed]
    assert {c.name for c in failed} == {"barrier_change", "hop_rate_change"}
    assert all(c.value is None and "can't be judged" in c.reason for c in failed)
    assert result.reasons[-1].endswith("going on")


@pytest.mark.parametrize(
    ("name", "before", "now", "value"),
    [
        ("barrier_change", {}, {"barriers": {PATH: 0.341}}, 0.011),
        ("barrier_change", {"barriers": {PATH: 0.345}}, {}, 0.015),
        ("barrier_change", {}, {"barriers": {PATH: 0.33, "other": 1.2}}, None),
        ("barrier_change", {"barriers": {}}, {"barriers": {}}, None),
        ("barrier_change", {}, {"barriers": {PATH: math.nan}}, None),
        ("barrier_spread", {}, {"barrier_spread": {PATH: 0.001, "b": 0.031}}, 0.031),
        ("barrier_spread", {}, {"barrier_spread": {}}, None),
        ("barrier_spread", {}, {"barrier_spread": {PATH: 0.001, "b": math.nan}}, None),
        ("hop_rate_change", {}, {"hop_rates": [rate(150)]}, math.log(150.5 / 50.5)),
        ("hop_rate_change", {}, {"hop_rates": [rate(0)]}, math.log(50.5 / 0.5)),
        ("hop_rate_change", {"hop_rates": [rate(0)]}, {"hop_rates": [rate(0)]}, None),
        ("hop_rate_change", {"hop_rates": [rate(0)]}, {"hop_rates": [rate(2)]}, None),
        ("hop_rate_change", {"hop_rates": [rate(12)]}, {"hop_rates": [rate(9)]}, None),
        ("hop_rate_change", {}, {"hop_rates": [rate(50, time=0.0)]}, None),
        ("barrier_change", {}, {"unconverged_bands": ["other"]}, None),
        ("barrier_change", {"unconverged_bands": ["other"]}, {}, None),
        ("hop_rate_change", {}, {"hop_rates": [rate(50, temperature=600)]}, None),
        ("trusted_share", {}, {"trusted_share": 0.949}, 0.949),
        ("trusted_share", {}, {"trusted_share": math.nan}, None),
        ("unphysical_events", {}, {"unphysical_events": 1}, 1.0),
    ],
)
def test_each_criterion_can_fail_alone(
    name: str, before: dict[str, object], now: dict[str, object], value: float | None
) -> None:
    result = verdict(before, now)
    assert [c.name for c in result.criteria if not c.passed] == [name]
    assert not result.converged
    assert not result.stop
    found = criterion(result, name).value
    assert found is None if value is None else found == pytest.approx(value)
    assert name in result.reasons[-1]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {"barriers": {PATH: 0.3395}}),
        ({}, {"barrier_spread": {PATH: 0.0299}}),
        ({}, {"hop_rates": [rate(70)]}),  # a factor 1.4
        ({"hop_rates": [rate(10)]}, {"hop_rates": [rate(18)]}),  # a factor 1.8, by chance
        ({"hop_rates": [rate(50)]}, {"hop_rates": [rate(100, time=400)]}),
        ({}, {"trusted_share": 0.95}),
    ],
)
def test_small_changes_pass(before: dict[str, object], now: dict[str, object]) -> None:
    assert verdict(before, now).converged


def test_worst_path_and_worst_temperature_decide() -> None:
    old_rates, new_rates = ([rate(50), rate(n, temperature=600)] for n in (10, 60))
    result = verdict(
        {"barriers": {"a": 0.30, "b": 0.40}, "hop_rates": old_rates},
        {"barriers": {"a": 0.302, "b": 0.42}, "hop_rates": new_rates},
    )
    assert "b went from 400.0 to 420.0 meV" in criterion(result, "barrier_change").reason
    reason = criterion(result, "hop_rate_change").reason
    assert "at 600 K 10 hops in 200 ion-ps, then 60" in reason


def test_silent_temperature_is_named_and_does_not_block() -> None:
    rates = [rate(50), rate(0, temperature=600)]
    result = verdict({"hop_rates": rates}, {"hop_rates": rates})
    assert result.converged
    assert "no hops in either generation at 600 K" in criterion(result, "hop_rate_change").reason


def hops(before: list[HopRate], now: list[HopRate]) -> Criterion:
    return criterion(verdict({"hop_rates": before}, {"hop_rates": now}), "hop_rate_change")


def test_a_few_hops_settle_nothing() -> None:
    found = hops([rate(0)], [rate(2)])
    assert found.reason == (
        "change of hop rates: too few hops to tell (0 and 2, need 10 each)"
    )  # fmt: skip
    assert not hops([rate(9)], [rate(10)]).passed
    assert hops([rate(10)], [rate(10)]).passed


def test_hops_of_shared_temperatures_are_pooled_and_others_are_not() -> None:
    cold, alone = rate(4, temperature=600), rate(90, temperature=1200)
    assert hops([rate(6), cold], [rate(6), cold, alone]).passed
    assert "too few hops to tell (6 and 6, need" in hops([rate(6), cold], [rate(6), alone]).reason


def test_a_change_too_large_for_chance_is_called_so_however_few_the_hops() -> None:
    found = hops([rate(50)], [rate(0)])
    assert found.reason.startswith("hop rates still change: at 900 K 50 hops in 200 ion-ps, then 0")
    assert not found.passed


def test_a_rate_that_changes_fails_with_many_hops_elsewhere() -> None:
    steady = rate(100, temperature=600)
    assert not hops([rate(2), steady], [rate(40), steady]).passed


def test_an_unconverged_band_is_named() -> None:
    """Also where it's missing from both generations, so that nothing differs."""
    path = "Li-Li 3.9 A #1"
    both = {"unconverged_bands": [path]}
    assert criterion(verdict(both, both), "barrier_change").reason == (
        f"change of barriers: can't be judged: band of {path} not converged in generation 1, "
        f"band of {path} not converged in generation 2"
    )


@pytest.mark.parametrize(
    ("n", "reason"),
    [
        (0, "no runs or bands that ended early"),
        (1, "1 run or band that ended early (limit 0)"),
        (3, "3 runs or bands that ended early (limit 0)"),
    ],
)
def test_early_ends_are_called_that(n: int, reason: str) -> None:
    assert criterion(verdict({}, {"unphysical_events": n}), "unphysical_events").reason == reason


@pytest.mark.parametrize(
    ("budget", "now", "words"),
    [
        ({"generations_max": 3}, {}, "generation 2 is the last of 3"),
        ({"labels_max": 100}, {}, "100 labels are spent, of 100 (Budget.labels_max)"),
        ({"labels_max": 120}, {"n_spent": 120}, "120 labels are spent, of 120"),
        ({}, {"n_selected": 0}, "no new frame"),
    ],
)
def test_caps_stop_without_convergence(
    budget: dict[str, int], now: dict[str, object], words: str
) -> None:
    result = verdict({}, {"unphysical_events": 2, **now}, **budget)
    assert result.stop
    assert not result.converged
    assert words in result.reasons[-1]
    assert not verdict({}, {"unphysical_events": 2}).stop


@pytest.mark.parametrize(
    ("n_spent", "stops"), [(119, True), (120, True), (118, False), (None, False)]
)
def test_labels_kept_for_the_test_set_are_as_good_as_spent(
    n_spent: int | None, *, stops: bool
) -> None:
    """Refused labels cost as much as admitted ones; of these there are 100."""
    budget = BUDGET.model_copy(update={"labels_max": 135})
    now = metrics(2, n_spent=n_spent, n_selected=0 if stops else 9, unphysical_events=1)
    result = judge([metrics(1), now], budget, LIMITS, reserve=16)
    assert result.stop is stops
    if stops:
        assert result.reasons[-1] == (
            f"stopped: {n_spent} labels are spent, of 135 (Budget.labels_max), and 16 are kept "
            "for the test set"
        )
        assert not any("no new frame" in reason for reason in result.reasons)


def test_rate_interval_has_its_coverage() -> None:
    """Equal rates are called different in about 10 % of trials, at most."""
    rng = np.random.default_rng(0)
    false_alarms = 0
    for n_old, n_new in rng.poisson([30, 60], size=(2000, 2)):
        change, allowed = log_rate_change(rate(n_old), rate(n_new, time=400.0), 0.9)
        false_alarms += abs(change) > allowed
    assert false_alarms / 2000 == pytest.approx(0.1, abs=0.03)


def test_rate_change_of_large_counts_is_normal() -> None:
    """var ln(k₂/k₁) = 1/n₁ + 1/n₂."""
    change, allowed = log_rate_change(rate(4000), rate(8000), 0.9)
    assert change == pytest.approx(math.log(2), abs=1e-3)
    assert allowed == pytest.approx(1.6449 * math.sqrt(1 / 4000 + 1 / 8000), rel=0.02)


def test_rate_change_is_antisymmetric() -> None:
    one = log_rate_change(rate(3), rate(17, time=100.0), 0.9)
    two = log_rate_change(rate(17, time=100.0), rate(3), 0.9)
    assert one[0] == pytest.approx(-two[0])
    assert one[1] == pytest.approx(two[1])


@pytest.mark.parametrize("generations", [[], [2, 1], [1, 1]])
def test_bad_history_is_refused(generations: list[int]) -> None:
    with pytest.raises(EvaluationError, match="in order"):
        judge([metrics(g) for g in generations], BUDGET, LIMITS)


def test_hops_in_events_move_a_rate_less_surely_than_single_ones() -> None:
    """Twice the rate on 40 and 80 hops is sure; not if they came in events of ten."""
    single = [HopRate(temperature=900, n_hops=n, ion_time_ps=400.0) for n in (40, 80)]
    events = [one.model_copy(update={"n_effective": one.n_hops / 10}) for one in single]
    change, allowed = log_rate_change(*single, 0.9)
    assert change > allowed
    change, allowed = log_rate_change(*events, 0.9)
    assert change < allowed
    assert events[0].independent == pytest.approx((4.0, 40.0))
    assert HopRate(temperature=900, n_hops=0, ion_time_ps=7.0, n_effective=0).independent == (0, 7)


def test_hops_that_came_back_must_have_settled() -> None:
    settled = [("found, 1 ion: a", 0.300, 0.304), ("found, 2 ions: a + a", 0.41, 0.409)]
    result = criterion(verdict({}, {"found_barriers": settled}), "found_barrier_change")
    assert result.passed
    assert result.value == pytest.approx(0.004)
    assert "found, 1 ion: a went from 300.0 to 304.0 meV, the largest change of 2" in result.reason
    moved = [*settled, ("found, 1 ion: b", 0.5, 0.47)]
    result = criterion(verdict({}, {"found_barriers": moved}), "found_barrier_change")
    assert not result.passed
    assert "still move: found, 1 ion: b went from 500.0 to 470.0 meV" in result.reason


def test_a_hop_that_came_back_without_a_band_can_t_be_judged() -> None:
    result = criterion(verdict({}, {"found_unconverged": 2}), "found_barrier_change")
    assert not result.passed
    assert "2 of them have no converged band any more" in result.reason


def test_hops_that_are_new_hold_nothing_up() -> None:
    result = criterion(verdict({}, {}), "found_barrier_change")
    assert result.passed
    assert result.reason == "barriers of hops that MD showed: none has come back"
