"""Synthetic histories whose end is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop.store.eta import TimedJob, concurrency, estimate, expected, makespan, spread


def done(stage: str, kind: str, *times: float, generation: int = 0, start: float = 0.0):
    """Make finished jobs one after another."""
    jobs = []
    for time in times:
        jobs.append(TimedJob(generation, stage, kind, start, start + time))
        start += time
    return jobs


def waiting(stage: str, kind: str, n: int, generation: int = 0):
    return [TimedJob(generation, stage, kind)] * n


def test_equal_jobs_one_at_a_time():
    found = estimate(done("label", "static", 10, 10) + waiting("label", "static", 3), 20.0)
    span = found.generation
    assert (span.low_s, span.expected_s, span.high_s) == (30.0, 30.0, 30.0)
    assert (found.at_once, found.unmeasured, found.campaign_max_s) == (1, [], None)


def test_two_at_once_take_half_as_long_and_an_odd_one_as_long_as_one():
    two = done("label", "static", 10) + done("label", "static", 10)
    assert concurrency(two) == 2
    four = estimate(two + waiting("label", "static", 4), 10.0).generation
    assert (four.low_s, four.high_s) == (20.0, 20.0)
    five = estimate(two + waiting("label", "static", 5), 10.0).generation
    assert (five.low_s, five.expected_s, five.high_s) == (30.0, 30.0, 30.0)


def test_a_running_job_has_run_for_a_while():
    jobs = [*done("train", "member", 100), TimedJob(0, "train", "member", 200.0)]
    assert estimate(jobs, 260.0).generation.expected_s == pytest.approx(40.0)
    assert estimate(jobs, 900.0).generation.high_s == 0.0  # it is overdue: nobody knows


def test_the_spread_of_durations_is_the_spread_of_the_end():
    jobs = done("label", "static", *range(1, 10)) + waiting("label", "static", 2)
    span = estimate(jobs, 45.0).generation
    # quartiles of 1..9 are 3, 5, 7
    assert (span.low_s, span.expected_s, span.high_s) == (6.0, 10.0, 14.0)
    assert spread([4.0, 1.0]) == (1.0, 2.5, 4.0)


def test_kinds_follow_each_other_at_worst():
    jobs = [*done("train", "member", 10), *done("train", "member", 10)]
    jobs += done("explore", "md", 30, start=10)
    jobs += waiting("train", "member", 1) + waiting("explore", "md", 1)
    span = estimate(jobs, 40.0).generation
    assert (span.low_s, span.high_s) == (30.0, 40.0)


def test_nothing_is_said_of_what_was_never_measured():
    jobs = done("label", "static", 10) + waiting("label", "static", 1) + waiting("train", "m", 2)
    found = estimate(jobs, 10.0)
    assert (found.generation, found.unmeasured) == (None, ["train: m"])
    assert estimate([], 0.0).generation is None
    assert estimate(waiting("seed", "md", 3), 0.0).generation is None


def test_nothing_left_is_no_span():
    assert estimate(done("label", "static", 10), 10.0).generation is None


def test_a_batch_that_hasnt_spread_itself_is_expected_as_large_as_the_last():
    before = done("label", "spread", 1) + done("label", "static", 10, 10, 10, start=1)
    here = waiting("label", "spread", 1, generation=1)
    assert expected(before + here, 1) == waiting("label", "static", 3, generation=1)
    assert estimate(before + here, 31.0).generation.expected_s == 31.0
    # once it has, what is there counts
    spread_itself = done("label", "spread", 1, generation=1, start=31)
    known = before + spread_itself + waiting("label", "static", 5, generation=1)
    assert estimate(known, 32.0).generation.expected_s == 50.0
    # a stage that is over, or that this generation doesn't have, adds nothing
    assert expected(before + spread_itself, 1) == []
    assert expected(done("seed", "md", 5) + here, 1) == []


def test_a_campaign_is_bound_by_its_longest_generation():
    jobs = done("label", "static", 10) + waiting("label", "static", 2)
    assert estimate(jobs, 10.0, [100.0, 120.0], 3).campaign_max_s == 20.0 + 3 * 120.0
    assert estimate(waiting("a", "b", 1), 0.0, [100.0], 1).campaign_max_s == 200.0
    assert estimate(jobs, 10.0, [], 3).campaign_max_s is None
    assert estimate(jobs, 10.0, [100.0], None).campaign_max_s is None


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.integers(1, 6))
def test_a_schedule_is_no_shorter_than_its_work_and_no_longer_than_all_in_a_row(times, at_once):
    found = makespan(times, at_once)
    assert found >= max(times) - 1e-9
    assert found >= sum(times) / at_once - 1e-6
    assert found <= sum(times) / at_once + max(times) + 1e-6


@given(
    st.lists(st.floats(0.1, 100), min_size=1, max_size=12),
    st.lists(st.floats(0.1, 100), min_size=1, max_size=12),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_the_ends_are_in_order(labels, members, n_labels, n_members):
    jobs = done("label", "static", *labels) + done("train", "member", *members)
    jobs += waiting("label", "static", n_labels) + waiting("train", "member", n_members)
    span = estimate(jobs, 1e6).generation
    if span:
        assert span.low_s <= span.expected_s + 1e-9
        assert span.expected_s <= span.high_s + 1e-9
