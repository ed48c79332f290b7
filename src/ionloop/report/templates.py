"""The templates of reports and scorecards; they escape what they are given."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

LOADER = PackageLoader("ionloop.report", "")
TEMPLATES = Environment(
    loader=LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
