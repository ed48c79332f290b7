"""The commands; each reads its options, calls the engine or the store, and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ionloop.cli import control
from ionloop.cli.arms import arms
from ionloop.cli.console import out, run_command
from ionloop.cli.dashboard import dashboard
from ionloop.cli.database import db_app
from ionloop.cli.doctor import doctor
from ionloop.cli.driving import drive, ensure_database, exit_unless_finished, write_campaign_report
from ionloop.cli.evaluating import evaluate
from ionloop.cli.hops import hops
from ionloop.cli.importing import import_labels
from ionloop.cli.labels import labels_app
from ionloop.cli.ledger import ledger
from ionloop.cli.models import models
from ionloop.cli.replaying import replay
from ionloop.cli.scorecards import scorecards
from ionloop.cli.status import status
from ionloop.cli.training import train
from ionloop.cli.transport import transport
from ionloop.cli.work import work

app = typer.Typer(
    help="Active learning of interatomic potentials for solid electrolytes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(db_app, name="db")
app.add_typer(labels_app, name="labels")
app.command("import")(import_labels)
for command in (
    status, control.pause, control.cancel, control.rerun, doctor, work, dashboard, transport, hops,
    train, models, replay, arms, evaluate, scorecards, ledger,
):  # fmt: skip
    app.command()(command)

CampaignArgument = Annotated[
    str | None, typer.Argument(help="Campaign id; the latest if left out.", show_default=False)
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Worker processes; IONLOOP_WORKERS if left out.")
]


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
def resume(
    campaign: CampaignArgument = None,
    *,
    workers: WorkersOption = None,
    min_success: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="From now on, go on with this share of admitted labels a batch.",
            show_default=False,
        ),
    ] = None,
    run_it: Annotated[
        bool,
        typer.Option(
            "--run/--no-run", help="Run it here, or put it in order for a cluster's workers."
        ),
    ] = True,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="The machine that ran it is gone.")
    ] = False,
) -> None:
    """Go on with a campaign that was submitted, killed, paused or has failed jobs."""
    from ionloop.store.labels import change_share
    from ionloop.store.queries import resolve_campaign

    ensure_database()
    campaign_id = resolve_campaign(campaign)
    if min_success is not None:
        change_share(campaign_id, min_success)
    if not run_it:
        from ionloop.engine import prepare

        out.print(f"{campaign_id} is in order: {prepare(campaign_id).line()}", highlight=False)
        return
    exit_unless_finished(drive(campaign_id, workers, take_over=take_over))


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


def main() -> None:
    """Entry point of ``ionloop``."""
    command = typer.main.get_command(app)
    run_command(lambda: command.main(prog_name="ionloop", standalone_mode=False))
