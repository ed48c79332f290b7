"""``ionloop evaluate``: a scorecard of any calculator, without a campaign or a database."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ionloop.cli.card_tables import show_card
from ionloop.cli.console import err
from ionloop.cli.driving import ensure_database
from ionloop.cli.inputs import check_picture, document, numbers
from ionloop.errors import EvaluationError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from ionloop.evaluate.born import Born
    from ionloop.evaluate.models import Model
    from ionloop.evaluate.request import Request
    from ionloop.evaluate.scorecard_schema import Scorecard
    from ionloop.store.scorecards import StoredScorecard
    from ionloop.train.schema import Calibration


def evaluate(  # noqa: PLR0913 - one parameter an option
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="MACE .model files of your own (several are a committee), module:function that "
            "returns an ASE calculator, a NEP file (.txt), a LAMMPS input (.yaml, .json), or "
            "buckingham, chgnet or cp2k.",
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
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="committee.json beside several MACE models, from ionloop models or train: how "
            "well their spread knows their errors on --data.",
            show_default=False,
        ),
    ] = None,
    born: Annotated[
        Path | None,
        typer.Option(
            help="Born charges and dielectric tensor of --structure, phonopy's BORN: splits "
            "longitudinal and transverse phonons.",
            show_default=False,
        ),
    ] = None,
    parts: Annotated[
        str | None,
        typer.Option(
            help="accuracy, static, expansion, cost, diffusion, stability; if left out, what the "
            "input serves but those that run long molecular dynamics.",
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
    md_replicas: Annotated[
        int, typer.Option(min=1, help="Independent runs a temperature of --parts diffusion.")
    ] = 1,
    expansion_ps: Annotated[
        float, typer.Option(min=0.1, help="Length of each run of --parts expansion, ps.")
    ] = 20.0,
    expansion_temperatures: Annotated[
        str, typer.Option(help="Temperatures of --parts expansion, K; three or more.")
    ] = "300,450,600,750",
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
            help="scorecard.json of another model for picture and page; repeatable.",
            show_default=False,
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="Page of all numbers and rules, .html.", show_default=False),
    ] = None,
    store: Annotated[
        bool, typer.Option("--store", help="Keep the scorecard in MongoDB: ionloop scorecards.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Accuracy, static properties, expansion, diffusion, cost, stability of any calculator."""
    from ionloop.evaluate.card import evaluate as run
    from ionloop.evaluate.cost_scaling import CostSettings
    from ionloop.evaluate.dynamics import DynamicsSettings
    from ionloop.evaluate.expansion import ExpansionSettings
    from ionloop.evaluate.models import resolve_model
    from ionloop.evaluate.request import Request
    from ionloop.evaluate.scorecard_schema import Scorecard
    from ionloop.evaluate.stability import StabilitySettings
    from ionloop.profile import Profile, read_structure

    check_picture(plot)
    check_picture(page, ".html", option="--page")
    if store:  # what is wrong with it is said before hours of work
        from ionloop.store.connection import database
        from ionloop.store.scorecards import store_scorecard

        ensure_database()
        database()
    others = [Scorecard.model_validate(document(path, "a scorecard")) for path in beside or []]
    chosen = resolve_model(model)
    cell = None if structure is None else read_structure(structure)
    request = Request(
        model=chosen,
        profile=Profile.model_validate(document(profile, "a profile")),
        parts=_parts(parts, has_data=bool(data), has_structure=cell is not None),
        data=data or (),
        structure=cell,
        reference=None if reference is None else resolve_model([reference]),
        expansion=ExpansionSettings(
            temperatures=tuple(numbers("--expansion-temperatures", expansion_temperatures) or ()),
            picoseconds=expansion_ps,
        ),
        dynamics=DynamicsSettings(picoseconds=md_ps, replicas=md_replicas),
        cost=CostSettings(seconds=cost_seconds),
        stability=StabilitySettings(picoseconds=stability_ps),
        born=None if born is None else _born(born, cell),
        calibration=None if calibration is None else _calibration(calibration, chosen),
    )
    with _progress() as tell:
        card = run(request, folder, tell)
    if plot is not None:
        from ionloop.report.scorecard_picture import write_picture

        write_picture([card, *others], plot)
    if page is not None:
        from ionloop.report.scorecard_page import write_page
        from ionloop.report.scorecard_summary import Shown

        write_page([Shown(one) for one in (card, *others)], page)
    if as_json:
        sys.stdout.write(card.model_dump_json(indent=1) + "\n")
    else:
        show_card(card)
    if store:
        stored = store_scorecard(card)
        err.print(f"stored as {stored.key}{_home(stored)}", markup=False, highlight=False)
    return _status(card, request)


def _born(path: Path, cell: Structure | None) -> Born:
    from ionloop.evaluate.born import read_born

    if cell is None:
        msg = "expected --structure with --born, got none; give the cell that it was made for"
        raise EvaluationError(msg)
    return read_born(path, cell)


def _calibration(path: Path, model: Model) -> Calibration:
    """Read a committee's calibration, which is worth nothing to other models."""
    from ionloop.train.schema import Calibration

    content = document(path, "a committee.json")
    members = [one for one in content.get("members") or [] if isinstance(one, dict)]
    hashes = {str(one.get("sha256")) for one in members}
    given = set(model.facts.file_hashes)
    if hashes != given:
        msg = (
            f"{path}: expected the committee of the {len(given)} MACE files given, got one of "
            f"{len(hashes)} files, of which {len(hashes & given)} are the same; give all models "
            "of its folder and no others"
        )
        raise EvaluationError(msg)
    if not content.get("calibration"):
        msg = f"{path}: expected a calibration, got none; leave --calibration out"
        raise EvaluationError(msg)
    return Calibration.model_validate(content["calibration"])


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
