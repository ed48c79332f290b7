"""Pages of scorecards, their JSON twins and what they refuse, on a real database."""

from __future__ import annotations

import re

import pytest
from dashboard_browser import Page, page

from ionloop.dashboard.headers import HEADERS
from ionloop.dashboard.scorecard_pages import Asked
from ionloop.evaluate.scorecard_schema import Scorecard
from ionloop.store.connection import database
from ionloop.store.scorecards import scorecards

UNKNOWN = "0" * 16


@pytest.fixture
def keys(campaigns):
    """Keys of the scorecards by the names of their models."""
    return {one.card.model.name: one.key for one in scorecards()}


def links(found: Page, what: str) -> list[str]:
    return [link for link in found.links if what in link]


def test_the_list_says_which_model_is_unstable_the_latest_first(browser, keys):
    found = page(browser, "/scorecards")
    assert [link.removeprefix("/scorecards/") for link in links(found, "scorecards/")
            if "api" not in link] == [keys["m"], keys["b"], keys["a"]]  # fmt: skip
    for words in (
        "b mace bbbbbb Li3N done generation 2 ✗ unstable ended after 3.2 of 500 ps at 1440 K",
        "✓ stable 500 ps at 1440 K 100 (90 to 110) 50",
        "missing: accuracy",
    ):
        assert words in found.text, words


def test_it_is_filtered_by_material_and_campaign(browser, keys):
    assert "/scorecards?material=Li3N" in page(browser, "/scorecards").links
    text = page(browser, "/scorecards?material=Li3OCl").text
    assert ("missing: accuracy" in text, "unstable" in text) == (True, False)
    (link,) = links(page(browser, "/campaigns/done"), "/scorecards?campaign")
    found = page(browser, link)
    assert "of models that done trained" in found.text
    assert links(found, "/campaigns/done") == ["/campaigns/done"]
    assert keys["b"] in str(found.links)
    assert keys["a"] not in str(found.links)
    assert "No scorecards here yet" in page(browser, "/scorecards?campaign=busy").text


def test_some_are_chosen_by_links_and_compared(browser, keys):
    (choose,) = links(page(browser, "/scorecards"), f"ids={keys['a']}")
    second = page(browser, choose)
    assert "1 chosen" in second.text
    (both,) = links(second, f"ids={keys['a']}%2C{keys['b']}")
    third = page(browser, both)
    assert "2 chosen" in third.text
    assert f"/scorecards?ids={keys['a']}" in third.links  # leaves b out
    (compare,) = links(third, "/scorecards/compare")
    text = page(browser, compare).text
    for words in ("Li3N: 2 scorecards", "Not everything here may be compared",
                  "accuracy : of different labels", "atoms at 0.39 of their radii"):  # fmt: skip
        assert words in text, words


def test_one_scorecard_has_a_page(browser, keys):
    found = page(browser, f"/scorecards/{keys['b']}")
    for words in ("Li3N: b", "done, generation 2", "ended after 3.2 of 500 ps", "What fails"):
        assert words in found.text, words
    assert "/campaigns/done" in found.links
    assert f"/api/scorecards/{keys['b']}" in found.links
    assert "may be compared" not in found.text


def test_pages_fetch_nothing_from_elsewhere_and_have_no_script(browser, keys):
    both = f"/scorecards/compare?ids={keys['a']},{keys['m']}"
    for path in ("/scorecards", f"/scorecards/{keys['a']}", both):
        answer = browser.get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        found = Page(answer.text)
        assert found.scripts == []
        allowed = r"/(?!/)|#part-|data:(,$|image/svg\+xml;base64,)"
        assert all(re.match(allowed, link) for link in found.links), found.links
        for link in {link for link in found.links if link.startswith("/")}:
            assert browser.get(link).status_code == 200, link


def test_json_twins_say_the_same(browser, keys):
    found = browser.get("/api/scorecards?material=Li3N").json()
    assert (found["page"], found["older"]) == (1, False)
    assert [one["key"] for one in found["scorecards"]] == [keys["b"], keys["a"]]
    one = browser.get(f"/api/scorecards/{keys['b']}").json()
    assert (one["campaign_id"], one["generation"]) == ("done", 2)
    card = Scorecard.model_validate(one["card"])
    assert len(card.diffusion.result.transport.transport.points[1].msd) == 101
    short = Scorecard.model_validate(found["scorecards"][0]["card"])
    assert short.diffusion.result.transport.transport.points[1].msd == []


