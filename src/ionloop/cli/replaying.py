"""``ionloop replay``: how few labels of a pool would have been enough, by ways to choose them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ionloop.cli.console import err, out
from ionloop.cli.inputs import (
    AsJson,
    FirstSeed,
    ModelFields,
    Plot,
    Seeds,
    Size,
    Steps,
    Workers,
    check_picture,
    document,
    whole_numbers,
)

if TYPE_CHECKING:
    from ionloop.select.schema import Replay, ReplayCurve, ReplayPoint


def replay(  # noqa: PLR0913 - one parameter an option
    pool: Annotated[
        list[Path], typer.Argument(help="Labelled frames to choose from, extended xyz (.gz).")
    ],
    *,
    test: Annotated[
        list[Path], typer.Option(help="Labelled frames of other trajectories, to test on.")
    ],
    mobile: Annotated[str, typer.Option(help="Element of the mobile ion.")],
    arms: Annotated[
        str, typer.Option(help="random, sigma, sigma-distinct, diverse, bottleneck, loop.")
    ] = "random,sigma,diverse,bottleneck,loop",
    labels: Annotated[str, typer.Option(help="Numbers of labels, rising.")] = "40,80,160,320",
    seeds: Seeds = 3,
    first_seed: FirstSeed = 0,
    target: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Force RMSE of mobile ions to reach, eV/Å; random's last one if left out.",
            show_default=False,
        ),
    ] = None,
    r_max: Annotated[float, typer.Option(min=2, help="Cut-off of the models, Å.")] = 5.0,
    hyperparameters: ModelFields = None,
    steps: Steps = 800,
    size: Size = 2,
    candidates: Annotated[
        int, typer.Option(min=1, help="Frames of the pool that are looked at each time.")
    ] = 1000,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder of models and points; POOL-replay here if left out.",
            show_default=False,
        ),
    ] = None,
    workers: Workers = 2,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Choose labels from a pool whose labels are hidden until chosen, by several ways.

    The same command goes on where it was stopped: what is finished isn't trained again.
    """
    from ionloop.select.replay import replay as run
    from ionloop.select.replay_plan import SMALL, ReplayPlan
    from ionloop.train.labelled import read_labels
    from ionloop.train.schema import Hyperparameters

    model = SMALL
    if hyperparameters is not None:
        model = Hyperparameters(**document(hyperparameters, "hyperparameters"))
    plan = ReplayPlan(
        mobile_ion=mobile,
        arms=[name.strip() for name in arms.split(",")],
        counts=whole_numbers("--labels", labels),
        seeds=seeds,
        first_seed=first_seed,
        target=target,
        r_max=r_max,
        hyperparameters=model,
        steps=steps,
        size=size,
        candidates=candidates,
    )
    check_picture(plot)
    place = folder or Path(pool[0].name.split(".")[0] + "-replay")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as bar:
        task = bar.add_task("replay", total=len(plan.arms) * seeds * len(plan.counts))

        def done(point: ReplayPoint) -> None:
            bar.update(task, advance=1, description=f"{point.arm}, seed {point.seed}")

        found = run(read_labels(pool), read_labels(test), plan, place, workers, done)
    if plot is not None:
        from ionloop.report.replay_picture import write_picture

        write_picture(found, plot)
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=1) + "\n")
    else:
        _print(found)


def _print(found: Replay) -> None:
    columns = ["arm", *(f"{n} labels" for n in found.curves[0].n_labels), "labels to target",
               "of random's"]  # fmt: skip
    table = Table(
        title=f"force RMSE on {found.mobile_ion}, meV/Å: mean over seeds and its 90 % interval",
        title_justify="left",
    )
    for name in columns:
        table.add_column(name, justify="left" if name == "arm" else "right")
    for curve in found.curves:
        cells = [
            f"{1000 * mean:.1f}" + (f" ({1000 * i[0]:.0f}-{1000 * i[1]:.0f})" if i else "")
            for mean, i in zip(curve.rmse_mobile, curve.interval, strict=True)
        ]
        needed = ", ".join(
            "never" if n is None else f"{n:.0f}" for n in curve.labels_to_target.values()
        )
        table.add_row(curve.arm, *cells, needed, _share(curve))
    out.print(table)
    goals = ", ".join(f"{1000 * x:.1f}" for x in dict.fromkeys(found.targets.values()))
    out.print(f"target: {goals} meV/Å ({found.target_source})", markup=False, highlight=False)
    out.print(
        f"{found.n_pool} frames to choose from ({found.n_repeated} repeats left out), "
        f"{found.n_test} to test on",
        highlight=False,
    )


def _share(curve: ReplayCurve) -> str:
    if curve.mean_share is None:
        return ""
    low, high = curve.share_interval or (None, None)
    return f"{curve.mean_share:.2f}" + ("" if low is None else f" ({low:.2f}-{high:.2f})")
