"""Run a ready campaign on this machine, from nothing to the report.

    python workflows/demo.py                                      Li3OCl, Buckingham teacher
    python workflows/demo.py --teacher chgnet --structure my.cif  any crystal
    python workflows/demo.py --reference cp2k                     Li3OCl, real DFT, an hour

A demo that was stopped goes on with ``ionloop resume``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from ionloop.cli import (
    drive,
    ensure_database,
    exit_unless_finished,
    run_command,
    write_campaign_report,
)
from ionloop.engine import campaign_id_of, load_flow, submit
from ionloop.errors import ReferenceSetupError
from ionloop.report.summary import summary_line
from ionloop.store.queries import campaign_record

FLOWS = Path(__file__).parent.parent / "flows"


def flow_file(reference: str, given: dict[str, object]) -> Path:
    """Return the flow of a reference; ``given`` are the choices that only a teacher's takes.

    Raises
    ------
    ReferenceSetupError
        If there is no such reference, or its flow has no room for a choice.
    """
    if reference == "teacher":
        return FLOWS / "quickstart.py"
    if reference != "cp2k":
        msg = f"expected --reference teacher or cp2k, got {reference!r}"
        raise ReferenceSetupError(msg)
    if given:
        options = ", ".join(f"--{key.replace('_', '-')}" for key in given)
        msg = (
            f"--reference cp2k: expected no {options}, since it always runs Li3OCl with CP2K; "
            "leave it out, or copy flows/li3ocl_cp2k.py and put your own structure there"
        )
        raise ReferenceSetupError(msg)
    return FLOWS / "li3ocl_cp2k.py"


def demo(
    reference: Annotated[str, typer.Option(help="teacher or cp2k.")] = "teacher",
    teacher: Annotated[
        str | None,
        typer.Option(
            help="buckingham, chgnet, a NEP file (.txt) or module:function.",
            show_default="buckingham",
        ),
    ] = None,
    structure: Annotated[str | None, typer.Option(help="A structure file.")] = None,
    mobile_ion: Annotated[
        str | None, typer.Option(help="Element that moves.", show_default="Li")
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the campaign.")] = 0,
    generations: Annotated[int | None, typer.Option(help="Generations at most.")] = None,
) -> None:
    """Build, submit, run, report, even of a failure; the last line sums it up."""
    begin = time.monotonic()
    material = {"structure": structure, "teacher": teacher, "mobile_ion": mobile_ion}
    given = {key: value for key, value in material.items() if value is not None}
    file = flow_file(reference, given)
    if generations is not None:
        given["max_generations"] = generations
    flow = load_flow(file, random_seed=seed, **given)
    campaign_id = campaign_id_of(flow)
    ensure_database()
    submit(flow, campaign_id)
    final = drive(campaign_id)
    if not final.jobs.get("COMPLETED"):
        exit_unless_finished(final)  # there is nothing to report
    report = write_campaign_report(campaign_id)
    wall_s = time.monotonic() - begin
    typer.echo(summary_line(campaign_record(campaign_id), wall_s=wall_s, report=str(report)))
    exit_unless_finished(final)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(demo)
    run_command(lambda: typer.main.get_command(app).main(standalone_mode=False))
