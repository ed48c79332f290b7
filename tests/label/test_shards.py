"""The share of success, exactly; and what is said where it isn't met."""

from __future__ import annotations

import pytest

from ionloop.errors import BatchPausedError
from ionloop.frame import Frame
from ionloop.label.schema import Batch, Decisions, Label, LabelShard, ShareChange
from ionloop.label.shards import core_seconds, count_kinds, hold_to_share, make_shard, may_go_on
from ionloop.profile import Profile

NONE = Decisions(campaign_id="c")


def label(n: int, *reasons: str, directory: str | None = None) -> Label:
    frame = Frame(
        symbols=["Li"], positions=[[0.1 * n, 0, 0]], cell=[[5, 0, 0], [0, 5, 0], [0, 0, 5]],
        origin="hop", group="g",
    )  # fmt: skip
    return Label(
        frame=frame, frame_hash=frame.frame_hash, energy=-1.0, forces=[[0.0, 0.0, 0.0]],
        settings_hash="s", engine="e", wall_s=1.0, reasons=list(reasons),
        directory=f"/runs/{n}" if directory is None else directory,
    )  # fmt: skip


def shard(*reasons: str | None, share: float = 0.8, purpose: str = "train") -> LabelShard:
    """A batch of one frame a job; None is an admitted label."""
    labels = [label(n, *([r] if r else [])) for n, r in enumerate(reasons)]
    batch = Batch(
        generation=2, purpose=purpose, chunks=[[x.frame] for x in labels], settings_hash="s",
        jobs=[f"job {n}" for n in range(len(labels))], expects_stress=False,
    )  # fmt: skip
    profile = Profile(
        name="x", mobile_ion="Li", formal_charges={"Li": 1}, min_success_fraction=share
    )
    return make_shard(labels, batch, profile)


def pause(found: LabelShard, decisions: Decisions = NONE) -> str:
    with pytest.raises(BatchPausedError) as caught:
        hold_to_share(found, decisions, "c")
    return str(caught.value)


def test_the_pause_names_the_most_frequent_reason_a_folder_and_what_to_do() -> None:
    reasons = (None, "atoms too close: 0.4", "SCF not converged: a", "SCF not converged: b")
    assert pause(shard(*reasons)) == (
        "1 of 4 labels of generation 2 admitted, expected a share of at least 0.8; most frequent "
        "reason: SCF not converged (2 times), first in /runs/2 (SCF not converged: a); `ionloop "
        "labels c --quarantined` lists all; `ionloop resume c` runs 2 failed jobs of this batch "
        "again; `ionloop labels readmit c HASH` takes a label back; `ionloop resume c "
        "--min-success F` goes on with a share of F"
    )


def test_the_message_is_one_line_whatever_a_code_said() -> None:
    """FireWorks' last line of the traceback is what people see."""
    assert "\n" not in pause(shard("calculation failed: many\nlines"))


def test_a_folder_is_named_where_any_is_known() -> None:
    found = shard("job failed: no output", "job failed: no output")
    found.quarantined[0].directory = ""
    assert "first in /runs/1" in pause(found)
    found.quarantined[1].directory = ""
    assert "first in an unknown folder" in pause(found)


def test_the_share_is_a_limit_that_may_be_met() -> None:
    met = shard(*[None] * 4, "SCF not converged")
    hold_to_share(met, NONE, "c")
    assert (met.n_admitted, met.n_quarantined, met.min_success_fraction) == (4, 1, 0.8)
    assert pause(shard(*[None] * 4, "SCF not converged", share=0.81)).startswith("4 of 5")
    assert may_go_on(0, 0, 1.0)


def test_the_last_decision_on_the_share_counts() -> None:
    found = shard(None, "SCF not converged")
    changes = [ShareChange(min_success_fraction=f, by="me", at="now") for f in (0.9, 0.5)]
    hold_to_share(found, Decisions(campaign_id="c", shares=changes), "c")
    assert "at least 0.9" in pause(found, Decisions(campaign_id="c", shares=changes[::-1]))


def test_a_refused_test_batch_leaves_the_evaluation_alive(caplog) -> None:
    found = shard(None, *["SCF not converged"] * 4, purpose="test")
    assert (found.n_admitted, found.n_quarantined) == (1, 4)
    strict = ShareChange(min_success_fraction=1.0, by="me", at="now")
    hold_to_share(found, Decisions(campaign_id="c", shares=[strict]), "c")
    assert "1 of 5 test labels admitted" in caplog.text


def test_no_frames_are_no_failure() -> None:
    found = shard(share=1.0)
    hold_to_share(found, NONE, "c")
    assert (found.n_admitted, found.frame_hashes, found.failed_jobs) == (0, [], [])


def test_reasons_are_counted_by_kind_not_by_number() -> None:
    labels = [label(0, "force above the ceiling: 31"), label(1, "force above the ceiling: 32", "x")]
    assert count_kinds([*labels, label(2, "x: 1", "x: 2")]) == {
        "force above the ceiling": 2, "x": 2,
    }  # fmt: skip


def test_a_second_run_is_for_what_it_may_mend() -> None:
    reasons = {
        "job failed: no output": True,
        "calculation failed: killed": True,
        "SCF not converged: after 60 steps of 60": True,
        "electronic steps at the limit: 60 of 60": True,
        "no energy or forces": True,
        "no stress": True,
        "other settings: version: expected 6.4, got 5.4": True,
        "force above the ceiling: 31.00 eV/Å": False,
        "atoms too close: 0.3": False,
        "magnetization jump: 2": False,
        "not a number: energy": False,
        "species in another order: expected O": False,
        "another charge than the frame's: 1": False,
    }
    found = shard(*reasons)
    again = [f"job {i}" for i, wanted in enumerate(reasons.values()) if wanted]
    assert found.failed_jobs == again


def test_core_seconds_are_known_or_not() -> None:
    labels = [label(0), label(1, "SCF not converged")]
    assert core_seconds(labels) is None
    for one in labels:
        one.cores = 8
    assert core_seconds(labels) == 16.0
    nothing_ran = label(2, "job failed: no output").model_copy(update={"wall_s": 0.0})
    assert core_seconds([*labels, nothing_ran]) == 16.0
    assert core_seconds([]) == 0.0
