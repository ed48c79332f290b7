"""One page of one or several scorecards side by side; it needs no network."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ionloop.evaluate.schema import Check
from ionloop.evaluate.scorecard_schema import PARTS, Part, Scorecard
from ionloop.files import whole
from ionloop.report.scorecard_differences import Difference, all_differences
from ionloop.report.scorecard_names import colours_of, name_of
from ionloop.report.scorecard_picture import picture_svg
from ionloop.report.scorecard_rows import Quantity, name_of_place, quantities
from ionloop.report.scorecard_summary import Shown
from ionloop.report.scorecard_walk import Verdict, result_of, verdict_of, walk
from ionloop.report.templates import TEMPLATES


@dataclass(frozen=True)
class Row:
    """One quantity or rule of all models; None where a model has none."""

    name: str
    unit: str
    cells: list[Any]


@dataclass(frozen=True)
class Section:
    """One part of all models."""

    name: str
    verdicts: list[Verdict]
    numbers: list[Row]
    failed: list[Row]
    rules: list[Row]
    settings: list[Row]

    @property
    def shown(self) -> bool:
        """Whether any model was asked for it."""
        return any(one.kind != "not asked" for one in self.verdicts)


def write_page(shown: Sequence[Shown], path: Path) -> None:
    """Write a self-contained HTML file."""
    with whole(path) as scratch:
        scratch.write_text(render_page(shown), encoding="utf-8")


def render_page(shown: Sequence[Shown]) -> str:
    """Return a self-contained page."""
    return TEMPLATES.get_template("scorecard_page.html.j2").render(values(shown))


def values(shown: Sequence[Shown]) -> dict[str, Any]:
    """Return what ``scorecard_body.html.j2`` is made of.

    Parameters
    ----------
    shown
        One or more.
    """
    cards = [one.card for one in shown]
    colours = colours_of(cards)
    picture = base64.b64encode(picture_svg(cards)).decode()
    found = all_differences(cards)
    return {
        "title": title_of(cards),
        "names": [name_of(card) for card in cards],
        "colours": [colours[name_of(card)] for card in cards],
        "identity": _identity(shown),
        "warnings": [one for one in found if one.serious],
        "notes": _by_part([one for one in found if not one.serious]),
        "picture": f"data:image/svg+xml;base64,{picture}",
        "sections": [_section(cards, part) for part in PARTS],
    }


def title_of(cards: Sequence[Scorecard]) -> str:
    """Name the page by its materials and models."""
    materials = ", ".join(dict.fromkeys(card.material for card in cards))
    if len(cards) == 1:
        return f"{materials}: {cards[0].model.name}"
    return f"{materials}: {len(cards)} scorecards"


def _identity(shown: Sequence[Shown]) -> list[Row]:
    """Return who was evaluated, and where the model is from."""
    facts = [one.card.model for one in shown]
    rows: dict[str, list[str | None]] = {
        "material": [one.card.material for one in shown],
        "mobile ion": [one.card.mobile_ion for one in shown],
        "structure": [one.card.structure for one in shown],
        "kind": [one.kind for one in facts],
        "sha256": [one.sha256 for one in facts],
        "hash of": [one.hashed for one in facts],
        "files": ["\n".join(Path(file).name for file in one.files) for one in facts],
        "computed by": [_versions(one.versions) for one in facts],
        "cost beside": [one.card.reference.name if one.card.reference else None for one in shown],
        "trained by": [
            None if one.campaign_id is None else f"{one.campaign_id}, generation {one.generation}"
            for one in shown
        ],
        "stored": [one.stored for one in shown],
    }
    return [Row(name, "", cells) for name, cells in rows.items() if any(cells)]


def _versions(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def _section(cards: Sequence[Scorecard], part: str) -> Section:
    parts: list[Part] = [getattr(card, part) for card in cards]
    rules = _joined([_rules(found) for found in parts])
    return Section(
        name=part,
        verdicts=[verdict_of(found) for found in parts],
        numbers=_joined([_numbers(card, part) for card in cards]),
        failed=[row for row in rules if any(one and not one.passed for one in row.cells)],
        rules=rules,
        settings=_joined([_settings(found) for found in parts]),
    )


def _numbers(card: Scorecard, part: str) -> dict[tuple[str, str], Quantity]:
    return {(one.name, one.unit): one for one in quantities(card, part)}


def _rules(found: Part) -> dict[tuple[str, str], Check]:
    return {(_rule_name(place), ""): one for place, one in walk(result_of(found), Check)}


def _rule_name(place: tuple[str, ...]) -> str:
    *before, last = place
    return name_of_place((*before, last)).removesuffix(", checks")


def _settings(found: Part) -> dict[tuple[str, str], str]:
    """Return settings, versions, hash and time of a part as text."""
    if found.status == "not asked":
        return {}
    rows = {(name.replace("_", " "), ""): _said(value) for name, value in found.settings.items()}
    rows |= {(f"version of {name}", ""): value for name, value in found.versions.items()}
    if found.key is not None:
        rows["hash of all this and the model", ""] = found.key
    if found.wall_s is not None:
        rows["wall time", "s"] = f"{found.wall_s:.0f}"
    return rows


def _said(value: Any) -> str:  # noqa: ANN401 - settings are of any kind
    return value if isinstance(value, str) else json.dumps(value)


def _joined(columns: Sequence[dict[tuple[str, str], Any]]) -> list[Row]:
    """Put what has the same name and unit into one row."""
    keys = dict.fromkeys(key for column in columns for key in column)
    return [Row(*key, [column.get(key) for column in columns]) for key in keys]


def _by_part(found: Sequence[Difference]) -> dict[str, list[Difference]]:
    parts = dict.fromkeys(one.part for one in found)
    return {part: [one for one in found if one.part == part] for part in parts}
