"""``ionloop status``: a campaign now, a campaign live, or all of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ionloop.cli.console import failure_lines, out, status_table
from ionloop.cli.driving import exit_unless_finished

if TYPE_CHECKING:
    from ionloop.store.schema import Eta, LiveStatus

#: Jobs that a table names; the others are counted.
SHOWN = 12
#: States in which nothing happens by itself any more.
ENDS = ("finished", "failed", "cancelled")
#: Between two writes of FireWorks, as a job's end and what it adds, a campaign looks ended, s.
SETTLED_S = 1.5
#: Campaigns that a list has unless told otherwise: each is asked for with several questions.
LATEST = 20


def status(
    campaign: Annotated[
        str | None, typer.Argument(help="Campaign id; the latest if left out.", show_default=False)
    ] = None,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it live until it ends, or Ctrl-C.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    all_: Annotated[bool, typer.Option("--all", help="List campaigns, latest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="With --all: so many at most.")] = LATEST,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; a line a look.")] = False,
) -> None:
    """Show how far a campaign is, who works on it, and how long it will take.

    Exit status of --watch: 0 finished, 1 failed, 3 cancelled, as `ionloop resume` has it.
    """
    from ionloop.store import queries
    from ionloop.store.connection import database
    from ionloop.store.live import live_status

    if all_:
        _show_all(limit, json=json)
        return
    db = database()
    campaign_id = queries.resolve_campaign(campaign, db)

    def look() -> LiveStatus:
        return live_status(campaign_id, db)

    if watch:
        exit_unless_finished(_watch(look, every, json=json))
    elif json:
        sys.stdout.write(look().model_dump_json(indent=2) + "\n")
    else:
        out.print(view(look()))


def _watch(look: Callable[[], LiveStatus], every: float, *, json: bool) -> LiveStatus:
    """Show a campaign until its end or Ctrl-C; a line at each change where no one looks."""
    if out.is_terminal and not json:
        with Live(console=out, auto_refresh=False) as live:
            return _until_ended(
                look, every, lambda found: live.update(view(found, every), refresh=True)
            )
    shown = [""]

    def line(found: LiveStatus) -> None:
        text = found.model_dump_json() if json else watch_line(found)
        if changing(found) != shown[0]:
            shown[0] = changing(found)
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    return _until_ended(look, every, line)


def _until_ended(
    look: Callable[[], LiveStatus], every: float, show: Callable[[LiveStatus], object]
) -> LiveStatus:
    """Look until nothing will happen by itself any more; a paused campaign is waited for."""
    since, last = time.monotonic(), ""
    while True:
        found = look()
        show(found)
        if found.state not in ENDS or changing(found) != last:
            since, last = time.monotonic(), changing(found)
        elif time.monotonic() - since >= SETTLED_S:
            return found
        time.sleep(every)


def changing(found: LiveStatus) -> str:
    """Return what makes a new line worth printing: all but the times."""
    running = sorted((job.name, job.worker) for job in found.running)
    return f"{found.state} {found.held} {found.jobs} {found.n_labels} {running}"


def watch_line(found: LiveStatus) -> str:
    """Say where a campaign stands in one line, with the time."""
    state = found.held.line() if found.held else found.state
    now = datetime.now(UTC).strftime("%H:%M:%S")
    return f"{now}  {found.campaign_id} {state}  {found.line()}  {eta_line(found.eta)}".rstrip()


def view(found: LiveStatus, every: float | None = None) -> Group:
    """Put all that is known of a campaign now under each other."""
    parts: list[object] = [status_table(found), Text(_labels_line(found))]
    if found.running:
        parts.append(running_table(found))
    if line := eta_line(found.eta):
        parts.append(Text(line))
    parts += [Text(line) for line in failure_lines(found)]
    if every is not None:
        now = datetime.now(UTC).strftime("%H:%M:%S")
        parts.append(Text(f"{now} UTC, every {every:g} s; Ctrl-C ends it", style="dim"))
    return Group(*parts)  # type: ignore[arg-type]


def _labels_line(found: LiveStatus) -> str:
    return f"labels: {found.n_labels} admitted, {found.n_quarantined} quarantined"


def running_table(found: LiveStatus) -> Table:
    """Make a table of the jobs that run."""
    table = Table(title=f"{len(found.running)} jobs run", title_justify="left")
    for name in ("job", "stage", "worker", "host", "since"):
        table.add_column(name)
    now = datetime.now(UTC)
    for job in found.running[:SHOWN]:
        since = job.since if job.since.tzinfo else job.since.replace(tzinfo=UTC)
        gone = duration((now - since).total_seconds())
        table.add_row(job.name, job.stage or "", job.worker, job.host or "", gone)
    if len(found.running) > SHOWN:
        table.add_row(f"and {len(found.running) - SHOWN} more", "", "", "", "")
    return table


def eta_line(eta: Eta | None) -> str:
    """Say when a campaign will be done, as far as anything was measured."""
    if eta is None:
        return ""
    said = []
    if eta.generation:
        low, high = duration(eta.generation.low_s), duration(eta.generation.high_s)
        said.append(f"this generation: {low if low == high else f'{low} to {high}'} left")
    elif eta.unmeasured:
        some = ", ".join(eta.unmeasured[:3]) + (", ..." if len(eta.unmeasured) > 3 else "")
        said.append(f"this generation: unknown, not measured yet: {some}")
    if eta.campaign_max_s is not None:
        said.append(
            f"all {eta.generations_left} later ones up to the cap: at most "
            f"{duration(eta.campaign_max_s)}, without the evaluation"
        )
    return "; ".join(said)


def duration(seconds: float) -> str:
    """Write a time in two units.

    >>> duration(42), duration(150), duration(3 * 3600 + 60), duration(200_000)
    ('42 s', '2 min 30 s', '3 h 1 min', '2 d 7 h')
    """
    left = timedelta(seconds=round(max(seconds, 0)))
    hours, rest = divmod(left.seconds, 3600)
    parts = [(left.days, "d"), (hours, "h"), (rest // 60, "min"), (rest % 60, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts = parts[1:]
    shown = [f"{n} {unit}" for n, unit in parts[:2] if n or len(parts) == 1]
    return " ".join(shown)


def _show_all(limit: int, *, json: bool) -> None:
    """List the latest campaigns, the latest first."""
    from ionloop.store import queries
    from ionloop.store.connection import database

    db = database()
    known = queries.campaign_ids(db, limit + 1)
    found = [queries.status(campaign_id, db) for campaign_id in known[:limit]]
    if json:
        from pydantic import TypeAdapter

        from ionloop.store.schema import CampaignStatus

        dumped = TypeAdapter(list[CampaignStatus]).dump_json(found, indent=2)
        sys.stdout.write(dumped.decode() + "\n")
        return
    table = Table()
    for name in ("campaign", "state", "generation", "done", "failed", "labels", "changed (UTC)"):
        table.add_column(name)
    for one in found:
        generation = "" if one.generation is None else str(one.generation)
        done = f"{one.jobs.get('COMPLETED', 0)}/{sum(one.jobs.values())}"
        changed = one.updated_on.strftime("%Y-%m-%d %H:%M")
        failed = str(one.jobs.get("FIZZLED", 0) or "")
        table.add_row(
            one.campaign_id, one.state, generation, done, failed, str(one.n_labels), changed
        )
    out.print(table)
    if len(known) > limit:
        out.print(f"the latest {limit}; --limit shows more", highlight=False)
