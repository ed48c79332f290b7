"""``ionloop db``: the local MongoDB, and setting up one with users."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ionloop.cli.console import out
from ionloop.settings import get_settings

db_app = typer.Typer(help="The local MongoDB, and setting up one with users.", no_args_is_help=True)


@db_app.command("start")
def db_start() -> None:
    """Start the local mongod and make its indexes."""
    from ionloop.store import mongod

    server = mongod.start()
    _index()
    out.print(f"mongod {server.version} runs on port {server.port}, process {server.pid}")


@db_app.command("stop")
def db_stop() -> None:
    """Stop the local mongod."""
    from ionloop.store import mongod

    out.print("stopped" if mongod.stop() else "it didn't run")


@db_app.command("status")
def db_status() -> None:
    """Say whether the database answers; exit status 1 if not."""
    from ionloop.store import mongod
    from ionloop.store.connection import database, database_uri, describe

    if get_settings().db_uri:
        info = database().client.server_info()
        out.print(f"MongoDB {info['version']} at {describe(database_uri())}", highlight=False)
        return
    server = mongod.status()
    if not server.running:
        out.print(f"not running; its folder is {server.folder}", highlight=False)
        raise typer.Exit(1)
    out.print(f"mongod {server.version} runs on port {server.port}, process {server.pid}")


@db_app.command("index")
def db_index() -> None:
    """Create all indexes; harmless where they exist."""
    out.print(f"{_index()} indexes")


@db_app.command("init")
def db_init(
    secrets: Annotated[
        Path, typer.Argument(help="Folder with root_password, runner_password, viewer_password.")
    ],
    *,
    port: Annotated[int, typer.Option(help="Port of the mongod on this machine.")] = 27017,
    wait: Annotated[float, typer.Option(help="Seconds to wait for it.")] = 60.0,
) -> None:
    """Set up a mongod that runs with --auth --keyFile --replSet; harmless to repeat."""
    from ionloop.store.initialise import Server, initialise

    for line in initialise(Server(secrets, get_settings().db_name, port, wait)):
        out.print(line, highlight=False)


def _index() -> int:
    from ionloop.store.connection import database
    from ionloop.store.indexes import create_indexes

    return sum(len(names) for names in create_indexes(database()).values())
