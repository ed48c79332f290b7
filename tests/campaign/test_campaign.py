"""The whole loop, twice killed with -9 and resumed, by the real engine and a real MongoDB."""

from __future__ import annotations

import hashlib
import html
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import chain
from pathlib import Path
from random import Random

import pytest

from ionloop.frame import Origin
from ionloop.label.schema import IMPORTED, Label
from ionloop.routing import KEY
from ionloop.settings import get_settings
from ionloop.store.connection import database
from ionloop.store.queries import campaign_record, status
from ionloop.store.schema import CampaignRecord
from ionloop.store.scorecards import scorecard_materials, scorecards, scorecards_by_key

TINY = Path(__file__).parents[1] / "support" / "tiny_campaign.py"
#: Decides when the campaign is killed.
SEED = 2022
FIRST_KILL = ("label", "train")
SECOND_KILL = ("explore",)
PATIENCE_S = 600.0
#: Labels that the campaign is given.
N_IMPORTED = 6


def start_cli(*args: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "ionloop.cli", *args],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_during(process: subprocess.Popen, stage: str, delay: float) -> str:
    """Wait until a job of the stage runs, a little more, and kill all; return the output."""
    query = {"spec.campaign_id": "c", "spec.stage": stage, "state": "RUNNING"}
    end = time.monotonic() + PATIENCE_S
    while database().fireworks.find_one(query, {"_id": 1}) is None:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, f"no job of stage {stage} in {PATIENCE_S} s"
        time.sleep(0.02)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    said, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    return said


@pytest.fixture
def given(ionloop_db, tmp_path, monkeypatch) -> tuple[str, list[Label]]:
    """Labels that were there before the campaign: their uuid, and themselves."""
    monkeypatch.syspath_prepend(str(TINY.parent))
    import tiny_campaign

    labels = tiny_campaign.write_labels(tmp_path / "before.extxyz", N_IMPORTED)
    process = start_cli("import", str(tmp_path / "before.extxyz"), "--json")
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    return json.loads(said)["uuid"], labels


@pytest.fixture
def campaign(given) -> CampaignRecord:
    """The tiny campaign after its end, read from MongoDB."""
    dice = Random(SEED)
    moments = [
        (dice.choice(stages), dice.uniform(0.0, 2.0)) for stages in (FIRST_KILL, SECOND_KILL)
    ]
    options = ("--set", "campaign_id=c", "--set", f"imported=[{given[0]}]")
    process = start_cli("run", str(TINY), "--local", "--workers", "2", *options)
    for stage, delay in moments:
        kill_during(process, stage, delay)
        process = start_cli("resume", "c", "--workers", "2")
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert "c finished" in said
    return campaign_record("c")


@pytest.mark.timeout(1800)
def test_a_twice_killed_campaign_ends_as_if_it_had_not(campaign, given, tmp_path, record_property):
    check_workflow()
    check_imported(campaign, given[1])
    check_labels(campaign)
    check_hops(campaign, record_property)
    check_science(campaign)
    check_report(campaign, tmp_path / "report.html")


def check_workflow() -> None:
    """Every job is done, once, and says where it belongs."""
    db = database()
    final = status("c", db)
    assert final.state == "finished"
    assert set(final.jobs) == {"COMPLETED"}
    places = {(row.generation, row.stage) for row in final.stages}
    loop = ["label", "train", "explore", "select", "judge", "advance"]
    assert places == {
        (0, "start"), (0, "seed"), *((g, stage) for g in (0, 1) for stage in loop), (1, "evaluate"),
    }  # fmt: skip
    ended = Counter(
        launch["fw_id"] for launch in db.launches.find({"state": "COMPLETED"}, {"fw_id": 1})
    )
    jobs = list(db.fireworks.find({}, {"fw_id": 1, "archived_launches": 1, "launches": 1}))
    assert all(len(fw["launches"]) == 1 for fw in jobs)
    assert all(ended[fw["fw_id"]] == 1 for fw in jobs)
    check_routing(db)


def check_routing(db) -> None:
    """Every job names its kind of worker, also those that jobs and jobflow added."""
    fields = {"name": 1, f"spec.{KEY}": 1, "spec.stage": 1, "spec._tasks.job.function": 1}
    for fw in db.fireworks.find({}, fields):
        function = fw["spec"]["_tasks"][0]["job"]["function"]
        if "ionloop.reference" in str(function):
            kind = "dft"
        elif fw["spec"]["stage"] in {"train", "explore"} or fw["name"].startswith("test "):
            kind = "gpu"
        else:
            measured = ("accuracy", "cost", "stability", "crystal")
            kind = "gpu" if fw["name"].startswith(measured) else "light"
        assert fw["spec"].get(KEY) == kind, fw["name"]


def check_imported(record: CampaignRecord, given: list[Label]) -> None:
    """What was there before is trained on to the last digit, and asked of nobody."""
    (adopted,) = [shard for shard in record.shards if shard.purpose == IMPORTED]
    asked = {h for shard in record.shards if shard.purpose != IMPORTED for h in shard.frame_hashes}
    assert asked.isdisjoint(adopted.frame_hashes)
    here = {label.frame_hash: label for label in adopted.labels}
    assert set(here) == {label.frame_hash for label in given}
    for label in given:
        assert here[label.frame_hash].energy == label.energy
        assert here[label.frame_hash].forces == label.forces


