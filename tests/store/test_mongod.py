from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from pymongo import MongoClient

from ionloop import testing
from ionloop.errors import StoreError
from ionloop.processes import is_alive
from ionloop.store import mongod
from ionloop.testing import environment


@pytest.fixture
def home(ionloop_home):
    """A home whose server is stopped at the end, whatever happened."""
    yield ionloop_home
    if not os.environ.get("IONLOOP_DB_URI"):
        mongod.stop()


def test_start_outlives_its_process_and_stop_ends_it(home):
    assert not mongod.status().running
    code = "from ionloop.store import mongod; mongod.start()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    first = mongod.status()
    assert first.running
    assert first.pid != os.getpid()
    assert mongod.start() == first  # a second start finds the first
    with MongoClient(first.uri) as client:
        assert client.admin.command("hello")["setName"] == "rs0"
        client.x.y.insert_one({"kept": 1})
    assert mongod.stop()
    assert not is_alive(first.pid)
    assert not mongod.status().running
    assert not mongod.stop()
    again = mongod.start()
    assert again.port == first.port  # remembered
    with MongoClient(again.uri) as client:
        assert client.x.y.find_one()["kept"] == 1


def test_a_killed_server_starts_on_another_port_if_its_own_is_taken(home):
    first = mongod.start()
    with MongoClient(first.uri) as client:
        client.x.y.insert_one({"kept": 1})
    os.kill(first.pid, signal.SIGKILL)  # leaves its pid file and lock
    while is_alive(first.pid):
        time.sleep(0.01)
    with taken(first.port):
        assert not mongod.status().running
        second = mongod.start()
        assert second.port != first.port
        with MongoClient(second.uri) as client:
            assert client.x.y.find_one()["kept"] == 1


@contextmanager
def taken(port: int):
    """Serve a port with what is no mongod: it hangs up on everybody."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bind(sock, port)
        sock.listen()
        thread = threading.Thread(target=hang_up, args=(sock,))
        thread.start()
        try:
            yield
        finally:
            sock.shutdown(socket.SHUT_RDWR)
            thread.join()


def hang_up(sock: socket.socket) -> None:
    with suppress(OSError):
        while True:
            sock.accept()[0].close()


def bind(sock: socket.socket, port: int) -> None:
    """Take a port that the kernel may still hold for a process that has just died."""
    for _ in range(200):
        try:
            return sock.bind(("127.0.0.1", port))
        except OSError:
            time.sleep(0.05)
    return sock.bind(("127.0.0.1", port))


def test_another_folder_s_server_on_our_port_is_not_ours(home, mongod_uri):
    folder = home / "db"
    folder.mkdir(parents=True)
    (folder / "port").write_text(mongod_uri.split(":")[2].split("/")[0])
    assert not mongod.status().running
    assert not mongod.stop()


def test_a_named_server_is_not_started_or_stopped(ionloop_db):
    for action in (mongod.start, mongod.stop):
        with pytest.raises(StoreError, match="IONLOOP_DB_URI"):
            action()


def test_a_missing_mongod_says_what_to_do(ionloop_home, monkeypatch):
    with (
        environment({"IONLOOP_MONGOD": "/nowhere/mongod"}),
        pytest.raises(StoreError, match="IONLOOP_MONGOD: expected an executable"),
    ):
        mongod.start()
    monkeypatch.setattr(mongod, "_WHEEL", "no-such-distribution")
    with (
        environment({"PATH": "", "IONLOOP_MONGOD": None, "MONGOD": None}),
        pytest.raises(StoreError, match="install MongoDB"),
    ):
        mongod.find_mongod()


def test_a_mongod_that_fails_is_quoted(ionloop_home, tmp_path):
    fails = tmp_path / "mongod"
    fails.write_text("#!/bin/sh\nexit 3\n")
    fails.chmod(0o700)
    with (
        environment({"IONLOOP_MONGOD": str(fails)}),
        pytest.raises(StoreError, match="ended with status 3"),
    ):
        mongod.start()


def test_a_throwaway_server_dies_with_its_parent_and_the_next_removes_its_folder(
    ionloop_home, tmp_path
):
    code = (
        "import os, signal, tempfile\n"
        "from ionloop.testing import throwaway_mongod\n"
        "access = os.access\n"
        "os.access = lambda path, mode: str(path) != '/dev/shm' and access(path, mode)\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "with throwaway_mongod() as uri:\n"
        "    print(uri, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert child.returncode == -signal.SIGKILL
    port = int(child.stdout.split(":")[2].split("/")[0])
    end = time.monotonic() + 10
    while not mongod._is_free(port) and time.monotonic() < end:
        time.sleep(0.05)
    assert mongod._is_free(port)
    (left,) = tmp_path.glob("ionloop-mongod-*")
    testing._sweep(tmp_path)
    assert left.exists()  # so new that it may be just starting
    os.utime(left, (0, 0))
    with (left / "held").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        testing._sweep(tmp_path)
    assert left.exists()  # in use
    os.utime(left, (0, 0))
    testing._sweep(tmp_path)
    assert not left.exists()
