from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from crash import CRASHES
from jobflow import Flow, JobConfig, OnMissing

from ionloop.engine import campaign_id_of, load_flow, parse_parameters, resume, run_local, submit
from ionloop.engine.final import FINAL_OUTPUTS, is_final
from ionloop.engine.launchpad import is_active, launchpad
from ionloop.engine.local.recover import recover
from ionloop.engine.worker import Worker
from ionloop.errors import EngineError
from ionloop.processes import RUN_MARK, is_alive, kill_marked
from ionloop.settings import get_settings
from ionloop.store.connection import database
from ionloop.store.queries import campaign_record, status

ROOT = Path(__file__).resolve().parents[1]
SUPPORT = ROOT / "tests" / "support"


def lines(ledger: Path) -> list[str]:
    return ledger.read_text().split() if ledger.exists() else []


# ---------------------------------------------------------------- loading and submitting


def test_a_flow_is_loaded_with_its_parameters(tmp_path, jobs):
    path = tmp_path / "flow.py"
    path.write_text("import engine_jobs\ndef build(n=1):\n return engine_jobs.empty(n)\n")
    assert load_flow(path, n=3).function_args == (3,)


@pytest.mark.parametrize(
    ("source", "params", "message"),
    [
        ("x = 1", {}, "expected a function build"),
        ("def build(): return 1", {}, "expected build\\(\\) to return a Flow, got int"),
        ("def build(a=1): return 1", {"b": 2}, "build\\(a=1\\) refuses the parameters"),
        ("import nothing_like_this", {}, "can't be imported: ModuleNotFoundError"),
        ("def build(:", {}, "can't be imported: SyntaxError"),
    ],
)
def test_a_bad_flow_file_is_refused(tmp_path, source, params, message):
    path = tmp_path / "flow.py"
    path.write_text(source)
    with pytest.raises(EngineError, match=message):
        load_flow(path, **params)


def test_parameters_are_read_as_yaml():
    assert parse_parameters(["a=1", "b=x=y", "c=[1, 2.5]", "d=null"]) == {
        "a": 1, "b": "x=y", "c": [1, 2.5], "d": None,
    }  # fmt: skip
    for bad in ("a", "=1", "a=["):
        with pytest.raises(EngineError, match="expected"):
            parse_parameters([bad])


def test_a_campaign_is_submitted_once_and_names_no_store(jobs):
    flow = Flow([jobs.empty()])
    with pytest.raises(EngineError, match="no metadata"):
        campaign_id_of(flow)
    assert submit(flow, "c") == 1
    assert campaign_id_of(flow) == "c"
    fw = database().fireworks.find_one()
    assert fw["spec"]["campaign_id"] == "c"
    assert fw["spec"]["_tasks"][0]["store"] is None
    assert "mongodb://" not in str(fw)
    with pytest.raises(EngineError, match="ionloop resume c"):
        submit(Flow([jobs.empty()]), "c")
    with pytest.raises(EngineError, match="letters, digits"):
        submit(Flow([jobs.empty()]), "../c")


def test_what_a_killed_submission_left_is_replaced(jobs):
    submit(Flow([jobs.empty()]), "c")
    database().workflows.delete_many({})  # FireWorks adds it last
    submit(Flow([jobs.empty()]), "c")
    assert database().fireworks.count_documents({"spec.campaign_id": "c"}) == 1


# ---------------------------------------------------------------- running


def test_two_workers_run_a_growing_campaign_each_job_once(jobs, tmp_path):
    ledger = tmp_path / "ledger"
    submit(jobs.generation_flow(0, last=1, n=3, ledger=str(ledger), seconds=0.0), "c")
    submit(Flow([jobs.empty()]), "other")
    seen = []
    final = run_local("c", workers=2, watch=seen.append)
    assert final.state == "finished"
    assert final.generation == 1
    assert Counter(lines(ledger)) == Counter([f"{g}.{i}" for g in range(2) for i in range(3)])
    assert seen[-1] == final
    # Jobs that were added on the way belong to the campaign; other campaigns are untouched.
    assert database().fireworks.count_documents({"spec.campaign_id": "c"}) == sum(
        final.jobs.values()
    )
    assert status("other").jobs == {"READY": 1}
    # Every document is the one of a class, however often the replacing flow stored it.
    assert final.n_labels == 6
    record = campaign_record("c")
    assert [len(shard.labels) for shard in record.shards] == [3, 3]
    advances = record.advances
    assert [advance.generation for advance in advances] == [0, 1]
    assert advances[0].judgement.metrics.barriers == {"Li-Li 2.76 A #0": 0.3}


