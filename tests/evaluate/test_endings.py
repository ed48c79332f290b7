"""A run that ended early must be seen, counted and named; a whole one must not."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ionloop.evaluate.endings import doubt, early_endings
from ionloop.evaluate.schema import Estimate
from ionloop.reference.schema import Trajectory


def run(n_frames, *, stopped=None, temperature=900.0, interval=10.0):
    return Trajectory.from_positions(
        np.zeros((n_frames, 2, 3)), Atoms("LiO", cell=[9.0] * 3, pbc=True),
        temperature=temperature, frame_interval_fs=interval, n_steps=n_frames, stopped=stopped,
        group="a", engine="test", wall_s=0.0,
    )  # fmt: skip


def test_whole_runs_are_none_early():
    assert early_endings([]) is None
    assert early_endings([run(50), run(50)]) is None
    # Another temperature or interval may be planned shorter.
    assert early_endings([run(50), run(30, temperature=1200.0), run(10, interval=50.0)]) is None


def test_stopped_runs_are_counted_with_temperature_and_cause():
    words = early_endings([run(20, stopped="too hot"), run(50), run(50, temperature=1200.0)])
    assert words.startswith("1 of 3 runs ended early (at 900 K: too hot)")


def test_a_run_that_stopped_alone_is_found_without_siblings():
    assert "1 of 1 runs" in early_endings([run(20, stopped="too hot")])


def test_a_run_shorter_than_its_siblings_is_found_without_a_cause():
    words = early_endings([run(50), run(49), run(50)])
    assert "1 of 3 runs ended early (at 900 K: shorter than its siblings)" in words


def test_causes_are_named_once_and_at_most_three():
    runs = [run(20, stopped=f"cause {i % 5}") for i in range(10)]
    words = early_endings(runs)
    assert "10 of 10" in words
    assert [words.count(f"cause {i}") for i in range(5)] == [1, 1, 1, 0, 0]
    assert "and 2 more" in words


def test_doubt_adds_to_what_is_doubted_already():
    sure = Estimate(value=1.0, unit="eV", estimator="x", admissible=True)
    assert doubt(sure, None) == sure
    once = doubt(sure, "first")
    assert (once.value, once.admissible, once.reason) == (1.0, False, "first")
    assert doubt(once, "second").reason == "first; second"
    assert sure.admissible
