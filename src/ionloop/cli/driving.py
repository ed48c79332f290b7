"""Drive a campaign from a terminal; also for scripts, as ``workflows/demo.py``."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ionloop.cli.console import err, progress, report_end
from ionloop.paths import inside
from ionloop.settings import get_settings

if TYPE_CHECKING:
    from ionloop.store.schema import CampaignStatus

#: Exit status of a campaign that was paused or cancelled, or paused itself; 2 is bad input.
PAUSED = 3


def ensure_database() -> None:
    """Start the local mongod where no server is named."""
    from ionloop.store import mongod

    if not get_settings().db_uri:
        mongod.start()


def drive(
    campaign_id: str, workers: int | None = None, *, take_over: bool = False
) -> CampaignStatus:
    """Run a submitted campaign until nothing is left to run, and show how far it is."""
    from ionloop import engine

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with progress() as watch:
            final = engine.resume(campaign_id, workers, watch, take_over=take_over)
    except KeyboardInterrupt:
        err.print(f"stopped; go on with: ionloop resume {campaign_id}")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    report_end(final)
    return final


def exit_unless_finished(final: CampaignStatus) -> None:
    """End with exit status 1 if jobs failed that others need, 3 if someone has to decide."""
    if final.state != "finished":
        raise typer.Exit(PAUSED if final.state in ("paused", "cancelled") else 1)


def write_campaign_report(campaign_id: str, path: Path | None = None) -> Path:
    """Write a campaign's report from MongoDB; return its path.

    On the terminal it says whether the potential was stable: nobody should miss that.
    """
    from ionloop.report.html import write_report
    from ionloop.report.stability import alarms, stability_line
    from ionloop.store.ledger import ledger
    from ionloop.store.queries import campaign_record

    path = path or inside(get_settings().home_dir / "reports", f"{campaign_id}.html", "campaign id")
    path.parent.mkdir(parents=True, exist_ok=True)
    record = campaign_record(campaign_id, numbers=False)
    if record.evaluation is not None:
        err.print(stability_line(record.evaluation), markup=False)
        for alarm in alarms(record.evaluation):
            err.print(alarm, style="bold red", markup=False)
    return write_report(record, path, ledger(campaign_id))
