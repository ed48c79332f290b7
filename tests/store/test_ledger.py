"""What a campaign cost, from what FireWorks and jobflow-remote keep in a real database."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fireworks import FWorker
from jobflow import Flow

from ionloop.engine import resume, run_local, submit
from ionloop.engine.launchpad import LOCAL_WORKER, campaign_query, launchpad
from ionloop.engine.local.recover import recover
from ionloop.errors import StoreError
from ionloop.store.connection import database, job_store
from ionloop.store.ledger import LAST_ONLY, ledger

SUPPORT = Path(__file__).resolve().parents[1] / "support"
START = datetime(2026, 1, 1, tzinfo=UTC)


def tagged(job, stage: str, generation: int = 0):
    job.update_metadata({"stage": stage, "generation": generation})
    return job


def test_a_job_that_failed_and_ran_again_counts_twice(jobs, tmp_path, monkeypatch):
    monkeypatch.setenv("IONLOOP_CORES", "3")
    flag = tmp_path / "flag"
    first = tagged(jobs.dear_label("a", str(tmp_path / "book"), 0.3), "label")
    submit(Flow([first, tagged(jobs.fails_once(str(flag)), "train", 1)]), "c")
    assert run_local("c", workers=1).state == "failed"
    flag.touch()
    assert resume("c", workers=1).state == "finished"

    found = ledger("c")
    launches = list(database().launches.find())
    wall_s = sum(one["runtime_secs"] for one in launches)
    failed_s = sum(one["runtime_secs"] for one in launches if one["state"] == "FIZZLED")
    assert len(launches) == 3
    assert 0.3 < wall_s < 60
    assert (found.total.n_jobs, found.total.total.n_attempts) == (2, 3)
    assert found.total.total.wall_s == pytest.approx(wall_s)
    assert found.total.total.core_hours == pytest.approx(3 * wall_s / 3600)
    assert found.total.total.wall_unknown_s == 0
    label, train = found.stages
    assert (label.name, label.n_jobs, label.lost.n_attempts) == ("label", 1, 0)
    assert (train.name, train.n_jobs, train.total.n_attempts) == ("train", 1, 2)
    assert (train.n_failed, train.n_lost, train.n_redone) == (1, 0, 0)
    assert train.lost.core_hours == pytest.approx(3 * failed_s / 3600)
    assert [one.name for one in found.generations] == ["0", "1"]
    assert (found.backend, found.notes, found.speed_up) == ("FireWorks", [], [])


def pipeline_in(javascript: str) -> list:
    """Read an aggregation of the shell, whose keys need no quotes, as JSON."""
    text = re.search(r"aggregate\((.*)\)", javascript, re.DOTALL)[1]
    text = re.sub(r"([{,]\s*)(\$?\w+):", r'\1"\2":', text)
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", text))


def test_the_queries_of_the_page_give_the_ledgers_core_hours(jobs, tmp_path, monkeypatch):
    flag = tmp_path / "flag"
    monkeypatch.setenv("IONLOOP_CORES", "3")
    first = tagged(jobs.dear_label("a", str(tmp_path / "book"), 0.3), "label")
    submit(Flow([first, tagged(jobs.fails_once(str(flag)), "train", 1)]), "c")
    run_local("c", workers=1)
    flag.touch()
    resume("c", workers=1)
    submit(tagged(jobs.dear_label("b", str(tmp_path / "book"), 0.1), "label"), "other")
    run_local("other", workers=1)

    page = (Path(__file__).resolve().parents[2] / "docs/howto/ledger.md").read_text()
    shell = re.search(r"```javascript\n(.*?)```", page, re.DOTALL)[1].replace('"ID"', '"c"')
    rows = list(database().fireworks.aggregate(pipeline_in(shell)))
    assert [(row["_id"]["stage"], row["_id"]["state"], row["attempts"]) for row in rows] == [
        ("label", "COMPLETED", 1), ("train", "COMPLETED", 1), ("train", "FIZZLED", 1),
    ]  # fmt: skip
    stages = {stage.name: stage for stage in ledger("c").stages}
    failed = rows[2]
    assert failed["core_h"] == pytest.approx(stages["train"].lost.core_hours)
    assert failed["core_h"] == pytest.approx(3 * failed["wall_h"])

    names: dict = {}
    source = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1].replace('"ID"', '"c"')
    exec(compile(source, "ledger.md", "exec"), names)
    expected = {name: stage.total.core_hours for name, stage in stages.items()}
    assert names["core_hours"] == pytest.approx(expected)
    assert expected["label"] > 3 * 0.3 / 3600

    database().launches.update_many({}, {"$unset": {"fworker.env.cores": 1}})
    rows = list(database().fireworks.aggregate(pipeline_in(shell)))
    assert [(row["of_unknown_cores"], row["core_h"]) for row in rows] == [(1, 0)] * 3


def test_local_workers_say_that_they_take_one_core(jobs, tmp_path):
    submit(jobs.empty(), "c")
    run_local("c", workers=2)
    (launch,) = database().launches.find()
    assert launch["fworker"]["env"]["cores"] == 1


@pytest.fixture
def begun(jobs, tmp_path):
    """A dear job, and how a worker begins it that is heard of for so long, and then dies."""
    label = tagged(jobs.dear_label("a", str(tmp_path / "book"), 0.0), "label")
    submit(label, "c")
    lp = launchpad()

    def begin(alive_s: float, **env: object) -> int:
        worker = FWorker(LOCAL_WORKER, query=campaign_query("c"), env=env)
        _, number = lp.checkout_fw(worker, str(tmp_path))
        launch = lp.launches.find_one({"launch_id": number})
        start = datetime.fromisoformat(launch["time_start"])
        last = (start + timedelta(seconds=alive_s)).isoformat()
        change = {"$set": {"state_history.0.updated_on": last}}
        assert lp.launches.update_one({"launch_id": number}, change).modified_count
        return number

    return lp, label, begin


def test_a_lost_workers_time_counts_to_its_last_sign_of_life(begun):
    lp, _, begin = begun
    begin(100.0, cores=1)
    running = ledger("c").total
    assert (running.n_running, running.n_lost, running.total.wall_s) == (1, 0, 100.0)
    assert recover(lp, "c", rerun_failed=False).rerun
    begin(50.0, cores=1)
    found = ledger("c")
    assert (found.total.n_jobs, found.total.total.n_attempts) == (1, 2)
    assert (found.total.n_running, found.total.n_lost) == (1, 1)
    assert (found.total.lost.wall_s, found.total.total.wall_s) == (100.0, 150.0)
    assert any("last sign of life" in note for note in found.notes)


def test_a_job_that_was_found_finished_didnt_take_the_time_until_then(begun):
    from stored_output import put

    lp, label, begin = begun
    begin(30.0, cores=1)
    store = job_store()
    store.connect()
    put(store, label.uuid, {"@class": "SinglePoint"}, campaign="c")
    assert recover(lp, "c", rerun_failed=False).completed
    found = ledger("c").total
    assert (found.n_lost, found.n_running, found.total.wall_s) == (0, 0, 30.0)


def test_launches_from_before_cores_were_kept_have_their_wall_time(begun):
    _, _, begin = begun
    begin(7200.0)
    found = ledger("c")
    assert (found.total.total.wall_s, found.total.total.wall_unknown_s) == (7200.0, 7200.0)
    assert (found.total.total.core_hours, found.reference_share) == (0.0, None)
    assert found.notes[0].startswith("2 h of wall time ran on an unknown number of cores")


def test_a_programs_processes_are_the_launchs_own(jobs, monkeypatch, tmp_path):
    """A worker's own cores are one; a label's program takes four."""
    from ionloop.frame import Frame
    from ionloop.reference.cp2k.reference import Cp2kReference

    monkeypatch.setenv("IONLOOP_CP2K_CMD", "mpirun -np 4 cp2k.psmp")
    frame = Frame.model_validate(jobs.FRAME.model_dump())
    submit(tagged(Cp2kReference().static([frame]), "label"), "c")
    worker = FWorker(LOCAL_WORKER, query=campaign_query("c"), env={"cores": 1})
    launchpad().checkout_fw(worker, str(tmp_path))
    (launch,) = database().launches.find()
    assert launch["fworker"]["env"]["cores"] == 4
    assert ledger("c").kinds[0].name == "labels"


def test_a_job_that_was_told_to_run_again_had_its_first_time_for_nothing(jobs, tmp_path):
    submit(tagged(jobs.empty(), "train"), "c")
    run_local("c", workers=1)
    launchpad().rerun_fw(1)
    run_local("c", workers=1)
    found = ledger("c").total
    assert (found.n_jobs, found.total.n_attempts, found.n_redone) == (1, 2, 1)
    assert 0 < found.lost.wall_s < found.total.wall_s


def test_a_compaction_takes_nothing_away(jobs, tmp_path):
    submit(jobs.generation_flow(0, last=4, n=2, ledger=str(tmp_path / "book"), seconds=0.0), "c")
    assert run_local("c", workers=2).state == "finished"
    db = database()
    assert db.workflows.count_documents({"metadata.archive_of": "c"})
    found = ledger("c")
    assert found.total.total.n_attempts == db.launches.count_documents({})
    assert found.total.n_jobs == db.fireworks.count_documents({})
    assert [one.name for one in found.generations] == ["0", "1", "2", "3", "4"]
    assert {one.n_jobs for one in found.generations} == {found.total.n_jobs / 5}
    assert found.label_cost.n_admitted == 10
    assert found.label_cost.by_origin == {"aimd": 10}


def store_shard(at: float, **output: object) -> None:
    when = START.replace(tzinfo=None) + timedelta(seconds=at)
    fields = {"generation": 0, "purpose": "train", "n_admitted": 3, "n_quarantined": 1,
              "counts": {"hop": 2, "aimd": 1}, "wall_s": 3600.0, "core_s": 7200.0}  # fmt: skip
    database().outputs.insert_one(
        {"uuid": str(at), "index": 1, "metadata": {"campaign_id": "c"},
         "completed_at": when.isoformat(),
         "output": {"@class": "LabelShard", **fields, **output}}
    )  # fmt: skip


def test_labels_count_once_a_batch_and_imported_ones_cost_nothing(begun):
    _, _, begin = begun
    store_shard(1, frame_hashes=["a"])
    store_shard(2, frame_hashes=["a"])  # the same, stored by what replaced it
    store_shard(3, frame_hashes=["b"], generation=1, counts={"saddle": 3})
    store_shard(4, frame_hashes=["c"], purpose="imported", n_admitted=40, core_s=None)
    begin(100.0, cores=1)
    labels = ledger("c").label_cost
    assert (labels.n_admitted, labels.n_quarantined, labels.n_imported) == (6, 2, 40)
    assert labels.by_origin == {"hop": 2, "aimd": 1, "saddle": 3}
    assert (labels.calculations_wall_s, labels.calculations_core_hours) == (7200.0, 4.0)
    store_shard(5, frame_hashes=["d"], core_s=None)  # from before cores were kept
    assert ledger("c").label_cost.calculations_core_hours is None
    assert ledger("c").label_cost.calculations_wall_s == 3 * 3600.0


def test_the_speed_up_is_the_last_evaluations(begun):
    from ionloop.evaluate.cost import cost_of

    costs = [cost_of([2.0] * 4, n_atoms=40, name="one MACE model", cores=1),
             cost_of([50.0] * 4, n_atoms=40, name="reference (cp2k 2023.1)", cores=8)]  # fmt: skip
    for at, cost in ((1, []), (2, [one.model_dump() for one in costs])):
        database().outputs.insert_one(
            {"uuid": str(at), "index": 1, "metadata": {"campaign_id": "c"},
             "completed_at": (START + timedelta(seconds=at)).isoformat(),
             "output": {"@class": "Evaluation", "cost": cost}}
        )  # fmt: skip
    (found,) = ledger("c").speed_up
    assert (found.over, found.ratio, found.quartiles) == ("DFT", 200.0, (200.0, 200.0))


def test_an_unknown_campaign_is_an_error(ionloop_db, main):
    with pytest.raises(StoreError, match="unknown campaign 'c'"):
        ledger("c")
    status, _, said = main("ledger")
    assert status == 2
    assert "no campaign" in said


def test_the_command_prints_tables_or_json(begun, main, monkeypatch):
    monkeypatch.setenv("IONLOOP_CORES", "4")
    _, _, begin = begun
    begin(7200.0, cores=4)
    status, said, _ = main("ledger")
    assert status == 0
    assert "c: what it cost" in said
    assert "Labels: 0, 0 quarantined, 0 imported." in said
    row = next(line for line in said.splitlines() if line.startswith("│ label "))
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "label", "1", "1", "2 h", "8 h", "100%", "", "",
    ]  # fmt: skip
    status, said, _ = main("ledger", "c", "--json")
    assert (status, json.loads(said)["total"]["total"]["core_hours"]) == (0, 8.0)


# ------------------------------------------------------------------ jobflow-remote


@pytest.fixture
def remote(ionloop_db, tmp_path, monkeypatch):
    """The tests' jobs, importable everywhere, and a project in a folder of its own."""
    import jfremote_project
    import jobflow_remote

    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name, value in jfremote_project.write_project(tmp_path).items():
        monkeypatch.setenv(name, value)
    # Read from the environment once, at import.
    monkeypatch.setattr(jobflow_remote, "SETTINGS", jobflow_remote.JobflowRemoteSettings())
    import engine_jobs

    return engine_jobs


