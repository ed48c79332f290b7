"""Files that commands take and write: dictionaries in JSON or YAML, and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from ionloop.errors import IonloopError

#: Options of commands that compare ways to choose labels.
Seeds = Annotated[int, typer.Option(min=1, help="Repeats.")]
FirstSeed = Annotated[int, typer.Option(min=0, help="Seed of the first repeat.")]
Steps = Annotated[int, typer.Option(min=1, help="Optimizer steps of each training.")]
Size = Annotated[int, typer.Option(min=2, help="Models of a committee.")]
Workers = Annotated[int, typer.Option(min=1, help="Trainings side by side.")]
Plot = Annotated[Path | None, typer.Option(help="Picture, .png, .svg or .pdf.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelFields = Annotated[
    Path | None,
    typer.Option(
        help="Fields of Hyperparameters, JSON or YAML; a small model, or the campaign's, if left "
        "out. Epochs follow from --steps.",
        show_default=False,
    ),
]


def document(path: Path, what: str) -> dict[str, Any]:
    """Read a dictionary from JSON or YAML.

    Raises
    ------
    IonloopError
        If it isn't there or is none.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # YAML would take JSON's 1e-06 for text.
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        msg = f"{path}: expected {what} as JSON or YAML, got {type(error).__name__}"
        raise IonloopError(msg) from error
    if not isinstance(found, dict) or not found:
        msg = f"{path}: expected {what} as JSON or YAML, got {type(found).__name__}"
        raise IonloopError(msg)
    return found


def check_picture(path: Path | None, *suffixes: str, option: str = "--plot") -> None:
    """Make sure, before anything is computed, that a picture can be written.

    Raises
    ------
    typer.BadParameter
        If its name ends in none of ``suffixes``, .png, .svg and .pdf if there are none.
    """
    suffixes = suffixes or (".png", ".svg", ".pdf")
    if path is not None and path.suffix not in suffixes:
        msg = f"{option}: expected a name that ends in {' or '.join(suffixes)}, got {path}"
        raise typer.BadParameter(msg)


def numbers(option: str, text: str | None) -> list[float]:
    """Read numbers that commas part; none of None.

    Raises
    ------
    typer.BadParameter
        If one is no number.
    """
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError as error:
        msg = f"{option}: expected numbers such as 600,900,1200, got {text!r}"
        raise typer.BadParameter(msg) from error


def whole_numbers(option: str, text: str) -> list[int]:
    """Read whole numbers that commas part.

    Raises
    ------
    typer.BadParameter
        If one is none.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        msg = f"{option}: expected whole numbers such as 40,80,160, got {text!r}"
        raise typer.BadParameter(msg) from error