def test_a_failed_job_is_shown_and_runs_again_on_resume(jobs, tmp_path):
    flag = tmp_path / "flag"
    first = jobs.fails_once(str(flag))
    submit(Flow([first, jobs.empty(first.output), jobs.dear_label("x", str(tmp_path / "l"), 0.0)]),
           "c")  # fmt: skip
    final = run_local("c", workers=1)
    assert final.state == "failed"
    assert [f.message for f in final.failures] == [f"RuntimeError: expected {flag}"]
    assert final.jobs == {"FIZZLED": 1, "WAITING": 1, "COMPLETED": 1}
    flag.touch()
    assert resume("c", workers=1).state == "finished"
    assert lines(tmp_path / "l") == ["x"]


def bearing(jobs, *outputs):
    """Make a job that goes on without its inputs, as the collection of labels does."""
    made = jobs.empty(*outputs)
    made.config = JobConfig(on_missing_references=OnMissing.NONE)
    return made


def test_a_failed_job_that_the_graph_bears_does_not_fail_the_campaign(jobs, tmp_path):
    failing = jobs.fails_once(str(tmp_path / "flag"))
    submit(Flow([failing, bearing(jobs, failing.output)]), "c")
    final = run_local("c", workers=1)
    assert final.jobs == {"FIZZLED": 1, "COMPLETED": 1}
    assert final.state == "finished"
    assert final.failures == []
    assert [(f.name, f.message) for f in final.tolerated] == [
        ("fails_once", f"RuntimeError: expected {tmp_path}/flag")
    ]
    assert resume("c", workers=1).state == "finished"


def test_a_failed_job_that_one_child_does_not_bear_fails_the_campaign(jobs, tmp_path):
    failing = jobs.fails_once(str(tmp_path / "flag"))
    submit(Flow([failing, bearing(jobs, failing.output), jobs.empty(failing.output)]), "c")
    final = run_local("c", workers=1)
    assert final.jobs == {"FIZZLED": 1, "COMPLETED": 1, "WAITING": 1}
    assert final.state == "failed"
    assert (len(final.failures), final.tolerated) == (1, [])


def test_a_failed_job_without_children_fails_the_campaign(jobs, tmp_path):
    submit(Flow([jobs.fails_once(str(tmp_path / "flag")), jobs.empty()]), "c")
    final = run_local("c", workers=1)
    assert final.jobs == {"FIZZLED": 1, "COMPLETED": 1}
    assert (final.state, len(final.failures), final.tolerated) == ("failed", 1, [])


