"""Pages of scorecards as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from ionloop.dashboard.pages import render
from ionloop.evaluate.scorecard_schema import PARTS
from ionloop.report.scorecard_summary import NONE, TITLES, in_a_line, stability
from ionloop.report.scorecard_walk import Verdict, parts_of, verdict_of
from ionloop.store.scorecards import StoredScorecard, UnreadableScorecard

#: Scorecards side by side: as many as there are colours.
COMPARED_MAX = 8


@dataclass(frozen=True)
class Asked:
    """What the list is asked for; its links ask for the same but for one thing."""

    material: str | None = None
    campaign: str | None = None
    page: int = 1
    ids: tuple[str, ...] = ()

    def address(self, **changes: Any) -> str:  # noqa: ANN401
        """Return the list's address with some things changed.

        >>> Asked(material="Li3OCl").address(ids=("a", "b"))
        '/scorecards?material=Li3OCl&ids=a%2Cb'
        """
        new = replace(self, **changes)
        asked = {
            "material": new.material,
            "campaign": new.campaign,
            "page": new.page if new.page > 1 else None,
            "ids": ",".join(new.ids),
        }
        given = {name: value for name, value in asked.items() if value}
        return "/scorecards" + (f"?{urlencode(given)}" if given else "")


@dataclass(frozen=True)
class Line:
    """One scorecard of the list."""

    found: StoredScorecard
    stability: Verdict
    numbers: tuple[str, ...]
    missing: list[str]
    chosen: bool
    choose: str


def list_page(
    rows: Sequence[StoredScorecard],
    unreadable: Sequence[UnreadableScorecard],
    asked: Asked,
    materials: list[str],
    *,
    older: bool,
) -> str:
    """Return the list of scorecards."""
    return render(
        "scorecards",
        lines=[_line(one, asked) for one in rows],
        unreadable=unreadable,
        asked=asked,
        materials=materials,
        older=older,
        titles=TITLES,
        full=len(asked.ids) >= COMPARED_MAX,
        compared_max=COMPARED_MAX,
        none_text=NONE,
    )


def card_page(found: Sequence[StoredScorecard], values: dict[str, Any]) -> str:
    """Return the page of one scorecard, or of some side by side."""
    campaigns = list(dict.fromkeys(one.campaign_id for one in found if one.campaign_id))
    keys = tuple(one.key for one in found)
    return render("scorecard", campaigns=campaigns, keys=keys, asked=Asked(ids=keys), **values)


def _line(one: StoredScorecard, asked: Asked) -> Line:
    chosen = one.key in asked.ids
    ids = tuple(key for key in asked.ids if key != one.key) if chosen else (*asked.ids, one.key)
    parts = parts_of(one.card)
    return Line(
        found=one,
        stability=stability(one.card),
        numbers=in_a_line(one.card),
        missing=[name for name in PARTS if verdict_of(parts[name]).kind == "missing"],
        chosen=chosen,
        choose=asked.address(ids=ids),
    )
