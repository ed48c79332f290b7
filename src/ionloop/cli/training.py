"""``ionloop train``: a committee on a file of labels, without a campaign or a database."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ionloop.cli.console import err, out
from ionloop.cli.inputs import document

if TYPE_CHECKING:
    from ionloop.train.schema import TrainedCommittee


def train(  # noqa: PLR0913
    data: Annotated[
        list[Path], typer.Argument(help="Labelled frames, extended xyz; gzipped or not.")
    ],
    *,
    profile: Annotated[Path, typer.Option(help="The material's profile, JSON or YAML.")],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the models.")],
    hyperparameters: Annotated[
        Path | None, typer.Option(help="Fields of Hyperparameters, JSON or YAML.")
    ] = None,
    size: Annotated[int, typer.Option(min=2, help="Models.")] = 4,
    seed: Annotated[int, typer.Option(help="Decides all random choices.")] = 0,
    foundation: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="MACE model to start from, of a source you trust.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Trainings side by side.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print committee.json.")] = False,
) -> None:
    """Train a committee on labels, and calibrate its spread on the mobile ions.

    The same command goes on where it was stopped: what is finished isn't trained again.
    """
    from ionloop.profile import Profile
    from ionloop.train.labelled import read_labels
    from ionloop.train.offline import Recipe, train_committee
    from ionloop.train.schema import Hyperparameters

    material = Profile.model_validate(document(profile, "a profile"))
    stated = {} if hyperparameters is None else document(hyperparameters, "hyperparameters")
    recipe = Recipe(
        mobile_ion=material.mobile_ion,
        r_max=material.r_max,
        hyperparameters=Hyperparameters(**stated),
        size=size,
        random_seed=seed,
        e0s=material.e0s,
        foundation=foundation,
    )
    samples = read_labels(data)
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("training", total=size)
        committee = train_committee(
            samples, recipe, folder, workers, done=lambda _: bar.advance(task)
        )
    if as_json:
        sys.stdout.write(committee.model_dump_json(indent=1) + "\n")
    else:
        _print(committee, folder)


def _print(committee: TrainedCommittee, folder: Path) -> None:
    table = Table(title=str(folder), title_justify="left")
    for name in ("model", "frames", "validation RMSE, meV/Å", "wall, s"):
        table.add_column(name, justify="right")
    for member in committee.members:
        last = member.log[-1].rmse_forces if member.log else None
        rmse = "" if last is None else f"{1000 * last:.1f}"
        table.add_row(member.file, str(member.n_train), rmse, f"{member.wall_s:.0f}")
    out.print(table)
    found = committee.calibration
    out.print(
        f"forces on {committee.mobile_ion}: RMSE {1000 * found.rmse_forces:.1f} meV/Å on "
        f"{found.held_out}; errors are {found.scale:.2f} times the committee's spread",
        highlight=False,
    )
