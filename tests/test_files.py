from __future__ import annotations

import os
import signal
import warnings

import pytest

from ionloop.files import whole


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with whole(path) as scratch:
        scratch.write_text("new")
        assert path.read_text() == "old"
        assert scratch.suffix == ".json"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_half_way_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")

    def write_half() -> None:
        with whole(path) as scratch:
            scratch.write_text("ne")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: pymongo has threads
        pid = os.fork()
    if pid == 0:
        with whole(path) as scratch:
            scratch.write_text("ne")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert path.read_text() == "old"
