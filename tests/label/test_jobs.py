"""Batches of labels on a real teacher and jobflow's own store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from ase.build import bulk
from jobflow import CURRENT_JOB, JobStore, OutputReference, run_locally
from maggma.stores import MemoryStore
from monty.json import jsanitize

from ionloop.cores import thread_cores
from ionloop.frame import Frame, Origin
from ionloop.label.decisions import decisions_uuid
from ionloop.label.imports import Imported, imported_shard
from ionloop.label.jobs import collect_labels, label_frames, new_frames
from ionloop.label.maker import LabelMaker
from ionloop.label.schema import Batch, Decisions, LabelShard, Readmission
from ionloop.profile import Budget, Profile
from ionloop.reference.forcefield import ForceFieldReference
from ionloop.reference.quality import judge_point
from ionloop.reference.schema import SinglePoint

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")


def rattled(seed: int, origin: str = "rattle") -> Frame:
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return Frame.from_atoms(atoms, origin=origin, group=f"g{seed}")


def with_unknown_element() -> Frame:
    """A frame whose static job raises: the teacher doesn't know Na."""
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    return Frame.from_atoms(atoms, origin="rattle", group="na")


def too_close() -> Frame:
    frame = rattled(99)
    frame.positions[1] = [x + 1.0 for x in frame.positions[0]]
    frame.positions[1][1] = frame.positions[0][1]
    frame.positions[1][2] = frame.positions[0][2]
    return frame


def profile(**fields: object) -> Profile:
    charges = {"Li": 1, "Na": 1, "Cl": -1}
    return Profile(**{"name": "LiCl", "mobile_ion": "Li", "formal_charges": charges, **fields})


