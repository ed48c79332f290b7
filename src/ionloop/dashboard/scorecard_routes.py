"""Routes of scorecards: the list, one, and several side by side."""

from __future__ import annotations

import re

from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ionloop.dashboard import scorecard_pages
from ionloop.dashboard.asked import page_number, source_of
from ionloop.dashboard.scorecard_pages import COMPARED_MAX, Asked
from ionloop.store.scorecards import StoredScorecard, UnreadableScorecard, parted

#: Scorecards on one page of the list.
PAGE = 25
#: A hash, or the uuid of a campaign's job.
_KEY = re.compile("[0-9a-f]{16}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME_LONGEST = 200
_ROWS = TypeAdapter(list[StoredScorecard])


def _ids(request: Request) -> list[str]:
    """Return the keys that are asked for, each once."""
    text = request.query_params.get("ids", "")
    keys = list(dict.fromkeys(key for key in text.split(",") if key))
    if len(keys) > COMPARED_MAX or not all(_KEY.fullmatch(key) for key in keys):
        raise HTTPException(400, f"ids: expected up to {COMPARED_MAX} keys of scorecards")
    return keys


def _name(request: Request, what: str) -> str | None:
    text = request.query_params.get(what) or None
    if text is not None and len(text) > _NAME_LONGEST:
        raise HTTPException(400, f"{what}: expected a name")
    return text


def _asked(request: Request) -> Asked:
    return Asked(
        material=_name(request, "material"),
        campaign=_name(request, "campaign"),
        page=page_number(request),
        ids=tuple(_ids(request)),
    )


def _rows(
    request: Request, asked: Asked
) -> tuple[list[StoredScorecard], list[UnreadableScorecard], bool]:
    """Return one page of the list, what of it can't be read, and whether there are older ones."""
    offset = (asked.page - 1) * PAGE
    # One more than is shown: counting all would cost more, the more there are.
    rows = source_of(request).scorecards(asked.material, asked.campaign, offset, PAGE + 1)
    return *parted(rows[:PAGE]), len(rows) > PAGE


def _found(request: Request, keys: list[str]) -> list[StoredScorecard]:
    found = source_of(request).found_scorecards(keys)
    if len(found) < len(keys):
        raise HTTPException(404, "There is no such scorecard.")
    readable, unreadable = parted(found)
    if unreadable:
        told = " ".join(f"Scorecard {one.key} can't be read: {one.reason}." for one in unreadable)
        raise HTTPException(422, told)
    return readable


def listed(request: Request) -> Response:
    """List the scorecards, the latest first."""
    asked = _asked(request)
    rows, unreadable, older = _rows(request, asked)
    materials = source_of(request).materials()
    return HTMLResponse(scorecard_pages.list_page(rows, unreadable, asked, materials, older=older))


def one(request: Request) -> Response:
    """Show one scorecard."""
    found = _found(request, [request.path_params["key"]])
    return HTMLResponse(scorecard_pages.card_page(found, source_of(request).scorecard_page(found)))


def compare(request: Request) -> Response:
    """Show some scorecards side by side."""
    keys = _ids(request)
    if not keys:
        raise HTTPException(400, "ids: expected keys of scorecards, parted by commas")
    found = _found(request, keys)
    return HTMLResponse(scorecard_pages.card_page(found, source_of(request).scorecard_page(found)))


def api_listed(request: Request) -> Response:
    """Return the list as JSON, without curves."""
    asked = _asked(request)
    rows, unreadable, older = _rows(request, asked)
    found = {
        "page": asked.page,
        "older": older,
        "scorecards": _ROWS.dump_python(rows, mode="json"),
        "unreadable": [one.model_dump(mode="json") for one in unreadable],
    }
    return JSONResponse(found)


def api_one(request: Request) -> Response:
    """Return one scorecard as JSON."""
    (found,) = _found(request, [request.path_params["key"]])
    return JSONResponse(found.model_dump(mode="json"))


ROUTES = [
    Route("/scorecards", listed),
    Route("/scorecards/compare", compare),
    Route("/scorecards/{key}", one),
    Route("/api/scorecards", api_listed),
    Route("/api/scorecards/{key}", api_one),
]
