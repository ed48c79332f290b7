"""``ionloop work``: a cluster's worker."""

from __future__ import annotations

from typing import Annotated

import typer

from ionloop.routing import WorkerKind
from ionloop.settings import get_settings


def work(
    *,
    kind: Annotated[
        WorkerKind | None, typer.Option(help="Run only jobs of this kind.", show_default=False)
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(help="Run only this campaign's jobs.", show_default=False)
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="End after so many jobs.", show_default=False)
    ] = None,
    idle: Annotated[
        float, typer.Option(min=0, help="End when no job was ready for so long, s.")
    ] = 300.0,
) -> None:
    """Run ready jobs here, until none is left or the wall time is over; for batch scripts."""
    from ionloop.engine.cluster.guard import work as run_worker
    from ionloop.engine.cluster.worker import Plan, talk
    from ionloop.store.connection import database, hide_password

    hide_password()
    talk()
    database().client.close()  # an address or a password that is wrong is said in one line
    raise typer.Exit(run_worker(Plan(kind, campaign, jobs, idle), get_settings()))
