"""``ionloop evaluate``: a scorecard of any calculator, without a campaign or a database."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ionloop.cli.console import err, out
from ionloop.cli.driving import ensure_database
from ionloop.cli.inputs import check_picture, document
from ionloop.cli.transport import show_transport
from ionloop.errors import EvaluationError

if TYPE_CHECKING:
    from ionloop.evaluate.accuracy_schema import Accuracy
    from ionloop.evaluate.request import Request
    from ionloop.evaluate.schema import Check, Stability
    from ionloop.evaluate.scorecard_schema import (
        Part,
        Scaling,
        Scorecard,
        StaticProperties,
    )
    from ionloop.store.scorecards import StoredScorecard


def evaluate(  # noqa: PLR0913 - one parameter an option
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="MACE .model files of your own (several are a committee), module:function that "
            "returns an ASE calculator, a LAMMPS input (.yaml, .json), or buckingham or chgnet.",
        ),
    ],
    *,
    profile: Annotated[Path, typer.Option(help="The material's profile, JSON or YAML.")],
    structure: Annotated[
        Path | None,
        typer.Option(help="Ordered cell, for static properties and cost.", show_default=False),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Labelled frames that the model hasn't seen, extended xyz (.gz); repeatable.",
            show_default=False,
        ),
    ] = None,
    parts: Annotated[
        str | None,
        typer.Option(
            help="accuracy, static, cost, diffusion, stability; if left out, what the input "
            "serves but the last two.",
            show_default=False,
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="A MODEL beside whom the cost is measured.", show_default=False),
    ] = None,
    cost_seconds: Annotated[
        float, typer.Option(min=1, help="Limit of the cost's measurement, s.")
    ] = 60.0,
    md_ps: Annotated[
        float, typer.Option(min=0.1, help="Length of each run of --parts diffusion, ps.")
    ] = 20.0,
    stability_ps: Annotated[
        float, typer.Option(min=1, help="Length of the run of --parts stability, ps.")
    ] = 500.0,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder of what is finished, which isn't computed again.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture, .png, .svg or .pdf.", show_default=False)
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            help="scorecard.json of another model for the picture; repeatable.", show_default=False
        ),
    ] = None,
    store: Annotated[
        bool, typer.Option("--store", help="Keep the scorecard in MongoDB: ionloop scorecards.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Accuracy, static properties, diffusion, cost and stability of any calculator."""
    from ionloop.evaluate.card import evaluate as run
    from ionloop.evaluate.cost_scaling import CostSettings
    from ionloop.evaluate.dynamics import DynamicsSettings
    from ionloop.evaluate.models import resolve_model
    from ionloop.evaluate.request import Request
    from ionloop.evaluate.scorecard_schema import Scorecard
    from ionloop.evaluate.stability import StabilitySettings
    from ionloop.profile import Profile, read_structure

    check_picture(plot)
    if store:  # what is wrong with it is said before hours of work
        from ionloop.store.connection import database
        from ionloop.store.scorecards import store_scorecard

        ensure_database()
        database()
    others = [Scorecard.model_validate(document(path, "a scorecard")) for path in beside or []]
    request = Request(
        model=resolve_model(model),
        profile=Profile.model_validate(document(profile, "a profile")),
        parts=_parts(parts, has_data=bool(data), has_structure=structure is not None),
        data=data or (),
        structure=None if structure is None else read_structure(structure),
        reference=None if reference is None else resolve_model([reference]),
        dynamics=DynamicsSettings(picoseconds=md_ps),
        cost=CostSettings(seconds=cost_seconds),
        stability=StabilitySettings(picoseconds=stability_ps),
    )
    with _progress() as tell:
        card = run(request, folder, tell)
    if plot is not None:
        from ionloop.report.scorecard_picture import write_picture

        write_picture([card, *others], plot)
    if as_json:
        sys.stdout.write(card.model_dump_json(indent=1) + "\n")
    else:
        _show(card)
    if store:
        stored = store_scorecard(card)
        err.print(f"stored as {stored.key}{_home(stored)}", markup=False, highlight=False)
    return _status(card, request)


def _parts(text: str | None, *, has_data: bool, has_structure: bool) -> list[str]:
    if text is not None:
        return [part.strip() for part in text.split(",") if part.strip()]
    found = ["accuracy"] * has_data + ["static", "cost"] * has_structure
    if not found:
        msg = "expected --data for the accuracy, --structure for static properties, got neither"
        raise EvaluationError(msg)
    return found


