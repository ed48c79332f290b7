"""``ionloop hops``: ion hops in trajectory files, without a database."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ionloop.cli.console import out

if TYPE_CHECKING:
    from ionloop.explore.survey_schema import HopSurvey


class SiteSource(StrEnum):
    """Where sites come from."""

    AUTO = "auto"
    CRYSTAL = "crystal"
    DENSITY = "density"


def hops(  # noqa: PLR0913
    trajectories: Annotated[
        list[Path],
        typer.Argument(help="XDATCAR, extended xyz (.gz or not) or .traj, of one temperature."),
    ],
    *,
    mobile: Annotated[str, typer.Option(help="Element of the mobile ion.")],
    temperature: Annotated[float, typer.Option(min=0, help="K.")],
    timestep_fs: Annotated[float, typer.Option(min=0, help="Time between stored frames, fs.")],
    host: Annotated[
        Path | None,
        typer.Option(help="Crystal with all mobile-ion sites occupied; its cell may be smaller."),
    ] = None,
    sites: Annotated[SiteSource, typer.Option(help="Where sites come from.")] = SiteSource.AUTO,
    residence_fs: Annotated[float, typer.Option(help="Shortest stay on a site.")] = 200.0,
    window_fs: Annotated[float, typer.Option(help="Time between hops of one event.")] = 200.0,
    reach: Annotated[float, typer.Option(help="Distance between hops of one event, Å.")] = 1.0,
    skip: Annotated[int, typer.Option(min=0, help="Frames left out at the start.")] = 0,
    stride: Annotated[int, typer.Option(min=1, help="Use every n-th frame.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the shifts that tell chance.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, each hop too.")] = False,
) -> None:
    """Find ion hops: sites, concerted events, classes, and rates with errors."""
    import numpy as np

    from ionloop.explore.survey import SurveyPlan, survey
    from ionloop.profile import read_structure
    from ionloop.trajectory import open_trajectory

    plan = SurveyPlan(
        mobile_ion=mobile,
        temperature=temperature,
        frame_interval_fs=timestep_fs,
        choice=sites.value,
        residence_fs=residence_fs,
        window_fs=window_fs,
        reach=reach,
        skip=skip,
        stride=stride,
    )
    crystal = None if host is None else read_structure(host)
    streams = [open_trajectory(path) for path in trajectories]
    found = survey(streams, plan, np.random.default_rng(seed), crystal)
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
        return
    for line in _lines(found):
        out.print(line, markup=False, highlight=False)
    out.print(_rates(found))


def _lines(found: HopSurvey) -> list[str]:
    s, total = found.sites, found.rates[0]
    symmetry = f", {s.symmetry} symmetry operations of the framework" if s.symmetry > 1 else ""
    at_sites = f"{s.share_within:.1%} of the time within {s.radius:g} Å of a site"
    longer = f"with twice that {found.n_hops_longer} hops"
    lines = [
        f"sites: {s.source}{symmetry}: {s.reason}",
        f"  {s.n_sites} sites for {s.n_ions} ions; {at_sites}, {s.share_double:.1%} shared by two",
        f"hops: {total.n_hops} in {found.ion_time_ps:.4g} ion-ps",
        f"  of {found.n_changes} changes of the nearest site; residence {found.residence_fs:g} fs, "
        + longer,
    ]
    if found.frame_interval_fs >= found.residence_fs:
        interval = f"frames are {found.frame_interval_fs:g} fs apart"
        lines.append(f"warning: {interval}: recrossings within the residence time aren't seen")
    if found.concerted_share is not None and found.returned_share is not None:
        chance = f"{found.chance_share:.1%} ± {found.chance_error:.1%} by chance"
        within = f"window {found.window_fs:g} fs, {found.reach:g} Å"
        worth = f"{total.n_events} events, worth {total.n_effective:.1f} independent hops"
        lines += [
            f"concerted: {found.concerted_share:.1%} of hops ({chance})",
            f"  in events of up to {found.largest_event} ions; {within}",
            f"returns: {found.returned_share:.1%} of hops undo the ion's hop before",
            f"errors: {total.n_hops} hops in {worth}",
        ]
    return lines


def _rates(found: HopSurvey) -> Table:
    confidence = f"{found.rates[0].confidence:.0%} interval"
    table = Table(title=f"hops per {found.mobile_ion} ion and ps, {found.temperature:g} K",
                  title_justify="left")  # fmt: skip
    table.add_column("class")
    for name in ("length, Å", "hops", "events", "effective", "rate, 1/ps", confidence):
        table.add_column(name, justify="right")
    for rate in found.rates:
        table.add_row(
            rate.path_class,
            "" if rate.distance is None else f"{rate.distance:.2f}",
            str(rate.n_hops),
            str(rate.n_events),
            f"{rate.n_effective:.1f}",
            f"{rate.rate:.3g}",
            f"{rate.low:.3g} to {rate.high:.3g}",
        )
    return table
