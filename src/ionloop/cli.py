"""The command line: thin, since :mod:`ionloop.engine` and :mod:`ionloop.store` do the work."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ionloop.errors import IonloopError
from ionloop.settings import get_settings

if TYPE_CHECKING:
    from ionloop.store.schema import CampaignStatus

app = typer.Typer(
    help="Active learning of interatomic potentials for solid electrolytes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db_app = typer.Typer(help="The local MongoDB.", no_args_is_help=True)
app.add_typer(db_app, name="db")

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True, highlight=False)

#: Columns of a status table, and the FireWorks states that each counts.
STATE_GROUPS = {
    "done": ("COMPLETED",),
    "running": ("RUNNING", "RESERVED"),
    "ready": ("READY",),
    "waiting": ("WAITING", "PAUSED"),
    "failed": ("FIZZLED", "DEFUSED"),
}

CampaignArgument = Annotated[
    str | None, typer.Argument(help="Campaign id; the latest if left out.", show_default=False)
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Worker processes; IONLOOP_WORKERS if left out.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run(
    flow: Annotated[str, typer.Argument(help="Python file with build(...), or a name in flows/.")],
    *,
    local: Annotated[bool, typer.Option("--local", help="Run it here until it ends.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value for build(); repeatable.")
    ] = None,
    workers: WorkersOption = None,
) -> None:
    """Submit a campaign, and with --local run it on this machine."""
    from ionloop.engine import campaign_id_of, load_flow, parse_parameters, submit

    built = load_flow(flow, **parse_parameters(set_ or []))
    campaign_id = campaign_id_of(built)
    ensure_database()
    n_jobs = submit(built, campaign_id)
    out.print(f"submitted {campaign_id}: {n_jobs} jobs so far", highlight=False)
    if local:
        exit_unless_finished(drive(campaign_id, workers))
    else:
        out.print(f"run it here with: ionloop resume {campaign_id}", highlight=False)


@app.command()
def resume(campaign: CampaignArgument = None, *, workers: WorkersOption = None) -> None:
    """Go on with a campaign that was submitted, killed or has failed jobs."""
    from ionloop.store.queries import resolve_campaign

    ensure_database()
    exit_unless_finished(drive(resolve_campaign(campaign), workers))


def ensure_database() -> None:
    """Start the local mongod where no server is named."""
    from ionloop.store import mongod

    if not get_settings().db_uri:
        mongod.start()


def drive(campaign_id: str, workers: int | None = None) -> CampaignStatus:
    """Run a submitted campaign until nothing is left to run, and show how far it is."""
    from ionloop import engine

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _progress() as watch:
            final = engine.resume(campaign_id, workers, watch)
    except KeyboardInterrupt:
        err.print(f"stopped; go on with: ionloop resume {campaign_id}")
        raise typer.Exit(130) from None
    _report_end(final)
    return final


def exit_unless_finished(final: CampaignStatus) -> None:
    """End with exit status 1 if jobs failed that others need."""
    if final.state != "finished":
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[CampaignStatus], None]]:
    """Show a live table on a terminal, or a line at each change elsewhere."""
    start = time.monotonic()
    if err.is_terminal:
        with Live(console=err, refresh_per_second=4) as live:
            yield lambda status: live.update(_status_table(status, time.monotonic() - start))
        return
    shown: list[dict[str, int]] = [{}]

    def line(status: CampaignStatus) -> None:
        if status.jobs != shown[0]:
            shown[0] = status.jobs
            err.print(f"{time.monotonic() - start:6.0f} s  {status.line()}")

    yield line


def _status_table(status: CampaignStatus, elapsed_s: float | None = None) -> Table:
    """Make a table of a campaign's jobs by generation and stage."""
    title = f"{status.campaign_id}: {status.state}, {status.n_labels} labels"
    table = Table(
        title=title if elapsed_s is None else f"{title}, {elapsed_s:.0f} s", title_justify="left"
    )
    for name in ("generation", "stage", *STATE_GROUPS):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for row in status.stages:
        generation = "" if row.generation is None else str(row.generation)
        table.add_row(generation, row.stage or "", *_cells(row.states))
    table.add_section()
    table.add_row("", "all", *_cells(status.jobs))
    return table


