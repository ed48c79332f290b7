"""A campaign's committee as files, and scorecards that find their way back to the campaign."""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest
from made_cards import whole_card
from made_record import make_card
from stored_output import member, put
from typer.testing import CliRunner

from ionloop.campaign.schema import CampaignStart
from ionloop.cli.commands import app
from ionloop.document import Blob
from ionloop.errors import StoreError, TrainingError
from ionloop.evaluate.scorecard_schema import Scorecard
from ionloop.report.scorecard_summary import in_a_line, stability
from ionloop.store.connection import database, job_store
from ionloop.store.models import ExportedCommittee, export_committee
from ionloop.store.records import mark_outdated
from ionloop.store.scorecards import (
    parted,
    scorecard_materials,
    scorecards,
    scorecards_by_key,
    store_scorecard,
)
from ionloop.train.schema import Calibration

PROFILE = {"name": "Li3OCl", "mobile_ion": "Li"}


@pytest.fixture
def store(ionloop_db):
    made = job_store()
    made.connect()
    return made


def weights(index: int, generation: int) -> bytes:
    return f"weights {index} of {generation}".encode()


def put_member(store, uuid, number, generation, data=None, **where):
    data = weights(number, generation) if data is None else data
    model = member(number, generation).model_copy(
        update={
            "model_hash": hashlib.sha256(data).hexdigest(),
            "model_file": Blob.from_bytes(data, "member.model"),
        }
    )
    put(store, uuid, model, generation=generation, **where)


@pytest.fixture
def campaign(store):
    """Two whole committees of two, and half of a third."""
    start = CampaignStart(
        campaign_id="c", profile=PROFILE, campaign={}, reference="cp2k", settings={},
        settings_hash="s", versions={}, random_seed=0,
    )  # fmt: skip
    put(store, "start", start)
    for generation, n in ((0, 2), (1, 2), (2, 1)):
        for index in range(n):
            put_member(store, f"m{generation}{index}", index, generation)
    for generation in (0, 1):
        calibration = Calibration(
            generation=generation, n_frames=3, n_ions=9, held_out="a test", scale=1.0, scale_90=2.0,
            coverage_90=0.9, rmse_forces=0.05, sigma_lo=0.1, sigma_hi=1.0, curve=[],
        )  # fmt: skip
        put(store, f"k{generation}", calibration, generation=generation)
    return store


# ------------------------------------------------------------------- files


def test_the_latest_whole_committee_is_written_with_what_it_is(campaign, tmp_path):
    found = export_committee("c", tmp_path / "out")
    assert (found.generation, found.reference, found.material) == (1, "cp2k", "Li3OCl")
    assert found.calibration.generation == 1
    for index, one in enumerate(found.members):
        data = (tmp_path / "out" / one.path).read_bytes()
        assert data == weights(index, 1)
        assert one.sha256 == hashlib.sha256(data).hexdigest()
    said = (tmp_path / "out" / "committee.json").read_text()
    assert ExportedCommittee.model_validate_json(said) == found
    assert json.loads((tmp_path / "out" / "profile.json").read_text()) == PROFILE
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_a_generation_can_be_named_and_half_a_committee_is_refused(campaign, tmp_path):
    assert export_committee("c", tmp_path / "old", 0).members[1].path == "member-1.model"
    assert (tmp_path / "old" / "member-1.model").read_bytes() == weights(1, 0)
    with pytest.raises(StoreError, match=r"\(0, 1\), got 2, which has 1 of 2"):
        export_committee("c", tmp_path / "half", 2)
    with pytest.raises(StoreError, match="trained no model yet"):
        export_committee("d", tmp_path / "none")
    assert not (tmp_path / "half").exists()


def test_a_member_that_was_trained_again_is_the_last_one(campaign, tmp_path):
    put_member(campaign, "m11", 1, 1, b"anew", index=2, at="2026-01-02T00:00:00")
    put_member(campaign, "old", 0, 1, b"outdated", at="2026-01-03T00:00:00")
    mark_outdated(["old"], database())
    export_committee("c", tmp_path)
    assert (tmp_path / "member-1.model").read_bytes() == b"anew"
    assert (tmp_path / "member-0.model").read_bytes() == weights(0, 1)


def test_whole_files_are_kept_and_changed_ones_are_written_again(campaign, tmp_path):
    export_committee("c", tmp_path)
    kept, cut = tmp_path / "member-0.model", tmp_path / "member-1.model"
    cut.write_bytes(b"w")
    os.utime(kept, (1, 1))
    export_committee("c", tmp_path)
    assert kept.stat().st_mtime == 1
    assert cut.read_bytes() == weights(1, 1)


