"""Labels that an error costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionloop.errors import EvaluationError
from ionloop.select.label_efficiency import labels_to_reach, mean_interval

COUNTS = [40, 80, 160, 320]


@given(exponent=st.floats(0.05, 2.0), prefactor=st.floats(1e-3, 1e3), n=st.floats(41, 319))
def test_a_power_law_is_met_exactly(exponent, prefactor, n):
    errors = [prefactor * c**-exponent for c in COUNTS]
    assert labels_to_reach(COUNTS, errors, prefactor * n**-exponent) == pytest.approx(n, rel=1e-6)


def test_what_is_never_reached_and_what_is_reached_at_once():
    assert labels_to_reach(COUNTS, [4, 3, 2, 1.0], 0.9) is None
    assert labels_to_reach(COUNTS, [4, 3, 2, 1.0], 5.0) == 40
    assert labels_to_reach(COUNTS, [4, 3, 2, 1.0], 1.0) == pytest.approx(320)


def test_the_first_time_counts_where_a_curve_turns_back():
    assert labels_to_reach(COUNTS, [4, 1.0, 3, 0.5], 1.5) < 80


@pytest.mark.parametrize(
    ("counts", "errors"), [([40, 40], [1, 1]), ([40], [1, 2]), ([], []), ([40, 80], [1, 0])]
)
def test_bad_curves_are_refused(counts, errors):
    with pytest.raises(EvaluationError, match="expected rising counts"):
        labels_to_reach(counts, errors, 1.0)


def test_the_interval_of_a_mean_covers_as_it_says():
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(2000):
        _, interval = mean_interval(rng.normal(1.0, 0.3, 3).tolist())
        hits += interval[0] <= 1.0 <= interval[1]
    assert hits / 2000 == pytest.approx(0.9, abs=0.02)
    assert mean_interval([2.0]) == (2.0, None)
