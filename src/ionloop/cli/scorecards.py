"""``ionloop scorecards``: what was evaluated, across models, generations and materials."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ionloop.cli.console import err, out
from ionloop.cli.inputs import check_picture
from ionloop.errors import EvaluationError

if TYPE_CHECKING:
    from ionloop.evaluate.scorecard_schema import Scorecard
    from ionloop.report.literature import LiteratureValue
    from ionloop.store.scorecards import StoredScorecard, UnreadableScorecard

#: Verdicts on stability in colours and words.
_COLOURED = {
    "good": "[green]stable[/]: {}",
    "bad": "[red]unstable[/]: {}",
    "missing": "[red]missing[/]: {}",
    "not asked": "not asked",
}


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
    page: Annotated[
        Path | None,
        typer.Option(help="All that are listed side by side, .html.", show_default=False),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            help="Only those of these keys, in this order; repeatable.", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List scorecards, the latest first: of campaigns, and what `ionloop evaluate --store` kept."""
    for path in (plot, hops, arrhenius):
        check_picture(path)
    check_picture(page, ".html", option="--page")
    if obelix is not None and arrhenius is None:
        msg = "expected --arrhenius PICTURE with --obelix, got none"
        raise EvaluationError(msg)
    drawn = any(path is not None for path in (plot, hops, arrhenius, page))
    found, unreadable = _found(material, campaign, key, limit, curves=drawn or as_json)
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
    if page is not None and found:
        from ionloop.report.scorecard_page import write_page
        from ionloop.store.scorecards import shown

        write_page([shown(one) for one in found], page)
    if as_json:
        sys.stdout.write(json.dumps([one.model_dump(mode="json") for one in found]) + "\n")
    elif not found and not unreadable:
        words = "a campaign's evaluation makes one, `ionloop evaluate MODEL ... --store` keeps one"
        out.print(f"no scorecard: {words}", highlight=False)
    elif found:
        out.print(_table(found))
    _show_unreadable(unreadable)


def _found(
    material: str | None, campaign: str | None, keys: list[str] | None, limit: int, *, curves: bool
) -> tuple[list[StoredScorecard], list[UnreadableScorecard]]:
    from ionloop.store.scorecards import parted, scorecards, scorecards_by_key

    if not keys:
        return parted(scorecards(material, campaign, limit, curves=curves))
    if material is not None or campaign is not None:
        msg = "expected --key, or --material and --campaign, got both"
        raise EvaluationError(msg)
    found = scorecards_by_key(keys)
    if missing := set(keys) - {one.key for one in found}:
        msg = f"expected keys that `ionloop scorecards` lists, got {', '.join(sorted(missing))}"
        raise EvaluationError(msg)
    return parted(found)


def _literature(cards: list[Scorecard], obelix: Path | None) -> list[LiteratureValue]:
    """Return what is published of the compositions that were evaluated."""
    from ionloop.report.literature import known_values, obelix_values

    formulas = dict.fromkeys(card.structure for card in cards if card.structure is not None)
    found = [value for formula in formulas for value in known_values(formula)]
    if obelix is not None:
        found += [value for formula in formulas for value in obelix_values(obelix, formula)]
    return list({value.model_dump_json(): value for value in found}.values())


def _table(found: list[StoredScorecard]) -> Table:
    table = Table(title=f"{len(found)} scorecards", title_justify="left", show_lines=True)
    for name, width in (("model, key, stored", 16), ("material, trained by", None),
                        ("stability", None), ("numbers", 30)):  # fmt: skip
        table.add_column(name, overflow="fold", min_width=width)
    for one in found:
        card = one.card
        who = f"{card.model.name} ({card.model.sha256[:6]})"
        home = "" if one.campaign_id is None else f"{one.campaign_id}, generation {one.generation}"
        table.add_row(
            "\n".join([escape(who), one.key, one.stored_at[:16].replace("T", " ")]),
            escape(f"{card.material}\n{home}".strip()),
            _stability(card),
            escape(_numbers(card)),
        )
    return table


def _show_unreadable(found: list[UnreadableScorecard]) -> None:
    for one in found:
        what = ", ".join(name for name in (one.model, one.material) if name)
        err.print(f"{one.key} ({what or 'unknown'}) can't be read: {one.reason}", markup=False)


def _stability(card: Scorecard) -> str:
    from ionloop.report.scorecard_summary import stability

    found = stability(card)
    return _COLOURED[found.kind].format(escape(found.text))


def _numbers(card: Scorecard) -> str:
    """Write what is known, a line each."""
    from ionloop.report.scorecard_summary import NONE, TITLES, in_a_line

    rows = zip(TITLES, in_a_line(card), strict=True)
    return "\n".join(f"{title}: {text}" for title, text in rows if text != NONE)
