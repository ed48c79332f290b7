"""A campaign to pause, cancel and run again, and folders for its workers."""

from __future__ import annotations

import os
from pathlib import Path

import jobflow
import pytest

from ionloop.store.connection import job_store

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture
def camp(ionloop_db, monkeypatch):
    """The campaign's module; workers of other processes import it too."""
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)
    monkeypatch.setattr(jobflow.SETTINGS, "JOB_STORE", job_store())
    monkeypatch.chdir(Path.cwd())  # a worker in this process goes elsewhere
    import controlled

    return controlled


@pytest.fixture
def runs(ionloop_home):
    folder = ionloop_home / "runs" / "c"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
