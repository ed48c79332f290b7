"""A database that is away for a while: clients wait for it, say so, and go on.

A server that restarts, a connection that is cut, a primary that steps down: pymongo repeats
what it was doing when the server is back, and a write that had arrived isn't applied twice
(retryable writes carry a number that the server keeps through a crash). With one time limit
for a whole operation (``timeoutMS``) it repeats as often as that allows, otherwise once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar
from urllib.parse import parse_qsl, urlencode

from pymongo import monitoring
from pymongo.errors import ConnectionFailure, ExecutionTimeout, WaitQueueTimeoutError

from ionloop.errors import StoreError
from ionloop.settings import Settings, get_settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: What pymongo raises when its time is up.
_AWAY = (ConnectionFailure, ExecutionTimeout, WaitQueueTimeoutError)
_PAUSE_S = 0.5


def patient(uri: str, settings: Settings | None = None) -> str:
    """Let a URI's operations wait for a server that is away, unless the URI sets times.

    For the processes that run jobs; commands that people wait for fail after seconds.
    """
    patience_ms = f"{(settings or get_settings()).db_patience_s * 1000}"
    base, _, query = uri.partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    known = {key.lower() for key, _ in options}
    for key in ("serverSelectionTimeoutMS", "timeoutMS"):
        if key.lower() not in known:
            options.append((key, patience_ms))
    return f"{base}?{urlencode(options, safe='/,:')}"


class _Outages(monitoring.ServerListener):
    """Log once a process when a server stops answering, and when it answers again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[tuple[str, int | None], float] = {}

    def opened(self, event: monitoring.ServerOpeningEvent) -> None:
        """Nothing: it isn't known yet."""

    def closed(self, event: monitoring.ServerClosedEvent) -> None:
        """Nothing: our client was closed, or the server left the replica set."""

    def description_changed(self, event: monitoring.ServerDescriptionChangedEvent) -> None:
        """Note an outage's begin and end; several clients see the same one."""
        was, now = event.previous_description, event.new_description
        address = event.server_address
        with self._lock:
            if was.is_server_type_known and not now.is_server_type_known:
                if address not in self._since:
                    self._since[address] = time.monotonic()
                    logger.warning("database %s:%s doesn't answer; waiting for it", *address)
            elif now.is_server_type_known and address in self._since:
                away_s = time.monotonic() - self._since.pop(address)
                logger.warning("database %s:%s answers again after %.1f s", *address, away_s)


@cache
def log_outages() -> None:
    """Let all clients that this process makes from now on log outages, each once."""
    monitoring.register(_Outages())


def repeated(change: Callable[[], T], settings: Settings | None = None) -> T:
    """Call what may be done twice until the database lets it end, for as long as jobs wait.

    For what pymongo doesn't repeat by itself: changes and deletions of many documents, and
    the later parts of long answers.
    """
    end = time.monotonic() + (settings or get_settings()).db_patience_s
    while True:
        try:
            return change()
        except _AWAY as error:
            if time.monotonic() > end:
                raise
            logger.warning("again, since the database was away (%s)", type(error).__name__)
            time.sleep(_PAUSE_S)


@contextmanager
def said_plainly(what: str, settings: Settings | None = None) -> Iterator[None]:
    """Turn pymongo's error of a database that stayed away into one line.

    Parameters
    ----------
    what
        What the user may do when it is back.

    Raises
    ------
    StoreError
        If the database didn't answer within the patience of the settings.
    """
    try:
        yield
    except _AWAY as error:
        patience_s = (settings or get_settings()).db_patience_s
        msg = (
            f"expected the database to answer within {patience_s} s (IONLOOP_DB_PATIENCE_S), got "
            f"{type(error).__name__}; when it is back, {what}"
        )
        raise StoreError(msg) from error
