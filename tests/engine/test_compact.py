from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ionloop.engine import compact as compact_module
from ionloop.engine import resume, submit
from ionloop.engine.compact import Compactor, compact, n_live
from ionloop.engine.launchpad import launchpad, workflow_of
from ionloop.engine.local.recover import recover
from ionloop.engine.worker import Worker
from ionloop.store.connection import database
from ionloop.store.queries import campaign_ids, campaign_record, status

SUPPORT = Path(__file__).resolve().parents[1] / "support"
#: Jobs of a generation of engine_jobs with two labels.
N = 6


def archived_nodes() -> set[int]:
    """The numbers of all jobs in archives."""
    found = database().workflows.find({"metadata.archive_of": "c"})
    return {node for archive in found for node in archive["nodes"]}


def in_one_document_each() -> bool:
    """Whether each firework stands in one workflow document, and no document names others."""
    db = database()
    listed = Counter(n for workflow in db.workflows.find() for n in workflow["nodes"])
    return listed == Counter(db.fireworks.distinct("fw_id"))


# ---------------------------------------------------------------- in a campaign that runs


def test_a_long_campaign_keeps_a_short_workflow_and_its_result(jobs, folder, tmp_path):
    ledger, sizes = tmp_path / "ledger", []

    class Watched(Compactor):
        def after_job(self, campaign_id: str) -> int:
            moved = super().after_job(campaign_id)
            sizes.append(n_live(self.lp, campaign_id))
            return moved

    lp = launchpad()
    submit(jobs.generation_flow(0, last=7, n=2, ledger=str(ledger), seconds=0.0), "c")
    worker = Worker(lp, "c", folder)
    worker.compactor = Watched(lp)
    assert worker.run() == 8 * N
    assert max(sizes) <= 3 * N
    assert max(sizes[: 3 * N]) == max(sizes)  # as large in the third generation as ever after
    assert len(archived_nodes()) == 6 * N
    assert in_one_document_each()
    final = status("c")
    assert (final.state, final.jobs) == ("finished", {"COMPLETED": 8 * N})
    assert (final.generation, final.n_labels) == (7, 16)
    assert Counter(ledger.read_text().split()) == Counter(
        f"{g}.{i}" for g in range(8) for i in range(2)
    )
    record = campaign_record("c")
    assert [len(shard.labels) for shard in record.shards] == [2] * 8
    assert [advance.generation for advance in record.advances] == [*range(8)]
    assert campaign_ids() == ["c"]


def test_fireworks_finds_archived_jobs_and_runs_them_again(jobs, folder, tmp_path):
    lp = launchpad()
    submit(jobs.generation_flow(0, last=3, n=2, ledger=str(tmp_path / "l"), seconds=0.0), "c")
    Worker(lp, "c", folder).run()
    first = min(archived_nodes())
    summary = lp.get_wf_summary_dict(first)
    assert summary["state"] == "COMPLETED"
    assert len(summary["states"]) == N
    assert first in lp.get_wf_ids({"metadata.archive_of": "c"})
    assert lp.get_wf_by_fw_id(first).state == "COMPLETED"
    assert lp.get_wf_by_fw_id(workflow_of(lp, "c")["nodes"][0]).state == "COMPLETED"
    label = lp.get_fw_ids({"name": "dear_label", "fw_id": {"$in": [*archived_nodes()]}})[0]
    assert lp.rerun_fw(label) == [label]
    assert lp.get_wf_by_fw_id(label).state != "COMPLETED"
    assert in_one_document_each()


@pytest.mark.parametrize(
    ("point", "nth"), [("archiving", 1), ("archive written", 2), ("archived, locked", 1)]
)
def test_a_kill_within_a_compaction_loses_nothing(jobs, folder, tmp_path, point, nth):
    from crash import crash

    ledger = tmp_path / "ledger"
    submit(jobs.generation_flow(0, last=3, n=2, ledger=str(ledger), seconds=0.0), "c")
    assert crash("c", folder, point, nth) == signal.SIGKILL
    lp = launchpad()
    assert "locked" in workflow_of(lp, "c")
    listed = [n for workflow in lp.workflows.find() for n in workflow["nodes"]]
    assert set(listed) == set(lp.fireworks.distinct("fw_id"))
    assert (len(listed) > len(set(listed))) == (point == "archive written")
    assert recover(lp, "c", rerun_failed=True).deleted == 0
    assert in_one_document_each()
    Worker(lp, "c", folder).run()
    assert in_one_document_each()
    final = status("c")
    assert (final.state, final.jobs) == ("finished", {"COMPLETED": 4 * N})
    assert len(ledger.read_text().split()) == 8
    assert n_live(lp, "c") == 2 * N


