"""``ionloop dashboard`` as people and compose start it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager

import pytest
from composed import composed
from stored_campaign import submit_jobs

from ionloop import cli
from ionloop.dashboard.server import is_loopback
from ionloop.store.initialise import initialise
from ionloop.testing import environment


@contextmanager
def served(*options: str):
    """Run it, yield its address and process; end it as `docker stop` does."""
    command = [sys.executable, "-m", "ionloop.cli", "dashboard", "--port", "0", *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        line = process.stdout.readline()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\n", line), line + process.stderr.read()
        yield line.strip(), process
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return answer.read().decode()


def test_it_serves_as_viewer(ionloop_home):
    """With authentication, as the dashboard service of docker-compose.yml does."""
    with composed() as one:
        initialise(one.server)
        with environment(one.variables("runner")):
            submit_jobs("c", {"COMPLETED": 2})
        with environment(one.variables("viewer")), served() as (address, process):
            assert '"status":"ok"' in get(f"{address}healthz")
            assert ">c</a>" in get(address)
            assert "2 done" in get(f"{address}campaigns/c")
        assert process.returncode in (0, -signal.SIGTERM)


@pytest.fixture
def refused(monkeypatch, capsys):
    """Run it in this process where it ends at once; returns what it says to stderr."""

    def run(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ionloop", "dashboard", *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert (ended.value.code, said.out) == (2, "")
        return said.err

    return run


def test_a_taken_port_is_one_line(ionloop_db, refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused("--port", str(taken.getsockname()[1]))
    assert "got: Address already in use; choose another --port" in said
    assert said.count("\n") == 1


def test_an_unknown_host_is_one_line(ionloop_db, refused):
    said = refused("--host", "no.such.host.invalid", "--port", "0")
    assert "expected to listen on no.such.host.invalid:0" in said


def test_without_a_database_it_does_not_start(ionloop_home, refused):
    assert "ionloop db start" in refused("--port", "0")


def test_listening_to_others_is_warned_of(ionloop_db, refused):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        said = refused("--host", "0.0.0.0", "--port", str(taken.getsockname()[1]))
    assert "warning: whoever reaches 0.0.0.0 reads all campaigns" in said


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("x.org", False)],
)
def test_loopback_is_known(host, own):
    assert is_loopback(host) is own
