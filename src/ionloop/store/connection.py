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
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from ionloop.errors import StoreError
from ionloop.settings import Settings, get_settings
from ionloop.store import mongod
from ionloop.store.outage import patient
from ionloop.store.secret_files import split_password, with_password

#: Collection of the jobs' outputs, and of their heavy parts in GridFS.
OUTPUTS = "outputs"
BLOBS = "outputs_blobs"
#: Collection of the scorecards, of models from anywhere.
SCORECARDS = "scorecards"
#: No acknowledged write may be lost: a server that is killed keeps what it journalled. And
#: nothing may be decided on what a new primary could roll back: which job to check out, which
#: output is there, what a recovery finds. All clients read so, since FireWorks' and jobflow's
#: own queries decide too; on a replica set of one there is nobody to wait for.
_DURABLE = {"w": "majority", "journal": "true", "readConcernLevel": "majority"}
#: Whose a blob is: without these keys on its file, jobflow's removal of a job finds none.
_OWNER = ["job_uuid", "job_index"]
_SCHEMES = ("mongodb", "mongodb+srv")
#: What operations raise while the database is away.
DATABASE_ERRORS = (PyMongoError,)
#: MongoDB's code AuthenticationFailed.
WRONG_PASSWORD = 18
#: How long to wait for a server, unless the URI says.
_PATIENCE: dict[str, Any] = {"serverSelectionTimeoutMS": 5000}


def durable(uri: str) -> str:
    """Add ``w=majority``, ``journal=true`` and reads of what a majority has where not stated.

    Raises
    ------
    StoreError
        If it is no MongoDB URI. The message doesn't repeat it, nor what pymongo says of it:
        it may hold a password, or a part of one.
    """
    scheme, _, rest = uri.partition("://")
    if scheme not in _SCHEMES:
        msg = "IONLOOP_DB_URI: expected a URI such as mongodb://host:27017/?replicaSet=rs0"
        raise StoreError(msg)
    try:
        # As if it weren't mongodb+srv, for which pymongo would ask a name server.
        parse_uri(f"mongodb://{rest}")
    except (PyMongoError, ValueError) as error:
        msg = (
            "IONLOOP_DB_URI: expected mongodb://user:password@host:27017/?replicaSet=rs0, got "
            f"another form ({type(error).__name__}); write reserved characters of the password "
            "as %40 for @, %2F for /, %3A for :"
        )
        raise StoreError(msg) from None
    base, _, query = rest.partition("?")
    options = parse_qsl(query, keep_blank_values=True)  # some may stand there twice
    known = {key.lower() for key, _ in options}
    options += [(k, v) for k, v in _DURABLE.items() if k.lower() not in known]
    slash = "" if "/" in base else "/"
    return f"{scheme}://{base}{slash}?{urlencode(options, safe='/,:')}"


def database_uri(settings: Settings | None = None) -> str:
    """Return the URI of the settings' server, password and all, or of the local one if it runs.

    Raises
    ------
    StoreError
        If neither exists, or the password's file is refused.
    """
    settings = settings or get_settings()
    if settings.db_uri:
        path = settings.db_password_file
        return durable(with_password(settings.db_uri, path) if path else settings.db_uri)
    if settings.db_password_file:
        msg = "IONLOOP_DB_PASSWORD_FILE: expected IONLOOP_DB_URI beside it, got none; set both"
        raise StoreError(msg)
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
        raise StoreError(_why_silent(uri, error)) from error
    return client[settings.db_name]


def _why_silent(uri: str, error: PyMongoError) -> str:
    if isinstance(error, OperationFailure) and error.code == WRONG_PASSWORD:
        return (
            f"MongoDB at {describe(uri)}: expected a user and password that it knows, got others; "
            "check IONLOOP_DB_URI's user and authSource, and the password or its file"
        )
    return (
        f"expected a MongoDB at {describe(uri)}, got {type(error).__name__}; "
        "check that it runs, and IONLOOP_DB_URI"
    )


def job_store(settings: Settings | None = None) -> JobStore:
    """Return jobflow's store: documents in MongoDB, heavy fields in GridFS."""
    settings = settings or get_settings()
    uri = patient(database_uri(settings), settings)
    return JobStore(
        MongoStore(settings.db_name, OUTPUTS, uri=uri),
        additional_stores={
            "data": GridFSStore(settings.db_name, BLOBS, uri=uri, searchable_fields=_OWNER)
        },
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
                "data": {
                    "type": "GridFSStore",
                    "collection_name": BLOBS,
                    "searchable_fields": _OWNER,
                    **where,
                }
            },
        }
    }
    return _write_private(settings.home_dir / "jobflow.yaml", yaml.safe_dump(spec))


def hide_password(settings: Settings | None = None) -> None:
    """Take a URI's password out of this process's environment; a private file keeps it.

    For workers: jobs start programs, which inherit the environment and may write it down.
    """
    settings = settings or get_settings()
    if settings.db_uri is None or settings.db_password_file is not None:
        return
    bare, password = split_password(settings.db_uri)
    if password is None:
        return
    path = _write_private(settings.home_dir / "db_password", password + "\n")
    os.environ["IONLOOP_DB_URI"] = bare
    os.environ["IONLOOP_DB_PASSWORD_FILE"] = str(path)


def _write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner may read, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        os.fchmod(handle.fileno(), 0o600)  # also one that a dead process of this number left
        handle.write(text)
    partial.replace(path)
    return path
