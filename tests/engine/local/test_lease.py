from __future__ import annotations

import time

import pytest

from ionloop.engine.launchpad import launchpad
from ionloop.engine.local import lease as module
from ionloop.engine.local.lease import hold_lease
from ionloop.errors import EngineError
from ionloop.settings import get_settings
from ionloop.store.leases import LEASES, Holder, take


@pytest.fixture
def fast(ionloop_db, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BEAT_S", 0.05)
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    return launchpad()


def test_heartbeats_come_while_it_is_held_and_nothing_is_left(fast, tmp_path):
    with hold_lease(fast, "c", tmp_path, get_settings()) as lease:
        first = fast.db[LEASES].find_one({"_id": "c"})["beat"]
        end = time.monotonic() + 20
        while fast.db[LEASES].find_one({"_id": "c"})["beat"] == first:
            assert time.monotonic() < end
            time.sleep(0.02)
        lease.check()
    assert fast.db[LEASES].count_documents({}) == 0


def test_a_second_home_folder_is_refused(fast, tmp_path):
    """The lock file can't tell: it stands in the home folder."""
    settings = get_settings()
    with hold_lease(fast, "c", tmp_path / "here", settings):
        second = hold_lease(fast, "c", tmp_path / "there", settings)
        with pytest.raises(EngineError, match="is run by another `ionloop`"):
            second.__enter__()
        assert fast.db[LEASES].count_documents({}) == 1


def test_who_was_taken_over_learns_it(fast, tmp_path):
    with hold_lease(fast, "c", tmp_path, get_settings()) as lease:
        take(fast.db, "c", Holder.me(tmp_path), 600, by_force=True)
        lease._thread.join(20)
        with pytest.raises(EngineError, match="isn't run here any more: another"):
            lease.check()
    assert fast.db[LEASES].count_documents({}) == 1  # the other one's
