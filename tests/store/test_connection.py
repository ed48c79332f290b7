from __future__ import annotations

import stat

import pytest
import yaml
from jobflow import SETTINGS, Job, JobStore
from jobflow.settings import JobflowSettings

from ionloop.document import DATA_FIELDS, Blob
from ionloop.errors import StoreError
from ionloop.reference.schema import Trajectory
from ionloop.settings import get_settings
from ionloop.store.connection import (
    database,
    database_uri,
    describe,
    durable,
    job_store,
    write_jobflow_config,
)
from ionloop.store.indexes import INDEXES, create_indexes, missing_indexes
from ionloop.store.queries import parse
from ionloop.testing import environment

SECRET = "mongodb://me:s3cret@127.0.0.1:1/?serverSelectionTimeoutMS=200"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://h:1", "mongodb://h:1/?w=majority&journal=true"),
        ("mongodb://h:1/?replicaSet=rs0", "mongodb://h:1/?replicaSet=rs0&w=majority&journal=true"),
        ("mongodb://a,b/db?w=1", "mongodb://a,b/db?w=1&journal=true"),
        ("mongodb+srv://u:p%40@h/", "mongodb+srv://u:p%40@h/?w=majority&journal=true"),
    ],
)
def test_writes_are_durable_unless_the_uri_says_otherwise(uri, expected):
    assert durable(uri) == expected


def test_what_is_no_uri_is_refused():
    with pytest.raises(StoreError, match="expected a URI"):
        durable("localhost:27017")


def test_a_password_is_never_shown(ionloop_home):
    assert describe("mongodb+srv://u:p@h.example.org/?x=1") == "h.example.org"
    with environment({"IONLOOP_DB_URI": SECRET}), pytest.raises(StoreError) as caught:
        database()
    assert "127.0.0.1:1" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_without_a_server_the_error_says_how_to_start_one(ionloop_home):
    with pytest.raises(StoreError, match="ionloop db start"):
        database_uri()


def test_workers_read_the_store_from_a_private_file(ionloop_db, monkeypatch):
    path = write_jobflow_config()
    assert path.parent == get_settings().home_dir
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert yaml.safe_load(path.read_text())["JOB_STORE"]["docs_store"]["database"] == ionloop_db
    monkeypatch.setenv("JOBFLOW_CONFIG_FILE", str(path))
    store = JobflowSettings().JOB_STORE
    assert isinstance(store, JobStore)
    assert store.docs_store == job_store().docs_store
    assert set(store.additional_stores) == {"data"}
    assert SETTINGS is not None


def trajectory(n_bytes: int) -> Trajectory:
    return Trajectory(
        symbols=["Li"],
        cell=[[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]],
        temperature=600.0,
        frame_interval_fs=10.0,
        n_frames=1,
        n_steps=1,
        group="g",
        engine="test",
        wall_s=0.0,
        blob=Blob.from_bytes(bytes(range(256)) * (n_bytes // 256), "trajectory.npz"),
    )


@pytest.mark.parametrize("n_bytes", [256, 20 * 2**20])
def test_a_document_comes_back_with_its_heavy_field(ionloop_db, n_bytes):
    """20 MiB are 27 MB of base64: more than a MongoDB document may hold."""
    sent = trajectory(n_bytes)
    store = job_store()
    store.connect()
    job = Job(trajectory, function_args=(n_bytes,), data=DATA_FIELDS)
    job.run(store)
    light = store.query_one({"uuid": job.uuid})["output"]
    assert set(light["blob"]) == {"@module", "@class", "blob_uuid", "store"}
    assert parse(Trajectory, light).blob.content == ""
    full = store.query_one({"uuid": job.uuid}, load=True)["output"]
    assert parse(Trajectory, full) == sent
    assert parse(Trajectory, full).blob.to_bytes() == sent.blob.to_bytes()


def test_indexes_are_made_once_and_used(ionloop_db):
    db = database()
    assert missing_indexes(db)
    create_indexes(db)
    assert missing_indexes(db) == []
    create_indexes(db)
    assert missing_indexes(db) == []
    for collection, query, sort in [
        ("outputs", {"uuid": "a", "index": 1}, []),
        ("outputs", {"metadata.campaign_id": "c", "output.@class": "Advance"}, []),
        ("outputs", {"metadata.campaign_id": "c", "metadata.generation": 3}, []),
        ("outputs_blobs.files", {"metadata.blob_uuid": {"$in": ["a"]}}, []),
        ("outputs_blobs.files", {"metadata.job_uuid": "a", "metadata.job_index": 1}, []),
        ("outputs_blobs.chunks", {"files_id": 1, "n": 0}, []),
        ("fireworks", {"fw_id": 1}, []),
        ("fireworks", {"state": "READY", "spec.campaign_id": "c"}, [("spec._priority", -1)]),
        ("fireworks", {"launches": 1}, []),
        ("launches", {"launch_id": 1}, []),
        ("workflows", {"nodes": 1}, []),
        ("workflows", {"metadata.campaign_id": "c"}, []),
    ]:
        cursor = db[collection].find(query)
        plan = (cursor.sort(sort) if sort else cursor).explain()["queryPlanner"]["winningPlan"]
        assert "IXSCAN" in str(plan), (collection, query)
        assert "'SORT'" not in str(plan), (collection, query)
    assert set(INDEXES) >= {"outputs", "fireworks"}
