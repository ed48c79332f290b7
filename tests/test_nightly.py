"""The nightly run: a fresh clone whose log and status are kept; units that name what is there."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NIGHTLY = ROOT / "tools" / "nightly"
UNITS = ("ionloop-nightly.service", "ionloop-nightly.timer")


def read_unit(name: str) -> ConfigParser:
    unit = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    unit.optionxform = str
    unit.read_string((NIGHTLY / name).read_text())
    return unit


def test_units_name_what_is_there():
    service, timer = (read_unit(name) for name in UNITS)
    command = service["Service"]["ExecStart"]
    assert command.startswith("%Y/")
    assert os.access(command.replace("%Y", str(NIGHTLY)), os.X_OK)
    assert service["Service"]["Type"] == "oneshot"
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert "Unit" not in timer["Timer"]  # it starts the service of its own name


def test_make_installs_the_units():
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "nightly-timer"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    link, enable = done.stdout.splitlines()
    assert [Path(word.strip('"')) for word in link.split()[3:]] == [NIGHTLY / n for n in UNITS]
    assert enable == "systemctl --user enable --now ionloop-nightly.timer"


def verify(folder: Path, runtime: Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "verify", "--user", *(folder / name for name in UNITS)]
    return subprocess.run(
        command, env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd isn't installed")
def test_systemd_takes_the_units_and_finds_planted_mistakes(tmp_path):
    done = verify(NIGHTLY, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    broken = tmp_path / "broken"
    shutil.copytree(NIGHTLY, broken)
    (broken / "run.sh").unlink()
    assert "run.sh is not executable" in verify(broken, tmp_path).stderr


# ---------------------------------------------------------------- the script


def git(folder: Path, *words: str) -> str:
    me = ["-c", "user.name=me", "-c", "user.email=me@here"]
    command = ["git", "-C", folder, *me, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path) -> Path:
    """A repository whose nightly tests fail where a file says so."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "Makefile").write_text("nightly:\n\t@echo tests run\n\t@test ! -e fail\n")
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "one")


def run(*words: object, script: Path = NIGHTLY / "run.sh", **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [script, *words], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_each_night_clones_afresh_and_keeps_log_and_status(repository, tmp_path):
    folder = tmp_path / "kept"
    assert run(repository, folder)[0] == 0
    (folder / "checkout" / "left").touch()
    (folder / "logs" / "old.log").touch()
    os.utime(folder / "logs" / "old.log", (0, time.time() - 40 * 86400))
    (repository / "fail").touch()
    commit(repository)
    time.sleep(1)  # logs are named by the second
    assert run(repository, folder)[0] == 2
    assert not (folder / "checkout" / "left").exists()
    nights = [line.split() for line in (folder / "history").read_text().splitlines()]
    assert [night[3] for night in nights] == ["0", "2"]
    assert nights[1][1] == git(repository, "rev-parse", "--short", "HEAD") != nights[0][1]
    logs = sorted((folder / "logs").iterdir())
    assert [log.stem for log in logs] == [night[0] for night in nights]
    assert all("tests run" in log.read_text() for log in logs)
    assert "Error 1" in logs[1].read_text()


def test_a_repository_that_cant_be_cloned_is_a_night_that_failed(tmp_path):
    status, said = run(tmp_path / "none", tmp_path / "kept")
    assert status != 0
    assert said == (tmp_path / "kept" / "history").read_text()
    assert said.split()[1] == "none"


def test_it_clones_the_origin_of_its_own_clone(repository, tmp_path):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(repository), str(clone))
    shutil.copytree(NIGHTLY, clone / "tools" / "nightly")
    status, said = run(script=clone / "tools" / "nightly" / "run.sh", XDG_CACHE_HOME=str(tmp_path))
    assert status == 0, said
    kept = tmp_path / "ionloop-nightly"
    assert git(kept / "checkout", "remote", "get-url", "origin") == str(repository)


def test_two_at_once_are_refused(repository, tmp_path):
    folder = tmp_path / "kept"
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        status, said = run(repository, folder)
    assert (status, "wait for it" in said) == (2, True)
    assert not (folder / "history").exists()
