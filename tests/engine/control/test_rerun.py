"""A stage runs again with all that is behind it; labels that are paid for don't."""

from __future__ import annotations

import signal
from collections import Counter

import pytest

from ionloop.engine import submit
from ionloop.engine.control.hold import held, hold, release
from ionloop.engine.control.rerun import finish_rerun, plan_rerun, rerun_stage
from ionloop.engine.launchpad import launchpad, workflow_of
from ionloop.errors import EngineError
from ionloop.store.connection import database
from ionloop.store.queries import campaign_record, status


def rerun(stage: str) -> None:
    lp = launchpad()
    rerun_stage(lp, "c", plan_rerun(lp, "c", stage))


def names(jobs) -> list[str]:
    return sorted(job.name for job in jobs)


def folders(camp, tmp_path) -> list[str]:
    return [line.split()[1] for line in camp.lines(tmp_path, "trained")]


def listed_once() -> bool:
    """Whether the workflow lists each firework, and its links only those."""
    workflow = workflow_of(launchpad(), "c")
    ids = sorted(database().fireworks.distinct("fw_id"))
    linked = {int(k) for k in workflow["links"]} | {
        i for children in workflow["links"].values() for i in children
    }
    states = sorted(int(i) for i in workflow["fw_states"])
    return sorted(workflow["nodes"]) == ids == states and linked <= set(ids)


@pytest.fixture
def finished(camp, tmp_path, runs):
    """A campaign of two generations and an evaluation without labels of its own."""
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    camp.run_here(runs)
    assert status("c").state == "finished"
    return camp


def test_training_runs_again_in_a_new_folder_and_what_it_added_is_made_anew(
    finished, tmp_path, runs
):
    lp = launchpad()
    plan = plan_rerun(lp, "c", "train")
    assert (plan.generation, names(plan.again)) == (1, ["advance", "train"])
    assert (plan.there, plan.kept) == ([], [])
    assert names(plan.removed) == ["measure", "train"]  # the evaluation
    old = {job.fw_id for job in plan.removed}
    before = folders(finished, tmp_path)
    assert rerun_stage(lp, "c", plan) is None
    assert listed_once()
    assert not old & set(database().fireworks.distinct("fw_id"))
    assert finished.states() == {"COMPLETED": 12, "READY": 1, "WAITING": 1}
    assert finished.run_here(runs) == 4
    assert status("c").state == "finished"
    assert len(set(folders(finished, tmp_path))) == len(before) + 2
    assert len(finished.lines(tmp_path, "measured")) == 2
    assert Counter(finished.lines(tmp_path, "ledger")) == Counter(["0.0", "0.1", "1.0", "1.1"])


def test_labels_run_again_in_their_folders_and_arent_computed_again(finished, tmp_path, runs):
    plan = plan_rerun(launchpad(), "c", "label")
    assert names(plan.there) == ["label 1.0", "label 1.1"]
    assert names(plan.kept) == ["ask"]
    assert names(plan.again) == ["advance", "collect", "store_inputs", "train"]
    launched = database().launches.count_documents({})
    rerun("label")
    finished.run_here(runs)
    assert status("c").state == "finished"
    assert database().launches.count_documents({}) == launched - 2 + 6 + 2
    assert Counter(finished.lines(tmp_path, "ledger")) == Counter(["0.0", "0.1", "1.0", "1.1"])
    shards = campaign_record("c").shards
    assert [len(shard.labels) for shard in shards] == [2, 2]


def test_outputs_of_what_runs_again_are_outdated_until_then(finished, runs):
    rerun("train")
    outdated = list(database().outputs.find({"outdated": True}, {"name": 1}))
    assert sorted(doc["name"] for doc in outdated) == ["advance", "measure", "train", "train"]
    finished.run_here(runs)
    # those of the removed evaluation stay so: nothing reads them any more
    left = [doc["name"] for doc in database().outputs.find({"outdated": True}, {"name": 1})]
    assert sorted(left) == ["measure", "train"]


