from __future__ import annotations

import stat
import traceback

import pytest
import yaml
from jobflow import SETTINGS, Job, JobStore
from jobflow.settings import JobflowSettings

from ionloop.document import DATA_FIELDS, Blob
from ionloop.engine.launchpad import launchpad
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

WRITE = "w=majority&journal=true"
READ = "readConcernLevel=majority"
DURABLE = f"{WRITE}&{READ}"
#: All collections that FireWorks holds.
LAUNCHPAD_COLLECTIONS = ("fireworks", "launches", "workflows", "offline_runs", "fw_id_assigner")
SECRET = "mongodb://me:s3cret@127.0.0.1:1/?serverSelectionTimeoutMS=200"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://h:1", f"mongodb://h:1/?{DURABLE}"),
        ("mongodb://h:1/?replicaSet=rs0", f"mongodb://h:1/?replicaSet=rs0&{DURABLE}"),
        ("mongodb://a,b/db?w=1&journal=false", "mongodb://a,b/db?w=1&journal=false&" + READ),
        ("mongodb://a/?readconcernlevel=local", f"mongodb://a/?readconcernlevel=local&{WRITE}"),
        ("mongodb://a/?readPreferenceTags=a:1&readPreferenceTags=",
         f"mongodb://a/?readPreferenceTags=a:1&readPreferenceTags=&{DURABLE}"),
        ("mongodb+srv://u:p%40@h/", f"mongodb+srv://u:p%40@h/?{DURABLE}"),
    ],
)  # fmt: skip
def test_writes_are_durable_unless_the_uri_says_otherwise(uri, expected):
    assert durable(uri) == expected


@pytest.mark.parametrize(
    "rest",
    ["u:s3@cret@h/", "u:s3/cret@h/", "u:s3?cret@h/", "u:s3:cret@h/", "u:s3%cret@h/",
     "u:s3cret@h:port/"],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["mongodb", "mongodb+srv"])
def test_a_broken_uri_is_refused_without_repeating_its_password(scheme, rest):
    with pytest.raises(StoreError, match="another form") as caught:
        durable(f"{scheme}://{rest}")
    told = "".join(traceback.format_exception(caught.value))
    assert "s3cret" not in str(caught.value)
    assert "InvalidURI:" not in told  # pymongo's own words may hold a part of it
    assert "@h" not in told.replace("password@host", "")


def concerns(owner) -> tuple[dict, str | None]:
    return owner.write_concern.document, owner.read_concern.level


def test_every_client_writes_durably_and_reads_what_a_majority_has(ionloop_db):
    store = job_store()
    store.connect()
    blobs = store.additional_stores["data"]
    lp = launchpad()
    db = database()
    owners = {
        "outputs": store.docs_store._collection,
        "blobs": blobs._collection._files,
        "chunks": blobs._collection._chunks,
        "files": blobs._files_collection,
        "own": db["outputs"],
    }
    owners |= {name: getattr(lp, name) for name in LAUNCHPAD_COLLECTIONS}
    owners["fallback"] = lp.gridfs_fallback._files
    for name, owner in owners.items():
        assert concerns(owner) == ({"w": "majority", "j": True}, "majority"), name
        assert owner.database.client.options.retry_writes, name
        assert owner.database.client.options.retry_reads, name


def test_the_workers_store_is_as_durable(ionloop_db, monkeypatch):
    monkeypatch.setenv("JOBFLOW_CONFIG_FILE", str(write_jobflow_config()))
    store = JobflowSettings().JOB_STORE
    store.connect()
    durably = ({"w": "majority", "j": True}, "majority")
    assert concerns(store.docs_store._collection) == durably
    assert concerns(store.additional_stores["data"]._collection._chunks) == durably


def test_a_job_that_is_removed_leaves_no_blob(ionloop_db):
    store = job_store()
    store.connect()
    job = Job(trajectory, function_args=(256,), data=DATA_FIELDS)
    job.run(store)
    assert database()["outputs_blobs.chunks"].count_documents({}) == 1
    store.remove_docs({"uuid": job.uuid})
    assert database()["outputs_blobs.chunks"].count_documents({}) == 0


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
