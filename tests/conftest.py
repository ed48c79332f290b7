"""Fixtures of all tests: a real mongod, and a home folder of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ionloop.testing import environment, throwaway_mongod

# Processes that tests start find what tests share, as tests themselves do by pyproject.toml.
SUPPORT = Path(__file__).parent / "support"
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(SUPPORT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
).rstrip(os.pathsep)


@pytest.fixture(scope="session")
def mongod_uri() -> Iterator[str]:
    """URI of a throw-away server; one a test process."""
    with throwaway_mongod() as uri:
        yield uri


@pytest.fixture
def ionloop_home(tmp_path: Path) -> Iterator[Path]:
    """A home folder of its own, and no database named: settings as on a new machine."""
    home = tmp_path / "home"
    unset = ("DB_URI", "DB_PASSWORD_FILE", "DB_NAME", "WORK_DIR")
    variables = {f"IONLOOP_{name}": None for name in unset}
    with environment({"IONLOOP_HOME": str(home), **variables}):
        yield home


@pytest.fixture
def ionloop_db(
    ionloop_home: Path, mongod_uri: str, request: pytest.FixtureRequest
) -> Iterator[str]:
    """Settings that name an empty database of the throw-away server; yields its name."""
    from pymongo import MongoClient

    name = f"test_{abs(hash(request.node.nodeid)) % 10**10}"
    with environment({"IONLOOP_DB_URI": mongod_uri, "IONLOOP_DB_NAME": name}):
        yield name
    with MongoClient(mongod_uri) as client:
        client.drop_database(name)


@pytest.fixture
def jobs(ionloop_db, monkeypatch):
    """The engine's tests' jobs, importable by workers too; jobflow's store is the test database."""
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    import jobflow

    from ionloop.store.connection import job_store

    monkeypatch.setattr(jobflow.SETTINGS, "JOB_STORE", job_store())
    import engine_jobs

    return engine_jobs


@pytest.fixture
def folder(ionloop_home, monkeypatch):
    """A folder of local runs, and a way back from it: a worker in this process goes there."""
    monkeypatch.chdir(Path.cwd())
    from ionloop.settings import get_settings

    path = get_settings().home_dir / "runs" / "c"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def main(monkeypatch, capsys):
    """Run the command line in this process; returns status, stdout and stderr."""

    from ionloop import cli

    def call(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()  # what jobs of this process have logged
        monkeypatch.setattr(sys, "argv", ["ionloop", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call
