"""The launch script, run as its docstring says: it submits, and runs nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ionloop.cli import main
from ionloop.store.connection import database

ROOT = Path(__file__).parents[2]


def launch() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "workflows/launch.py"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_submits_the_quickstart_and_says_how_to_run_it(
    ionloop_db, ionloop_home, tmp_path, monkeypatch, capsys
):
    done = launch()
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    first, *_, last = done.stdout.splitlines()
    campaign_id = re.fullmatch(r"submitted (Li3OCl-\S+): \d+ jobs so far", first)[1]

    monkeypatch.setattr(sys, "argv", ["ionloop", "status", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    status = json.loads(capsys.readouterr().out)
    assert (status["campaign_id"], status["state"]) == (campaign_id, "waiting")
    assert set(status["jobs"]) == {"READY", "WAITING"}
    assert {row["generation"] for row in status["stages"]} == {0}
    assert "mongodb://" not in str(list(database().fireworks.find()))

    for file in ionloop_home.glob("*.yaml"):
        assert file.stat().st_mode & 0o777 == 0o600
    assert_rlaunch_runs_a_job(last.removeprefix("or anywhere with: "), tmp_path)


def assert_rlaunch_runs_a_job(command: str, folder: Path) -> None:
    """Run the start's job, as the command that was printed would run all."""
    variable, program, *options, mode = command.split()
    assert (program, mode) == ("rlaunch", "rapidfire")
    start = database().fireworks.find_one({"spec.stage": "start"}, {"fw_id": 1})["fw_id"]
    name, _, value = variable.partition("=")
    done = subprocess.run(
        [Path(sys.executable).parent / program, *options, "singleshot", "-f", str(start)],
        cwd=folder,
        env=os.environ | {name: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    states = {fw["fw_id"]: fw["state"] for fw in database().fireworks.find()}
    assert states[start] == "COMPLETED"
    assert database().outputs.count_documents({}) == 1


def test_without_a_database_it_is_one_line(ionloop_home):
    done = launch()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "ionloop db start" in done.stderr
