"""``ionloop models``: a campaign's potential as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ionloop.cli.console import err, out


def models(
    campaign: Annotated[
        str | None, typer.Argument(help="Campaign id; the latest if left out.", show_default=False)
    ] = None,
    *,
    folder: Annotated[Path, typer.Option("--out", help="Folder to write to.")],
    generation: Annotated[
        int | None,
        typer.Option(min=0, help="The latest whole committee if left out.", show_default=False),
    ] = None,
) -> None:
    """Write a campaign's committee as MACE model files, with its calibration and profile."""
    from ionloop.store.models import export_committee
    from ionloop.store.queries import resolve_campaign

    found = export_committee(
        resolve_campaign(campaign),
        folder,
        generation,
        lambda what: err.print(what, markup=False, highlight=False),
    )
    for member in found.members:
        out.print(f"{folder / member.path}  {member.sha256}", markup=False, highlight=False,
                  soft_wrap=True)  # fmt: skip
    if (calibration := found.calibration) is not None:
        out.print(
            f"generation {found.generation}: force RMSE of mobile ions "
            f"{1000 * calibration.rmse_forces:.3g} meV/Å on {calibration.n_frames} held-out frames",
            markup=False,
            highlight=False,
        )
