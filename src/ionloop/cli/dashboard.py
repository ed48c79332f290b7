"""``ionloop dashboard``: the web page."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from ionloop.cli.console import err, out
from ionloop.errors import DashboardError


def dashboard(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any free one.")] = 8050,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Further host name that browsers may ask for; repeatable."),
    ] = None,
) -> None:
    """Serve a web page of all campaigns, for reading only, until Ctrl-C."""
    if not (find_spec("starlette") and find_spec("uvicorn")):
        msg = 'expected starlette and uvicorn, got none; pip install "ionloop[dashboard]"'
        raise DashboardError(msg)
    from ionloop.dashboard.server import is_loopback, serve

    if not is_loopback(host):
        err.print(f"warning: whoever reaches {host} reads all campaigns; there is no login")
    serve(host, port, name or [], lambda address: out.print(address, highlight=False))
