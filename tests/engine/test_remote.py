"""Campaigns by the runner of jobflow-remote, with workers that are shells of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jfremote_project
import pytest
import yaml
from jobflow import Flow
from pymongo import MongoClient
from pymongo.uri_parser import parse_uri

from ionloop.cli import main
from ionloop.engine import load_flow, resume, submit
from ionloop.engine.remote import check_project, submit_remote
from ionloop.errors import EngineError
from ionloop.report.html import write_report
from ionloop.store.connection import database, database_uri
from ionloop.store.indexes import missing_indexes
from ionloop.store.jfremote import FLOWS, JOBS, Blobs, Outputs, Queue
from ionloop.store.labels import next_training
from ionloop.store.queries import campaign_ids, campaign_record, status

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
CANARY = "canary-in-the-coal-mine"


@pytest.fixture
def remote(ionloop_db, tmp_path, monkeypatch):
    """The tests' jobs, importable everywhere, and a project in a folder of its own."""
    import jobflow_remote

    path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    for name, value in jfremote_project.write_project(tmp_path).items():
        monkeypatch.setenv(name, value)
    # Read from the environment once, at import.
    monkeypatch.setattr(jobflow_remote, "SETTINGS", jobflow_remote.JobflowRemoteSettings())
    import engine_jobs

    return engine_jobs


@contextmanager
def password(monkeypatch) -> Iterator[None]:
    """Use the database as a user whose password is the canary."""
    uri = database_uri()
    user = f"user-{os.getpid()}"
    with MongoClient(uri) as client:
        client.admin.command("createUser", user, pwd=CANARY, roles=["root"])
        try:
            host = "{}:{}".format(*parse_uri(uri)["nodelist"][0])
            query = uri.partition("?")[2]
            monkeypatch.setenv("IONLOOP_DB_URI", f"mongodb://{user}:{CANARY}@{host}/?{query}")
            yield
        finally:
            monkeypatch.setenv("IONLOOP_DB_URI", uri)
            client.admin.command("dropUser", user)