class Batches:
    """Label batches one after another in one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        self.store.connect()

    def label(
        self,
        frames: list[Frame],
        limits: Profile | None = None,
        shards: Iterable[str] = (),
        generation: int = 0,
        reserve: int = 0,
    ) -> str:
        """Run a batch of two frames a job; return its uuid."""
        job = LabelMaker().make(
            frames,
            ForceFieldReference(frames_per_job=2),
            limits or profile(),
            generation,
            "train",
            list(shards),
            {"campaign_id": "c", "generation": generation},
            reserve,
        )
        run_locally(job, store=self.store, root_dir=self.folder, create_folders=True, log=False)
        return job.uuid

    def shard(self, uuid: str) -> LabelShard:
        shard = self.store.get_output(uuid, load=True)
        assert isinstance(shard, LabelShard)
        return shard

    def docs(self, name: str) -> list[dict]:
        return list(self.store.query({"name": {"$regex": name}}))


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    return Batches(tmp_path)


def test_a_batch_becomes_a_shard(batches: Batches) -> None:
    frames = [rattled(1), rattled(2, "strain"), rattled(3)]
    shard = batches.shard(batches.label(frames, generation=2))
    assert (shard.generation, shard.purpose) == (2, "train")
    assert [label.frame for label in shard.labels] == frames
    assert shard.frame_hashes == [frame.frame_hash for frame in frames]
    assert shard.counts == {"rattle": 2, "strain": 1}
    assert (shard.n_admitted, shard.n_quarantined, shard.reasons) == (3, 0, {})
    assert shard.settings_hash == ForceFieldReference().settings_hash
    assert shard.wall_s == pytest.approx(sum(label.wall_s for label in shard.labels))
    assert shard.wall_s > 0
    assert {label.cores for label in shard.labels} == {thread_cores()}
    assert shard.core_s == pytest.approx(thread_cores() * shard.wall_s)


def test_the_jobs_know_where_they_belong(batches: Batches) -> None:
    batches.label([rattled(n) for n in range(3)], generation=1)
    names = sorted(doc["name"] for doc in batches.docs("^label|^collect"))
    assert names[:3] == ["collect labels train 1", "label train 1.0", "label train 1.1"]
    for doc in batches.docs("^label train 1|^collect"):
        assert doc["metadata"] == {"campaign_id": "c", "generation": 1, "stage": "label"}


def test_large_parts_stand_in_the_data_store(batches: Batches) -> None:
    batches.label([rattled(1)])
    (doc,) = batches.docs("^collect")
    assert "blob_uuid" in doc["output"]["labels"]
    assert "blob_uuid" in doc["output"]["quarantined"]
    assert doc["output"]["n_admitted"] == 1


def test_duplicates_are_asked_once(batches: Batches) -> None:
    """The same frame under another name and group, and moved by a lattice vector."""
    again = rattled(1).model_copy(update={"group": "other", "origin": Origin.HOP})
    moved = rattled(1)
    moved.positions[0][0] += moved.cell[0][0]
    shard = batches.shard(batches.label([rattled(1), again, moved, rattled(2)]))
    assert [label.frame.group for label in shard.labels] == ["g1", "g2"]


def test_known_frames_are_not_asked_again(batches: Batches) -> None:
    first = batches.label([rattled(1), rattled(2)])
    second = batches.label([rattled(2), rattled(3)], shards=[first], generation=1)
    assert batches.shard(second).frame_hashes == [rattled(3).frame_hash]
    third = batches.label([rattled(n) for n in (1, 2, 3)], shards=[first, second])
    shard = batches.shard(third)
    assert (shard.labels, shard.n_admitted, shard.wall_s) == ([], 0, 0)


def test_a_quarantined_frame_is_known_too(batches: Batches) -> None:
    first = batches.label([rattled(1), too_close()], profile(min_success_fraction=0.5))
    shard = batches.shard(batches.label([too_close(), rattled(2)], shards=[first]))
    assert shard.frame_hashes == [rattled(2).frame_hash]


def test_a_refused_label_is_kept_apart_with_its_reason(batches: Batches) -> None:
    frames = [rattled(1), too_close(), rattled(2)]
    shard = batches.shard(batches.label(frames, profile(min_success_fraction=0.6)))
    assert (shard.n_admitted, shard.n_quarantined) == (2, 1)
    (refused,) = shard.quarantined
    assert refused.frame == too_close()
    assert "atoms too close" in refused.kinds
    assert shard.reasons["atoms too close"] == 1
    assert shard.failed_jobs == []  # a second run would find them as close
    assert shard.counts == {"rattle": 2}


def test_a_static_job_that_raises_is_survived(batches: Batches) -> None:
    """Its two frames are quarantined; the four others are labelled."""
    frames = [*(rattled(n) for n in range(4)), with_unknown_element(), rattled(4)]
    shard = batches.shard(batches.label(frames, profile(min_success_fraction=0.6)))
    assert (shard.n_admitted, shard.n_quarantined) == (4, 2)
    assert shard.reasons == {"job failed": 2}
    assert [label.frame.group for label in shard.quarantined] == ["na", "g4"]
    assert len(shard.failed_jobs) == 1
    stored = {doc["name"]: doc["uuid"] for doc in batches.docs("^label train 0")}
    assert sorted(stored) == ["label train 0.0", "label train 0.1"]
    assert not {*shard.failed_jobs} & {*stored.values()}


def test_too_few_labels_stop_the_batch_and_none_is_lost(batches: Batches) -> None:
    frames = [*(rattled(n) for n in range(2)), with_unknown_element(), rattled(4)]
    uuid = batches.label(frames, profile(min_success_fraction=0.51))
    assert batches.docs("^label train 0.0")
    (doc,) = batches.docs("^collect")
    assert (doc["output"]["n_admitted"], doc["output"]["n_quarantined"]) == (2, 2)
    assert not batches.docs("^check")
    assert batches.store.query_one({"uuid": uuid, "index": 2}) is None  # nothing goes on


class Stressless(ForceFieldReference):
    """A reference that promises no stress."""

    has_stress = False


@pytest.mark.parametrize(("kind", "promised"), [(ForceFieldReference, True), (Stressless, False)])
def test_the_references_promise_of_stress_is_held_to(
    batches: Batches, monkeypatch, kind: type[ForceFieldReference], promised: bool
) -> None:
    monkeypatch.setattr(CURRENT_JOB, "store", batches.store)
    flow = label_frames.original([rattled(1)], kind(), profile(), 0, "train", [], {}).replace
    *_, collect, _ = flow.jobs
    batch = collect.function_args[0]
    assert batch.expects_stress is promised
    point = SinglePoint(
        energy=-1.0, forces=[[0.0] * 3] * 8, converged=True, settings_hash=batch.settings_hash,
        engine="e", wall_s=1.0, directory="/runs/0",
    )  # fmt: skip
    shard = collect_labels.original(batch, [[point]], profile())
    assert shard.reasons == ({"no stress": 1} if promised else {})
    assert shard.failed_jobs == (batch.jobs if promised else [])


def test_a_spin_state_of_its_own_is_found_in_the_batch(batches: Batches) -> None:
    frames = [rattled(n) for n in range(4)]
    points = [
        SinglePoint(
            energy=-1.0, forces=[[0.0] * 3] * 8, converged=True, settings_hash="s", engine="e",
            wall_s=1.0, directory="/runs/0", magnetization=moment,
        )
        for moment in (0.0, 0.01, 2.0, 0.0)
    ]  # fmt: skip
    batch = batch_of([[frame] for frame in frames])
    shard = collect_labels.original(batch, [[point] for point in points], profile())
    assert shard.reasons == {"magnetization jump": 1}
    assert [label.frame for label in shard.quarantined] == [frames[2]]
    assert [label.magnetization for label in shard.labels] == [0.0, 0.01, 0.0]
    assert shard.failed_jobs == []


def batch_of(chunks: list[list[Frame]]) -> Batch:
    return Batch(
        generation=0, purpose="train", chunks=chunks, jobs=[f"j{i}" for i in range(len(chunks))],
        settings_hash="s", expects_stress=False,
    )  # fmt: skip


def test_an_imported_label_that_was_taken_back_is_adopted(batches: Batches) -> None:
    """The decision stands in the store, under the campaign's name."""
    reference = ForceFieldReference()
    points = [
        SinglePoint(
            energy=-1.0, forces=[[force, 0.0, 0.0]] * 8, converged=True, engine="e", wall_s=1.0,
            settings_hash=reference.settings_hash, directory="/runs/0",
        )
        for force in (0.1, 99.0)
    ]  # fmt: skip
    labels = [
        judge_point(rattled(n), point, reference.settings_hash, profile())
        for n, point in enumerate(points)
    ]
    imported = imported_shard(Imported(labels, reference.settings, reference.settings_hash))
    trace = Readmission(
        frame_hash=labels[1].frame_hash,
        generation=0,
        reason="r",
        by="me",
        at="now",
        overruled=labels[1].reasons,
    )
    decided = Decisions(campaign_id="c", readmissions=[trace]).model_dump(mode="json")
    given = jsanitize(imported, strict=True, enum_values=True)
    for uuid, output in (("given", given), (decisions_uuid("c"), decided)):
        batches.store.update({"uuid": uuid, "index": 1, "output": output})
    adopt = LabelMaker().adopt(["given"], reference, profile(), {"campaign_id": "c"})
    run_locally(adopt, store=batches.store, root_dir=batches.folder, log=False)
    shard = OutputReference(adopt.uuid).resolve(batches.store)
    assert (shard.n_admitted, shard.n_readmitted, shard.n_quarantined) == (2, 1, 0)
    assert shard.labels[1].readmitted.overruled[0].startswith("force above the ceiling: 99.00")
    assert shard.frame_hashes == [label.frame_hash for label in labels]


