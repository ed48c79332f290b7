from __future__ import annotations

import logging
import signal
import threading
import time

import pytest
from fault_trials.server import Server
from pymongo import MongoClient, monitoring
from pymongo.errors import AutoReconnect, ServerSelectionTimeoutError

from ionloop.errors import StoreError
from ionloop.settings import get_settings
from ionloop.store.connection import durable
from ionloop.store.outage import _Outages, patient, repeated, said_plainly
from ionloop.testing import environment


def test_jobs_wait_as_long_as_the_settings_say_unless_the_uri_does():
    with environment({"IONLOOP_DB_PATIENCE_S": "90"}):
        assert patient("mongodb://h/?w=1") == (
            "mongodb://h/?w=1&serverSelectionTimeoutMS=90000&timeoutMS=90000"
        )
        assert patient("mongodb://h/?timeoutms=5&serverSelectionTimeoutMS=7") == (
            "mongodb://h/?timeoutms=5&serverSelectionTimeoutMS=7"
        )


def test_each_change_is_made_once_though_mongod_is_killed(caplog, monkeypatch):
    """What FireWorks' counters and locks rely on; the answer to a lost change counts too."""
    # Only this test's listener, whatever ran in this process before.
    none = monitoring._Listeners([], [], [], [], [])
    monkeypatch.setattr(monitoring, "_LISTENERS", none)
    caplog.set_level(logging.WARNING)
    stop = threading.Event()
    before, errors = [], []

    def count(client: MongoClient) -> None:
        try:
            while not stop.is_set():
                found = client.test.counter.find_one_and_update({}, {"$inc": {"n": 1}})
                before.append(found["n"])
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    with Server() as server:
        uri = patient(durable(server.uri))
        with MongoClient(uri, event_listeners=[_Outages()]) as client:
            client.test.counter.insert_one({"n": 0})
            thread = threading.Thread(target=count, args=(client,))
            thread.start()
            for _ in range(2):
                reached = len(before)
                while len(before) < reached + 20 and not errors:
                    time.sleep(0.01)
                server.end(signal.SIGKILL)
                server.start()
            reached = len(before)
            while len(before) < reached + 20 and not errors:
                time.sleep(0.01)
            stop.set()
            thread.join()
            assert errors == []
            assert before == list(range(len(before)))
            assert client.test.counter.find_one()["n"] == len(before)
    assert caplog.text.count("doesn't answer; waiting for it") == 2
    assert caplog.text.count("answers again after") == 2


def test_a_database_that_stays_away_is_said_in_one_line(ionloop_home):
    with environment({"IONLOOP_DB_PATIENCE_S": "1"}):
        begin = time.monotonic()
        with (
            MongoClient(patient("mongodb://127.0.0.1:1/?w=1")) as client,
            pytest.raises(StoreError, match=r"within 1 s.*ionloop resume c"),
            said_plainly("ionloop resume c"),
        ):
            client.test.x.insert_one({})
        assert time.monotonic() - begin > 0.9


def test_what_may_be_done_twice_is_repeated_until_it_works(ionloop_home):
    done = []

    def change() -> str:
        done.append(1)
        if len(done) < 3:
            raise AutoReconnect
        return "changed"

    assert repeated(change) == "changed"
    assert len(done) == 3

    def never() -> None:
        raise ServerSelectionTimeoutError

    settings = get_settings().model_copy(update={"db_patience_s": 0})
    with pytest.raises(ServerSelectionTimeoutError):
        repeated(never, settings)
