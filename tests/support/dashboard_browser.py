"""A browser's view of the dashboard, without a network."""

from __future__ import annotations

from starlette.testclient import TestClient

from ionloop.dashboard.app import create_app
from ionloop.dashboard.source import Source

HOST = "127.0.0.1"


def browser_of(source: Source, name: str = HOST) -> TestClient:
    """Return a client that calls the dashboard by a host name, right or wrong."""
    app = create_app(source, [HOST])
    return TestClient(app, base_url=f"http://{name}:8050", raise_server_exceptions=False)
