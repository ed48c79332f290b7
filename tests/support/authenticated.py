"""A throw-away mongod that asks for a password, as a site's server does."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from ionloop.processes import die_with_parent
from ionloop.store.mongod import REPLICA_SET, find_mongod, free_port, launch

#: A user of all databases, for looking at what was left.
ROOT = ("root", "another password")


@contextmanager
def mongod_with_users(database: str, user: str, password: str) -> Iterator[tuple[int, Path]]:
    """Run a mongod with --auth and a user of one database; yield its port and its log.

    Users are made before it asks for any; then it is started again with a key file.
    """
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder, port = Path(tempfile.mkdtemp(prefix="ionloop-auth-", dir=memory)), free_port()
    data, log, key = folder / "data", folder / "log", folder / "key"
    try:
        process = launch(find_mongod(), data, log, port, dies_with_parent=True)
        try:
            with MongoClient("127.0.0.1", port, directConnection=True) as client:
                client.admin.command("createUser", ROOT[0], pwd=ROOT[1], roles=["root"])
                client[database].command("createUser", user, pwd=password, roles=["readWrite"])
        finally:
            process.terminate()
            process.wait()
        key.touch(0o600)
        key.write_text("a key that only this server has")
        process = subprocess.Popen(
            [str(find_mongod()), "--dbpath", str(data), "--logpath", str(log), "--logappend",
             "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket", "--auth",
             "--replSet", REPLICA_SET, "--keyFile", str(key), "--wiredTigerCacheSizeGB", "0.25"],
            stdout=subprocess.DEVNULL, preexec_fn=die_with_parent,  # noqa: PLW1509
        )  # fmt: skip
        try:
            wait_for_primary(port)
            yield port, log
        finally:
            process.kill()
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def root_client(port: int) -> MongoClient:
    """Connect as root."""
    return MongoClient(
        "127.0.0.1", port, username=ROOT[0], password=ROOT[1], directConnection=True,
        serverSelectionTimeoutMS=500,
    )  # fmt: skip


def wait_for_primary(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with root_client(port) as client:
                if client.admin.command("hello").get("isWritablePrimary"):
                    return
        except PyMongoError:
            pass  # it starts
        time.sleep(0.05)
    msg = "mongod with users was not primary after 60 s"
    raise TimeoutError(msg)
