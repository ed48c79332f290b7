from __future__ import annotations

from datetime import UTC, datetime

import pytest
from monty.json import jsanitize
from stored_output import member, put

from ionloop.document import Blob
from ionloop.errors import StoreError
from ionloop.explore.schema import Exploration
from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label
from ionloop.label.shards import counted
from ionloop.reference.schema import Band, Trajectory
from ionloop.seed.schema import SeedFrames
from ionloop.store.connection import database, job_store
from ionloop.store.queries import (
    campaign_ids,
    campaign_record,
    parse,
    resolve_campaign,
    stored_output,
)
from ionloop.train.schema import Member

CELL = [[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]]
FRAME = Frame(
    symbols=["Li"], positions=[[0.0] * 3], cell=CELL, origin=Origin.AIMD, group="start"
)  # fmt: skip


@pytest.fixture
def store(ionloop_db):
    made = job_store()
    made.connect()
    return made


def exploration() -> Exploration:
    run = Trajectory(
        symbols=["Li"], cell=CELL, temperature=600.0, frame_interval_fs=1.0, n_frames=1, n_steps=1,
        group="g", engine="e", wall_s=0.0, blob=Blob.from_bytes(b"x", "trajectory.npz"),
    )  # fmt: skip
    return Exploration(
        generation=0, temperature=600.0, group="g", n_mobile=1, time_ps=1.0, unphysical=False,
        hops=[], n_checked=1, n_trusted=1, sigma_quantiles=[0.0] * 6, frames=[FRAME],
        trajectory=run, wall_s=0.0,
    )  # fmt: skip


def seeds() -> SeedFrames:
    band = Band(
        symbols=["Li"], cell=CELL, images=[[[0.0] * 3], [[1.0, 0.0, 0.0]]], energies=[0.0, 0.3],
        ion=0, path_class="Li-Li 2.76 A #0", hop_distance=2.76, converged=True, fmax=0.05,
        n_force_calls=1, engine="e", settings_hash="s", wall_s=0.0,
    )  # fmt: skip
    return SeedFrames(frames=[FRAME], bands=[band], counts={"aimd": 1})


def test_a_record_has_bands_but_neither_models_nor_frames(store):
    put(store, "s", seeds())
    put(store, "e", exploration())
    put(store, "m", member(0, 0))
    record = campaign_record("c")
    assert record.seeds.bands == seeds().bands
    assert record.seeds.frames == []
    assert record.explorations[0].frames == []
    assert record.explorations[0].trajectory.blob.content == ""
    assert record.members[0].model_file == Blob(filename="model_file", sha256="", content="")
    assert record.members[0].model_hash == "h"
    assert {job.output_class for job in record.jobs} == {"SeedFrames", "Exploration", "Member"}
    assert record.start is None
    assert record.evaluation is None


def test_members_are_in_order_and_what_ran_twice_counts_once(store):
    put(store, "b", member(1, 1), at="2026-01-01T00:00:01")
    put(store, "a", member(0, 1), at="2026-01-01T00:00:02")
    put(store, "z", member(0, 0), at="2026-01-01T00:00:03")
    put(store, "a", member(0, 1, wall_s=7.0), index=2, at="2026-01-01T00:00:04")
    put(store, "list", [member(1, 0)], at="2026-01-01T00:00:05")
    put(store, "other", member(5, 5), campaign="d")
    members = campaign_record("c").members
    assert [(m.generation, m.index) for m in members] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert members[2].wall_s == 7.0  # the later one


def test_a_key_that_no_schema_knows_is_an_error(store):
    put(store, "s", {**seeds().model_dump(mode="json"), "@class": "SeedFrames", "strange": 1})
    with pytest.raises(ValueError, match="strange"):
        campaign_record("c")


def test_an_output_without_its_parts_is_not_stored(store):
    put(store, "m", member(0, 0))
    assert parse(Member, stored_output("m", 1)["output"]).model_hash == "h"
    assert stored_output("m", 2) is None
    database()["outputs_blobs.files"].delete_many({})
    assert stored_output("m", 1) is None


def test_campaigns_are_found_the_latest_first(store):
    with pytest.raises(StoreError, match="holds no campaign"):
        resolve_campaign()
    for day, name in enumerate(["old", "new", "remote"], start=1):
        flow = {"metadata": {"campaign_id": name}, "created_on": datetime(2026, 1, day, tzinfo=UTC)}
        database()["jf_flows" if name == "remote" else "workflows"].insert_one(flow)
    assert campaign_ids() == ["remote", "new", "old"]
    assert campaign_ids(limit=2) == ["remote", "new"]
    database().jf_flows.drop()
    assert campaign_ids(limit=1) == ["new"]
    assert resolve_campaign() == "new"
    assert resolve_campaign("old") == "old"
    with pytest.raises(StoreError, match="unknown campaign 'x'; the latest are new, old"):
        resolve_campaign("x")
    with pytest.raises(StoreError, match="no finished job yet"):
        campaign_record("old")


def test_a_record_for_a_report_leaves_the_numbers_of_labels_out(store):
    positions = [[0.0, 0.0, float(i)] for i in range(3)]
    frame = Frame(symbols=["Li"] * 3, positions=positions, cell=CELL, origin="hop", group="g")
    good = Label(
        frame=frame, frame_hash="h", energy=-1.0, forces=positions, settings_hash="s",
        engine="e", wall_s=1.0, directory="/runs",
    )  # fmt: skip
    bad = good.model_copy(update={"reasons": ["atoms too close"]})
    made = counted(
        [good, bad], generation=0, purpose="train", settings_hash="s", wall_s=2.0,
        frame_hashes=["h", "k"],
    )  # fmt: skip
    put(store, "l", jsanitize(made, strict=True, enum_values=True))
    (whole,) = campaign_record("c").shards
    assert whole == made
    (light,) = campaign_record("c", numbers=False).shards
    (label,), (refused,) = light.labels, light.quarantined
    assert (label.forces, label.frame.positions) == (None, [])
    assert (label.engine, label.energy, refused.reasons) == ("e", -1.0, ["atoms too close"])
    assert refused.frame.origin == Origin.HOP
    assert light.n_admitted == 1
