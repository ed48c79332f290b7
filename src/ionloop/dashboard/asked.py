"""What requests ask for, checked."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request

from ionloop.dashboard.source import Source


def source_of(request: Request) -> Source:
    """Return what the pages are made of."""
    return request.app.state.source


def page_number(request: Request) -> int:
    """Return the page of a list.

    Raises
    ------
    HTTPException
        If it is no number from 1 on.
    """
    asked = request.query_params.get("page", "1")
    if not (asked.isascii() and asked.isdigit() and 0 < int(asked[:6]) == int(asked)):
        raise HTTPException(400, "page: expected a number from 1 on")
    return int(asked)