def check_labels(record: CampaignRecord) -> None:
    """No frame was computed twice: neither in MongoDB nor in the folders of the runs."""
    train = [shard for shard in record.shards if shard.purpose == "train"]
    test = [shard for shard in record.shards if shard.purpose == "test"]
    assert [shard.generation for shard in train] == [0, 1]
    assert len(test) == 1
    admitted = [label.frame_hash for shard in train for label in shard.labels]
    assert len(admitted) == len(set(admitted)) == sum(shard.n_admitted for shard in train)
    computed = [shard for shard in record.shards if shard.purpose != IMPORTED]
    asked = list(chain.from_iterable(shard.frame_hashes for shard in computed))
    assert len(asked) == len(set(asked)) <= record.start.profile["budget"]["labels_max"]
    assert all(x.frame.frame_hash == x.frame_hash for shard in train for x in shard.labels)
    runs = get_settings().home_dir / "runs" / "c"
    journals = [
        line for path in runs.glob("*/labels.jsonl") for line in path.read_text().splitlines()
    ]
    assert len(journals) == len(asked)
    energies = [json.loads(line)["energy"] for line in journals]
    stored = [x.energy for shard in computed for x in (*shard.labels, *shard.quarantined)]
    assert sorted(energies) == pytest.approx(sorted(stored))
    assert status("c").n_labels == sum(shard.n_admitted for shard in record.shards)


def check_hops(record: CampaignRecord, record_property) -> None:
    """Hops that exploration found are labelled in the next generation."""
    (shard,) = [s for s in record.shards if (s.generation, s.purpose) == (1, "train")]
    (selection,) = [s for s in record.selections if s.generation == 1]
    n_found = sum(len(e.hops) for e in record.explorations if e.generation == 0)
    labelled = Counter(label.frame.origin.value for label in shard.labels)
    record_property("hops found in generation 0", n_found)
    record_property("labels of generation 1", dict(labelled))
    record_property("runs", [(e.group, e.time_ps, e.stopped) for e in record.explorations])
    assert shard.n_admitted + shard.n_quarantined == sum(selection.counts.values()) > 0
    assert {x.frame.generation for x in shard.labels} == {1}
    if selection.counts.get("hop"):
        assert n_found > 0
        frames = [x.frame for x in (*shard.labels, *shard.quarantined)]
        hops = [frame for frame in frames if frame.origin is Origin.HOP]
        assert len(hops) == selection.counts["hop"]
        assert all(frame.hop is not None and "-hop-" in frame.hop.event for frame in hops)


def check_science(record: CampaignRecord) -> None:
    """Each generation left its documents, warm started, and the last one was evaluated."""
    members = {(m.generation, m.index): m for m in record.members}
    assert set(members) == {(g, i) for g in (0, 1) for i in (0, 1)}
    assert [members[key].warm_start for key in sorted(members)] == [False, False, True, True]
    assert len({m.model_hash for m in members.values()}) == 4
    for m in members.values():
        epochs = [x.epoch for x in m.log]
        assert epochs == ([-1, 0, 3] if m.warm_start else [-1, *range(0, 24, 3)])
    assert [c.generation for c in record.calibrations] == [0, 1]
    assert [b.generation for b in record.band_sets][:2] == [0, 1]
    assert [a.next_step for a in record.advances] == ["generation", "evaluate"]
    judgement = record.advances[-1].judgement
    assert judgement.stop
    assert "stopped: generation 1 is the last of 2 (Budget.generations_max)" in judgement.reasons
    train = [s for s in record.shards if s.purpose == "train"]
    trained = [*train, *(s for s in record.shards if s.purpose == IMPORTED)]
    assert judgement.metrics.n_labels == sum(s.n_admitted for s in trained)
    evaluation = record.evaluation
    assert evaluation is not None
    assert evaluation.generation == 1
    assert evaluation.accuracy.n_frames > 0
    assert [p.temperature for p in evaluation.model_transport.points] == [900, 1000, 1100]
    assert len(evaluation.reference_transport.points) == 3
    assert any(b.reference and b.reference > 0 for b in evaluation.barriers)
    assert len(evaluation.cost) == 3
    check_card(record)


def check_card(record: CampaignRecord) -> None:
    """The evaluation is a scorecard beside those that `ionloop evaluate --store` keeps."""
    (found,) = scorecards(campaign_id="c")
    assert found.card.material == record.start.profile["name"]
    assert (found.campaign_id, found.generation) == ("c", record.evaluation.generation)
    assert found.card.accuracy.result.n_frames == record.evaluation.accuracy.n_frames
    last = {m.model_hash for m in record.members if m.generation == found.generation}
    assert set(found.card.model.file_hashes) == last
    together = hashlib.sha256("".join(found.card.model.file_hashes).encode()).hexdigest()
    assert found.card.model.sha256 == together  # as of the same files evaluated by hand
    assert found.card.cost.result.hardware
    assert found.card.static.status == "done", found.card.static.reason
    assert found.card.static.result.bulk_modulus.value is not None
    assert found.card.expansion.status == "not asked"
    assert [c.calculator for c in found.card.cost.result.costs].count("model") == 1
    assert found.card.stability.result in record.evaluation.stability
    assert scorecards_by_key([found.key]) == [found]
    assert scorecard_materials() == [found.card.material]
    assert record.scorecard == found.card


def check_report(record: CampaignRecord, path: Path) -> None:
    """One self-contained file with the judge's reasons."""
    process = start_cli("report", "c", "--out", str(path))
    said, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, said
    assert str(path) in said
    text = html.unescape(path.read_text())
    for advance in record.advances:
        for reason in advance.judgement.reasons:
            assert reason in text
    assert record.start.settings_hash in text
