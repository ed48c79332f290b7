"""``ionloop doctor``: one line a check, green, yellow or red."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ionloop.cli.console import out

if TYPE_CHECKING:
    from ionloop.engine.doctor import Check


def doctor(
    *,
    for_: Annotated[
        str, typer.Option("--for", help="What this machine is for: run, work, submit or read.")
    ] = "run",
    reference: Annotated[
        str | None,
        typer.Option(help="Who computes the truth, vasp or cp2k: its programs and data count too."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this machine, its database and its workers; exit status 1 if something is red."""
    from ionloop.engine.doctor import Reference, Role, examine

    if for_ not in set(Role):
        msg = f"--for: expected {', '.join(Role)}, got {for_!r}"
        raise typer.BadParameter(msg)
    if reference is not None and reference not in set(Reference):
        msg = f"--reference: expected {', '.join(Reference)}, got {reference!r}"
        raise typer.BadParameter(msg)
    checks = examine(role=Role(for_), reference=Reference(reference) if reference else None)
    if json:
        from pydantic import TypeAdapter

        from ionloop.engine.doctor import Check

        dumped = TypeAdapter(list[Check]).dump_json(checks, indent=2)
        sys.stdout.write(dumped.decode() + "\n")
    else:
        for check in checks:
            out.print(_mark(check), end=" ")
            mend = "" if check.ok else f" -> {check.mend}"
            out.print(f"{check.name}: {check.detail}{mend}", markup=False, highlight=False)
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(1)


def _mark(check: Check) -> str:
    if check.ok:
        return "[green]ok  [/]"
    return "[red]FAIL[/]" if check.needed else "[yellow]no  [/]"
