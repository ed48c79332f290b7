"""Times as FireWorks writes them: dates or text, UTC where they name no zone."""

from __future__ import annotations

from datetime import UTC, datetime


def as_utc(value: datetime | str) -> datetime:
    """Return a stored time with its zone.

    >>> as_utc("2026-01-02T03:04:05").isoformat()
    '2026-01-02T03:04:05+00:00'
    """
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found if found.tzinfo else found.replace(tzinfo=UTC)