def test_a_stage_with_labels_behind_it_is_refused(camp, tmp_path, runs):
    submit(camp.turn(0, 0, str(tmp_path), n_test=2), "c")
    camp.run_here(runs)
    for stage in ("label", "train", "advance"):
        with pytest.raises(EngineError, match=f"stage {stage} of c: .* paid for"):
            plan_rerun(launchpad(), "c", stage)
    # the evaluation itself: its models' runs stay, since the test labels are of their frames
    plan = plan_rerun(launchpad(), "c", "evaluate")
    assert names(plan.kept) == ["ask", "train"]
    assert names(plan.there) == ["label 100.0", "label 100.1"]
    assert names(plan.again) == ["collect", "measure", "store_inputs"]


def test_an_earlier_generation_is_refused_with_the_reason(finished):
    with pytest.raises(EngineError, match="latest generation of c, 1, got 0: the labels of later"):
        plan_rerun(launchpad(), "c", "train", 0)


def test_a_stage_that_doesnt_exist_is_refused(finished):
    with pytest.raises(
        EngineError, match=r"generation 1 \(advance, evaluate, label, train\), got 'x'"
    ):
        plan_rerun(launchpad(), "c", "x")


def test_a_stage_that_hasnt_run_is_refused(camp, tmp_path):
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    with pytest.raises(EngineError, match="expected jobs that have run, got none"):
        plan_rerun(launchpad(), "c", "train")


def test_a_running_stage_is_refused(camp, tmp_path, runs, elsewhere):
    one = camp.train(0, None, str(tmp_path))
    one.update_metadata({"generation": 0, "stage": "train"})
    submit(one, "c")
    lp = launchpad()
    refused = []

    def look() -> None:
        with pytest.raises(EngineError, match=r"expected no running job .* got train") as error:
            plan_rerun(lp, "c", "train")
        refused.append(str(error.value))

    camp.rocket_that(lp, look)
    assert "ionloop pause c" in refused[0]


def test_a_paused_campaign_stays_paused(camp, tmp_path, runs):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    camp.run_here(runs)
    (tmp_path / "broken").touch()
    rerun("train")
    camp.run_here(runs)  # fails, and leaves work behind it
    lp = launchpad()
    before = hold(lp, "c")
    (tmp_path / "broken").unlink()
    assert rerun_stage(lp, "c", plan_rerun(lp, "c", "train")) == before
    assert held(lp, "c") == before
    assert camp.run_here(runs) == 0
    assert camp.states() == {"COMPLETED": 12, "PAUSED": 2}
    release(lp, "c")
    camp.run_here(runs)
    assert status("c").state == "finished"
    assert listed_once()


def test_a_plan_that_is_out_of_date_is_refused(finished, runs):
    lp = launchpad()
    plan = plan_rerun(lp, "c", "train")
    rerun_stage(lp, "c", plan)
    finished.run_here(runs)
    with pytest.raises(EngineError, match="c has moved on"):
        rerun_stage(lp, "c", plan)
    assert held(lp, "c") is None
    assert status("c").state == "finished"


@pytest.mark.parametrize("n", [*range(1, 24), 60])
def test_a_rerun_that_was_killed_is_done_by_the_next(camp, tmp_path, runs, n):
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    camp.run_here(runs)
    died = camp.killed_after(n, lambda: rerun("train"))
    assert died == (signal.SIGKILL if n < 60 else 0)
    lp = launchpad()
    if finish_rerun(lp, "c") != "train" and camp.states() == {"COMPLETED": 9}:
        rerun("train")
    assert held(lp, "c") is None
    camp.run_here(runs)
    assert status("c").state == "finished"
    assert listed_once()
    assert len(camp.lines(tmp_path, "measured")) == 2
    assert Counter(camp.lines(tmp_path, "ledger")) == Counter(["0.0", "0.1"])
