"""``ionloop status``: now, live, and all campaigns."""

from __future__ import annotations

import io
import json
import signal
import socket
import sys
from pathlib import Path

import pytest
from rich.console import Console
from stored_campaign import submit_jobs

from ionloop import cli
from ionloop.cli.status import duration, eta_line, view
from ionloop.engine import submit
from ionloop.engine.control.hold import hold, release
from ionloop.engine.launchpad import launchpad
from ionloop.store.live import live_status
from ionloop.store.schema import Eta, Span


@pytest.fixture
def camp(ionloop_db, monkeypatch, tmp_path):
    support = str(Path(__file__).parents[1] / "support")
    monkeypatch.syspath_prepend(support)
    monkeypatch.chdir(tmp_path)
    import jobflow

    from ionloop.store.connection import job_store

    monkeypatch.setattr(jobflow.SETTINGS, "JOB_STORE", job_store())
    import controlled

    return controlled


@pytest.fixture
def main(monkeypatch, capsys):
    def call(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["ionloop", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-3, "0 s"), (59.6, "1 min"), (150, "2 min 30 s"), (3660, "1 h 1 min"),
     (7200, "2 h"), (200_000, "2 d 7 h")],
)  # fmt: skip
def test_times_are_written_in_two_units(seconds, text):
    assert duration(seconds) == text


def test_the_end_is_a_span_and_nothing_is_claimed_without_measurement():
    span = Span(low_s=60, expected_s=90, high_s=120)
    assert eta_line(Eta(generation=span, at_once=2)) == "this generation: 1 min to 2 min left"
    both = eta_line(Eta(generation=span, at_once=2, campaign_max_s=3600, generations_left=3))
    assert both.endswith("all 3 later ones up to the cap: at most 1 h, without the evaluation")
    unknown = eta_line(Eta(at_once=0, unmeasured=["train: a", "train: b", "x: c", "x: d"]))
    assert unknown == "this generation: unknown, not measured yet: train: a, train: b, x: c, ..."
    assert eta_line(None) == ""


def test_all_campaigns_are_listed_the_latest_first(main, camp, tmp_path):
    for name in ("first", "second"):
        submit(camp.turn(0, 0, str(tmp_path)), name)
    hold(launchpad(), "first")
    code, out, _ = main("status", "--all")
    assert code == 0
    assert out.index("second") < out.index("first")
    found = json.loads(main("status", "--all", "--json")[1])
    assert [(one["campaign_id"], one["state"]) for one in found] == [
        ("second", "waiting"), ("first", "paused"),
    ]  # fmt: skip
    assert "the latest 1; --limit shows more" not in out
    code, out, _ = main("status", "--all", "--limit", "1")
    assert ("second" in out, "first" in out) == (True, False)
    assert "the latest 1; --limit shows more" in out


def test_a_hold_is_told_from_a_batch_that_pauses(main, camp, tmp_path):
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    held = hold(launchpad(), "c")
    assert f"c: paused by {held.by} since {held.at}" in main("status")[1]
    found = json.loads(main("status", "--json")[1])
    assert found["held"]["by"] == held.by
    assert {"running", "n_quarantined", "eta", "jobs", "stages", "failures"} <= set(found)


def test_a_live_view_shows_workers_and_the_end(camp, tmp_path):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    seen = []
    camp.rocket_that(launchpad(), lambda: seen.append(live_status("c")))
    console = Console(width=140, file=io.StringIO())
    console.print(view(seen[0], 2.0))
    text = console.file.getvalue()
    assert "1 jobs run" in text
    assert socket.gethostname() in text
    assert "labels: 0 admitted, 0 quarantined" in text
    assert "not measured yet" in text
    assert "every 2 s; Ctrl-C ends it" in text


def test_a_job_that_a_worker_chose_is_queued_until_it_begins(main, ionloop_db):
    submit_jobs("c", {"COMPLETED": 5, "RUNNING": 2, "RESERVED": 3, "READY": 1})
    code, out, _ = main("status")
    assert code == 0
    header = next(line for line in out.splitlines() if "queued" in line)
    assert header.split()[1::2] == ["generation", "stage", "done", "running", "queued", "ready",
                                    "waiting", "failed"]  # fmt: skip
    total = next(line for line in out.splitlines() if " all " in line)
    assert [cell.strip() for cell in total.split("│")[3:6]] == ["5", "2", "3"]
    assert live_status("c").line().endswith("running: label x1, train x1  queued: 3")


def test_watching_prints_a_line_a_change_and_ends_with_ctrl_c(camp, tmp_path):
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    process = camp.command("status", "c", "--watch", "--every", "0.2")
    assert "c waiting  generation 0  0/3 jobs done" in process.stdout.readline()
    hold(launchpad(), "c")
    assert "c paused by" in process.stdout.readline()
    release(launchpad(), "c")
    # A hold and a release are several writes: a look may fall between them, and is a line too.
    between = iter(process.stdout.readline, "")
    assert "c waiting" in next(line for line in between if "c paused by" not in line)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    rest = process.stdout.read().splitlines()
    assert all(line.startswith("c waiting") for line in rest), rest
    process.stdout.close()


def test_watching_a_finished_campaign_ends(main, camp, tmp_path):
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    camp.run_here(tmp_path / "runs")
    code, out, _ = main("status", "--watch", "--json")
    assert code == 0
    assert json.loads(out)["state"] == "finished"


def test_watching_a_cancelled_campaign_ends_with_its_exit_status(main, camp, tmp_path):
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    hold(launchpad(), "c", "cancelled")
    code, out, _ = main("status", "--watch")
    assert code == 3
    assert "c cancelled by" in out


def test_watching_a_failed_campaign_ends_with_its_exit_status(main, camp, tmp_path):
    (tmp_path / "broken").touch()
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    camp.run_here(tmp_path / "runs")
    code, out, _ = main("status", "--watch", "--json")
    assert code == 1
    assert json.loads(out)["state"] == "failed"


def test_a_campaign_between_two_jobs_has_not_ended(main, camp, tmp_path, monkeypatch):
    """A job's end and its children's beginning are two writes: nothing is ready between them."""
    submit(camp.turn(0, 0, str(tmp_path)), "c")
    lp = launchpad()
    ready = lp.fireworks.find_one({"state": "READY"}, ["fw_id"])
    lp.fireworks.update_one(ready, {"$set": {"state": "COMPLETED"}})
    assert live_status("c").state == "failed"
    looks = []

    def later(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            hold(lp, "c", "cancelled")

    monkeypatch.setattr("ionloop.cli.status.time.sleep", later)
    code, out, _ = main("status", "--watch")
    assert (code, len(looks) > 2) == (3, True)
    assert "c cancelled by" in out
