"""Pages, their JSON twins and what they refuse, on a real database."""

from __future__ import annotations

import json
import re
from contextlib import closing

import pytest
from dashboard_browser import Page, browser_of, page
from fireworks import FWorker
from stored_campaign import submit_jobs

from ionloop.dashboard.app import ROUTES
from ionloop.dashboard.headers import HEADERS, REPORT_POLICY
from ionloop.dashboard.source import Source
from ionloop.engine.launchpad import campaign_query, launchpad
from ionloop.store.connection import database

PAGES = ("/", "/campaigns/done", "/campaigns/busy", "/campaigns/new", "/scorecards")


def test_the_list_shows_all_campaigns_the_latest_first(browser):
    text = page(browser, "/").text
    assert text.index(" new ") < text.index(" busy ") < text.index(" Li3OCl <i>x</i> ")
    assert "3 in this database" in text
    for words in ("finished", "running", "waiting", "5 of 12 done, 2 running", "6 of 6 done"):
        assert words in text


def test_what_waits_in_a_queue_is_told_from_what_runs(own_browser):
    submit_jobs("queued", {"COMPLETED": 5, "RUNNING": 2, "RESERVED": 3})
    assert "5 of 10 done, 2 running, 3 queued" in page(own_browser, "/").text
    text = page(own_browser, "/campaigns/queued").text
    assert "jobs done 2 running, 3 queued" in text
    assert "generation stage done running queued ready waiting failed" in text
    found = own_browser.get("/api/campaigns/queued").json()["status"]["jobs"]
    assert found == {"COMPLETED": 5, "RUNNING": 2, "RESERVED": 3}


def test_a_finished_campaign_shows_how_it_converged(browser):
    text = page(browser, "/campaigns/done").text
    for words in ("finished", "Li3OCl", "reference buckingham", "evaluated", "3 judged",
                  "2 quarantined", "converged", "go on", "barriers changed by 8 meV, within 10 meV",
                  "3 h", "319 ± 4", "6 done"):  # fmt: skip
        assert words in text, words


def test_a_running_campaign_shows_its_failures_and_loads_itself_again(browser):
    html = browser.get("/campaigns/busy").text
    text = Page(html).text
    assert "Failed jobs that hold it up" in text
    assert "empty : no traceback; read the worker's log" in text
    assert 'http-equiv="refresh"' in html
    assert 'http-equiv="refresh"' not in browser.get("/campaigns/done").text


def test_a_campaign_without_outputs_says_what_is_missing(browser):
    text = page(browser, "/campaigns/new").text
    for words in ("No committee has been trained yet", "No learning curve", "No barriers yet"):
        assert words in text


def test_figures_are_json_that_can_not_end_its_element(browser):
    html = browser.get("/campaigns/done").text
    found = re.findall(r'<script type="application/json" id="figure-(\w+)">(.*?)</script>', html)
    assert [key for key, _ in found] == ["learning", "barriers"]
    figures = {key: json.loads(text) for key, text in found}
    assert [trace["name"] for trace in figures["barriers"]["data"]] == [
        "Li-Li 2.76 A #0",
        "Li-Li 3.91 A #1",
    ]
    assert all("<" not in text and "&" not in text for _, text in found)


@pytest.mark.parametrize("path", PAGES)
def test_pages_fetch_nothing_from_elsewhere_and_have_no_inline_script(browser, path):
    found = page(browser, path)
    assert all(re.match(r"(/|data:,$)", link) for link in found.links), found.links
    assert all("src" in one or one["type"] == "application/json" for one in found.scripts)
    for link in {link for link in found.links if link.startswith("/")}:
        answer = browser.get(link, headers={"Accept-Encoding": "identity"})
        assert answer.status_code == 200 or link.endswith("new/report")


def test_what_the_database_says_is_escaped(own_browser):
    evil = "<script>alert(1)</script>"
    db = database()
    db.workflows.update_many({}, {"$set": {"name": evil}})
    db.fireworks.update_many({}, {"$set": {"name": evil, "spec.stage": evil}})
    db.outputs.update_many({"output.judgement": {"$exists": True}},
                           {"$set": {"output.judgement.reasons": [evil]}})  # fmt: skip
    db.outputs.update_many({"output.counts": {"$exists": True}},
                           {"$set": {"output.counts": {evil: 3}}})  # fmt: skip
    db.scorecards.update_many({}, {"$set": {"card.model.name": evil, "card.material": evil}})
    (key,) = [one["key"] for one in db.scorecards.find({"campaign_id": "done"})]
    for path in (*PAGES, f"/scorecards/{key}"):
        html = own_browser.get(path).text
        assert evil not in html
        assert "alert(1)" in html


def test_json_twins_say_the_same(browser):
    rows = browser.get("/api/campaigns").json()
    assert (rows["total"], rows["page"]) == (3, 1)
    assert [row["campaign_id"] for row in rows["campaigns"]] == ["new", "busy", "done"]
    found = browser.get("/api/campaigns/done").json()
    assert found["status"]["state"] == "finished"
    assert found["status"]["n_labels"] == 96
    assert [g["judgement"]["converged"] for g in found["generations"]] == [False, False, True]
    assert [g["took"] for g in found["generations"]] == [None, "PT3H", "PT3H"]
    assert found["shards"][0]["counts"] == {"aimd": 12, "neb": 12, "rattle": 12}
    assert found["shards"][0]["labels"] == []


