"""Routes of the dashboard: pages, the same as JSON, and a health check. All of them only read."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ionloop.dashboard import assets, pages, scorecard_routes
from ionloop.dashboard.asked import page_number, source_of
from ionloop.dashboard.headers import REPORT_POLICY, SecurityHeaders
from ionloop.dashboard.source import Source, View
from ionloop.errors import StoreError
from ionloop.store.schema import CampaignStatus

#: Campaigns on one page of the list.
PAGE = 25
_ROWS = TypeAdapter(list[CampaignStatus])


def create_app(source: Source, hosts: Sequence[str]) -> ASGIApp:
    """Make the application.

    Parameters
    ----------
    source
        What the pages are made of.
    hosts
        Names under which browsers may ask for it. Others are refused, since a page elsewhere
        could give its own name this address and read along.
    """
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            Middleware(GZipMiddleware, minimum_size=2048),
        ],
        exception_handlers={HTTPException: _refused, StoreError: _silent, Exception: _broken},
    )
    app.state.source = source
    return SecurityHeaders(app)  # around it: the answer to an exception is made outside middleware


def _rows(request: Request) -> tuple[list[CampaignStatus], int, int]:
    page = page_number(request)
    rows, total = source_of(request).campaigns((page - 1) * PAGE, PAGE)
    return rows, total, page


def _found(request: Request) -> View:
    found = source_of(request).campaign(request.path_params["campaign_id"])
    if found is None:
        raise HTTPException(404, "There is no such campaign.")
    return found


def campaigns(request: Request) -> Response:
    """List the campaigns, the latest first."""
    rows, total, page = _rows(request)
    return HTMLResponse(pages.campaigns_page(rows, total, page, PAGE))


def campaign(request: Request) -> Response:
    """Show one campaign."""
    return HTMLResponse(pages.campaign_page(_found(request)))


def report(request: Request) -> Response:
    """Show a campaign's report: scripts of its own, so in a sandbox of its own."""
    found = source_of(request).report(request.path_params["campaign_id"])
    if found is None:
        raise HTTPException(404, "There is no such campaign, or no job of it has ended yet.")
    return HTMLResponse(found, headers={"Content-Security-Policy": REPORT_POLICY})


def api_campaigns(request: Request) -> Response:
    """Return the list as JSON."""
    rows, total, page = _rows(request)
    found = {"total": total, "page": page, "campaigns": _ROWS.dump_python(rows, mode="json")}
    return JSONResponse(found)


def api_campaign(request: Request) -> Response:
    """Return one campaign as JSON."""
    found = _found(request)
    ledger = found.ledger.model_dump(mode="json")
    return JSONResponse({**found.overview.model_dump(mode="json"), "ledger": ledger})


def healthz(request: Request) -> Response:
    """Say whether the database answers: 200, or 503 by the handler of its error."""
    return JSONResponse({"status": "ok", "mongodb": source_of(request).version()})


def static(request: Request) -> Response:
    """Return a style sheet or script; the query names its version, so it may be kept for long."""
    name = request.path_params["name"]
    if name not in assets.KINDS:
        raise HTTPException(404, "There is no such file.")
    kept = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(assets.body(name), media_type=assets.KINDS[name], headers=kept)


def _say(request: Request, code: int, message: str) -> Response:
    if request.url.path.startswith(("/api/", "/healthz")):
        return JSONResponse({"error": message}, code)
    return HTMLResponse(pages.error_page(code, message), code)


def _refused(request: Request, error: Exception) -> Response:
    code, why = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
    response = _say(request, code, why)
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


def _silent(request: Request, _error: Exception) -> Response:
    return _say(request, 503, "The database doesn't answer. The page works again when it does.")


def _broken(request: Request, _error: Exception) -> Response:
    return _say(request, 500, "This page can't be made; the dashboard's log says why.")


ROUTES = [
    Route("/", campaigns),
    Route("/campaigns/{campaign_id}", campaign),
    Route("/campaigns/{campaign_id}/report", report),
    Route("/api/campaigns", api_campaigns),
    Route("/api/campaigns/{campaign_id}", api_campaign),
    *scorecard_routes.ROUTES,
    Route("/healthz", healthz),
    Route("/static/{name}", static),
]