def test_one_process_runs_a_campaign(jobs, folder):
    import fcntl

    submit(Flow([jobs.empty()]), "c")
    with (folder / "lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(EngineError, match="run by another"):
            run_local("c", workers=1)


def test_an_unknown_campaign_is_refused(jobs):
    with pytest.raises(EngineError, match="unknown campaign 'nothing'"):
        run_local("nothing")


# ---------------------------------------------------------------- killed at a chosen moment


def crash(*args) -> int:
    import crash as support

    return support.crash(*args)


@pytest.mark.parametrize(("point", "nth"), CRASHES)
def test_a_campaign_survives_a_kill_at_any_step(jobs, folder, tmp_path, point, nth):
    ledger = tmp_path / "ledger"
    submit(jobs.generation_flow(0, last=1, n=2, ledger=str(ledger), seconds=0.0), "c")
    assert crash("c", folder, point, nth) == signal.SIGKILL
    before = completed()
    lp = launchpad()
    recover(lp, "c", rerun_failed=False)
    Worker(lp, "c", folder).run()
    final = status("c")
    # gen 0 and 1: spread, its 2 labels, their collection, what stores it again, step.
    assert (final.state, final.jobs) == ("finished", {"COMPLETED": 12})
    assert Counter(lines(ledger)) == Counter(["0.0", "0.1", "1.0", "1.1"])
    assert before.items() <= completed().items()  # no finished job ran again
    db = database()
    listed = db.workflows.find_one({"metadata.campaign_id": "c"})["nodes"]
    assert sorted(listed) == sorted(db.fireworks.distinct("fw_id"))
    assert [len(shard.labels) for shard in campaign_record("c").shards] == [2, 2]


def completed() -> dict[int, list[int]]:
    """Launches by finished job: one that runs again gets another launch."""
    return {fw["fw_id"]: fw["launches"] for fw in database().fireworks.find({"state": "COMPLETED"})}


def test_a_stored_label_is_not_computed_again(jobs, folder, tmp_path):
    ledger = tmp_path / "ledger"
    submit(Flow([jobs.dear_label("x", str(ledger), 0.0)]), "c")
    assert crash("c", folder, "output stored", 1) == signal.SIGKILL
    for checkpoint in folder.glob("*/done"):
        checkpoint.unlink()  # a job without checkpoints: only its output can save it
    report = recover(launchpad(), "c", rerun_failed=False)
    assert (len(report.completed), report.rerun) == (1, [])
    assert not is_active(launchpad(), "c")
    assert status("c").state == "finished"


def test_a_job_whose_folder_was_on_a_lost_machine_starts_anew(jobs, folder, tmp_path):
    import shutil

    ledger = tmp_path / "ledger"
    submit(Flow([jobs.dear_label("y", str(ledger), 0.0)]), "d")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert crash("d", elsewhere, "before launch ends", 1) == signal.SIGKILL
    database().outputs.delete_many({"metadata.campaign_id": "d"})  # not stored yet
    shutil.rmtree(elsewhere)
    lp = launchpad()
    assert len(recover(lp, "d", rerun_failed=False).rerun) == 1
    Worker(lp, "d", folder).run()
    assert status("d").state == "finished"
    assert lines(ledger).count("y") == 2  # what its machine knew of it is lost


def test_a_job_that_kills_each_worker_ends_the_run(folder):
    from ionloop.engine.local.launcher import MAX_RESTARTS, Crew, _count

    crew, deaths = Crew("c", 1, folder, get_settings()), Counter()
    for _ in range(10):  # of others each time: a bad night, not a bad job
        _count(deaths, [deaths.total()], crew)
    for _ in range(MAX_RESTARTS):
        _count(deaths, [99], crew)
    with pytest.raises(EngineError, match=r"died 4 times while job 99 ran; read .*worker"):
        _count(deaths, [99], crew)
    deaths.clear()
    for _ in range(MAX_RESTARTS):
        _count(deaths, [], crew)
    with pytest.raises(EngineError, match="died 4 times at their start"):
        _count(deaths, [], crew)


# ---------------------------------------------------------------- killed at any moment


def run_cli(*args: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "ionloop.cli", *args],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A background job inherits an ignored SIGINT, and Python then leaves it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def test_kill_9_and_resume_finish_with_each_label_once(jobs, tmp_path):
    ledger = tmp_path / "ledger"
    flow = tmp_path / "flow.py"
    flow.write_text(
        "import engine_jobs\n"
        "def build(ledger, n=4):\n"
        "    flow = engine_jobs.generation_flow(0, 2, n, ledger, 0.2)\n"
        "    flow.update_metadata({'campaign_id': 'c'})\n"
        "    return flow\n"
    )
    command = ["run", str(flow), "--local", "--workers", "2", "--set", f"ledger={ledger}"]
    for done, delay in ((2, 0.0), (7, 0.1)):
        process = run_cli(*command)
        end = time.monotonic() + 60
        while len(lines(ledger)) < done and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        assert len(lines(ledger)) >= done, said
        command = ["resume", "c", "--workers", "2"]
    process = run_cli(*command)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    assert "c finished" in said
    assert Counter(lines(ledger)) == Counter([f"{g}.{i}" for g in range(3) for i in range(4)])
    assert status("c").jobs == {"COMPLETED": 24}


def test_ctrl_c_kills_the_workers_and_says_how_to_go_on(jobs, tmp_path):
    ledger = tmp_path / "ledger"
    slow = [jobs.dear_label(f"{i}", str(ledger), 0.0 if i == 0 else 30.0) for i in range(2)]
    submit(Flow([slow[0], slow[1]]), "c")
    process = run_cli("resume", "c", "--workers", "2")
    end = time.monotonic() + 60
    while not lines(ledger) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    workers = children(process.pid)
    assert workers
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "ionloop resume c" in said
    assert not any(is_alive(pid) for pid in workers)


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_a_killed_worker_started_is_killed(tmp_path):
    mark = str(tmp_path)
    orphan = subprocess.Popen(["sleep", "60"], env=os.environ | {RUN_MARK: mark})
    other = subprocess.Popen(["sleep", "60"], env=os.environ | {RUN_MARK: f"{mark}-other"})
    try:
        assert kill_marked(mark) == 1
        assert orphan.wait(5) == -signal.SIGKILL
        assert is_alive(other.pid)
    finally:
        other.kill()
        other.wait()


# ---------------------------------------------------------------- what a job's output says

#: Outputs of jobs that add jobs, or that are so cheap that nobody minds a second run.
NOT_FINAL = {"CampaignStart", "Advance", "OutputReference"}


def job_outputs(tree: ast.Module) -> list[tuple[str, str, str | None]]:
    """Return (job, class that it returns, class of its output_schema) of a module's jobs.

    Of a list, the class of its parts; ``Response`` of jobs that add others.
    """
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            call = mark if isinstance(mark, ast.Call) else None
            if ast.unparse(call.func if call else mark).rsplit(".", 1)[-1] != "job":
                continue
            schemas = [k.value for k in (call.keywords if call else []) if k.arg == "output_schema"]
            schema = ast.unparse(schemas[0]) if schemas else None
            # A job may go on in a new launch instead: what it returns in the end counts.
            said = ast.unparse(node.returns).removesuffix(" | Response")
            returned = re.fullmatch(r"(?:list\[)?(\w+)\]?", said)[1]
            found.append((node.name, returned, schema))
    return found


def test_every_job_that_adds_none_has_a_final_output():
    files = [*(ROOT / "src" / "ionloop").rglob("*.py")]
    jobs = [job for file in files for job in job_outputs(ast.parse(file.read_text()))]
    named = {name for _, *names in jobs for name in names if name} - {"Response"}
    assert named - NOT_FINAL == FINAL_OUTPUTS
    assert {"explore_md", "train_member", "measure_cost", "label_frames"} <= {j[0] for j in jobs}


def test_jobs_that_add_others_have_no_final_output():
    """They return a Response; label_frames' class is that of the job that replaces it."""
    files = [*(ROOT / "src" / "ionloop").rglob("*.py")]
    adding = {
        (name, schema)
        for file in files
        for name, returned, schema in job_outputs(ast.parse(file.read_text()))
        if returned == "Response"
    }
    assert adding == {("advance", "Advance"), ("label_frames", None)}
    assert "Advance" not in FINAL_OUTPUTS


def test_job_outputs_are_read_from_the_source():
    source = (
        "@job\ndef a() -> list[A]: ...\n"
        "@jobflow.job(data='x', output_schema=B)\ndef b() -> Response: ...\n"
        "def c() -> C: ...\n"
    )
    assert job_outputs(ast.parse(source)) == [("a", "A", None), ("b", "Response", "B")]


@pytest.mark.parametrize("output", [{"@class": "Accuracy"}, [{"@class": "Cost"}] * 2])
def test_outputs_of_a_document_or_a_list_of_them_are_final(output):
    assert is_final(output)
    assert not is_final([])
    assert not is_final({"@class": "Advance"})
    assert not is_final([output, None])
