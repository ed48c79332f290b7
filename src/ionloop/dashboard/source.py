"""What the pages show, read from the database and kept while nothing changes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from markupsafe import Markup

from ionloop.dashboard.figures import figures
from ionloop.report.html import render
from ionloop.report.ledger_schema import Ledger
from ionloop.report.scorecard_page import values
from ionloop.settings import Settings, get_settings
from ionloop.store.connection import database, job_store
from ionloop.store.ledger import ledger
from ionloop.store.overview import Overview, answering, changed_on, has_outputs, overview
from ionloop.store.queries import campaign_ids, campaign_record, status
from ionloop.store.schema import CampaignStatus
from ionloop.store.scorecards import (
    StoredScorecard,
    UnreadableScorecard,
    scorecard_materials,
    scorecards,
    scorecards_by_key,
    shown,
)

T = TypeVar("T")

#: Pages of scorecards that are kept; what is stored under a key is replaced by its like alone.
_SCORECARD_PAGES = 16

#: How long a page may lag behind what doesn't touch a job's state, as a readmitted label, s.
_FRESH_S = 15.0
#: How long a page's costs may lag behind: they read each job of a campaign, s.
_LEDGER_S = 120.0
_REPORTS = 4


class Kept(Generic[T]):
    """Values by campaign, each made anew when the campaign has changed or it has grown old."""

    def __init__(self, size: int, fresh_s: float) -> None:
        self.size = size
        self.fresh_s = fresh_s
        self._values: OrderedDict[str, tuple[datetime, float, T]] = OrderedDict()
        # One at a time: many readers of one page cost what one costs.
        self._lock = threading.Lock()

    def get(self, campaign_id: str, stamp: datetime, make: Callable[[], T]) -> T:
        """Return the value of a campaign that last changed at ``stamp``."""
        with self._lock:
            found = self._values.get(campaign_id)
            if found and found[0] == stamp and time.monotonic() - found[1] < self.fresh_s:
                return found[2]
            value = make()
            self._values[campaign_id] = (stamp, time.monotonic(), value)
            self._values.move_to_end(campaign_id)
            if len(self._values) > self.size:
                self._values.popitem(last=False)
            return value


@dataclass(frozen=True)
class View:
    """A campaign, and its figures as JSON or the sentences that say why there are none."""

    overview: Overview
    figures: dict[str, Markup | str]
    ledger: Ledger


class Source:
    """One connection to the database, for all pages.

    Raises
    ------
    StoreError
        If the database can't be reached; so does every method.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or get_settings()
        self.db = database(self.settings)
        self.store = job_store(self.settings)
        self.store.connect()
        self._statuses: Kept[CampaignStatus] = Kept(256, _FRESH_S)
        self._views: Kept[View] = Kept(32, _FRESH_S)
        self._ledgers: Kept[Ledger] = Kept(32, _LEDGER_S)
        self._reports: Kept[str] = Kept(_REPORTS, float("inf"))
        self._scorecards: Kept[dict[str, Any]] = Kept(_SCORECARD_PAGES, float("inf"))

    def close(self) -> None:
        """Close the connections."""
        self.store.close()
        self.db.client.close()

    def version(self) -> str:
        """Ask the server for its version: it is alive."""
        with answering():
            return str(self.db.client.server_info()["version"])

    def campaigns(self, offset: int, limit: int) -> tuple[list[CampaignStatus], int]:
        """Return some campaigns, the latest first, and how many there are."""
        with answering():
            known = campaign_ids(self.db)
            wanted = ((one, changed_on(one, self.db)) for one in known[offset : offset + limit])
            return [self._status(one, stamp) for one, stamp in wanted if stamp], len(known)

    def _status(self, campaign_id: str, stamp: datetime) -> CampaignStatus:
        return self._statuses.get(campaign_id, stamp, lambda: status(campaign_id, self.db))

    def campaign(self, campaign_id: str) -> View | None:
        """Return a campaign's state and convergence; None if there is no such campaign."""
        with answering():
            stamp = changed_on(campaign_id, self.db)
            if stamp is None:
                return None
            return self._views.get(campaign_id, stamp, lambda: self._view(campaign_id))

    def _view(self, campaign_id: str) -> View:
        found = overview(campaign_id, self.db)
        spent = self._ledgers.get(
            campaign_id, found.status.created_on, lambda: ledger(campaign_id, self.db)
        )
        return View(found, figures(found), spent)

    def report(self, campaign_id: str) -> str | None:
        """Return a campaign's HTML report; None while there is nothing to report on."""
        with answering():
            stamp = changed_on(campaign_id, self.db)
            if stamp is None or not has_outputs(campaign_id, self.db):
                return None
            return self._reports.get(
                campaign_id,
                stamp,
                lambda: render(
                    campaign_record(campaign_id, self.store), ledger(campaign_id, self.db)
                ),
            )

    def scorecards(
        self, material: str | None, campaign_id: str | None, offset: int, limit: int
    ) -> list[StoredScorecard | UnreadableScorecard]:
        """Return some scorecards without their curves, the latest first."""
        with answering():
            return scorecards(material, campaign_id, limit, self.db, skip=offset, curves=False)

    def materials(self) -> list[str]:
        """Return the materials that have scorecards."""
        with answering():
            return scorecard_materials(self.db)

    def found_scorecards(self, keys: Sequence[str]) -> list[StoredScorecard | UnreadableScorecard]:
        """Return the scorecards of some keys, in their order; unknown keys are left out."""
        with answering():
            return scorecards_by_key(keys, self.db)

    def scorecard_page(self, found: Sequence[StoredScorecard]) -> dict[str, Any]:
        """Return what a page of scorecards is made of; the picture takes a second."""
        keys = ",".join(one.key for one in found)
        stamp = max(datetime.fromisoformat(one.stored_at) for one in found)
        return self._scorecards.get(keys, stamp, lambda: values([shown(one) for one in found]))
