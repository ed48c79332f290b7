"""Serve the dashboard until it is stopped."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import closing

import uvicorn

from ionloop.dashboard.app import create_app
from ionloop.dashboard.source import Source
from ionloop.errors import DashboardError

#: Names of this machine that a browser may use.
_OWN = ("127.0.0.1", "localhost", "[::1]")


def serve(
    host: str, port: int, names: Sequence[str] = (), tell: Callable[[str], None] = lambda _: None
) -> None:
    """Serve until SIGINT or SIGTERM.

    Parameters
    ----------
    host
        Address to listen on.
    port
        Port; 0 takes a free one.
    names
        Further names under which browsers may ask, besides loopback's and ``host``.
    tell
        Called with the page's address when it listens.

    Raises
    ------
    DashboardError
        If the address can't be used.
    StoreError
        If the database can't be reached.
    """
    with closing(Source()) as source, _listen(host, port) as listener:
        app = create_app(source, [*_OWN, host, *names])
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=64,
            timeout_graceful_shutdown=5,
        )
        tell(f"http://{_shown(host)}:{listener.getsockname()[1]}/")
        uvicorn.Server(config).run(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # create_server writes the address into strerror; a name that isn't known has no errno.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        msg = f"expected to listen on {host}:{port}, got: {why}; choose another --port or --host"
        raise DashboardError(msg) from error


def _shown(host: str) -> str:
    """Return an address as browsers want it."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
