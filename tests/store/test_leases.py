from __future__ import annotations

import os
import subprocess
import threading
from datetime import timedelta

import pytest

from ionloop.errors import EngineError
from ionloop.store.connection import database
from ionloop.store.leases import LEASES, Holder, beat, give_back, take


@pytest.fixture
def db(ionloop_db):
    return database()


def holder(tmp_path, **changes) -> Holder:
    return Holder.me(tmp_path).model_copy(update=changes)


def faraway(tmp_path) -> Holder:
    return holder(tmp_path, machine="another", host="faraway", pid=1)


def test_one_holds_a_campaign_and_gives_it_back(db, tmp_path):
    me, other = holder(tmp_path), holder(tmp_path)
    assert take(db, "c", me, 600)
    with pytest.raises(EngineError, match=f"process {os.getpid()} on .*, heard of 0 s ago"):
        take(db, "c", other, 600)
    assert take(db, "another", other, 600)
    assert beat(db, "c", me)
    assert not beat(db, "c", other)
    give_back(db, "c", other)
    assert db[LEASES].count_documents({"_id": "c"}) == 1
    give_back(db, "c", me)
    assert take(db, "c", other, 600)


def test_a_dead_process_of_this_machine_holds_nothing(db, tmp_path):
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    take(db, "c", holder(tmp_path, pid=gone.pid, born="1"), 600)
    assert take(db, "c", holder(tmp_path), 600)


def test_a_number_that_another_process_has_by_now_holds_nothing(db, tmp_path):
    take(db, "c", holder(tmp_path, born="1"), 600)
    assert take(db, "c", holder(tmp_path), 600)


def test_of_another_machine_nobody_knows_until_it_is_silent_for_long(db, tmp_path):
    take(db, "c", faraway(tmp_path), 600)
    with pytest.raises(EngineError, match=r"on faraway.*--take-over"):
        take(db, "c", holder(tmp_path), 600)
    held = db[LEASES].find_one()
    db[LEASES].update_one({}, {"$set": {"beat": held["beat"] - timedelta(seconds=601)}})
    assert not take(db, "c", holder(tmp_path), 600)  # it may live all the same


def test_it_is_taken_over_by_force_and_the_old_holder_sees_it(db, tmp_path):
    old, new = faraway(tmp_path), holder(tmp_path)
    take(db, "c", old, 600)
    assert not take(db, "c", new, 600, by_force=True)
    assert not beat(db, "c", old)
    assert beat(db, "c", new)


def test_of_many_at_once_one_gets_it(db, tmp_path):
    got, refused = [], []
    together = threading.Barrier(8)

    def try_it() -> None:
        me = holder(tmp_path)
        together.wait()
        try:
            take(db, "c", me, 600)
            got.append(me.token)
        except EngineError as error:
            refused.append(error)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert len(refused) == 7
    assert db[LEASES].find_one()["token"] == got[0]
