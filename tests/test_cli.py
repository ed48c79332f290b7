from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ionloop import cli
from ionloop.engine.flows import submit
from ionloop.store import mongod

SUPPORT = Path(__file__).parent / "support"


@pytest.fixture
def campaign(ionloop_db, monkeypatch):
    """A submitted campaign of one job, and a way for flows to find the tests' jobs."""
    monkeypatch.syspath_prepend(str(SUPPORT))
    import engine_jobs

    job = engine_jobs.empty()
    job.update_metadata({"generation": 2, "stage": "label"})
    submit(job, "c")
    return engine_jobs


def bad(main, *args: str) -> str:
    """Return the one line that bad input gives."""
    status, out, err = main(*args)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("ionloop: error: ")
    return err


def test_a_missing_flow_is_one_line(main, ionloop_home):
    assert "no flow nothing.py; expected a Python file" in bad(main, "run", "nothing.py")


def test_a_bad_parameter_is_one_line(main, ionloop_home, tmp_path):
    flow = tmp_path / "flow.py"
    flow.write_text("def build(): ...\n")
    assert "expected key=value" in bad(main, "run", str(flow), "--set", "x")
    assert "refuses the parameters" in bad(main, "run", str(flow), "--set", "x=1")


def test_a_profile_that_contradicts_itself_is_one_line(main, ionloop_home, tmp_path):
    flow = tmp_path / "flow.py"
    flow.write_text(
        "from ionloop.profile import Profile\n"
        "def build(**fields): Profile(name='x', formal_charges={'Li': 1}, **fields)\n"
    )
    assert "expected a chemical element" in bad(main, "run", str(flow), "--set", "mobile_ion=Xx")
    line = bad(main, "run", str(flow), "--set", "mobile_ion=Li", "--set", "r_max=1")
    assert "Profile.r_max: Input should be greater than 2, got 1" in line


@pytest.mark.parametrize(
    "args",
    [
        ["bogus"],
        ["run"],
        ["resume", "--workers", "none"],
        ["status", "-x"],
        ["labels", "-x"],
        ["labels", "readmit"],
        ["labels", "readmit", "c"],
    ],
)
def test_wrong_usage_is_one_line(main, args):
    bad(main, *args)


@pytest.mark.parametrize("command", ["status", "resume", "report", "labels"])
def test_an_unknown_campaign_is_one_line(main, campaign, command):
    assert "unknown campaign 'nothing'; the latest are c" in bad(main, command, "nothing")


def test_no_campaign_at_all_is_one_line(main, ionloop_db):
    assert "holds no campaign" in bad(main, "status")


def test_no_database_is_one_line(main, ionloop_home):
    assert "ionloop db start" in bad(main, "status")


def test_a_missing_mongod_is_one_line(main, ionloop_home, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("IONLOOP_MONGOD", "/nowhere/mongod")
    assert "expected an executable mongod, got /nowhere/mongod" in bad(main, "db", "start")
    assert "expected an executable mongod" in bad(main, "resume")


def test_a_wrong_setting_is_one_line(main, ionloop_home, monkeypatch):
    monkeypatch.setenv("IONLOOP_WORKERS", "0")
    assert "workers: Input should be greater than or equal to 1" in bad(main, "db", "start")


def test_status_counts_jobs_by_generation_and_stage(main, campaign):
    status, out, _ = main("status", "--json")
    assert status == 0
    found = json.loads(out)
    assert (found["campaign_id"], found["state"], found["jobs"]) == ("c", "waiting", {"READY": 1})
    assert [(s["generation"], s["stage"]) for s in found["stages"]] == [(2, "label")]
    assert "label" in main("status")[1]


def test_run_submits_and_says_how_to_run(main, campaign, tmp_path):
    flow = tmp_path / "flow.py"
    flow.write_text(
        "import engine_jobs\n"
        "def build(name):\n"
        "    job = engine_jobs.empty()\n"
        "    job.metadata['campaign_id'] = name\n"
        "    return job\n"
    )
    status, out, _ = main("run", str(flow), "--set", "name=second")
    assert status == 0
    assert out == (
        "submitted second: 1 jobs so far\nrun it here with: ionloop resume second\n"
    )  # fmt: skip
    assert json.loads(main("status", "--json")[1])["campaign_id"] == "second"


def test_resume_ends_with_status_1_if_a_job_failed(main, campaign, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    submit(campaign.fails_once(str(tmp_path / "flag")), "d")
    status, _, err = main("resume", "d", "--workers", "1")
    assert status == 1
    assert f"failed: fails_once: RuntimeError: expected {tmp_path}/flag" in err


def test_resume_ends_with_status_0_and_a_warning_if_the_graph_bears_a_failure(
    main, campaign, tmp_path, monkeypatch
):
    from jobflow import Flow, JobConfig, OnMissing

    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    failing = campaign.fails_once(str(tmp_path / "flag"))
    bearing = campaign.empty(failing.output)
    bearing.config = JobConfig(on_missing_references=OnMissing.NONE)
    submit(Flow([failing, bearing]), "d")
    status, out, err = main("resume", "d", "--workers", "1")
    assert status == 0
    assert "d finished" in out
    words = f"went on without it: fails_once: RuntimeError: expected {tmp_path}/flag"
    assert words in err
    assert words in main("status", "d")[1]


def test_db_commands(main, ionloop_home):
    try:
        assert main("db", "status")[0] == 1
        status, out, _ = main("db", "start")
        assert status == 0
        assert f"port {mongod.status().port}" in out
        assert main("db", "status")[0] == 0
        assert "ok   indexes: all there" in main("doctor")[1]
        assert main("db", "stop")[1] == "stopped\n"
    finally:
        mongod.stop()


def test_db_status_names_a_server_without_its_password(main, ionloop_db):
    status, out, _ = main("db", "status")
    assert status == 0
    assert out.startswith("MongoDB 6")
    assert "mongodb://" not in out
    assert "doesn't stop" in bad(main, "db", "stop")


def test_doctor_finds_what_is_missing(main, ionloop_home, monkeypatch):
    monkeypatch.setenv("IONLOOP_CP2K_CMD", "no-such-cp2k")
    monkeypatch.setenv("IONLOOP_CP2K_DATA_DIR", "/nowhere")
    status, out, _ = main("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)}
    assert status == 1  # no database runs
    assert "ionloop db start" in checks["database"]["mend"]
    assert checks["mongod"]["ok"]
    assert not checks["cp2k"]["ok"]
    assert not checks["cp2k data"]["ok"]
    assert not checks["cp2k"]["needed"]


def test_help_needs_no_database():
    assert "resume" in CliRunner().invoke(cli.app, ["--help"]).output


def test_the_program_is_installed(ionloop_home):
    ended = subprocess.run(
        [Path(sys.executable).parent / "ionloop", "status"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
