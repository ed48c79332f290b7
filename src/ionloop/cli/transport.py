"""``ionloop transport``: diffusion and conductivity of trajectory files, without a database."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ionloop.cli.console import err, out
from ionloop.cli.inputs import check_picture
from ionloop.errors import EvaluationError

if TYPE_CHECKING:
    from ionloop.evaluate.analysis import Source
    from ionloop.evaluate.schema import Diffusivity, Estimate, TransportAnalysis

_PREFIX = re.compile(r"(\d+(?:\.\d+)?)K?:(.+)")


def transport(  # noqa: PLR0913 - one parameter an option
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[T:]FILE...",
            help="XDATCAR or extended xyz (.gz or not), or ASE .traj; 700:FILE is at 700 K. Files "
            "of one temperature are replicas.",
        ),
    ],
    *,
    mobile: Annotated[str, typer.Option(help="Element of the mobile ion.")],
    timestep_fs: Annotated[float, typer.Option(min=0, help="Time between stored frames, fs.")],
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="K, of files without a prefix T:.", show_default=False),
    ] = None,
    charge: Annotated[float, typer.Option(help="Charge of the mobile ion, e.")] = 1.0,
    hop_distance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Length of a hop, Å; the median distance of neighbouring mobile ions if left out.",
            show_default=False,
        ),
    ] = None,
    skip_ps: Annotated[float, typer.Option(min=0, help="Equilibration left out, ps.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Picture, .html or .png.", show_default=False)
    ] = None,
) -> None:
    """Diffusivity, conductivity, Haven ratio and activation energy of trajectories."""
    from ionloop.evaluate.analysis import Sample, analyse

    check_picture(plot, ".html", ".png")
    sample = Sample(
        mobile_ion=mobile,
        frame_interval_fs=timestep_fs,
        charge=charge,
        hop_distance=hop_distance,
        skip_fs=1000 * skip_ps,
    )
    sources = [_source(file, temperature) for file in files]
    found = analyse(sources, sample, lambda file: err.print(f"reading {file}", markup=False))
    if plot is not None:
        from ionloop.report.transport_picture import write_picture

        write_picture(found, plot)
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
    else:
        show_transport(found)


def _source(file: str, temperature: float | None) -> Source:
    """Split ``T:FILE``, unless there is a file of just that name."""
    from ionloop.evaluate.analysis import Source

    match = None if Path(file).exists() else _PREFIX.fullmatch(file)
    if match:
        return Source(Path(match[2]), float(match[1]))
    if temperature is None:
        msg = f"{file}: expected a temperature, got none; write 500:{file} or give --temperature"
        raise EvaluationError(msg)
    return Source(Path(file), temperature)


def show_transport(found: TransportAnalysis) -> None:
    """Print an analysis as tables, each number with its verdict."""
    out.print(
        f"{found.mobile_ion}, hop distance {found.hop_distance:.2f} Å ({found.hop_distance_from})",
        highlight=False,
    )
    for point in sorted([*found.transport.points, *found.smaller_cells], key=_order):
        _print_table(_title(point), _quantities(point))
        for check in point.checks:
            mark = "[green]ok  [/]" if check.passed else "[red]no  [/]"
            out.print(mark, end=" ")
            out.print(f"{check.name}: {check.detail}", markup=False, highlight=False)
    for size in found.finite_size:
        out.print(f"{size.temperature:g} K: {size.detail}", markup=False, highlight=False)
    if len(found.transport.points) > 1:
        _show_line(found)


def _order(point: Diffusivity) -> tuple[float, int]:
    return point.temperature, point.n_atoms or 0


def _show_line(found: TransportAnalysis) -> None:
    line = found.transport
    rows = [("E_a", line.activation_energy)]
    if line.room is not None:
        rows.append((f"D at 300 K, {line.room.how}", line.room.d))
        if line.room.sigma is not None:
            rows.append((f"σ at 300 K, {line.room.how}", line.room.sigma))
    _print_table("Arrhenius", rows)
    if line.transition:
        out.print(f"the line breaks {line.transition}: only the points below it are fitted")
    if line.room is not None:
        out.print(
            f"the 90 % interval at 300 K is {line.room.decades:.1f} powers of ten wide",
            highlight=False,
        )


def _title(point: Diffusivity) -> str:
    runs = f"{point.n_runs} run{'s' if point.n_runs != 1 else ''}"
    return f"{point.temperature:g} K, {point.n_atoms} atoms, {runs}, {point.time_ps:g} ps"


def _quantities(point: Diffusivity) -> Iterator[tuple[str, Estimate]]:
    yield "D tracer", point.d
    follows = point.conduction
    if follows is None:
        return
    yield from zip(("  along x", "  along y", "  along z"), follows.axes, strict=True)
    yield "D collective", follows.collective
    yield "σ Nernst-Einstein", follows.sigma
    yield "σ collective", follows.sigma_collective
    yield "Haven ratio", follows.haven_ratio


def _print_table(title: str, rows: Iterable[tuple[str, Estimate]]) -> None:
    """Print numbers; why they aren't admissible stands below, each reason once."""
    table = Table(title=title, title_justify="left")
    for name in ("quantity", "value", "90 % interval", "unit", "estimator", "admissible"):
        table.add_column(name, overflow="fold")
    reasons: list[str] = []
    for name, found in rows:
        verdict = "yes"
        if not found.admissible:
            reason = found.reason or "no reason given"
            if reason not in reasons:
                reasons.append(reason)
            verdict = f"no [{reasons.index(reason) + 1}]"
        cells = (name, _value(found), _interval(found), found.unit, found.estimator, verdict)
        table.add_row(*map(escape, cells))
    out.print(table)
    for number, reason in enumerate(reasons, start=1):
        out.print(f"[{number}] {reason}", markup=False, highlight=False)


def _value(found: Estimate) -> str:
    return "" if found.value is None else f"{found.value:.3g}"


def _interval(found: Estimate) -> str:
    if found.upper_bound is not None:
        return f"< {found.upper_bound:.2g} (95 %)"
    return f"{found.interval[0]:.3g} to {found.interval[1]:.3g}" if found.interval else ""
