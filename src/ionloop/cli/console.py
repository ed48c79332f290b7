"""What the command line says: status tables, progress, failures, and errors in one line."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import ValidationError
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ionloop.errors import IonloopError

if TYPE_CHECKING:
    from ionloop.store.schema import CampaignStatus

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True, highlight=False)

#: Columns of a status table, and the FireWorks states that each counts. A queued job was chosen by
#: a worker or sent to a batch system and hasn't begun.
STATE_GROUPS = {
    "done": ("COMPLETED",),
    "running": ("RUNNING",),
    "queued": ("RESERVED",),
    "ready": ("READY",),
    "waiting": ("WAITING", "PAUSED"),
    "failed": ("FIZZLED", "DEFUSED"),
}


@contextmanager
def progress() -> Iterator[Callable[[CampaignStatus], None]]:
    """Show a live table on a terminal, or a line at each change elsewhere."""
    start = time.monotonic()
    if err.is_terminal:
        with Live(console=err, refresh_per_second=4) as live:
            yield lambda status: live.update(status_table(status, time.monotonic() - start))
        return
    shown: list[dict[str, int]] = [{}]

    def line(status: CampaignStatus) -> None:
        if status.jobs != shown[0]:
            shown[0] = status.jobs
            err.print(f"{time.monotonic() - start:6.0f} s  {status.line()}")

    yield line


def status_table(status: CampaignStatus, elapsed_s: float | None = None) -> Table:
    """Make a table of a campaign's jobs by generation and stage."""
    state = status.held.line() if status.held else status.state
    title = f"{status.campaign_id}: {state}, {status.n_labels} labels"
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


def report_end(final: CampaignStatus) -> None:
    """Say how a run ended."""
    for line in failure_lines(final):
        err.print(line, markup=False)
    if final.state == "finished":
        out.print(f"{final.campaign_id} finished: {final.n_labels} labels", highlight=False)
    elif final.held:
        err.print(f"{final.campaign_id} {final.held.line()}; ionloop resume {final.campaign_id}")
    elif final.state == "paused":
        err.print(f"{final.campaign_id} paused: it waits for a decision, see the line above")
    else:
        err.print(f"{final.campaign_id} {final.state}; mend it, then: ionloop resume")


def failure_lines(found: CampaignStatus) -> list[str]:
    """Return a line a failed job: those that the campaign bears first, why it waits last."""
    rows = [("warning: failed, the campaign went on without it", f) for f in found.tolerated]
    rows += [("failed", f) for f in found.failures if not f.pauses]
    lines = [f"{what}: {f.name}: {f.message} ({f.directory})" for what, f in rows]
    return lines + [f"paused: {f.message}" for f in found.failures if f.pauses]


def one_line(error: Exception) -> str:
    """Put an error into one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{error.title}{'.' if where else ''}{where}: {first['msg']}, got {first['input']!r}"
    return " ".join(str(error).split())


def run_command(command: Callable[[], object]) -> None:
    """Run a command and exit; what a user can mend is one line and exit status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        status_code = command()
    except (IonloopError, ValidationError) as error:
        err.print(f"ionloop: error: {one_line(error)}", markup=False)
        sys.exit(2)
    except Exception as error:
        # typer may carry its own copy of click, so that classes are known by name only.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        if text := one_line(Exception(message())):  # none where the help was printed
            err.print(f"ionloop: error: {text}", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(status_code if isinstance(status_code, int) else 0)
