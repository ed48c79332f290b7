"""A batch below its share pauses the campaign; a resume runs what failed, and nothing else."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import jobflow
import pytest

from ionloop.engine import submit
from ionloop.engine.launchpad import launchpad
from ionloop.engine.local.recover import Recovery, recover
from ionloop.engine.worker import Worker
from ionloop.errors import LabelError
from ionloop.settings import get_settings
from ionloop.store.connection import database, job_store
from ionloop.store.labels import change_share, decisions, readmit_labels, stored_shards
from ionloop.store.queries import campaign_record, status

SUPPORT = Path(__file__).parent / "support"


class Run:
    """One campaign of batches on a real database, driven in this process."""

    def __init__(self, flaky, calculations: Path, runs: Path) -> None:
        self.flaky = flaky
        self.calculations = calculations
        self.runs = runs

    def submit(self, *names: str, faults: dict[str, str] | None = None, **options) -> None:
        for name, fault in (faults or {}).items():
            (self.calculations / name).write_text(fault)
        submit(self.flaky.batches(self.calculations, *names, **options), "c")

    def mend(self, *names: str) -> None:
        for name in names:
            (self.calculations / name).unlink()

    def go_on(self) -> tuple[str, Recovery]:
        """Do what ``ionloop resume`` does, without processes of their own."""
        lp = launchpad()
        found = recover(lp, "c", rerun_failed=True)
        Worker(lp, "c", self.runs).run()
        return status("c").state, found

    @property
    def computed(self) -> str:
        """Calculations so far, a letter each, in order of the alphabet."""
        return "".join(sorted((self.calculations / "ledger").read_text().split()))

    @property
    def noted(self) -> str | None:
        path = self.calculations / "noted"
        return path.read_text().strip() if path.exists() else None


@pytest.fixture
def run(ionloop_db, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT), prepend=os.pathsep)
    monkeypatch.setattr(jobflow.SETTINGS, "JOB_STORE", job_store())
    monkeypatch.chdir(Path.cwd())  # a worker in this process goes elsewhere
    calculations = tmp_path / "calculations"
    runs = get_settings().home_dir / "runs" / "c"
    for folder in (calculations, runs):
        folder.mkdir(parents=True)
    import flaky

    return Run(flaky, calculations, runs)


def launches() -> dict[str, int]:
    """How often each job ran, by name."""
    fields = ["name", "launches", "archived_launches"]
    counts: Counter[str] = Counter()
    for fw in database().fireworks.find({}, fields):
        counts[fw["name"]] += len(fw["launches"]) + len(fw["archived_launches"])
    return dict(counts)


FAULTS = {"d": "scf", "e": "dies", "f": "force", "g": "scf"}


def test_a_pause_is_mended_step_by_step_and_no_good_label_is_computed_twice(run, main) -> None:
    run.submit("ab", "cdefghi", faults=FAULTS)
    assert run.go_on()[0] == "paused"
    assert (run.computed, run.noted) == ("abcdefghi", None)
    check_what_a_pause_says(main)

    # A second run computes what failed, and finds the same; the force stays as large.
    state, found = run.go_on()
    assert (state, len(found.rerun)) == ("paused", 3)
    assert run.computed == "abcddeefgghi"

    # Two of three are mended: 5 of 7 labels, still too few.
    run.mend("d", "e")
    assert run.go_on()[0] == "paused"
    assert run.computed == "abcdddeeefggghi"
    (batch,) = [one.shard for one in stored_shards("c") if one.shard.generation == 1]
    assert batch.reasons == {"force above the ceiling": 1, "SCF not converged": 1}

    # The large force is believed: 6 of 7, and the campaign goes on without a calculation.
    check_readmission(main, batch)
    before = launches()
    assert run.go_on()[0] == "finished"
    assert run.computed == "abcdddeeefggghi"
    assert run.noted == "(2, 6)"
    ran = {name: n - before.get(name, 0) for name, n in launches().items()}
    assert {name for name, n in ran.items() if n} == {
        "check labels train 1", "store_inputs", "note",
    }  # fmt: skip
    check_folders(run)
    check_record()


def check_what_a_pause_says(main) -> None:
    found = status("c")
    (failure,) = found.failures
    assert failure.pauses
    assert failure.message.startswith(
        "3 of 7 labels of generation 1 admitted, expected a share of at least 0.8; most frequent "
        "reason: SCF not converged (2 times), first in /"
    )
    assert "(SCF not converged: after 60 steps of 60); `ionloop labels c" in failure.message
    assert [f.message for f in found.tolerated] == ["RuntimeError: the node went down"]
    assert "`ionloop resume c` runs 3 failed jobs of this batch again" in failure.message
    code, out, _ = main("status", "c")
    assert code == 0
    assert "c: paused, 5 labels" in out
    assert f"paused: {failure.message}" in out
    assert json.loads(main("status", "c", "--json")[1])["state"] == "paused"
    code, out, _ = main("labels", "c", "--json")
    listed = json.loads(out)
    assert [b["n_admitted"] for b in listed["batches"]] == [2, 3]
    assert listed["batches"][1]["reasons"] == {
        "SCF not converged": 2, "job failed": 1, "force above the ceiling": 1,
    }  # fmt: skip
    assert sorted(row["reasons"][0].partition(":")[0] for row in listed["quarantined"]) == [
        "SCF not converged", "SCF not converged", "force above the ceiling", "job failed",
    ]  # fmt: skip
    assert "quarantined, 2 times: SCF not converged" in main("labels")[1]


def check_readmission(main, batch) -> None:
    label = {x.kinds[0]: x.frame_hash for x in batch.quarantined}
    code, out, _ = main("labels", "c", "--quarantined")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert set(lines) == {h[:10] for h in label.values()}
    large = lines[label["force above the ceiling"][:10]]
    assert "train 1  rattle  force above the ceiling: 99.00 eV/Å on atom 0 (Li)" in large
    assert str(get_settings().home_dir / "runs" / "c") in large
    assert large.endswith("can be readmitted")
    unconverged = label["SCF not converged"]
    assert lines[unconverged[:10]].endswith(
        "can't be readmitted: SCF not converged can't be overruled"
    )
    # All or nothing: with one that may not, none is taken.
    force = label["force above the ceiling"]
    code, out, err = main("labels", "readmit", "c", force, unconverged)
    assert (code, out) == (2, "")
    assert "can't be readmitted: SCF not converged can't be overruled" in err
    assert decisions("c").readmissions == []
    assert "got none" in main("labels", "readmit", "c", "zz")[2]
    assert "got none" in main("labels", "readmit", "c", "")[2]
    code, out, _ = main("labels", "readmit", "c", force[:8], "--reason", "a real saddle")
    assert code == 0
    assert out.startswith(f"readmitted {force[:10]}, trains from generation 1 on; overruled: force")
    assert "an admitted one" in main("labels", "readmit", "c", force)[2]


def check_folders(run) -> None:
    """Each job that ran again did so in its old folder."""
    where = {}
    for launch in database().launches.find({}, ["fw_id", "launch_dir"]):
        where.setdefault(launch["fw_id"], set()).add(launch["launch_dir"])
    labels = database().fireworks.find({"name": {"$regex": "^label train 1."}}, ["fw_id"])
    assert all(len(where[fw["fw_id"]]) == 1 for fw in labels)


def check_record() -> None:
    shard = campaign_record("c").shards[1]
    assert (shard.n_admitted, shard.n_quarantined, shard.n_readmitted) == (6, 1, 1)
    (taken,) = [label for label in shard.labels if label.readmitted]
    assert taken.forces == [[99.0, 0.0, 0.0]]
    assert taken.readmitted.reason == "a real saddle"
    assert taken.readmitted.overruled[0].startswith("force above the ceiling")
    assert status("c").n_labels == 8


def test_a_readmission_outlives_a_second_collection(run) -> None:
    run.submit("abcd", faults={"a": "force", "b": "scf", "c": "scf"})
    assert run.go_on()[0] == "paused"
    (one,) = stored_shards("c")
    (force,) = [x for x in one.shard.quarantined if x.kinds == ["force above the ceiling"]]
    readmit_labels("c", [force.frame_hash], "believed")
    run.mend("b")
    assert run.go_on()[0] == "paused"  # collected again: 3 of 4
    (one,) = stored_shards("c")
    assert [(x.frame.group, bool(x.readmitted)) for x in one.shard.labels] == [
        ("a", True), ("b", False), ("d", False),
    ]  # fmt: skip
    run.mend("c")
    assert run.go_on()[0] == "finished"
    assert (run.noted, run.computed) == ("(4,)", "abbcccd")


def test_a_lower_share_is_for_this_batch_and_later_ones(run, main) -> None:
    run.submit("abcd", "efgh", faults={"a": "scf", "b": "dies", "e": "scf", "f": "scf"})
    assert run.go_on()[0] == "paused"
    before = run.computed
    change_share("c", 0.5)
    assert run.go_on()[0] == "finished"
    assert run.computed == before + "efgh"
    assert run.noted == "(2, 2)"
    (change,) = decisions("c").shares
    assert (change.min_success_fraction, bool(change.by), change.at[:2]) == (0.5, True, "20")
    assert json.loads(main("labels", "c", "--json")[1])["decisions"]["shares"] == [
        change.model_dump(mode="json")
    ]


def test_a_batch_above_its_share_is_left_alone(run) -> None:
    run.submit("abcde", faults={"a": "scf"})
    assert run.go_on()[0] == "finished"
    assert run.go_on()[1].rerun == []
    assert run.computed == "abcde"


def test_good_labels_of_a_job_that_runs_again_are_read_again(run) -> None:
    run.submit("abcdef", frames_per_job=3, faults={"b": "scf", "c": "settings"})
    assert run.go_on()[0] == "paused"
    run.mend("b", "c")
    assert run.go_on()[0] == "finished"
    assert run.computed == "abbcdef"  # c was good in itself, and is of other settings for good
    assert run.noted == "(5,)"


def test_labels_out_of_time_go_on_in_new_launches_and_the_last_one_is_retried(run) -> None:
    run.submit("abc", frames_per_job=3, faults={"b": "late"})
    assert run.go_on()[0] == "paused"
    assert run.computed == "abbbc"  # three launches, one job after another
    state, found = run.go_on()
    assert (state, len(found.rerun), run.computed) == ("paused", 1, "abbbbc")
    run.mend("b")
    assert run.go_on()[0] == "finished"
    assert (run.computed, run.noted) == ("abbbbbc", "(3,)")


def test_what_a_job_stored_before_its_retry_is_not_its_answer(run) -> None:
    """A worker that is killed on the way leaves a job whose output is of the first run."""
    run.submit("ab", faults={"a": "scf"})
    assert run.go_on()[0] == "paused"
    run.mend("a")
    import crash

    lp = launchpad()
    assert len(recover(lp, "c", rerun_failed=True).rerun) == 1
    assert crash.crash("c", run.runs, "checked out", 1) == signal.SIGKILL
    found = recover(launchpad(), "c", rerun_failed=False)
    assert (found.completed, len(found.rerun)) == ([], 1)
    Worker(launchpad(), "c", run.runs).run()
    assert (status("c").state, run.noted, run.computed) == ("finished", "(2,)", "aab")


def test_a_batch_that_is_being_labelled_again_takes_no_decision(run) -> None:
    run.submit("ab", faults={"a": "force", "b": "scf"})
    assert run.go_on()[0] == "paused"
    (one,) = stored_shards("c")
    (force,) = [x for x in one.shard.quarantined if x.kinds == ["force above the ceiling"]]
    recover(launchpad(), "c", rerun_failed=True)  # and no worker yet
    with pytest.raises(LabelError, match="being labelled again"):
        readmit_labels("c", [force.frame_hash], "believed")


def test_after_its_training_a_label_waits_for_the_next_generation(run, main) -> None:
    run.submit("abcde", faults={"a": "force"})
    assert run.go_on()[0] == "finished"
    (one,) = stored_shards("c")
    code, out, _ = main("labels", "readmit", "c", one.shard.quarantined[0].frame_hash)
    assert (code, "trains from generation 1 on" in out) == (0, True)
    (one,) = stored_shards("c")
    assert (one.shard.n_admitted, one.shard.n_readmitted) == (5, 1)


def test_a_cluster_puts_a_paused_campaign_in_order_and_runs_nothing_here(run, main) -> None:
    run.submit("ab", faults={"a": "scf"})
    assert run.go_on()[0] == "paused"
    run.mend("a")
    code, out, _ = main("resume", "c", "--no-run")
    assert (code, out.startswith("c is in order: ")) == (0, True)
    assert run.computed == "ab"
    Worker(launchpad(), "c", run.runs).run()  # one of the cluster's
    assert (status("c").state, run.computed) == ("finished", "aab")


def test_resume_says_why_it_pauses_and_ends_with_status_3(run, main) -> None:
    run.submit("ab", faults={"a": "scf"})
    code, _, err = main("resume", "c", "--workers", "1")
    assert code == 3
    assert "paused: 1 of 2 labels of generation 0 admitted" in err
    assert "c paused: it waits for a decision" in err
    code, out, _ = main("resume", "c", "--workers", "1", "--min-success", "0.5")
    assert (code, "c finished: 1 labels" in out) == (0, True)
    assert run.computed == "ab"
    assert main("resume", "c", "--min-success", "1.5")[0] == 2