def _cells(states: dict[str, int]) -> list[str]:
    counts = [sum(states.get(state, 0) for state in group) for group in STATE_GROUPS.values()]
    return [str(count) if count else "" for count in counts]


def _report_end(final: CampaignStatus) -> None:
    for line in _failures(final):
        err.print(line, markup=False)
    if final.state == "finished":
        out.print(f"{final.campaign_id} finished: {final.n_labels} labels", highlight=False)
    else:
        err.print(f"{final.campaign_id} {final.state}; mend it, then: ionloop resume")


def _failures(found: CampaignStatus) -> list[str]:
    rows = [("failed", f) for f in found.failures]
    rows += [("warning: failed, the campaign went on without it", f) for f in found.tolerated]
    return [f"{what}: {f.name}: {f.message} ({f.directory})" for what, f in rows]


@app.command()
def status(campaign: CampaignArgument = None, *, json: JsonOption = False) -> None:
    """Show how far a campaign is."""
    from ionloop.store import queries

    found = queries.status(queries.resolve_campaign(campaign))
    if json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
        return
    out.print(_status_table(found))
    for line in _failures(found):
        out.print(line, markup=False)


@app.command()
def report(
    campaign: CampaignArgument = None,
    *,
    file: Annotated[
        Path | None, typer.Option("--out", help="HTML file; in IONLOOP_HOME/reports if left out.")
    ] = None,
) -> None:
    """Write the HTML report of a campaign."""
    from ionloop.store.queries import resolve_campaign

    written = write_campaign_report(resolve_campaign(campaign), file)
    out.print(str(written), highlight=False)


def write_campaign_report(campaign_id: str, path: Path | None = None) -> Path:
    """Write a campaign's report from MongoDB; return its path."""
    from ionloop.report.html import write_report
    from ionloop.store.queries import campaign_record

    path = path or get_settings().home_dir / "reports" / f"{campaign_id}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_report(campaign_record(campaign_id), path)


@app.command()
def doctor(*, json: JsonOption = False) -> None:
    """Check this machine; exit status 1 if something needed is missing."""
    from ionloop.engine.doctor import Check, examine

    checks = examine()
    if json:
        from pydantic import TypeAdapter

        dumped = TypeAdapter(list[Check]).dump_json(checks, indent=2)
        sys.stdout.write(dumped.decode() + "\n")
    else:
        for check in checks:
            bad = "FAIL" if check.needed else "no  "
            out.print("[green]ok  [/]" if check.ok else f"[red]{bad}[/]", end=" ")
            mend = "" if check.ok else f" -> {check.mend}"
            out.print(f"{check.name}: {check.detail}{mend}", markup=False, highlight=False)
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(1)


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


def _index() -> int:
    from ionloop.store.connection import database
    from ionloop.store.indexes import create_indexes

    return sum(len(names) for names in create_indexes(database()).values())


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{error.title}{'.' if where else ''}{where}: {first['msg']}, got {first['input']!r}"
    return " ".join(str(error).split())


def main() -> None:
    """Entry point of ``ionloop``."""
    command = typer.main.get_command(app)
    run_command(lambda: command.main(prog_name="ionloop", standalone_mode=False))


def run_command(command: Callable[[], object]) -> None:
    """Run a command and exit; what a user can mend is one line and exit status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        status_code = command()
    except (IonloopError, ValidationError) as error:
        err.print(f"ionloop: error: {_one_line(error)}", markup=False)
        sys.exit(2)
    except Exception as error:
        # typer may carry its own copy of click, so that classes are known by name only.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        if text := _one_line(Exception(message())):  # none where the help was printed
            err.print(f"ionloop: error: {text}", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(status_code if isinstance(status_code, int) else 0)


if __name__ == "__main__":
    main()