@pytest.mark.timeout(600)
def test_jobflow_remotes_jobs_cost_what_its_documents_say(remote, tmp_path):
    """By the runner itself: one job is done, with its cores; one failed, and its aren't known."""
    import jfremote_project

    from ionloop.engine.remote import submit_remote
    from ionloop.store.jfremote import JOBS

    good = tagged(remote.dear_label("a", str(tmp_path / "book"), 0.5), "label")
    bad = tagged(remote.fails_once(str(tmp_path / "flag")), "train", 1)
    submit_remote(Flow([good, bad]), "c")
    assert ledger("c").total.n_jobs == 0
    jfremote_project.run_runner(300)

    docs = {doc["uuid"]: doc for doc in database()[JOBS].find()}
    took = {u: (doc["end_time"] - doc["start_time"]).total_seconds() for u, doc in docs.items()}
    found = ledger("c")
    assert found.backend == "jobflow-remote"
    assert LAST_ONLY in found.notes
    label, train = found.stages
    assert took[good.uuid] > 0.5
    assert label.total.wall_s == pytest.approx(took[good.uuid])
    assert label.total.core_hours == pytest.approx(took[good.uuid] / 3600)
    assert (label.n_jobs, label.lost.n_attempts) == (1, 0)
    assert (train.n_jobs, train.n_failed) == (1, 1)
    assert train.total.wall_unknown_s == pytest.approx(took[bad.uuid])
    assert [one.name for one in found.generations] == ["0", "1"]


def test_jobflow_remotes_jobs_that_wait_or_run(remote, tmp_path):
    from ionloop.engine.remote import submit_remote
    from ionloop.store.jfremote import JOBS

    jobs = [tagged(remote.empty(), "label") for _ in range(3)]
    submit_remote(Flow(jobs), "c")
    times = {"start_time": START, "updated_on": START + timedelta(seconds=60)}
    changes = [{"state": "RUNNING"}, {"state": "READY", "end_time": START + timedelta(seconds=20)}]
    for job, change in zip(jobs, changes, strict=False):  # the third waits
        database()[JOBS].update_one({"uuid": job.uuid}, {"$set": times | change})
    found = ledger("c").total
    assert (found.n_jobs, found.n_running, found.n_lost) == (2, 1, 1)
    assert (found.total.wall_s, found.lost.wall_s) == (80.0, 20.0)