def test_pages_of_the_list(browser, keys, monkeypatch):
    monkeypatch.setattr("ionloop.dashboard.scorecard_routes.PAGE", 2)
    first, second, third = (page(browser, f"/scorecards?page={i}") for i in (1, 2, 3))
    assert "older →" in first.text
    assert keys["a"] not in str(first.links)
    assert keys["a"] in str(second.links)
    assert ("older →" in second.text, "← newer" in second.text) == (False, True)
    assert "No scorecards on this page" in third.text


@pytest.mark.parametrize("path", [f"/scorecards/{UNKNOWN}", f"/scorecards/compare?ids={UNKNOWN}",
                                  "/scorecards/$ne", "/scorecards/%7B%22$ne%22:1%7D",
                                  f"/api/scorecards/{UNKNOWN}"])  # fmt: skip
def test_what_is_not_there_is_404(browser, path):
    assert browser.get(path).status_code == 404


@pytest.mark.parametrize("asked", [
    "page=0", "page=x", "ids=x", "ids=$ne", "ids=" + ",".join(f"{i:016x}" for i in range(9)),
    "material=" + "x" * 201, "campaign=" + "x" * 201,
])  # fmt: skip
def test_what_makes_no_sense_is_refused(browser, asked):
    assert browser.get(f"/scorecards?{asked}").status_code == 400


def test_a_comparison_of_nothing_is_refused(browser):
    assert browser.get("/scorecards/compare").status_code == 400


def test_no_more_are_chosen_than_there_are_colours(browser, keys):
    ids = [f"{i:016x}" for i in range(8)]
    found = page(browser, f"/scorecards?ids={','.join(ids)}")
    assert "as many as fit" in found.text
    assert not links(found, keys["a"] + "&") + links(found, f"%2C{keys['a']}")


def test_there_is_no_way_to_write(browser, keys):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert browser.request(method, f"/scorecards/{keys['a']}").status_code == 405


def test_a_page_is_made_once_until_its_scorecard_changes(own_browser, monkeypatch):
    made = []
    from ionloop.dashboard import source

    values = source.values
    monkeypatch.setattr(source, "values", lambda found: made.append(found) or values(found))
    found = scorecards()[-1]
    for _ in range(2):
        page(own_browser, f"/scorecards/{found.key}")
    assert len(made) == 1
    new = {"$set": {"stored_at": "2030-01-01T00:00:00.000+00:00", "card.model.name": "renamed"}}
    database().scorecards.update_one({"key": found.key}, new)
    assert "renamed" in page(own_browser, f"/scorecards/{found.key}").text


def test_one_that_cannot_be_read_hides_no_other(own_browser):
    keys = {one.card.model.name: one.key for one in scorecards()}
    newer = {"$set": {"card.static.result.hardness": 3.0, "card.model.name": "<b>b</b>"}}
    database().scorecards.update_one({"key": keys["b"]}, newer)
    found = page(own_browser, "/scorecards")
    assert links(found, keys["a"])
    assert not links(found, f"/scorecards/{keys['b']}")
    assert f"{keys['b']} <b>b</b> on Li3N can't be read card.static.result.hardness" in found.text
    asked = own_browser.get("/api/scorecards").json()
    assert [one["key"] for one in asked["scorecards"]] == [keys["m"], keys["a"]]
    assert [one["material"] for one in asked["unreadable"]] == ["Li3N"]
    for path in (f"/scorecards/{keys['b']}", f"/api/scorecards/{keys['b']}",
                 f"/scorecards/compare?ids={keys['a']},{keys['b']}"):  # fmt: skip
        refused = own_browser.get(path)
        assert refused.status_code == 422
        assert "hardness: not known to ionloop" in refused.text
    assert own_browser.get(f"/scorecards/{keys['a']}").status_code == 200


def test_addresses_escape_what_they_hold():
    asked = Asked(material="Li&3", campaign="a b", page=3, ids=("x",))
    assert asked.address() == "/scorecards?material=Li%263&campaign=a+b&page=3&ids=x"
    assert asked.address(material=None, campaign=None, page=1, ids=()) == "/scorecards"
