"""``ionloop pause``, ``cancel`` and ``rerun``: what a campaign may do from now on."""

from __future__ import annotations

from typing import Annotated

import typer

from ionloop.cli.console import err, out

CampaignArgument = Annotated[
    str | None, typer.Argument(help="Campaign id; the latest if left out.", show_default=False)
]


def pause(campaign: CampaignArgument = None) -> None:
    """Start nothing of a campaign any more; running jobs end, and their results are kept."""
    from ionloop.engine.control.hold import hold
    from ionloop.engine.launchpad import launchpad
    from ionloop.store.queries import resolve_campaign, status

    campaign_id = resolve_campaign(campaign)
    held = hold(launchpad(), campaign_id)
    n_running = status(campaign_id).jobs.get("RUNNING", 0)
    out.print(f"{campaign_id} {held.line()}; {n_running} jobs end", highlight=False)
    out.print(f"go on with: ionloop resume {campaign_id}", highlight=False)


def cancel(campaign: CampaignArgument = None) -> None:
    """Start nothing of a campaign any more and end its running jobs; what is computed is kept.

    Exit status 1 if jobs are left that can't be ended from here.
    """
    from ionloop.engine.control.cancel import cancel as end
    from ionloop.engine.launchpad import launchpad
    from ionloop.store.queries import resolve_campaign

    campaign_id = resolve_campaign(campaign)
    report = end(launchpad(), campaign_id)
    for line in report.ended:
        out.print(f"ended: {line}", markup=False, highlight=False)
    for line in report.left:
        err.print(f"still runs: {line}; end it there, or let it end", markup=False)
    out.print(f"{campaign_id} {report.held.line()}", highlight=False)
    out.print(f"take it up again with: ionloop resume {campaign_id}", highlight=False)
    if report.left:
        raise typer.Exit(1)


def rerun(
    campaign: CampaignArgument = None,
    *,
    stage: Annotated[str, typer.Option(help="Stage to run again, with all that is behind it.")],
    generation: Annotated[
        int | None, typer.Option(help="Its generation: only the latest can run again.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Run a stage of the latest generation again, for example after its code was mended.

    Labels that are good are found in their folders, and never computed again.
    """
    from ionloop.engine.control.rerun import finish_rerun, plan_rerun, rerun_stage
    from ionloop.engine.launchpad import launchpad
    from ionloop.store.queries import resolve_campaign

    campaign_id = resolve_campaign(campaign)
    lp = launchpad()
    if (finished := finish_rerun(lp, campaign_id)) is not None:
        out.print(f"finished the rerun of stage {finished} that was cut short", highlight=False)
    if finished != stage:
        plan = plan_rerun(lp, campaign_id, stage, generation)
        out.print(f"{campaign_id}, stage {stage} of generation {plan.generation}:", highlight=False)
        for line in plan.lines():
            out.print(f"  {line}", markup=False, highlight=False)
        if not yes and not typer.confirm("Go on?"):
            raise typer.Exit(1)
        rerun_stage(lp, campaign_id, plan)
    out.print(f"in order; run it here with: ionloop resume {campaign_id}", highlight=False)
