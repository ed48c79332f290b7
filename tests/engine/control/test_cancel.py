"""A cancelled campaign's jobs end, wherever they run from here; a resume takes it up again."""

from __future__ import annotations

import os
import socket
from collections import Counter

from fireworks import FWorker
from fireworks.core.rocket import Rocket
from typer.testing import CliRunner

from ionloop import cli
from ionloop.engine import resume, submit
from ionloop.engine.control.cancel import cancel
from ionloop.engine.control.hold import release
from ionloop.engine.launchpad import launchpad
from ionloop.processes import is_alive
from ionloop.store.queries import status


def begun(camp, tmp_path, n: int) -> None:
    camp.wait_for(lambda: len(camp.lines(tmp_path, "begun")) >= n)


def test_a_local_run_is_ended_and_taken_up_again(camp, tmp_path):
    (tmp_path / "slow").touch()
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    process = camp.command("resume", "c", "--workers", "2")
    begun(camp, tmp_path, 2)
    report = cancel(launchpad(), "c")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3, said
    assert "c cancelled by" in said
    assert (len(report.ended), report.left) == (2, [])
    assert "label 0.0: worker ionloop-local on" in "".join(report.ended)
    assert status("c").state == "cancelled"
    (tmp_path / "slow").unlink()
    final = resume("c", workers=2)
    assert (final.state, final.held) == ("finished", None)
    assert Counter(camp.lines(tmp_path, "ledger")) == Counter(["0.0", "0.1", "1.0", "1.1"])
    assert Counter(camp.lines(tmp_path, "begun")) == Counter(
        ["0.0"] * 2 + ["0.1"] * 2 + ["1.0", "1.1"]
    )


def worker(camp, **env: object) -> int:
    """Start a worker in a child, that says who it is."""

    def run() -> None:
        who = {"host": socket.gethostname(), "pid": os.getpid(), **env}
        lp, fworker = launchpad(), FWorker(name=f"dft-{os.getpid()}", env=who)
        while Rocket(lp, fworker, None).run():
            pass

    return camp.in_child(run)


def test_a_cluster_worker_of_this_machine_is_ended(camp, tmp_path, runs, elsewhere):
    (tmp_path / "slow").touch()
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    pid = worker(camp)
    begun(camp, tmp_path, 1)
    report = cancel(launchpad(), "c")
    assert not is_alive(pid)
    assert (len(report.ended), report.left) == (1, [])
    assert cancel(launchpad(), "c").ended == []
    (tmp_path / "slow").unlink()
    release(launchpad(), "c")
    assert camp.states() == {"COMPLETED": 1, "READY": 2, "WAITING": 4}, status("c").failures
    camp.run_here(runs)
    assert status("c").state == "finished"
    assert Counter(camp.lines(tmp_path, "ledger")) == Counter(["0.0", "0.1"])


def test_a_worker_elsewhere_is_named_and_its_result_is_kept(camp, tmp_path, runs, elsewhere):
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    lp = launchpad()
    reports = []

    def during() -> None:
        there = {"host": "far-away", "fworker.env": {"host": "far-away", "pid": 1}}
        lp.launches.update_many({}, {"$set": there})
        reports.append(cancel(launchpad(), "c"))

    camp.rocket_that(lp, during)
    assert reports[0].ended == []
    assert [line.split(":")[0] for line in reports[0].left] == ["ask"]
    release(lp, "c")
    assert camp.states() == {"COMPLETED": 1, "READY": 2, "WAITING": 4}


def test_a_process_number_that_was_used_anew_isnt_ended(camp, tmp_path, elsewhere):
    (tmp_path / "slow").touch()
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    pid = worker(camp)
    begun(camp, tmp_path, 1)
    lp = launchpad()
    lp.launches.update_many({"state": "RUNNING"}, {"$set": {"time_start": "2020-01-01T00:00:00"}})
    report = cancel(lp, "c")
    try:
        assert is_alive(pid)
        assert len(report.left) == 1
    finally:
        (tmp_path / "slow").unlink()
        os.waitpid(pid, 0)


def test_commands_say_what_they_did(camp, tmp_path, runs, main):
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    camp.run_here(runs)
    assert main("pause")[2].startswith("ionloop: error: expected a campaign with jobs left to run")
    code, said, _ = main("rerun", "c", "--stage", "train", "--yes")
    assert code == 0
    assert "2 jobs run again from the start: advance, train" in said
    assert "2 jobs removed, since jobs that run again add them anew: measure, train" in said
    assert status("c").jobs == {"COMPLETED": 5, "READY": 1, "WAITING": 1}
    code, said, _ = main("pause")
    assert (code, "c paused by" in said, "ionloop resume c" in said) == (0, True, True)
    code, said, _ = main("cancel", "c")
    assert (code, "c cancelled by" in said) == (0, True)
    code, _, said = main("pause")
    assert code == 2
    assert said.startswith("ionloop: error: c is cancelled by")
    assert "cancelled by" in main("status")[1]


def test_a_rerun_is_asked_for(camp, tmp_path, runs):
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    camp.run_here(runs)
    before = camp.states()
    for answer, code in (("n\n", 1), ("", 1), ("y\n", 0)):
        assert camp.states() == before
        ended = CliRunner().invoke(cli.app, ["rerun", "--stage", "train"], input=answer)
        assert ended.exit_code == code
    assert camp.states() != before
