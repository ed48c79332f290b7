"""Batches of labels on a real teacher and jobflow's own store."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from ase.build import bulk
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore

from ionloop.errors import LabelError
from ionloop.frame import Frame, Origin
from ionloop.label.jobs import make_shard, new_frames
from ionloop.label.maker import LabelMaker
from ionloop.label.schema import Label, LabelShard
from ionloop.profile import Budget, Profile
from ionloop.reference.forcefield import ForceFieldReference
from ionloop.reference.quality import judge_point

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
    assert "atoms too close" in refused.reasons
    assert shard.reasons["atoms too close"] == 1
    assert shard.counts == {"rattle": 2}


def test_a_static_job_that_raises_is_survived(batches: Batches) -> None:
    """Its two frames are quarantined; the four others are labelled."""
    frames = [*(rattled(n) for n in range(4)), with_unknown_element(), rattled(4)]
    shard = batches.shard(batches.label(frames, profile(min_success_fraction=0.6)))
    assert (shard.n_admitted, shard.n_quarantined) == (4, 2)
    assert shard.reasons == {"job failed: no output": 2}
    assert [label.frame.group for label in shard.quarantined] == ["na", "g4"]


def test_too_few_labels_stop_the_batch(batches: Batches) -> None:
    frames = [*(rattled(n) for n in range(2)), with_unknown_element(), rattled(4)]
    batches.label(frames, profile(min_success_fraction=0.51))
    assert batches.docs("^label train 0.0")
    assert not batches.docs("^collect")


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


# --- the share of success, exactly ---


def judged(n_good: int, *failures: str) -> list[Label]:
    good = [judge_point(rattled(n), None, "s", profile()) for n in range(n_good)]
    good = [label.model_copy(update={"reasons": []}) for label in good]
    bad = [
        judge_point(rattled(50 + n), None, "s", profile()).model_copy(
            update={"reasons": [reason], "directory": f"/runs/{n}"}
        )
        for n, reason in enumerate(failures)
    ]
    return [*good, *bad]


def test_the_error_names_the_most_frequent_reason() -> None:
    labels = judged(1, "atoms too close", "SCF not converged", "SCF not converged")
    message = (
        r"1 of 4 labels admitted, expected a share of at least 0\.8; most frequent reason: "
        r"SCF not converged \(2 times\), first in /runs/1; jobs that died are run again by "
        r"`ionloop resume`; if the calculations themselves fail, start a new campaign with mended "
        r"settings or a lower Profile\.min_success_fraction$"
    )
    with pytest.raises(LabelError, match=message):
        make_shard(labels, "s", profile(), 0, "train")


def test_the_share_is_a_limit_that_may_be_met() -> None:
    labels = judged(4, "SCF not converged")
    assert make_shard(labels, "s", profile(min_success_fraction=0.8), 0, "train").n_admitted == 4
    with pytest.raises(LabelError, match="4 of 5"):
        make_shard(labels, "s", profile(min_success_fraction=0.81), 0, "train")


def test_a_refused_test_batch_leaves_the_evaluation_alive(caplog) -> None:
    shard = make_shard(judged(1, *["SCF not converged"] * 4), "s", profile(), 2, "test")
    assert (shard.n_admitted, shard.n_quarantined) == (1, 4)
    assert "1 of 5 test labels admitted" in caplog.text


def test_no_frames_are_no_failure() -> None:
    shard = make_shard([], "s", profile(min_success_fraction=1), 0, "train")
    assert (shard.n_admitted, shard.frame_hashes) == (0, [])


def test_new_frames_keep_their_order_and_the_known_set() -> None:
    known = {rattled(2).frame_hash}
    found = new_frames([rattled(3), rattled(1), rattled(2), rattled(3)], known)
    assert [frame.group for frame in found] == ["g3", "g1"]
    assert known == {rattled(2).frame_hash}
