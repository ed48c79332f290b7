"""A held campaign starts nothing, loses nothing, and goes on where it was."""

from __future__ import annotations

import os
import signal
import warnings
from collections import Counter
from pathlib import Path

import pytest

from ionloop.engine import resume, submit
from ionloop.engine.control.hold import held, hold, hold_additions, release
from ionloop.engine.launchpad import is_active, launchpad, workflow_of
from ionloop.engine.local.recover import recover
from ionloop.errors import EngineError
from ionloop.store.connection import database
from ionloop.store.queries import status


def each_once(camp, tmp_path: Path, generations: int = 2, n: int = 2) -> bool:
    expected = [f"{g}.{i}" for g in range(generations) for i in range(n)]
    return Counter(camp.lines(tmp_path, "ledger")) == Counter(expected)


def test_nothing_of_a_paused_campaign_starts(camp, tmp_path, runs):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    lp = launchpad()
    found = hold(lp, "c")
    assert (found.state, found.by, found.why) == ("paused", held(lp, "c").by, "")
    assert camp.states() == {"PAUSED": 3}
    assert not is_active(lp, "c")
    assert camp.run_here(runs) == 0
    assert lp.run_exists() is False  # FireWorks' own workers find nothing either
    now = status("c")
    assert (now.state, now.held, now.jobs) == ("paused", found, {"PAUSED": 3})


def test_a_pause_ends_with_a_resume(camp, tmp_path, runs):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    lp = launchpad()
    hold(lp, "c")
    assert release(lp, "c").state == "paused"
    assert camp.states() == {"READY": 1, "WAITING": 2}
    assert release(lp, "c") is None
    camp.run_here(runs)
    assert status("c").state == "finished"
    assert each_once(camp, tmp_path)


def test_a_second_pause_changes_nothing(camp, tmp_path):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    first = hold(launchpad(), "c")
    before = workflow_of(launchpad(), "c")
    assert hold(launchpad(), "c") == first
    after = workflow_of(launchpad(), "c")
    assert after["metadata"] == before["metadata"]
    assert after["fw_states"] == before["fw_states"]


def test_another_campaign_isnt_paused(camp, tmp_path):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    submit(camp.turn(0, 1, str(tmp_path)), "other")
    hold(launchpad(), "c")
    assert camp.states(**{"spec.campaign_id": "other"}) == {"READY": 1, "WAITING": 2}


def test_what_is_finished_or_unknown_cant_be_paused(camp, tmp_path, runs):
    import engine_jobs

    submit(engine_jobs.empty(), "c")
    camp.run_here(runs)
    with pytest.raises(EngineError, match="expected a campaign with jobs left to run, got c"):
        hold(launchpad(), "c")
    assert held(launchpad(), "c") is None
    with pytest.raises(EngineError, match="unknown campaign 'nothing'"):
        hold(launchpad(), "nothing")


def test_a_paused_campaign_can_be_cancelled_and_not_the_other_way(camp, tmp_path):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    lp = launchpad()
    hold(lp, "c")
    assert hold(lp, "c", "cancelled").state == "cancelled"
    assert status("c").state == "cancelled"
    with pytest.raises(EngineError, match=r"c is cancelled by .* since .*ionloop resume c"):
        hold(lp, "c")


# ---------------------------------------------------------------- while a job runs


def test_what_a_running_job_adds_doesnt_start_and_isnt_lost(camp, tmp_path, runs, elsewhere):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    lp = launchpad()
    running = []

    def pause() -> None:
        hold(lp, "c")
        running.append(status("c"))

    camp.rocket_that(lp, pause)  # the job that replaces itself by labels
    assert running[0].state == "paused"
    assert running[0].jobs == {"RUNNING": 1, "PAUSED": 2}
    assert camp.states() == {"PAUSED": 3}
    assert not lp.run_exists()
    assert status("c").jobs == {"COMPLETED": 1, "PAUSED": 2}
    release(lp, "c")
    # its labels are there now; the job itself doesn't run again
    assert camp.states() == {"COMPLETED": 1, "READY": 2, "WAITING": 4}
    camp.run_here(runs)
    assert status("c").state == "finished"
    assert each_once(camp, tmp_path)


def test_a_resume_before_the_running_job_ends_lets_it_go_on(camp, tmp_path, runs, elsewhere):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    lp = launchpad()

    def pause_and_resume() -> None:
        hold(lp, "c")
        release(lp, "c")

    camp.rocket_that(lp, pause_and_resume)
    assert camp.states() == {"COMPLETED": 1, "READY": 2, "WAITING": 4}
    camp.run_here(runs)
    assert each_once(camp, tmp_path)


