"""Style sheet and scripts, plotly's included: pages fetch nothing from elsewhere."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from plotly.offline import get_plotlyjs

#: Content types by name.
KINDS = {
    "dashboard.css": "text/css",
    "dashboard.js": "text/javascript",
    "plotly.js": "text/javascript",
    "scorecard.css": "text/css",
}


@cache
def body(name: str) -> str:
    """Return a file's text."""
    if name == "plotly.js":
        return str(get_plotlyjs())
    if name == "scorecard.css":  # files of scorecards have it inside
        return resources.files("ionloop.report").joinpath(name).read_text("utf-8")
    return resources.files("ionloop.dashboard").joinpath("static", name).read_text("utf-8")


@cache
def address(name: str) -> str:
    """Return where pages find a file; it changes with the file, which is kept for long."""
    return f"/static/{name}?{hashlib.sha256(body(name).encode()).hexdigest()[:12]}"