def test_another_file_than_was_trained_is_refused(campaign, tmp_path):
    stored = database()["outputs"]
    stored.update_one({"uuid": "m11"}, {"$set": {"output.model_hash": "0" * 64}})
    with pytest.raises(TrainingError, match="was changed"):
        export_committee("c", tmp_path)
    assert not (tmp_path / "member-1.model").exists()


def test_the_command_names_files_and_error(campaign, tmp_path):
    database().workflows.insert_one({"metadata": {"campaign_id": "c"}, "created_on": 0})
    command = ["models", "c", "--out", str(tmp_path)]
    found = CliRunner().invoke(app, command, catch_exceptions=False)
    assert found.exit_code == 0
    for index in range(2):
        assert f"member-{index}.model  {hashlib.sha256(weights(index, 1)).hexdigest()}" in (
            found.stdout
        )
    assert "50 meV/Å on 3 held-out frames" in found.stdout


# -------------------------------------------------------------- scorecards


def test_a_scorecard_knows_who_trained_its_model(campaign):
    assert store_scorecard(make_card(weights(0, 1), weights(1, 1))).generation == 1
    half = store_scorecard(make_card(weights(0, 0)))
    assert (half.campaign_id, half.generation) == ("c", 0)
    mixed = store_scorecard(make_card(weights(0, 0), weights(1, 1)))
    assert (mixed.campaign_id, mixed.generation) == (None, None)
    assert store_scorecard(make_card(b"elsewhere")).campaign_id is None
    assert store_scorecard(make_card()).campaign_id is None


def test_the_same_evaluation_is_kept_once(ionloop_db):
    first = store_scorecard(make_card(b"x"))
    again = store_scorecard(make_card(b"x"))
    other = store_scorecard(make_card(b"x", key="b"))
    assert first.key == again.key != other.key
    assert {one.key for one in scorecards()} == {first.key, other.key}
    assert scorecards()[0].card == other.card


def test_they_are_asked_for_by_material_and_campaign(campaign):
    store_scorecard(make_card(weights(0, 0), weights(1, 0)))
    store_scorecard(make_card(b"x", material="LLZO"))
    assert [one.card.material for one in scorecards("LLZO")] == ["LLZO"]
    assert [one.generation for one in scorecards(campaign_id="c")] == [0]
    assert len(scorecards(limit=1)) == 1
    assert scorecards("Li2S") == []


def test_a_list_leaves_curves_out_and_is_parted_in_pages(ionloop_db):
    stored = [store_scorecard(whole_card(name)) for name in "abc"]
    found = scorecards(limit=2, skip=1, curves=False)
    assert [one.key for one in found] == [stored[1].key, stored[0].key]
    result = found[0].card.diffusion.result
    points = result.transport.transport.points
    assert [(p.msd, p.msd_time_fs, p.msd_error) for p in points] == [([], [], [])] * 2
    assert found[0].card.static.result.phonons.frequencies == []
    assert in_a_line(found[0].card) == in_a_line(stored[1].card)
    assert stability(found[0].card) == stability(stored[1].card)
    assert scorecards(limit=1, skip=1)[0].card == stored[1].card
    sizes = [len(one.model_dump_json()) for one in (found[0], stored[1])]
    assert sizes[0] < 0.5 * sizes[1]


def test_they_are_asked_for_by_key_in_the_order_asked(ionloop_db):
    stored = [store_scorecard(whole_card(name)) for name in "abc"]
    keys = [stored[2].key, "0" * 16, stored[0].key, stored[2].key]
    assert scorecards_by_key(keys) == [stored[2], stored[0]]
    assert scorecards_by_key([]) == []
    store_scorecard(make_card(b"x", material="LLZO"))
    assert scorecard_materials() == ["LLZO", "Li3N"]


def put_card(store, uuid, name, **where):
    """Store a scorecard as the last job of a campaign's evaluation does."""
    put(store, uuid, whole_card(name), data=[], **where)
    return uuid


def test_those_of_campaigns_stand_among_those_stored_by_hand(store):
    by_hand = store_scorecard(whole_card("by hand"))
    old = put_card(store, "old", "a", generation=1, at="2026-01-01T00:00:00")
    new = put_card(store, "new", "b", campaign="d", generation=2, at="2999-01-01T00:00:00")
    keys = [new, by_hand.key, old]
    assert [one.key for one in scorecards()] == keys
    assert [one.key for one in scorecards(limit=1, skip=1)] == keys[1:2]
    assert [one.key for one in scorecards(skip=2)] == keys[2:]
    (found,) = scorecards(campaign_id="d")
    assert (found.key, found.campaign_id, found.generation) == (new, "d", 2)
    assert found.card == whole_card("b")
    (light,) = scorecards(campaign_id="d", curves=False)
    assert light.card.static.result.phonons.frequencies == []
    assert [one.key for one in scorecards("Li3N")] == keys
    assert scorecards("LLZO") == []
    assert [one.key for one in scorecards_by_key([old, by_hand.key])] == [old, by_hand.key]
    assert scorecard_materials() == ["Li3N"]
    listed = CliRunner().invoke(app, ["scorecards", "--campaign", "d"], catch_exceptions=False)
    assert "d, generation 2" in " ".join(listed.stdout.split())


