"""What a process keeps of stored outputs: never stale, never too much."""

from __future__ import annotations

import pytest
from jobflow import CURRENT_JOB, JobStore
from maggma.stores import MemoryStore

from ionloop.document import DATA_FIELDS, Blob
from ionloop.kept import Kept
from ionloop.reference.schema import Trajectory


def trajectory(note: str) -> dict:
    made = Trajectory(
        symbols=["Li"], cell=[[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], temperature=1.0,
        frame_interval_fs=1.0, n_frames=1, n_steps=1, group=note, engine="e", wall_s=0.0,
        blob=Blob.from_bytes(note.encode(), "x"),
    )  # fmt: skip
    return made.model_dump() | {"@module": Trajectory.__module__, "@class": "Trajectory"}


def put(store: JobStore, uuid: str, note: str) -> None:
    doc = {"uuid": uuid, "index": 1, "output": trajectory(note)}
    store.update(doc, key=["uuid", "index"], save={"data": DATA_FIELDS})


@pytest.fixture
def store():
    made = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    made.connect()
    CURRENT_JOB.store = made
    yield made
    CURRENT_JOB.reset()


class Reader:
    """Notes of trajectories, and of which ones they were read."""

    def __init__(self, most: int = 100) -> None:
        self.read: list[str] = []
        self.kept = Kept(["blob"], self.make, len, most)

    def make(self, found: Trajectory) -> str:
        self.read.append(found.group)
        return found.blob.to_bytes().decode()

    def __call__(self, *uuids: str) -> list[str]:
        return list(self.kept.stream(uuids))


def test_each_output_is_read_once_and_comes_in_its_place(store):
    for uuid in "abc":
        put(store, uuid, uuid.upper())
    reader = Reader()
    assert reader("b", "a") == ["B", "A"]
    assert reader("a", "b", "c", "a") == ["A", "B", "C", "A"]
    assert reader.read == ["B", "A", "C"]


def test_what_was_stored_anew_is_read_anew(store):
    put(store, "a", "old")
    reader = Reader()
    assert reader("a") == ["old"]
    put(store, "a", "new")
    assert reader("a") == ["new"]


@pytest.mark.parametrize(
    ("most", "again"), [(0, "A B CC"), (1, "B CC"), (2, "CC"), (3, "CC"), (4, "")]
)
def test_no_more_is_kept_than_allowed_and_a_caller_s_own_stay(store, most, again):
    """A turn through more than there is room for finds what fits the next time."""
    for uuid, note in zip("abc", ["A", "B", "CC"], strict=True):
        put(store, uuid, note)
    reader = Reader(most)
    for _ in range(2):
        assert reader("a", "b", "c") == ["A", "B", "CC"]
    assert reader.read[3:] == again.split()


def test_another_campaign_s_longest_unused_goes_first(store):
    for uuid in "abc":
        put(store, uuid, uuid)
    reader = Reader(2)
    reader("a", "b")
    reader("a")
    reader("c")
    assert reader("a", "c") == ["a", "c"]
    assert reader.read == ["a", "b", "c"]


def test_what_lies_in_no_blob_is_read_each_time(store):
    store.docs_store.update({"uuid": "a", "index": 1, "output": trajectory("x")}, key=["uuid"])
    reader = Reader()
    assert reader("a") == reader("a") == ["x"]
    assert reader.read == ["x", "x"]


def test_what_is_not_stored_is_an_error(store):
    with pytest.raises(ValueError, match="nothing"):
        Reader()("nothing")
