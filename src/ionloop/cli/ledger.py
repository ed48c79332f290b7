"""``ionloop ledger``: what a campaign cost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ionloop.cli.console import out

if TYPE_CHECKING:
    from ionloop.report.ledger_schema import Ledger


def ledger(
    campaign: Annotated[
        str | None, typer.Argument(help="Campaign id; the latest if left out.", show_default=False)
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a campaign cost: core-hours by stage and kind of job, labels, speed-up."""
    from ionloop.report.ledger_table import sentences
    from ionloop.store import ledger as stored
    from ionloop.store.connection import database
    from ionloop.store.queries import resolve_campaign

    db = database()
    found = stored.ledger(resolve_campaign(campaign, db), db)
    if json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
        return
    out.print(table(found))
    for line in sentences(found):
        out.print(line, markup=False, highlight=False)


def table(found: Ledger) -> Table:
    """Make the table: kinds of jobs, stages, generations, all."""
    from ionloop.report.ledger_table import HEADER, sections

    made = Table(title=f"{found.campaign_id}: what it cost", title_justify="left")
    for i, name in enumerate(HEADER):
        made.add_column(name, justify="right" if i else "left")
    for name, rows in sections(found):
        made.add_section()
        if name != "all":
            made.add_row(f"[bold]{name}[/bold]")
        for row in rows:
            made.add_row(*row)
    return made
