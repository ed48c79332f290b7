"""What the literature says of a material: our own list, and OBELiX' table of conductivities."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field
from pymatgen.core import Composition

from ionloop.document import Document
from ionloop.errors import EvaluationError

#: Temperature of OBELiX' conductivities, K: "room temperature" in its words.
OBELIX_TEMPERATURE = 298.0
_COLUMNS = ("True Composition", "Ionic conductivity (S cm-1)", "Space group", "DOI")


class LiteratureValue(Document):
    """One published value, with its source."""

    formula: str
    phase: str = Field("", description="As the source names it; empty if it doesn't.")
    method: Literal["experiment", "AIMD", "classical MD"]
    temperature: float | None = Field(None, description="Of the conductivity, K.")
    conductivity: float | None = Field(None, description="mS/cm.")
    activation_energy: float | None = Field(None, description="eV.")
    doi: str = Field(min_length=7)
    source: str = Field(description="First author and year, or the database.")


def known_values(formula: str) -> list[LiteratureValue]:
    """Return the values of our own list for a composition.

    Parameters
    ----------
    formula
        Any formula of it; only the reduced one counts.
    """
    text = files("ionloop.report").joinpath("literature.yaml").read_text(encoding="utf-8")
    found = [LiteratureValue.model_validate(entry) for entry in yaml.safe_load(text)]
    return [value for value in found if _reduced(value.formula) == _reduced(formula)]


def obelix_values(path: Path, formula: str) -> list[LiteratureValue]:
    """Read the measured conductivities of a composition from OBELiX' ``all.csv``.

    Rows whose conductivity isn't a number, as ``<1E-10``, are left out.

    Parameters
    ----------
    path
        The file (Therrien et al., arXiv 2502.14234).
    formula
        Any formula of the composition; only the reduced one counts.

    Raises
    ------
    EvaluationError
        If the file can't be read or lacks a column.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            if missing := [name for name in _COLUMNS if name not in (rows.fieldnames or ())]:
                msg = f"{path}: expected OBELiX' all.csv, got no column {', '.join(missing)}"
                raise EvaluationError(msg)
            return list(_matching(rows, _reduced(formula)))
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: expected OBELiX' all.csv, got {type(error).__name__}: {error}"
        raise EvaluationError(msg) from error


def _matching(rows: csv.DictReader[str], formula: str) -> Iterator[LiteratureValue]:
    for row in rows:
        composition, conductivity, group, doi = (row[name] for name in _COLUMNS)
        try:
            value = 1000 * float(conductivity)
            if _reduced(composition) != formula:
                continue
        except ValueError:  # a bound, or a composition with unknown shares
            continue
        if value > 0 and len(doi) >= 7:
            yield LiteratureValue(
                formula=formula,
                phase=group.strip(),
                method="experiment",
                temperature=OBELIX_TEMPERATURE,
                conductivity=value,
                doi=doi,
                source="OBELiX",
            )


def _reduced(formula: str) -> str:
    return str(Composition(formula).reduced_formula)
