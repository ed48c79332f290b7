"""Quarantined labels that a person takes back: which may, and what of them is kept."""

from __future__ import annotations

import re

import pytest

from ionloop.frame import Frame
from ionloop.label.decisions import decisions_uuid, objection, readmit
from ionloop.label.schema import Label, LabelShard, Readmission
from ionloop.train.dataset import trained_from


def label(n: int, *reasons: str, **fields: object) -> Label:
    frame = Frame(
        symbols=["Li"], positions=[[0.1 * n, 0, 0]], cell=[[5, 0, 0], [0, 5, 0], [0, 0, 5]],
        origin="rattle", group="g", generation=1,
    )  # fmt: skip
    own = {
        "frame": frame, "frame_hash": frame.frame_hash, "energy": -1.0,
        "forces": [[0.0, 0.0, 0.0]], "settings_hash": "s", "engine": "e", "wall_s": 1.0,
        "directory": "/runs", "reasons": list(reasons),
    }  # fmt: skip
    return Label(**{**own, **fields})


CEILING = "force above the ceiling: 31 eV/Å"


def shard(labels: list[Label], purpose: str = "train") -> LabelShard:
    good = [x for x in labels if not x.reasons]
    bad = [x for x in labels if x.reasons]
    return LabelShard(
        generation=1, purpose=purpose, labels=good, quarantined=bad, settings_hash="s",
        frame_hashes=[x.frame_hash for x in (good if purpose == "imported" else labels)],
        n_admitted=len(good), n_quarantined=len(bad),
        reasons={"force above the ceiling": len(bad)}, counts={"rattle": len(good)}, wall_s=1.0,
    )  # fmt: skip


def decision(one: Label, **fields: object) -> Readmission:
    own = {"frame_hash": one.frame_hash, "generation": 3, "reason": "a saddle", "by": "me",
           "at": "2026-01-01T00:00:00+00:00", "overruled": one.reasons}  # fmt: skip
    return Readmission(**{**own, **fields})


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (label(0, CEILING), None),
        (label(0, "atoms too close: 0.5", "magnetization jump: 2"), None),
        (label(0, "no stress"), None),
        (label(0, CEILING, "SCF not converged: after 60 steps"), "SCF not converged can't be"),
        (label(0, "electronic steps at the limit: 60 of 60"), "electronic steps at the limit"),
        (label(0, "other settings: x", settings_hash="t"), r"other settings \(t\), and they are"),
        (label(0, "not a number: energy"), "not a number can't be"),
        (label(0, "species in another order: expected O"), "species in another order can't"),
        (label(0, "another charge than the frame's: 1"), "another charge than the frame's can't"),
        (label(0, "calculation failed: x", energy=None, forces=None), "no energy or forces"),
        (label(0, CEILING, forces=None), "no energy or forces"),
        (label(0, "a reason that nobody knows"), "a reason that nobody knows can't"),
    ],
)
def test_only_our_own_limits_can_be_overruled(one: Label, words: str | None) -> None:
    found = objection(one, "s")
    if words is None:
        assert found is None
    else:
        assert re.search(words, found or "")
    assert readmit(shard([one]), [decision(one)]).n_admitted == (words is None)


def test_a_readmitted_label_takes_its_place_and_keeps_its_trace() -> None:
    labels = [label(0), label(1, CEILING), label(2), label(3, CEILING)]
    before = shard(labels)
    after = readmit(before, [decision(labels[1])])
    assert [x.frame_hash for x in after.labels] == [x.frame_hash for x in labels[:3]]
    assert [x.frame_hash for x in after.quarantined] == [labels[3].frame_hash]
    assert (after.n_admitted, after.n_quarantined, after.n_readmitted) == (3, 1, 1)
    assert (after.reasons, after.counts) == ({"force above the ceiling": 1}, {"rattle": 3})
    taken = after.labels[1]
    assert taken.reasons == []
    assert taken.readmitted == decision(labels[1], overruled=[CEILING])
    assert (taken.energy, taken.forces) == (labels[1].energy, labels[1].forces)
    assert (before.n_admitted, before.quarantined[0].reasons) == (2, [CEILING])  # not changed
    again = readmit(after, [decision(labels[1], reason="twice"), decision(labels[3])])
    assert [x.readmitted and x.readmitted.reason for x in again.labels] == [
        None, "a saddle", None, "a saddle",
    ]  # fmt: skip


def test_it_trains_from_the_generation_after_the_decision() -> None:
    (taken,) = readmit(shard([label(0, CEILING)]), [decision(label(0, CEILING))]).labels
    assert (trained_from(label(0)), trained_from(taken)) == (1, 3)
    early = taken.model_copy(update={"readmitted": decision(label(0), generation=0)})
    assert trained_from(early) == 1


def test_an_imported_label_that_is_taken_back_is_known_from_then_on() -> None:
    labels = [label(0), label(1, CEILING)]
    after = readmit(shard(labels, "imported"), [decision(labels[1])])
    assert after.frame_hashes == [x.frame_hash for x in labels]


def test_decisions_on_other_frames_change_nothing() -> None:
    before = shard([label(0), label(1, CEILING)])
    assert readmit(before, [decision(label(0)), decision(label(7))]) is before
    assert decisions_uuid("c") != decisions_uuid("d")


def test_a_decision_covers_what_was_overruled_and_nothing_else() -> None:
    """A label that was computed again may be refused for another reason than before."""
    decided = decision(label(0, "atoms too close: 0.5"))
    same = shard([label(0, "atoms too close: 0.4")])
    assert readmit(same, [decided]).n_readmitted == 1
    other = shard([label(0, "atoms too close: 0.5", CEILING)])
    assert readmit(other, [decided]) is other