def test_a_job_that_fails_while_paused_has_failed_after(camp, tmp_path, runs, elsewhere):
    (tmp_path / "broken").touch()
    submit(camp.train(0, None, str(tmp_path)), "c")
    lp = launchpad()
    camp.rocket_that(lp, lambda: hold(lp, "c"))
    assert status("c").jobs == {"FIZZLED": 1}
    release(lp, "c")
    assert [f.message for f in status("c").failures] == ["RuntimeError: the model file is broken"]


def test_a_job_that_was_chosen_when_the_pause_came_is_waited_for(camp, tmp_path, elsewhere):
    """Between choosing a job and noting that it runs, a worker would overwrite the pause."""
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    lp = launchpad()
    original = lp.get_new_launch_id
    child = []

    def slow() -> int:
        child.append(camp.in_child(lambda: hold(launchpad(), "c")))
        camp.wait_for(lambda: camp.states().get("PAUSED") == 2)
        return original()

    lp.get_new_launch_id = slow
    seen = []

    def while_running() -> None:
        os.waitpid(child[0], 0)
        seen.append(camp.states())

    camp.rocket_that(lp, while_running)
    assert seen == [{"PAUSED": 3}]
    assert not lp.run_exists()


def test_what_slipped_through_is_paused_by_the_worker(camp, tmp_path):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    lp = launchpad()
    assert hold_additions(lp, "c") == 0
    hold(lp, "c")
    lp.fireworks.update_one({"state": "PAUSED"}, {"$set": {"state": "READY"}})
    assert hold_additions(lp, "c") == 1
    assert hold_additions(lp, "c") == 0
    assert camp.states() == {"PAUSED": 3}


def test_a_reserved_job_is_free_again_after_a_resume(camp, tmp_path, runs, elsewhere):
    """Its queue job found it paused, and ended."""
    from fireworks import FWorker

    submit(camp.turn(0, 1, str(tmp_path)), "c")
    lp = launchpad()
    fw, _ = lp.reserve_fw(FWorker(), str(elsewhere))
    hold(lp, "c")
    assert lp.checkout_fw(FWorker(), str(elsewhere), fw_id=fw.fw_id) == (None, None)
    release(lp, "c")
    assert camp.states() == {"READY": 1, "WAITING": 2}
    camp.run_here(runs)
    assert each_once(camp, tmp_path)


# ---------------------------------------------------------------- killed half-way

#: After which of its own writes to the database the command dies.
WRITES = range(1, 8)


@pytest.mark.parametrize("n", WRITES)
def test_a_pause_that_was_killed_is_done_by_the_next(camp, tmp_path, runs, n):
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    assert camp.killed_after(n, lambda: hold(launchpad(), "c")) == (signal.SIGKILL if n < 7 else 0)
    lp = launchpad()
    hold(lp, "c")
    assert camp.states() == {"PAUSED": 3}
    assert "locked" not in workflow_of(lp, "c")
    release(lp, "c")
    camp.run_here(runs)
    assert status("c").state == "finished"
    assert each_once(camp, tmp_path, 1)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 8, 10])
def test_a_release_that_was_killed_is_done_by_the_next(camp, tmp_path, runs, elsewhere, n):
    """Also one that applies what a job, which ended meanwhile, has added."""
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    lp = launchpad()
    camp.rocket_that(lp, lambda: hold(lp, "c"))
    assert camp.killed_after(n, lambda: release(launchpad(), "c")) == signal.SIGKILL
    if held(lp, "c"):
        release(lp, "c")
    with warnings.catch_warnings():
        recover(lp, "c", rerun_failed=True)
    camp.run_here(runs)
    assert status("c").state == "finished"
    assert each_once(camp, tmp_path, 1)
    listed = workflow_of(lp, "c")["nodes"]
    assert sorted(listed) == sorted(database().fireworks.distinct("fw_id"))


# ---------------------------------------------------------------- local runs


def test_a_local_run_ends_its_jobs_and_itself_when_paused(camp, tmp_path):
    submit(camp.turn(0, 1, str(tmp_path), seconds=1.5), "c")
    process = camp.command("resume", "c", "--workers", "2")
    camp.wait_for(lambda: camp.states().get("RUNNING") == 2)
    hold(launchpad(), "c")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 3, said
    assert "c paused by" in said
    assert "ionloop resume c" in said
    # both labels that ran have ended, and nothing else has begun
    assert sorted(camp.lines(tmp_path, "ledger")) == ["0.0", "0.1"]
    assert status("c").jobs == {"COMPLETED": 3, "PAUSED": 4}
    final = resume("c", workers=2)
    assert (final.state, final.held) == ("finished", None)
    assert each_once(camp, tmp_path)