def _home(stored: StoredScorecard) -> str:
    if stored.campaign_id is None:
        return ""
    return f": generation {stored.generation} of {stored.campaign_id}"


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what is being computed: one moving line on a terminal, else a line each."""
    if not err.is_terminal:
        yield lambda what: err.print(what, markup=False)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda what: bar.update(task, description=escape(what))


def _status(card: Scorecard, request: Request) -> int:
    """Return 1 if a part that was asked for is missing."""
    missing = [p for p in request.parts if getattr(card, p).status == "missing"]
    for name in missing:
        err.print(f"{name} is missing: {getattr(card, name).reason}", markup=False)
    return 1 if missing else 0


def _show(card: Scorecard) -> None:
    from ionloop.evaluate.scorecard_schema import PARTS

    facts = card.model
    out.print(f"{facts.name} ({facts.kind}, {facts.sha256[:12]}) on {card.material}", markup=False)
    for name in PARTS:
        part: Part = getattr(card, name)
        if part.status != "done":
            reason = f": {part.reason}" if part.reason else ""
            out.print(f"{name}: {part.status}{reason}", markup=False, highlight=False)
    if card.accuracy.result is not None:
        _show_accuracy(card.accuracy.result, card.mobile_ion)
    if card.static.result is not None:
        _show_static(card.static.result)
    if card.diffusion.result is not None:
        show_transport(card.diffusion.result.transport)
    if card.cost.result is not None:
        _show_cost(card.cost.result)
    if card.stability.result is not None:
        _show_stability(card.stability.result)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(columns):
        table.add_column(name, justify="right" if i else "left")
    return table


def _show_accuracy(found: Accuracy, mobile_ion: str) -> None:
    from ionloop.evaluate.accuracy import bins_of
    from ionloop.units import GPA_EV_PER_A3

    columns = ("forces of", "frames", "groups", "RMSE, meV/Å", "90 % interval", "reference's RMS")
    table = _table(f"accuracy on {found.n_frames} held-out frames", *columns)
    for what, b in bins_of(found):
        table.add_row(
            f"{what}: {escape(b.name)}", str(b.n_frames), str(b.n_groups or ""),
            f"{1000 * b.rmse_forces:.4g}", _interval(b.interval, 1000),
            f"{1000 * b.rms_reference:.4g}",
        )  # fmt: skip
    out.print(table)
    if found.openness_missing:
        out.print(f"{mobile_ion} by openness: {found.openness_missing}", markup=False)
    if found.energy_rmse is not None and found.energy_rmse_shifted is not None:
        out.print(
            f"energies: RMSE {1000 * found.energy_rmse:.3g} meV/atom "
            f"({_interval(found.energy_interval, 1000)}), less their mean offset "
            f"{1000 * found.energy_rmse_shifted:.3g} meV/atom "
            f"({_interval(found.energy_shifted_interval, 1000)})",
            markup=False,
            highlight=False,
        )
    if found.stress is not None:
        out.print(
            f"stress: RMSE {found.stress.rmse / GPA_EV_PER_A3:.3g} GPa on {found.stress.n_frames} "
            f"frames ({_interval(found.stress.interval, 1 / GPA_EV_PER_A3)})",
            markup=False,
            highlight=False,
        )


def _interval(found: tuple[float, float] | None, factor: float) -> str:
    if found is None:
        return "one group: none"
    return f"{factor * found[0]:.3g} to {factor * found[1]:.3g}"


def _show_static(found: StaticProperties) -> None:
    table = _table(f"static properties of {found.formula}", "property", "value")
    a, b, c = found.lengths
    table.add_row("a, b, c, Å", f"{a:.4f}, {b:.4f}, {c:.4f}")
    table.add_row("α, β, γ, °", ", ".join(f"{x:.2f}" for x in found.angles))
    table.add_row("density, g/cm³", f"{found.density:.4f}")
    table.add_row("volume against the given one", f"{100 * found.volume_change:+.2f} %")
    moduli = (("B0 (volumes)", found.bulk_modulus), ("B (elastic)", found.bulk_vrh),
              ("G (elastic)", found.shear_vrh))  # fmt: skip
    for name, estimate in moduli:
        doubt = "" if estimate.admissible else f" (doubtful: {estimate.reason})"
        value = "none" if estimate.value is None else f"{estimate.value:.4g}"
        table.add_row(f"{name}, GPa", escape(f"{value}{doubt}"))
    for i, row in enumerate(found.elastic or []):
        table.add_row(f"C{i + 1}j, GPa", " ".join(f"{x:6.1f}" for x in row))
    if found.phonons is not None:
        table.add_row("lowest phonon, THz", f"{found.phonons.lowest:.3f}")
        table.add_row("highest phonon, THz", f"{found.phonons.highest:.3f}")
    out.print(table)
    if found.phonons is not None:
        out.print(found.phonons.meaning, markup=False)
    _show_checks(found.checks)


def _show_checks(checks: Sequence[Check]) -> None:
    for check in checks:
        out.print("[green]ok  [/]" if check.passed else "[red]no  [/]", end=" ")
        out.print(f"{check.name}: {check.detail}", markup=False, highlight=False)


def _show_stability(found: Stability) -> None:
    near = ", ".join(f"{'-'.join(c.pair)} {c.distance:.2f} Å" for c in found.contacts[:5])
    out.print(
        f"stability: {found.survived_ps:g} of {found.picoseconds:g} ps of {found.n_atoms} atoms "
        f"at {found.temperature:g} K; closest: {near or 'nothing within 3 Å'}",
        markup=False,
        highlight=False,
    )
    _show_checks(found.checks)


def _show_cost(found: Scaling) -> None:
    columns = ("calculator", "atoms", "s a step", "µs a step and atom", "peak memory, MB")
    table = _table(f"cost on {found.cores} cores, {found.hardware}", *columns)
    for cost in found.costs:
        table.add_row(
            cost.calculator, str(cost.n_atoms), f"{cost.seconds_per_step:.3g}",
            f"{1e6 * cost.seconds_per_step / cost.n_atoms:.3g}",
            "" if cost.peak_mb is None else f"{cost.peak_mb:.0f}",
        )  # fmt: skip
    out.print(table)
    for name, power in found.exponents.items():
        out.print(f"{name}: time grows as atoms^{power:.2f}", highlight=False, markup=False)
    for n, ratio in found.speed_up[-1:]:
        out.print(f"{ratio:.3g} times as fast as the reference at {n} atoms", highlight=False)
    out.print(f"no larger size: {found.stopped}", highlight=False, markup=False)