def assert_no_canary(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    db = database()
    names = {JOBS, FLOWS, "jf_auxiliary", "outputs"}
    assert names <= set(db.list_collection_names())
    for name in db.list_collection_names():
        assert not [doc["_id"] for doc in db[name].find() if CANARY in repr(doc)]


@pytest.mark.timeout(600)
def test_jobs_run_to_their_end_and_read_each_other_by_uuid(remote, tmp_path, monkeypatch):
    point = remote.SinglePoint(
        energy=1.0, converged=True, settings_hash="h", engine="test", wall_s=0.0, directory="/"
    )
    batch = remote.collect(0, [point])
    batch.config.manager_config = {"worker": "dft"}
    recalled = remote.recall(batch.uuid)
    with password(monkeypatch):
        assert submit_remote(Flow([batch, recalled], order="linear"), "c") == 2
        assert status("c").state == "waiting"
        jfremote_project.run_runner(500)
        assert_no_canary(tmp_path)
    assert status("c").state == "finished"
    assert status("c").n_labels == 1
    (shard,) = campaign_record("c").shards
    assert [label.energy for label in shard.labels] == [1.0]
    # What a job reads by uuid comes from the database, heavy parts too.
    db = database()
    assert db.outputs.find_one({"name": "recall"})["output"] == ["0.0"]
    assert {doc["job"]["name"]: doc["worker"] for doc in db[JOBS].find()} == {
        "collect": "dft",
        "recall": "light",
    }
    assert missing_indexes(db) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_generations_add_themselves(remote, tmp_path):
    ledger = tmp_path / "ledger"
    flow = remote.generation_flow(0, 1, 2, str(ledger), 0.0)
    flow.jobs[0].config.manager_config = {"worker": "dft"}
    submit_remote(flow, "c")
    jfremote_project.run_runner(1500)
    assert sorted(ledger.read_text().split()) == ["0.0", "0.1", "1.0", "1.1"]
    found = status("c")
    assert (found.state, found.n_labels, found.generation) == ("finished", 4, 1)
    assert set(found.jobs) == {"COMPLETED"}
    stages = {(row.generation, row.stage) for row in found.stages}
    assert stages == {(g, stage) for g in (0, 1) for stage in ("label", "advance")}
    record = campaign_record("c")
    assert [len(shard.labels) for shard in record.shards] == [2, 2]
    assert [a.next_step for a in record.advances] == ["generation", "evaluate"]
    # Jobs that replace another or are added by it are the same worker's, unless they name one.
    workers = {
        (doc["job"]["name"], doc["job"]["metadata"].get("generation")): doc["worker"]
        for doc in database()[JOBS].find()
    }
    assert workers["spread", 0] == workers["dear_label", 0] == workers["collect", 0] == "dft"
    assert workers["step", 0] == workers["spread", 1] == workers["dear_label", 1] == "light"


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_tiny_campaign_runs_as_with_fireworks(remote, tmp_path):
    flow = load_flow(SUPPORT / "tiny_campaign.py", campaign_id="c")
    submit_remote(flow, "c")
    jfremote_project.run_runner(6000)
    final = status("c")
    assert (final.state, set(final.jobs), final.failures) == ("finished", {"COMPLETED"}, [])
    record = campaign_record("c")
    assert [a.next_step for a in record.advances] == ["generation", "evaluate"]
    assert [m.warm_start for m in record.members] == [False, False, True, True]
    assert [p.temperature for p in record.evaluation.model_transport.points] == [900, 1000, 1100]
    asked = [h for shard in record.shards for h in shard.frame_hashes]
    assert len(asked) == len(set(asked)) > 0
    assert write_report(record, tmp_path / "report.html").stat().st_size > 1e5
    for doc in database()[JOBS].find():
        assert doc["worker"] == doc["job"]["config"]["manager_config"]["worker"]
        assert Path(doc["run_dir"]).is_relative_to(tmp_path / "work" / doc["worker"])
    assert set(database()[JOBS].distinct("worker")) == {"dft", "gpu", "light"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_failed_job_goes_on_with_jobflow_remote(remote, tmp_path):
    flag = tmp_path / "flag"
    failing = remote.fails_once(str(flag))
    submit_remote(Flow([failing, remote.empty(failing.output)]), "c")
    jfremote_project.run_runner(700)
    found = status("c")
    assert (found.state, found.jobs) == ("failed", {"FIZZLED": 1, "WAITING": 1})
    (failure,) = found.failures
    assert (failure.name, failure.message) == ("fails_once", f"RuntimeError: expected {flag}")
    assert Path(failure.directory).is_relative_to(tmp_path / "work" / "light")

    flag.touch()
    rerun = [jfremote_project.JF, "job", "rerun", str(failure.fw_id), "--no-delete"]
    subprocess.run(rerun, check=True, capture_output=True, input=b"y\n")
    jfremote_project.run_runner(700)
    assert status("c").state == "finished"


def set_states(states: dict[str, str], **fields: object) -> None:
    for name, state in states.items():
        change = {"$set": {"state": state, **fields}}
        assert database()[JOBS].update_many({"job.name": name}, change).matched_count


def test_states_are_told_as_those_of_fireworks(remote):
    failing = remote.fails_once("flag")
    failing.update_metadata({"generation": 3, "stage": "label"})
    bearing = remote.recall(failing.uuid)
    submit_remote(Flow([failing, remote.empty(failing.output), bearing], order="linear"), "c")
    set_states({"fails_once": "RUN_FINISHED"})
    assert status("c").state == "running"
    assert status("c").line().startswith("generation 3  0/3 jobs done")
    set_states({"fails_once": "UPLOADED"})
    assert (status("c").state, status("c").jobs) == ("waiting", {"RESERVED": 1, "WAITING": 2})

    trace = "Traceback\n  somewhere\nRuntimeError: too hot\n\n"
    set_states({"fails_once": "REMOTE_ERROR"}, remote={"error": trace}, run_dir="/there")
    found = status("c")
    (failure,) = found.failures
    assert (found.state, failure.message, failure.directory) == (
        "failed", "RuntimeError: too hot", "/there",
    )  # fmt: skip
    set_states({"empty": "COMPLETED", "recall": "COMPLETED"})
    assert (status("c").state, status("c").failures) == ("finished", [])
    assert [failure.name for failure in status("c").tolerated] == ["fails_once"]


def test_a_pause_is_told(remote):
    submit_remote(remote.empty(), "c")
    error = "Traceback\nionloop.errors.BatchPausedError: 1 of 9 admitted\n"
    set_states({"empty": "FAILED"}, error=error)
    assert status("c").state == "paused"
    assert status("c").failures[0].message == "1 of 9 admitted"


def test_a_readmission_counts_from_the_training_that_is_to_come(remote):
    batch, training = remote.recall("some"), remote.empty()
    batch.update_metadata({"generation": 2, "stage": "label"})
    training.update_metadata({"generation": 2, "stage": "train"})
    submit_remote(Flow([batch, training], order="linear"), "c")
    assert next_training("c", database()) == 2
    set_states({"empty": "READY"})
    assert next_training("c", database()) == 3


def test_fireworks_does_not_touch_the_campaign(remote):
    submit_remote(remote.empty(), "c")
    with pytest.raises(EngineError, match=r"run by jobflow-remote.*jf flow list"):
        resume("c")
    with pytest.raises(EngineError, match="campaign c exists"):
        submit(remote.empty(), "c")


def test_the_same_campaign_is_not_submitted_twice(remote):
    submit_remote(remote.empty(), "c")
    with pytest.raises(EngineError, match="campaign c exists"):
        submit_remote(remote.empty(), "c")
    submit_remote(remote.empty(), "d")
    assert campaign_ids() == ["d", "c"]
    assert database()[JOBS].count_documents({}) == 2


def test_without_jobflow_remote_it_says_what_to_install(remote, monkeypatch):
    monkeypatch.setitem(sys.modules, "jobflow_remote", None)
    with pytest.raises(EngineError, match=r'pip install "ionloop\[run,remote\]"'):
        submit_remote(remote.empty(), "c")


def test_without_a_project_it_names_the_template(remote, tmp_path):
    (tmp_path / "jfremote" / "ionloop.yaml").unlink()
    with pytest.raises(EngineError, match=r"copy workflows/jobflow_remote/ionloop\.yaml"):
        submit_remote(remote.empty(), "c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"remote_jobstore": None}, "the template's remote_jobstore"),
        ({"jobstore": {"docs_store": {"type": "MemoryStore"}}}, "the template's jobstore"),
        (
            {"queue": {"store": {"type": "MongoStore", "database": "x", "collection_name": "y",
                                 "uri": f"mongodb://me:{CANARY}@host"}}},
            "the template's queue.store",
        ),
    ],
)  # fmt: skip
def test_other_stores_are_refused(remote, tmp_path, change, message):
    from jobflow_remote.config.base import Project

    project = Project(**jfremote_project.filled_template(tmp_path) | change)
    with pytest.raises(EngineError, match=message) as refused:
        check_project(project)
    assert CANARY not in str(refused.value)


def test_a_missing_worker_is_named(remote, tmp_path):
    from jobflow_remote.config.base import Project

    project = jfremote_project.filled_template(tmp_path)
    del project["workers"]["gpu"]
    with pytest.raises(EngineError, match="got no gpu"):
        check_project(Project(**project))


def test_the_stores_never_show_the_address(ionloop_db, monkeypatch):
    monkeypatch.setenv("IONLOOP_DB_URI", f"mongodb://me:{CANARY}@127.0.0.1:1/")
    for store in Queue(), Outputs(), Blobs():
        store.connect()
        assert CANARY not in repr((store, store.name, store.as_dict()))


def test_the_template_is_a_project_and_holds_no_password(remote):
    from jobflow_remote.config.base import Project

    text = jfremote_project.TEMPLATE.read_text()
    assert set(re.findall(r"mongodb://([^@]*)@", text)) == {"runner"}
    project = Project(**yaml.safe_load(text))
    check_project(project)
    for worker in project.workers.values():
        assert worker.scheduler_type == "slurm"
        script = worker.get_scheduler_io().get_submission_script(["true"], worker.resources)
        assert "#SBATCH --partition=<" in script


def test_the_launch_script_submits_and_says_how_to_run_it(remote, monkeypatch, capsys):
    done = subprocess.run(
        [sys.executable, "workflows/launch_remote.py"],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert last == "run it with: jf -p ionloop runner start"
    (campaign_id,) = campaign_ids()
    assert first.startswith(f"submitted {campaign_id}: ")
    asked = database()[JOBS].distinct("worker", {"job.metadata.campaign_id": campaign_id})
    assert {"dft", "gpu", "light"} == set(asked)
    monkeypatch.setattr(sys, "argv", ["ionloop", "status", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert campaign_id in capsys.readouterr().out
