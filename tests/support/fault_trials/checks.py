"""What must hold after a trial, whatever was done to it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import engine_jobs

from ionloop.label.schema import LabelShard
from ionloop.store.connection import database
from ionloop.store.leases import LEASES
from ionloop.store.queries import campaign_record, status

if TYPE_CHECKING:
    from fault_trials.trial import Trial


def violations(trial: Trial) -> list[str]:
    """List what doesn't hold."""
    return [*_campaign(trial), *_labels(trial), *_leftovers(trial)]


def _campaign(trial: Trial) -> list[str]:
    found = status(trial.campaign)
    bad = []
    if found.state != "finished" or set(found.jobs) != {"COMPLETED"}:
        bad.append(f"expected a finished campaign, got {found.state}: {found.jobs}")
    db = database()
    listed: list[int] = []
    for workflow in db.workflows.find():  # the live one and its archives
        listed += workflow["nodes"]
        if "locked" in workflow:
            bad.append("the workflow is still locked")
        if set(workflow["fw_states"].values()) != {"COMPLETED"}:
            bad.append(f"the workflow says {Counter(workflow['fw_states'].values())}")
    there = db.fireworks.distinct("fw_id")
    if sorted(there) != sorted(listed):
        bad.append(f"fireworks that no workflow lists: {sorted(set(there) ^ set(listed))}")
    running = db.launches.count_documents({"state": {"$in": ["RUNNING", "RESERVED"]}})
    current = [launch for fw in db.fireworks.find() for launch in fw["launches"]]
    alive = {"launch_id": {"$in": current}, "state": {"$ne": "COMPLETED"}}
    if running and db.launches.count_documents(alive):
        bad.append(f"{running} launches still count as running")
    return bad


def _labels(trial: Trial) -> list[str]:
    bad, names = [], trial.plan.names
    begins = Counter(line.split()[1] for line in trial.lines() if line.startswith("begin"))
    ends = Counter(line.split()[1] for line in trial.lines() if line.startswith("end"))
    folders = [home / "runs" for home in (trial.home, *trial.other_homes)]
    results = Counter(
        engine_jobs.result_name(path)
        for folder in folders
        for path in folder.glob("*/*/result.json")
    )
    twice = [n for n in names if ends[n] > 1 or results[n] > 1]
    trial.outcome.paid_twice = len(twice)
    trial.outcome.cut = sum(begins.values()) - len(begins)
    if twice and not trial.may_pay_twice:
        bad.append(f"labels computed twice: {twice}")
    if set(begins) != set(names):
        bad.append(f"labels never begun: {sorted(set(names) - set(begins))}")
    shards: list[LabelShard] = campaign_record(trial.campaign).shards
    found = Counter(label.frame_hash for shard in shards for label in shard.labels)
    if found != Counter(names):
        bad.append(f"expected each label once, got {dict(found)}")
    n_labels = status(trial.campaign).n_labels
    if n_labels != len(names):
        bad.append(f"expected {len(names)} labels, status counts {n_labels}")
    trial.outcome.dataset_hash = engine_jobs.dataset_hash(shards)
    if trial.expected_hash and trial.outcome.dataset_hash != trial.expected_hash:
        bad.append("another dataset hash than the undisturbed run's")
    return bad


def _leftovers(trial: Trial) -> list[str]:
    bad = []
    if orphans := trial.orphans():
        bad.append(f"orphan processes: {orphans}")
    if left := list(database()[LEASES].find()):
        bad.append(f"orphan leases: {left}")
    return bad
