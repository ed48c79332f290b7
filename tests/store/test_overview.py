from __future__ import annotations

from datetime import datetime

import pytest
from made_record import make_record
from pymongo.errors import AutoReconnect
from stored_campaign import GENERATION, store_record, submit_jobs

from ionloop.errors import StoreError
from ionloop.store.connection import database
from ionloop.store.overview import answering, changed_on, has_outputs, overview


@pytest.fixture
def db(ionloop_db):
    submit_jobs("c", {"COMPLETED": 4})
    store_record("c", make_record())
    return database()


def test_an_overview_is_the_record_without_its_labels(db):
    record, found = make_record(), overview("c", db)
    assert found.status.n_labels == 96
    assert [g.judgement for g in found.generations] == record.judgements
    assert [g.calibration for g in found.generations] == record.calibrations
    assert [g.took for g in found.generations] == [None, GENERATION, GENERATION]
    assert [s.counts for s in found.shards] == [s.counts for s in record.shards]
    assert all(s.labels == [] for s in found.shards)
    assert (found.material, found.reference, found.evaluated) == ("Li3OCl", "buckingham", True)


def test_what_ran_twice_counts_once_and_the_later_one_wins(db):
    stored = db.outputs.find_one({"output.@class": "Advance", "output.generation": 1})
    del stored["_id"]
    stored["output"]["judgement"]["reasons"] = ["again"]
    stored |= {"index": 2, "completed_at": "2026-01-02T00:00:00"}
    db.outputs.insert_one(stored)
    shard = db.outputs.find_one({"output.@class": "LabelShard"})
    db.outputs.insert_one({k: v for k, v in shard.items() if k != "_id"} | {"index": 2})
    found = overview("c", db)
    assert [g.judgement.reasons for g in found.generations][1] == ["again"]
    assert found.generations[1].judged_at == datetime.fromisoformat("2026-01-02")
    assert len(found.shards) == 3


def test_a_campaign_without_outputs(db):
    submit_jobs("new", {"READY": 1})
    found = overview("new", db)
    assert (found.generations, found.shards, found.material) == ([], [], None)
    assert not has_outputs("new", db)
    assert has_outputs("c", db)


def test_an_unknown_campaign(db):
    assert changed_on("nope", db) is None
    assert changed_on("c", db) == db.workflows.find_one()["updated_on"]
    when = datetime(2026, 1, 3)  # noqa: DTZ001 - as MongoDB returns it
    db.jf_flows.insert_one({"metadata": {"campaign_id": "remote"}, "updated_on": when})
    assert changed_on("remote", db) == when
    with pytest.raises(StoreError, match="unknown campaign 'nope'"):
        overview("nope", db)


def test_a_silent_database_is_one_of_our_errors():
    with pytest.raises(StoreError, match="expected an answer, got AutoReconnect"), answering():
        raise AutoReconnect
