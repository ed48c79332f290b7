"""A mongod that is killed under load has all that it acknowledged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from ionloop.document import DATA_FIELDS
from ionloop.store.connection import database, job_store
from ionloop.store.mongod import find_mongod, free_port, launch, local_uri
from ionloop.testing import environment

WRITING = Path(__file__).resolve().parents[1] / "support" / "writing.py"
LEDGERS = ("write_outputs", "draw_numbers", "insert_plainly")


@pytest.fixture
def folder():
    """In memory where it is possible: a kill ends a process, not the kernel that has its files."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="ionloop-kill-", dir=memory))
    yield path
    shutil.rmtree(path, ignore_errors=True)


def lines(path: Path) -> list[str]:
    """Whole lines of a ledger, less the word they begin with."""
    text = path.read_text() if path.exists() else ""
    return [line.split()[1] for line in text.split("\n")[:-1]]


def wait_for_growth(folder: Path, n: int) -> None:
    """Wait until each writer has noted n writes more."""
    wanted = {name: len(lines(folder / name)) + n for name in LEDGERS}
    end = time.monotonic() + 60
    while any(len(lines(folder / name)) < n for name, n in wanted.items()):
        assert time.monotonic() < end, {name: len(lines(folder / name)) for name in LEDGERS}
        time.sleep(0.02)


def test_a_mongod_killed_under_load_loses_no_acknowledged_write(folder, ionloop_home):
    exe, port = find_mongod(), free_port()
    place = (exe, folder / "data", folder / "log", port)
    mongod = launch(*place, dies_with_parent=True)
    settings = {"IONLOOP_DB_URI": local_uri(port), "IONLOOP_DB_NAME": "killed"}
    with environment(settings):
        database().command("ping")
        writer = subprocess.Popen([sys.executable, str(WRITING), str(folder)])
        try:
            for _ in range(2):
                wait_for_growth(folder, 20)
                mongod.kill()
                mongod.wait()
                mongod = launch(*place, dies_with_parent=True)
            wait_for_growth(folder, 5)  # the same clients go on with the new server
            (folder / "stop").touch()
            assert writer.wait(60) == 0
            check_all_there(folder)
        finally:
            writer.kill()
            writer.wait()
            mongod.kill()
            mongod.wait()


def check_all_there(folder: Path) -> None:
    outputs, launches, plain = (lines(folder / name) for name in LEDGERS)
    assert min(len(outputs), len(launches), len(plain)) >= 45
    store = job_store()
    store.connect()
    found = {doc["uuid"]: doc["output"] for doc in store.query(load={"data": DATA_FIELDS})}
    assert set(outputs) <= set(found)
    assert all(found[uuid]["labels"] == ["x" * 2000] * 10 for uuid in outputs)
    # A counter that forgot would draw a number twice.
    assert len(set(launches)) == len(launches)
    assert max(map(int, launches)) < database().fw_id_assigner.find_one()["next_launch_id"]
    assert {int(i) for i in plain} <= set(database()["plain"].distinct("_id"))
