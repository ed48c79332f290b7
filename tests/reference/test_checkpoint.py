"""Checkpoints: atomic, of one run only, and with the wall time of all launches."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from ionloop.reference.checkpoint import Checkpoint


def test_arrays_come_back(tmp_path: Path) -> None:
    path = tmp_path / "md.npz"
    assert Checkpoint(path, "r").load() is None
    Checkpoint(path, "r").save(x=np.arange(3.0), words=np.array("abc"))
    state = Checkpoint(path, "r").load()
    assert set(state) == {"x", "words"}
    assert np.array_equal(state["x"], np.arange(3.0))
    assert str(state["words"]) == "abc"


def test_another_run_s_file_is_left_unread_and_overwritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "md.npz"
    np.savez(path, x=1.0)  # of another program
    with caplog.at_level(logging.WARNING):
        assert Checkpoint(path, "r").load() is None
    assert "is of another run" in caplog.text
    Checkpoint(path, "r").save(x=np.ones(1))
    assert Checkpoint(path, "s").load() is None
    Checkpoint(path, "s").save(x=np.zeros(1))
    assert Checkpoint(path, "s").load()["x"] == [0.0]


def test_a_kill_while_it_writes_leaves_the_old_state(tmp_path: Path) -> None:
    path = tmp_path / "md.npz"
    Checkpoint(path, "r").save(x=np.ones(1))
    (tmp_path / "md.tmp.npz").write_bytes(b"half a f")
    assert Checkpoint(path, "r").load()["x"] == [1.0]
    Checkpoint(path, "r").save(x=np.zeros(1))
    assert [file.name for file in tmp_path.iterdir()] == ["md.npz"]


def test_wall_time_adds_up_and_decides_when_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("ionloop.reference.checkpoint.time.monotonic", lambda: clock[0])
    first = Checkpoint(tmp_path / "md.npz", "r", every_s=20.0)
    clock[0] += 19.0
    assert not first.due
    clock[0] += 1.0
    assert first.due
    first.save(x=np.ones(1))
    assert not first.due
    clock[0] += 5.0  # lost by the kill
    second = Checkpoint(tmp_path / "md.npz", "r")
    second.load()
    clock[0] += 2.0
    assert second.wall_s == pytest.approx(22.0)


def test_a_file_that_a_lost_power_cut_is_not_taken_for_a_whole_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "md.npz"
    Checkpoint(path, "r").save(x=np.arange(1000.0))
    whole = path.read_bytes()
    for n in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        with caplog.at_level(logging.WARNING):
            assert Checkpoint(path, "r").load() is None, n
    assert caplog.text.count("can't be read") == 4
