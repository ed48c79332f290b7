from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ionloop.dashboard.figures import barriers
from ionloop.dashboard.pages import PARTS, ago, duration, parts, verdict
from ionloop.store.overview import Generation


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (59.6, "1 min"),
        (75, "1 min 15 s"),
        (3600, "1 h"),
        (90_061, "1 d 1 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds, said):
    assert duration(timedelta(seconds=seconds)) == said


def test_times_without_a_zone_are_utc():
    then = datetime.now(UTC) - timedelta(hours=2, minutes=5)
    assert ago(then) == ago(then.replace(tzinfo=None)) == "2 h ago"


def test_every_fireworks_state_is_counted_once():
    from fireworks import Firework

    states = set(Firework.STATE_RANKS) - {"ARCHIVED"}
    assert sorted(state for some in PARTS.values() for state in some) == sorted(
        states - {"OFFLINE"}
    )
    assert sum(parts(dict.fromkeys(states, 1)).values()) == 8


def test_a_generation_without_a_verdict():
    assert verdict(Generation(generation=0)) == "not judged yet"
    assert barriers([Generation(generation=0)]).startswith("No barriers yet")
