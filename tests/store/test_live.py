"""What a campaign's workers do now, and what its jobs took, read from a real database."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ionloop.engine import submit
from ionloop.engine.control.hold import hold
from ionloop.engine.launchpad import launchpad
from ionloop.store import live
from ionloop.store.connection import database
from ionloop.store.live import live_status
from ionloop.store.progress import label_counts


@pytest.fixture
def camp(ionloop_db, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "support"))
    monkeypatch.chdir(tmp_path)
    import jobflow

    from ionloop.store.connection import job_store

    monkeypatch.setattr(jobflow.SETTINGS, "JOB_STORE", job_store())
    import controlled

    return controlled


def test_a_running_job_is_shown_with_its_worker(camp, tmp_path):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    lp = launchpad()
    seen = []

    def during() -> None:
        seen.append(live_status("c"))
        hold(lp, "c")
        seen.append(live_status("c"))

    camp.rocket_that(lp, during)
    for found in seen:
        (job,) = found.running
        assert (job.name, job.stage, job.generation) == ("ask", "label", 0)
        assert (job.host, job.directory) == (socket.gethostname(), str(tmp_path))
        assert abs(datetime.now(UTC) - job.since) < timedelta(minutes=5)
    assert [found.state for found in seen] == ["running", "paused"]
    assert seen[1].jobs == {"RUNNING": 1, "PAUSED": 2}
    assert live_status("c").running == []


def test_the_end_is_estimated_from_what_was_measured(camp, tmp_path):
    submit(camp.turn(0, 1, str(tmp_path)), "c")
    first = live_status("c").eta
    assert first.generation is None
    assert "train: train" in first.unmeasured
    lp = launchpad()
    for _ in range(7):  # generation 0, and the job that asks for labels in generation 1
        camp.rocket_that(lp, lambda: None)
    later = live_status("c").eta
    assert (later.unmeasured, later.at_once) == ([], 1)
    span = later.generation
    assert 0 <= span.low_s <= span.expected_s <= span.high_s < 600
    camp.run_here(tmp_path / "runs")
    over = live_status("c")
    assert (over.state, over.eta) == ("finished", None)


def store(name: str, at: float, **output: object) -> None:
    when = datetime(2026, 1, 1) + timedelta(seconds=at)  # noqa: DTZ001 - as jobflow's
    database().outputs.insert_one(
        {"uuid": f"{name}-{at}", "index": 1, "metadata": {"campaign_id": "c"},
         "completed_at": when.isoformat(), "output": {"@class": name, **output}}
    )  # fmt: skip


def test_whole_generations_are_timed_from_advance_to_advance(ionloop_db):
    for generation, at in ((0, 100), (1, 160), (2, 250)):
        store("Advance", at, generation=generation)
    assert live.turns("c", database()) == [60.0, 90.0]
    assert live.generations_max("c", database()) is None
    store("CampaignStart", 0, profile={"budget": {"generations_max": 8}})
    assert live.generations_max("c", database()) == 8


def test_refused_labels_are_counted_once_a_batch(ionloop_db):
    batch = {"generation": 0, "purpose": "train", "n_admitted": 3, "n_quarantined": 2}
    store("LabelShard", 1, **batch, frame_hashes=["a"])
    store("LabelShard", 2, **batch, frame_hashes=["a"])  # the same, stored by what replaced it
    store("LabelShard", 3, **{**batch, "generation": 1}, frame_hashes=["b"])
    assert label_counts("c", database()) == (6, 4)
    store("LabelShard", 3, **{**batch, "n_quarantined": 1}, frame_hashes=["a"])  # the latest
    assert label_counts("c", database()) == (6, 3)
    assert label_counts("other", database()) == (0, 0)


def test_a_look_at_a_long_campaign_is_cheap(camp, ionloop_db, mongod_uri, tmp_path):
    """It is taken twice a second: what it fetches doesn't grow with generations and labels."""
    from profiled import Profiler

    submit(camp.turn(0, 1, str(tmp_path)), "c")
    n = 100
    store("CampaignStart", 0, profile={"budget": {"generations_max": 8}})
    for generation in range(n):
        hashes = [f"{generation:032}{i:032}" for i in range(n)]
        batch = {"purpose": "train", "n_admitted": n - 1, "n_quarantined": 1}
        store("LabelShard", generation, generation=generation, frame_hashes=hashes, **batch)
        store("Advance", generation, generation=generation, state={"history": "x" * 60_000})
    with Profiler(mongod_uri, ionloop_db) as profiler:
        found = live_status("c")
    assert (found.n_labels, found.n_quarantined) == (n * (n - 1), n)
    assert found.eta.campaign_max_s is not None
    entries = list(profiler.entries())
    read = [entry["docsExamined"] for entry in entries if entry["ns"].endswith(".outputs")]
    assert sum(read) == n + 1  # each batch once, and the start
    assert sum(entry["responseLength"] for entry in entries) < 50_000
