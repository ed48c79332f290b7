"""Where the documents are: the database, jobflow's store, and the file that workers read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import yaml
from jobflow import JobStore
from maggma.stores import GridFSStore, MongoStore
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from ionloop.errors import StoreError
from ionloop.settings import Settings, get_settings
from ionloop.store import mongod
from ionloop.store.outage import patient

#: Collection of the jobs' outputs, and of their heavy parts in GridFS.
OUTPUTS = "outputs"
BLOBS = "outputs_blobs"
#: No acknowledged write may be lost: a server that is killed keeps what it journalled.
_DURABLE = {"w": "majority", "journal": "true"}
#: How long to wait for a server, unless the URI says.
_PATIENCE: dict[str, Any] = {"serverSelectionTimeoutMS": 5000}


def durable(uri: str) -> str:
    """Add ``w=majority&journal=true`` to a URI that doesn't state them.

    Raises
    ------
    StoreError
        If it is no MongoDB URI. The message doesn't repeat it: it may hold a password.
    """
    if not uri.startswith(("mongodb://", "mongodb+srv://")):
        msg = "IONLOOP_DB_URI: expected a URI such as mongodb://host:27017/?replicaSet=rs0"
        raise StoreError(msg)
    base, _, query = uri.partition("?")
    scheme, _, rest = base.partition("://")
    if "/" not in rest:
        base = f"{scheme}://{rest}/"
    options = dict(parse_qsl(query))
    known = {key.lower() for key in options}
    options.update({k: v for k, v in _DURABLE.items() if k not in known})
    return f"{base}?{urlencode(options, safe='/,:')}"


def database_uri(settings: Settings | None = None) -> str:
    """Return the URI of the settings' server, or of the local one if it runs.

    Raises
    ------
    StoreError
        If neither exists.
    """
    settings = settings or get_settings()
    if settings.db_uri:
        return durable(settings.db_uri)
    uri = mongod.status(settings).uri
    if uri is None:
        msg = "no database: the local mongod doesn't run; `ionloop db start`, or set IONLOOP_DB_URI"
        raise StoreError(msg)
    return durable(uri)


def describe(uri: str) -> str:
    """Return hosts of a URI for people to read, without user and password."""
    if uri.startswith("mongodb+srv://"):
        return urlsplit(uri).hostname or "mongodb+srv"
    return ", ".join(f"{host}:{port}" for host, port in parse_uri(uri)["nodelist"])


def database(settings: Settings | None = None) -> Database[dict[str, Any]]:
    """Connect to the database and make sure that it answers.

    Raises
    ------
    StoreError
        If it can't be reached within 5 s or refuses.
    """
    settings = settings or get_settings()
    uri = database_uri(settings)
    patience = {} if "serverselectiontimeoutms" in uri.lower() else _PATIENCE
    client: MongoClient[dict[str, Any]] = MongoClient(uri, **patience)
    try:
        client.admin.command("ping")
    except PyMongoError as error:
        client.close()
        msg = (
            f"expected a MongoDB at {describe(uri)}, got {type(error).__name__}; "
            "check that it runs and IONLOOP_DB_URI's user and password"
        )
        raise StoreError(msg) from error
    return client[settings.db_name]


def job_store(settings: Settings | None = None) -> JobStore:
    """Return jobflow's store: documents in MongoDB, heavy fields in GridFS."""
    settings = settings or get_settings()
    uri = patient(database_uri(settings), settings)
    return JobStore(
        MongoStore(settings.db_name, OUTPUTS, uri=uri),
        additional_stores={"data": GridFSStore(settings.db_name, BLOBS, uri=uri)},
    )


def write_jobflow_config(settings: Settings | None = None) -> Path:
    """Write the file that ``JOBFLOW_CONFIG_FILE`` names on workers; only its owner may read it.

    The store never goes into a firework, since it would carry the password there.
    """
    settings = settings or get_settings()
    uri = patient(database_uri(settings), settings)
    where = {"database": settings.db_name, "uri": uri}
    spec = {
        "JOB_STORE": {
            "docs_store": {"type": "MongoStore", "collection_name": OUTPUTS, **where},
            "additional_stores": {
                "data": {"type": "GridFSStore", "collection_name": BLOBS, **where}
            },
        }
    }
    settings.home_dir.mkdir(parents=True, exist_ok=True)
    path = settings.home_dir / "jobflow.yaml"
    partial = path.with_suffix(f".{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        yaml.safe_dump(spec, handle)
    partial.replace(path)
    return path