# ---------------------------------------------------------------- what is settled


def made(lp: Any, *generations: list[str]) -> None:
    """Insert a workflow: in each generation a chain of jobs in these states, one a generation."""
    states = [state for generation in generations for state in generation]
    numbers = [g for g, generation in enumerate(generations) for _ in generation]
    nodes = [*range(1, len(states) + 1)]
    links = {str(n): [n + 1] if n < len(nodes) else [] for n in nodes}
    lp.workflows.insert_one({
        "nodes": nodes, "links": links, "name": "campaign c", "created_on": 1, "updated_on": 1,
        "parent_links": {str(n): [n - 1] for n in nodes[1:]}, "metadata": {"campaign_id": "c"},
        "fw_states": {str(n): state for n, state in zip(nodes, states, strict=True)},
        "state": "RUNNING",
    })  # fmt: skip
    for n, state, g in zip(nodes, states, numbers, strict=True):
        spec = {"campaign_id": "c", "generation": g, "stage": "label"}
        lp.fireworks.insert_one(
            {"fw_id": n, "state": state, "spec": spec, "name": f"job {n}", "launches": []}
        )


C, F = "COMPLETED", "FIZZLED"


@pytest.mark.parametrize(
    ("generations", "moved"),
    [
        ([[C, C], [C, C], [C, "READY"]], 2),  # the latest and the one before stay
        ([[C, C], [C, "READY"]], 0),
        ([[C, F], [C, C], [C, "READY"]], 2),  # a failure that was borne
        ([[C, C], [C, F], ["WAITING", C], [C, "READY"]], 2),  # one that wasn't
        ([[C, "PAUSED"], [C, C], [C, C], [C, "READY"]], 0),  # nothing behind an open one
        ([[C, C], [C, C], [C, C], [C, C]], 4),
        ([[C, C], [C, C], [C, C], [C, F]], 4),
    ],
)
def test_settled_generations_alone_are_archived(ionloop_db, generations, moved):
    lp = launchpad()
    made(lp, *generations)
    assert compact(lp, "c") == moved
    assert archived_nodes() == set(range(1, moved + 1))
    assert in_one_document_each()
    live = workflow_of(lp, "c")
    assert sorted(live["nodes"]) == [*range(moved + 1, sum(map(len, generations)) + 1)]
    assert str(moved + 1) not in live["parent_links"]
    assert (live["metadata"], live["name"]) == ({"campaign_id": "c"}, "campaign c")
    assert "locked" not in live
    lp.get_wf_by_fw_id_lzyfw(moved + 1)  # FireWorks takes what is left for a whole workflow
    assert compact(lp, "c") == 0


def test_a_borne_failure_in_an_archive_neither_counts_nor_runs_again(ionloop_db, ionloop_home):
    lp = launchpad()
    made(lp, [C, F], [C, C], [C, C])
    assert compact(lp, "c") == 2
    found = status("c")
    assert (found.state, found.failures) == ("finished", [])
    assert [failure.fw_id for failure in found.tolerated] == [2]
    report = recover(lp, "c", rerun_failed=True)
    assert (report.rerun, report.deleted) == ([], 0)
    assert resume("c", workers=1).state == "finished"


def test_jobs_without_a_generation_stay(ionloop_db):
    lp = launchpad()
    made(lp, [C, C], [C, C], [C, "READY"])
    lp.fireworks.update_one({"fw_id": 1}, {"$unset": {"spec.generation": ""}})
    assert compact(lp, "c") == 1
    assert sorted(workflow_of(lp, "c")["nodes"]) == [1, 3, 4, 5, 6]
    assert workflow_of(lp, "c")["links"]["1"] == []
    lp.get_wf_by_fw_id_lzyfw(1)


def test_a_workflow_that_others_change_is_left_for_the_next_time(ionloop_db, monkeypatch):
    monkeypatch.setattr(compact_module, "PATIENCE_S", 0.05)
    lp = launchpad()
    made(lp, [C, C], [C, C], [C, "READY"])
    lp.workflows.update_one({}, {"$set": {"locked": True}})
    assert compact(lp, "c") == 0
    assert workflow_of(lp, "c")["locked"] is True
    lp.workflows.update_one({}, {"$unset": {"locked": ""}})
    assert compact(lp, "c") == 2


def test_a_worker_looks_only_when_jobs_were_added(ionloop_db):
    lp = launchpad()
    made(lp, [C, C], [C, C], [C, "READY"])
    compactor = Compactor(lp)
    assert compactor.after_job("c") == 2
    lp.fireworks.update_one({"fw_id": 6}, {"$set": {"spec.generation": 3}})  # no job was added
    assert compactor.after_job("c") == 0
    assert Compactor(lp).after_job("c") == 2
