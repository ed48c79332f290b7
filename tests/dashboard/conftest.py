"""Campaigns on a real mongod, and a browser's view of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from dashboard_browser import browser_of
from made_cards import whole_card
from made_record import make_card, make_record
from pymongo import MongoClient
from starlette.testclient import TestClient
from stored_campaign import store_record, submit_jobs

from ionloop.dashboard.source import Source
from ionloop.store.connection import database
from ionloop.store.scorecards import store_scorecard
from ionloop.testing import environment

#: In the order in which they are stored.
CARDS = (
    whole_card("a"),
    whole_card("b", labels="y", stopped="atoms at 0.39 of their radii"),
    make_card(b"x"),
)


def fill_database() -> None:
    """Store a finished campaign, one that runs with failures, one without output, scorecards."""
    submit_jobs("done", {"COMPLETED": 6}, name="Li3OCl <i>x</i>")
    store_record("done", make_record())
    submit_jobs("busy", {"COMPLETED": 5, "RUNNING": 2, "FIZZLED": 1, "WAITING": 4})
    store_record("busy", make_record(1, evaluated=False))
    submit_jobs("new", {"READY": 3})
    for card in CARDS:
        store_scorecard(card)
    trained = {"$set": {"campaign_id": "done", "generation": 2}}
    assert database().scorecards.update_one({"card.model.name": "b"}, trained).modified_count


@pytest.fixture(scope="module")
def campaigns(mongod_uri, tmp_path_factory):
    """A database that tests read and leave as it is."""
    variables = {
        "IONLOOP_HOME": str(tmp_path_factory.mktemp("home")),
        "IONLOOP_DB_URI": mongod_uri,
        "IONLOOP_DB_NAME": "test_dashboard",
    }
    with environment(variables):
        fill_database()
        yield
    with MongoClient(mongod_uri) as client:
        client.drop_database("test_dashboard")


@pytest.fixture
def source(campaigns) -> Iterator[Source]:
    with closing(Source()) as made:
        yield made


@pytest.fixture(scope="module")
def browser(campaigns) -> Iterator[TestClient]:
    with closing(Source()) as made:
        yield browser_of(made)


@pytest.fixture
def own_browser(ionloop_db) -> Iterator[TestClient]:
    """For tests that change what the database holds."""
    fill_database()
    with closing(Source()) as made:
        yield browser_of(made)