def test_one_whose_job_runs_again_gives_way_to_the_new_one(store):
    put_card(store, "again", "a")
    mark_outdated(["again"], database())
    assert scorecards() == scorecards_by_key(["again"]) == []
    put_card(store, "again", "b", index=2)
    assert [one.card.model.name for one in scorecards()] == ["b"]


def test_its_time_is_utc_whatever_the_zone_of_who_ran_the_job(store, monkeypatch):
    """jobflow writes local time without its zone."""
    put_card(store, "here", "a", at="2026-01-01T00:00:00")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        (found,) = scorecards()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found.stored_at == "2025-12-31T15:00:00.000+00:00"


def test_one_that_cannot_be_read_says_why_and_hides_no_other(ionloop_db):
    first, newer, broken = (store_scorecard(whole_card(name)) for name in "abc")
    rows = database().scorecards
    rows.update_one({"key": newer.key}, {"$set": {"card.static.result.hardness": 3.0,
                                                  "card.cost.mass": 1}})  # fmt: skip
    rows.update_one({"key": broken.key}, {"$set": {"card": "x", "extra": 1}})
    for curves in (True, False):
        readable, (last, other) = parted(scorecards(curves=curves))
        assert [one.key for one in readable] == [first.key]
        assert (last.key, last.material, last.model) == (broken.key, None, None)
        assert last.reason.endswith("; evaluate again")
        assert "card: " in last.reason
        assert (other.key, other.material, other.model) == (newer.key, "Li3N", "b")
        assert other.stored_at == newer.stored_at
        assert "card.static.result.hardness: not known to ionloop" in other.reason
        assert other.reason.endswith("a newer ionloop wrote it: update this one")
    readable, unreadable = parted(scorecards_by_key([newer.key, first.key]))
    assert (readable, [one.key for one in unreadable]) == ([first], [newer.key])
    assert len(scorecards(limit=2)) == 2
    listed = CliRunner().invoke(app, ["scorecards"], catch_exceptions=False)
    assert first.key in listed.stdout
    assert newer.key not in listed.stdout
    assert f"{newer.key} (b, Li3N) can't be read: card.static" in listed.stderr
    assert f"{broken.key} (unknown) can't be read" in listed.stderr
    as_json = CliRunner().invoke(app, ["scorecards", "--json"], catch_exceptions=False)
    assert [one["key"] for one in json.loads(as_json.stdout)] == [first.key]


def test_a_scorecard_that_is_too_large_says_so(ionloop_db):
    large = make_card(b"x").model_copy(update={"structure": "x" * 17_000_000})
    with pytest.raises(StoreError, match="at most 16 MB"):
        store_scorecard(large)
    assert scorecards() == []


def test_the_list_is_a_table_and_json(campaign, tmp_path):
    def said(*options):
        found = CliRunner().invoke(app, ["scorecards", *options], catch_exceptions=False)
        return found.stdout

    assert "--store` keeps one" in said()
    store_scorecard(make_card(weights(0, 0), weights(1, 0)))
    assert "1 scorecards" in said()
    assert "Li3OCl" in said("--material", "Li3OCl")
    (row,) = json.loads(said("--json"))
    assert (row["campaign_id"], row["generation"]) == ("c", 0)
    assert Scorecard.model_validate(row["card"]).model.name == "m"
    assert "not asked" in said()
    unstable = store_scorecard(whole_card("u", stopped="it burst"))
    text = " ".join(said().split())
    assert unstable.key in text
    assert "unstable" in text


def test_some_scorecards_are_picked_by_key_for_a_page(ionloop_db, tmp_path):
    stored = [store_scorecard(whole_card(name)) for name in "abc"]
    page = tmp_path / "page.html"

    def call(*options):
        command = ["scorecards", "--page", str(page), *options]
        return CliRunner().invoke(app, command, standalone_mode=False)

    keys = [option for one in (stored[2], stored[0]) for option in ("--key", one.key)]
    assert call(*keys).exception is None
    html = page.read_text(encoding="utf-8")
    assert html.index("c (cccccc)") < html.index("a (aaaaaa)")
    assert "b (bbbbbb)" not in html
    assert "expected keys" in str(call("--key", "0" * 16).exception)
    assert "got both" in str(call(*keys, "--material", "Li3N").exception)
    page = tmp_path / "page.png"
    assert "--page: expected a name that ends in .html" in str(call().exception)
