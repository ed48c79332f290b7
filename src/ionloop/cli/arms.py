"""``ionloop arms``: ways to choose labels, compared at equal labels on a campaign's material."""

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
    numbers,
    whole_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ionloop.study.plan import ArmsPlan
    from ionloop.study.schema import ArmPoint, ArmStudy, MeanOverSeeds


def arms(  # noqa: PLR0913 - one parameter an option
    flow: Annotated[str, typer.Argument(help="Python file with build(...), or a name in flows/.")],
    *,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value for build(); repeatable.")
    ] = None,
    names: Annotated[
        str,
        typer.Option(
            "--arms",
            help="aimd, random, sigma, hop, hop+saddle, loop, fine-tune, "
            "hop+saddle+pulled, loop+pulled.",
        ),
    ] = "aimd,random,sigma,hop,hop+saddle",
    labels: Annotated[
        str, typer.Option(help="Numbers of labels, rising; the first are common to all arms.")
    ] = "40,80,120",
    seeds: Seeds = 3,
    first_seed: FirstSeed = 0,
    aimd_temperatures: Annotated[
        str | None,
        typer.Option(
            help="MD of the reference that gives the first labels, K; the profile's "
            "seed_temperatures if left out.",
            show_default=False,
        ),
    ] = None,
    temperatures: Annotated[
        str | None,
        typer.Option(
            help="MD by which the committee explores, K; the profile's if left out.",
            show_default=False,
        ),
    ] = None,
    test_temperatures: Annotated[
        str | None,
        typer.Option(
            help="MD of the reference that gives the test set, K; the profile's "
            "transport_temperatures if left out.",
            show_default=False,
        ),
    ] = None,
    test_steps: Annotated[
        int, typer.Option(min=1, help="Steps of each test run of the reference.")
    ] = 20_000,
    n_test: Annotated[int, typer.Option(min=8, help="Test frames of each temperature.")] = 60,
    md_steps: Annotated[
        int, typer.Option(min=1, help="Steps of each of the committee's exploring runs.")
    ] = 1000,
    replicas: Annotated[int, typer.Option(min=1, help="Such runs at each temperature.")] = 2,
    pulled_runs: Annotated[
        int,
        typer.Option(
            min=1, help="Runs with pulled ions at each temperature, of arms that have them."
        ),
    ] = 2,
    hyperparameters: ModelFields = None,
    steps: Steps = 1000,
    size: Size = 2,
    foundation: Annotated[
        Path | None,
        typer.Option(
            help="MACE model that the arm fine-tune starts from. It is a pickle: loading it runs "
            "what stands in it.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder of what is computed; NAME-arms here if left out.",
            show_default=False,
        ),
    ] = None,
    workers: Workers = 2,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Compare ways to choose labels, each a small loop on the campaign of a flow.

    The flow's reference must be a force field: the truth that the arms are held to is its own
    long MD and its own bands. The same command goes on where it was stopped.
    """
    from ionloop.engine.flows import campaign_of, load_flow, parse_parameters
    from ionloop.profile import Profile
    from ionloop.study.plan import ArmsPlan, ReferenceRuns, reference_of
    from ionloop.train.schema import Hyperparameters

    check_picture(plot)
    campaign, material = campaign_of(load_flow(flow, **parse_parameters(set_ or [])))
    exploring = numbers("--temperatures", temperatures) or campaign.profile.temperatures
    profile = Profile(**{**campaign.profile.model_dump(), "temperatures": exploring})
    model = campaign.train.hyperparameters
    if hyperparameters is not None:
        model = Hyperparameters(**document(hyperparameters, "hyperparameters"))
    seeding = numbers("--aimd-temperatures", aimd_temperatures) or profile.seed_temperatures
    testing = numbers("--test-temperatures", test_temperatures) or profile.transport_temperatures
    plan = ArmsPlan(
        profile=profile,
        material=material,
        reference=reference_of(campaign.reference),
        seeding=ReferenceRuns(seeding),
        testing=ReferenceRuns(testing, n_steps=test_steps),
        settings=campaign.explore.settings,
        hyperparameters=model,
        md_steps=md_steps,
        replicas=replicas,
        pulled_runs=pulled_runs,
        arms=[name.strip() for name in names.split(",")],
        counts=whole_numbers("--labels", labels),
        seeds=seeds,
        first_seed=first_seed,
        steps=steps,
        size=size,
        n_test=n_test,
        min_distance=campaign.select.min_distance,
        foundation=foundation,
    )
    found = _with_progress(plan, folder or Path(f"{profile.name}-arms"), workers)
    if plot is not None:
        from ionloop.report.arms_picture import write_picture

        write_picture(found, plot)
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=1) + "\n")
    else:
        print_arms(found)


def _with_progress(plan: ArmsPlan, folder: Path, workers: int) -> ArmStudy:
    from ionloop.study.compare import compare_arms

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err, transient=True) as bar:
        task = bar.add_task("reference", total=len(plan.arms) * plan.seeds * len(plan.counts))

        def done(point: ArmPoint) -> None:
            what = f"{point.arm}, seed {point.seed}, {point.n_labels} labels"
            bar.update(task, advance=1, description=what)

        return compare_arms(plan, folder, workers, done)


def print_arms(found: ArmStudy) -> None:
    """Print each arm at each count, means over seeds and 90 % intervals."""
    table = Table(
        title=f"{found.material}, reference {found.reference}: mean over seeds (90 % interval)",
        title_justify="left",
    )
    for name in (
        "arm", "labels", "near eq. / meV Å⁻¹", "saddle / meV Å⁻¹", "saddle over near eq.",
        "barrier error / meV", "rate within exp",
    ):  # fmt: skip
        table.add_column(name, justify="left" if name == "arm" else "right")
    for one in found.curves:
        for k, n in enumerate(one.n_labels):
            table.add_row(
                one.arm if k == 0 else "",
                str(n),
                _cell(one.rmse_by_hop_bin["near equilibrium"], k, 1000, 0),
                _cell(one.rmse_by_hop_bin["saddle"], k, 1000, 0),
                _cell(one.saddle_ratio, k, 1, 2),
                _cell(one.barrier_error, k, 1000, 1),
                _cell(one.rate_bound, k, 1, 2),
            )
    out.print(table)
    if len(found.barriers) > 1:
        out.print(_by_class(found))
    out.print(_setting(found), markup=False, highlight=False)


def _by_class(found: ArmStudy) -> Table:
    """Barrier errors of each hop, where there are several."""
    table = Table(title="barrier error by hop, meV", title_justify="left")
    table.add_column("arm")
    for name in ("labels", *found.barriers):
        table.add_column(name, justify="right")
    for one in found.curves:
        for k, n in enumerate(one.n_labels):
            cells = [_cell(one.barrier_errors[name], k, 1000, 1) for name in found.barriers]
            table.add_row(one.arm if k == 0 else "", str(n), *cells)
    return table


def _cell(number: MeanOverSeeds, k: int, factor: float, digits: int) -> str:
    mean, interval = number.mean[k], number.interval[k]
    if mean is None:
        return "no band"
    text = f"{factor * mean:.{digits}f}"
    if interval is None:
        return text
    low, high = (f"{factor * x:.{digits}f}" for x in interval)
    return f"{text} ({low} to {high})"


def _setting(found: ArmStudy) -> str:
    barriers = ", ".join(f"{name} {1000 * e:.0f}" for name, e in found.barriers.items())
    tested = ", ".join(f"{n} {name}" for name, n in found.n_test.items())
    filled = [
        f"{p.arm} {p.n_labels} labels, seed {p.seed}: {p.n_filled}"
        for p in found.points
        if p.n_filled
    ]
    lacking = f"\nfilled up, since the arm found too few: {'; '.join(filled)}" if filled else ""
    return (
        f"first labels: MD of the reference at {_kelvin(found.seed_temperatures)} K; the committee "
        f"explores at {_kelvin(found.temperatures)} K\n"
        f"test: frames of the reference's MD at {_kelvin(found.test_temperatures)} K ({tested}); "
        f"its barriers, meV: {barriers}{lacking}"
    )


def _kelvin(temperatures: Sequence[float]) -> str:
    return ", ".join(f"{t:g}" for t in temperatures)