def test_a_campaign_shows_what_it_cost(own_browser, tmp_path):
    lp = launchpad()
    query = {**campaign_query("new"), "spec.stage": "label"}
    _, number = lp.checkout_fw(FWorker("w", query=query, env={"cores": 1}), str(tmp_path))
    ended = {"state": "COMPLETED", "runtime_secs": 7200.0, "fworker.env.cores": 4}
    lp.launches.update_one({"launch_id": number}, {"$set": ended})
    text = page(own_browser, "/campaigns/new").text
    assert "label 1 1 2 h 8 h 100%" in text
    found = own_browser.get("/api/campaigns/new").json()["ledger"]
    assert found["total"]["total"]["core_hours"] == 8.0


def test_the_report_stands_in_a_sandbox(browser):
    answer = browser.get("/campaigns/done/report")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == REPORT_POLICY
    assert "Converged after 3 generations and 96 labels." in answer.text


@pytest.mark.parametrize("path", ["/campaigns/nope", "/campaigns/nope/report", "/nope",
                                  "/campaigns/new/report", "/static/nope", "/campaigns/$ne",
                                  "/static/..%2fapp.py",
                                  "/campaigns/%7B%22$ne%22:1%7D"])  # fmt: skip
def test_what_is_not_there_is_404(browser, path):
    answer = browser.get(path)
    assert answer.status_code == 404
    assert "404" in Page(answer.text).text


def test_the_api_speaks_json_of_errors_too(browser):
    answer = browser.get("/api/campaigns/nope")
    assert (answer.status_code, answer.json()) == (404, {"error": "There is no such campaign."})


@pytest.mark.parametrize("asked", ["0", "-1", "x", "1e3", "\uff19", "9999999"])
def test_a_page_number_is_a_number(browser, asked):
    assert browser.get("/", params={"page": asked}).status_code == 400


def test_pages_of_the_list(browser, monkeypatch):
    monkeypatch.setattr("ionloop.dashboard.app.PAGE", 2)
    first, second = (page(browser, f"/?page={i}").text for i in (1, 2))
    assert "older →" in first
    assert "done" in second
    assert "← newer" in second
    assert "No campaigns on this page" in page(browser, "/?page=3").text


def test_there_is_no_way_to_write(browser):
    assert all(route.methods <= {"GET", "HEAD"} for route in ROUTES)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert browser.request(method, "/campaigns/done").status_code == 405


@pytest.mark.parametrize("path", ["/", "/healthz", "/nope", "/static/dashboard.css"])
def test_every_answer_has_the_headers(browser, path):
    headers = browser.get(path).headers
    for name, value in HEADERS.items():
        if name != "Cache-Control":
            assert headers[name] == value
    kept = path.startswith("/static")
    assert headers["Cache-Control"] == (
        "public, max-age=31536000, immutable" if kept else "no-store"
    )


def test_other_host_names_are_refused(source):
    answer = browser_of(source, "evil.example").get("/")
    assert answer.status_code == 400
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_health_says_whether_the_database_answers(source):
    browser = browser_of(source)
    answer = browser.get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    source.db.client.close()
    gone = browser.get("/healthz")
    assert gone.status_code == 503
    assert "doesn't answer" in gone.json()["error"]
    assert "The database doesn" in browser.get("/").text


def test_a_page_that_breaks_says_so_with_all_headers(own_browser):
    database().outputs.update_many({"output.judgement": {"$exists": True}},
                                   {"$set": {"output.judgement.strange": 1}})  # fmt: skip
    answer = own_browser.get("/campaigns/done")
    assert answer.status_code == 500
    assert "strange" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_follows_a_campaign_that_changes(own_browser):
    browser = own_browser
    assert "finished" in page(browser, "/campaigns/done").text
    db = database()
    db.fireworks.update_one({"spec.campaign_id": "done"}, {"$set": {"state": "RUNNING"}})
    assert "finished" in page(browser, "/campaigns/done").text  # kept: nothing says it changed
    stamp = db.workflows.find_one({"metadata.campaign_id": "done"})["updated_on"]
    db.workflows.update_one(
        {"metadata.campaign_id": "done"}, {"$set": {"updated_on": stamp.replace(year=2030)}}
    )
    assert "running" in page(browser, "/campaigns/done").text


def test_a_report_is_made_once_while_nothing_changes(source, monkeypatch):
    made = []
    monkeypatch.setattr("ionloop.dashboard.source.render", lambda *r: made.append(r) or "html")
    assert [source.report("done") for _ in range(3)] == ["html"] * 3
    assert len(made) == 1


def test_only_so_many_values_are_kept(campaigns, monkeypatch):
    monkeypatch.setattr("ionloop.dashboard.source.render", lambda r, _: r.campaign_id)
    monkeypatch.setattr("ionloop.dashboard.source._REPORTS", 1)
    with closing(Source()) as source:
        assert [source.report(one) for one in ("done", "busy", "done")] == ["done", "busy", "done"]
        assert list(source._reports._values) == ["done"]
