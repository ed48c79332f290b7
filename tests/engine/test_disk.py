from __future__ import annotations

import resource
import subprocess
import sys

import pytest
from fault_trials.disk import can_mount, fill, small_disk

from ionloop.engine.disk import failed_for_room, lack_of_room, require_room
from ionloop.engine.launchpad import launchpad
from ionloop.errors import EngineError
from ionloop.settings import get_settings


def settings(least: int):
    return get_settings().model_copy(update={"min_free_mb": least})


def test_a_disk_with_room_is_fine(tmp_path):
    assert lack_of_room(tmp_path, settings(1), probe=True) is None
    require_room(tmp_path, "c", settings(0))
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_names_folder_and_setting(tmp_path):
    with pytest.raises(EngineError, match=f"IONLOOP_MIN_FREE_MB.*{tmp_path}.*ionloop resume c"):
        require_room(tmp_path, "c", settings(10**9))


def test_what_free_space_does_not_tell_is_found_by_writing(tmp_path):
    """A limit on files stands for a quota."""
    source = (
        "import pathlib, sys\n"
        "from ionloop.engine.disk import lack_of_room\n"
        "from ionloop.settings import get_settings\n"
        "print(lack_of_room(pathlib.Path(sys.argv[1]), get_settings(), probe=True))\n"
    )
    limit = (1000, 1000)
    said = subprocess.run(
        [sys.executable, "-c", source, tmp_path],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    assert said == f"expected to write into {tmp_path}, got: File too large\n"


@pytest.mark.skipif(not can_mount(), reason="only root can mount a small disk")
def test_a_full_disk_is_found(tmp_path):
    with small_disk(tmp_path, size_mb=4):
        assert lack_of_room(tmp_path, settings(1)) is None
        fill(tmp_path)
        assert "expected 1 MB free" in lack_of_room(tmp_path, settings(1))
        assert "No space left on device" in lack_of_room(tmp_path, settings(0), probe=True)


def test_a_job_that_failed_since_the_disk_was_full_is_known(ionloop_db):
    lp = launchpad()

    def failed(launch_id: int, words: str, state: str = "FIZZLED") -> bool:
        trace = {"_exception": {"_stacktrace": f"Traceback\nOSError: {words}"}}
        action = {"stored_data": trace}
        lp.launches.insert_one({"launch_id": launch_id, "state": state, "action": action})
        return failed_for_room(lp, [launch_id])

    assert failed(1, "[Errno 28] No space left on device")
    assert failed(2, "[Errno 122] Disk quota exceeded: 'a'")
    assert not failed(3, "[Errno 2] No such file")
    assert not failed(4, "[Errno 28] No space left on device", state="COMPLETED")
    assert not failed_for_room(lp, [])
