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
    void = _void() if trial.copies else []
    return [*_campaign(trial), *_labels(trial), *void, *_leftovers(trial)]


def unfinished(campaign_id: str) -> str:
    """Say what of a campaign isn't done: its database goes with the trial."""
    db = database()
    fields = {"_id": 0, "fw_id": 1, "state": 1, "launches": 1}
    left = list(db.fireworks.find({"state": {"$nin": ["COMPLETED", "WAITING"]}}, fields))
    launch_ids = [number for fw in left for number in fw["launches"]]
    fields = {"_id": 0, "launch_id": 1, "state": 1, "fworker.name": 1, "lost": 1}
    launches = list(db.launches.find({"launch_id": {"$in": launch_ids}}, fields))
    workflow = db.workflows.find_one({"metadata.campaign_id": campaign_id}) or {}
    states = {k: v for k, v in workflow.get("fw_states", {}).items() if v != "COMPLETED"}
    return f"left: {left}; {launches}; workflow: {states}, locked: {workflow.get('locked')}"


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
    paid = ends if trial.copies else ends | results  # the larger of both
    twice = [n for n in names if paid[n] > 1]
    trial.outcome.paid_twice = len(twice)
    trial.outcome.cut = sum(begins.values()) - len(begins)
    if without_cause := [n for n in twice if paid[n] > 1 + trial.may_pay_twice[n]]:
        bad.append(f"labels computed twice: {without_cause}")
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


def _void() -> list[str]:
    """Look for labels that a worker stored whose job was another's by then."""
    db = database()
    last = [fw["launches"][-1] for fw in db.fireworks.find({}, ["launches"]) if fw["launches"]]
    counts = set(db.launches.distinct("launch_dir", {"launch_id": {"$in": last}}))
    labels = db.outputs.find({"output.directory": {"$exists": True}}, ["output.directory"])
    void = {label["output"]["directory"] for label in labels} - counts
    return [f"labels of launches that don't count: {sorted(void)}"] if void else []


def _leftovers(trial: Trial) -> list[str]:
    bad = []
    if orphans := trial.orphans():
        bad.append(f"orphan processes: {orphans}")
    if left := list(database()[LEASES].find()):
        bad.append(f"orphan leases: {left}")
    return bad
