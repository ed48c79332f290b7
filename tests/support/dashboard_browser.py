"""A browser's view of the dashboard, without a network."""

from __future__ import annotations

from html.parser import HTMLParser

from starlette.testclient import TestClient

from ionloop.dashboard.app import create_app
from ionloop.dashboard.source import Source

HOST = "127.0.0.1"


def browser_of(source: Source, name: str = HOST) -> TestClient:
    """Return a client that calls the dashboard by a host name, right or wrong."""
    app = create_app(source, [HOST])
    return TestClient(app, base_url=f"http://{name}:8050", raise_server_exceptions=False)


class Page(HTMLParser):
    """Collects links, and the text outside scripts; complains of tags that don't close."""

    VOID = ("meta", "link", "br", "rect", "img")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links, self.open, self.scripts, words = [], [], [], []
        self.words = words
        self.feed(html)
        assert self.open == []
        self.text = " ".join(" ".join(words).split())

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append(dict(attrs))
        self.links += [v for k, v in attrs if k in ("src", "href", "action")]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" not in self.open:
            self.words.append(data)


def page(browser: TestClient, path: str) -> Page:
    """Return a page that must be there."""
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return Page(answer.text)