# --- the cap on labels ---


def test_no_batch_asks_for_more_than_is_left(batches: Batches) -> None:
    """Refused labels are spent too; the reserve is the last batch's."""
    limits = profile(min_success_fraction=0.5, budget=Budget(labels_max=6))
    seeds = [rattled(1), too_close(), *(rattled(n, "strain") for n in (2, 3, 4))]
    first = batches.label(seeds, limits, reserve=2)
    shard = batches.shard(first)
    assert len(shard.frame_hashes) == shard.n_admitted + shard.n_quarantined == 4
    assert shard.left_out == {"strain": 1}
    second = batches.label([rattled(n) for n in range(10, 14)], limits, [first], 1, reserve=2)
    assert batches.shard(second).frame_hashes == []
    assert batches.shard(second).left_out == {"rattle": 4}
    test = batches.label([rattled(n) for n in range(20, 24)], limits, [first, second])
    assert batches.shard(test).n_admitted == 2
    assert batches.shard(test).left_out == {"rattle": 2}


def test_frames_that_are_known_take_no_room(batches: Batches) -> None:
    limits = profile(budget=Budget(labels_max=3))
    first = batches.label([rattled(1), rattled(2)], limits)
    shard = batches.shard(batches.label([rattled(n) for n in (1, 2, 2, 3)], limits, [first]))
    assert shard.frame_hashes == [rattled(3).frame_hash]
    assert shard.left_out == {}


def test_new_frames_keep_their_order_and_the_known_set() -> None:
    known = {rattled(2).frame_hash}
    found = new_frames([rattled(3), rattled(1), rattled(2), rattled(3)], known)
    assert [frame.group for frame in found] == ["g3", "g1"]
    assert known == {rattled(2).frame_hash}
