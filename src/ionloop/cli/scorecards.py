"""``ionloop scorecards``: what was evaluated, across models, generations and materials."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ionloop.cli.console import out
from ionloop.cli.inputs import check_picture
from ionloop.errors import EvaluationError

if TYPE_CHECKING:
    from ionloop.evaluate.scorecard_schema import Scorecard
    from ionloop.report.literature import LiteratureValue
    from ionloop.store.scorecards import StoredScorecard

NONE = "–"


def scorecards(  # noqa: PLR0913 - one parameter an option
    material: Annotated[
        str | None, typer.Option(help="Name of a profile; all if left out.", show_default=False)
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(help="Only this campaign's models.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Picture of all that are listed, .png, .svg or .pdf.", show_default=False
        ),
    ] = None,
    hops: Annotated[
        Path | None,
        typer.Option(help="Picture of their errors along hops.", show_default=False),
    ] = None,
    arrhenius: Annotated[
        Path | None,
        typer.Option(
            help="Picture of their conductivities beside the literature's.", show_default=False
        ),
    ] = None,
    obelix: Annotated[
        Path | None,
        typer.Option(
            help="OBELiX' all.csv: its measured conductivities go into --arrhenius.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the scorecards that `ionloop evaluate --store` kept, the latest first."""
    from ionloop.store.scorecards import scorecards as stored_scorecards

    for path in (plot, hops, arrhenius):
        check_picture(path)
    if obelix is not None and arrhenius is None:
        msg = "expected --arrhenius PICTURE with --obelix, got none"
        raise EvaluationError(msg)
    found = stored_scorecards(material, campaign, limit)
    cards = [one.card for one in found]
    if plot is not None and found:
        from ionloop.report.scorecard_picture import write_picture

        write_picture(cards, plot)
    if hops is not None and found:
        from ionloop.report.hop_error_picture import write_hop_errors

        write_hop_errors(cards, hops)
    if arrhenius is not None and found:
        from ionloop.report.arrhenius_picture import write_arrhenius

        write_arrhenius(cards, _literature(cards, obelix), arrhenius)
    if as_json:
        sys.stdout.write(json.dumps([one.model_dump(mode="json") for one in found]) + "\n")
    elif not found:
        out.print("no scorecard: `ionloop evaluate MODEL ... --store` keeps one", highlight=False)
    else:
        out.print(_table(found))


def _literature(cards: list[Scorecard], obelix: Path | None) -> list[LiteratureValue]:
    """Return what is published of the compositions that were evaluated."""
    from ionloop.report.literature import known_values, obelix_values

    formulas = dict.fromkeys(card.structure for card in cards if card.structure is not None)
    found = [value for formula in formulas for value in known_values(formula)]
    if obelix is not None:
        found += [value for formula in formulas for value in obelix_values(obelix, formula)]
    return list({value.model_dump_json(): value for value in found}.values())


def _table(found: list[StoredScorecard]) -> Table:
    table = Table(title=f"{len(found)} scorecards", title_justify="left")
    names = ("stored", "material", "model", "trained by", "forces of mobile ions, meV/Å",
             "B0, GPa", "D, cm²/s", "µs a step and atom")  # fmt: skip
    for i, name in enumerate(names):
        table.add_column(name, justify="right" if i > 3 else "left", overflow="fold")
    for one in found:
        card = one.card
        home = NONE if one.campaign_id is None else f"{one.campaign_id}, {one.generation}"
        table.add_row(
            one.stored_at[:16].replace("T", " "),
            escape(card.material),
            escape(f"{card.model.name} ({card.model.sha256[:6]})"),
            escape(home),
            _forces(card), _modulus(card), _diffusion(card), _time(card),
        )  # fmt: skip
    return table


def _forces(card: Scorecard) -> str:
    if (found := card.accuracy.result) is None:
        return NONE
    of_ion = [b for b in found.forces_by_species if b.name == card.mobile_ion]
    if not of_ion:
        return NONE
    text = f"{1000 * of_ion[0].rmse_forces:.3g}"
    if interval := of_ion[0].interval:
        text += f" ({1000 * interval[0]:.3g} to {1000 * interval[1]:.3g})"
    return text


def _modulus(card: Scorecard) -> str:
    if card.static.result is None or card.static.result.bulk_modulus.value is None:
        return NONE
    estimate = card.static.result.bulk_modulus
    return f"{estimate.value:.3g}{'' if estimate.admissible else '?'}"


def _diffusion(card: Scorecard) -> str:
    """Say D at the lowest temperature that has one."""
    if card.diffusion.result is None:
        return NONE
    points = card.diffusion.result.transport.transport.points
    for point in sorted(points, key=lambda p: p.temperature):
        if point.d.value is not None and point.d.admissible:
            return f"{point.d.value:.2g} ({point.temperature:.0f} K)"
    return "none admissible"


def _time(card: Scorecard) -> str:
    """Say the time of a step at the largest size."""
    if card.cost.result is None:
        return NONE
    own = [cost for cost in card.cost.result.costs if cost.calculator == "model"]
    if not own:
        return NONE
    largest = max(own, key=lambda cost: cost.n_atoms)
    return f"{1e6 * largest.seconds_per_step / largest.n_atoms:.3g} ({largest.n_atoms} atoms)"
