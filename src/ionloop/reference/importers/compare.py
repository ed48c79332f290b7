"""Whether what a file says of its settings is what was expected.

Three answers, since files don't say all: the same, other ones, or nothing that proves it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ionloop.reference.base import flatten
from ionloop.reference.importers.incar import DEFAULTS, HARMLESS, INTERPRETED, plain_tag
from ionloop.reference.importers.vasp_settings import spacing_mesh

#: Keys of a reference's settings that say how, or what other keys say as well.
ELSEWHERE = ({
    "incar.GGA", "incar.METAGGA", "potcar_set", "electrons", "schema_version",
    "max_scf", "mixing_alpha", "n_broyden", "charge", "basis_family", "basis_file",
    "potential_family", "stress",
})  # fmt: skip
#: In a list of unknown keys: all tags of the INCAR that no other key names.
OTHER_TAGS = "incar.*"
#: Tables by element: those of elements that the other side doesn't have don't matter.
TABLES = ("potcars", "kinds", "hubbard", "moments")


@dataclass(frozen=True)
class Comparison:
    """What speaks against two settings being the same.

    Parameters
    ----------
    differing
        Keys with another value than expected, with both values.
    unproven
        Expected keys of which the file says nothing.
    """

    differing: list[str]
    unproven: list[str]


@dataclass(frozen=True)
class Stated:
    """What a file says of its settings.

    Parameters
    ----------
    settings
        As far as it says.
    unknown
        Keys that it doesn't state.
    mesh
        Mesh of k-points that was used.
    cell
        Lattice vectors as rows, shape [3, 3], Å, of the first structure.
    """

    settings: Mapping[str, Any]
    unknown: Sequence[str] = ()
    mesh: Sequence[int] | None = None
    cell: np.ndarray | None = None


def compare(expected: Mapping[str, Any], stated: Stated) -> Comparison:
    """Compare what a file says with expected settings.

    Parameters
    ----------
    expected
        Settings of a reference, or of another file.
    stated
        What the file says.

    Returns
    -------
    Comparison
        Empty where the file proves that the settings are the same.
    """
    here, there = dict(expected), dict(stated.settings)
    if "code" in here and "code" in there and here["code"] != there["code"]:
        return Comparison([f"code: expected {here['code']}, got {there['code']}"], [])
    differing, unproven = _compare_kpoints(here.pop("k_points", None), stated)
    there.pop("k_points", None)
    if "kinds" in here and "kinds" in there:
        here["kinds"] = _kinds_of(here, there["kinds"])
    left, right = flatten(here), flatten(there)
    elements = _elements(here) & _elements(there)
    for key in sorted(left.keys() | right.keys()):
        if _is_free(key, left, right, elements):
            continue
        silent = key in left and key not in right and not _could(key, right, stated.unknown)
        if key in stated.unknown or silent:
            unproven.append(key)
        elif not _same(key, left.get(key), right.get(key)):
            differing.append(f"{key}: expected {_short(left, key)}, got {_short(right, key)}")
    return Comparison(differing, unproven)


def _is_free(
    key: str, left: Mapping[str, Any], right: Mapping[str, Any], elements: set[str]
) -> bool:
    """Whether a key may differ without another label."""
    table, _, rest = key.partition(".")
    return (
        key in ELSEWHERE
        or (table == "incar" and rest in HARMLESS)
        or key == "k_points"
        or (table in TABLES and rest.split(".")[0] not in elements)
        # A reference knows its POTCARs by symbol and hash.
        or (key.endswith(".title") and key not in left)
        # Anything will do.
        or (left.get(key, 0) is None and key not in right)
    )


def merge(expected: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Add to the tables by element those elements that only a later file has.

    A family of basis sets has all kinds that it doesn't name: those were compared with it.
    """
    merged = dict(expected)
    for table in TABLES:
        if table in settings and not (table == "kinds" and "basis_family" in expected):
            merged[table] = {**settings[table], **expected.get(table, {})}
    return merged


def _elements(settings: Mapping[str, Any]) -> set[str]:
    for table in ("potcars", "kinds"):
        if table in settings:
            return set(settings[table])
    return set()


def _could(key: str, stated: Mapping[str, Any], unknown: Sequence[str]) -> bool:
    """Whether a file that lacks a key says by that that it has the default."""
    table, _, tag = key.partition(".")
    if stated.get(table, "") is None:
        return True  # the whole table isn't there, as no smearing
    if table != "incar" or stated.get("code") != "vasp":
        return False
    return tag in DEFAULTS and tag != "LDAU" if tag in INTERPRETED else OTHER_TAGS not in unknown


def _same(key: str, expected: Any, got: Any) -> bool:  # noqa: ANN401
    if key.startswith("incar."):
        return _same_tag(key.removeprefix("incar."), expected, got)
    if key == "solver":  # how its density is mixed is no matter
        expected, got = (str(text).partition(",")[0] for text in (expected, got))
    if key == "version":
        short, long = sorted((str(expected), str(got)), key=len)
        return long == short or long.startswith((f"{short}.", f"{short}-"))
    if {expected in (None, False, 0), got in (None, False, 0)} == {True}:
        return True  # options at their default may be stated or not
    return _alike(expected, got)


def _same_tag(tag: str, expected: Any, got: Any) -> bool:  # noqa: ANN401
    """Compare an INCAR tag's values; one that isn't set has VASP's default, where known."""
    default = DEFAULTS.get(tag)
    values = [plain_tag(default if value is None else value) for value in (expected, got)]
    return _alike(*values)


def _alike(expected: Any, got: Any) -> bool:  # noqa: ANN401
    if isinstance(expected, list) and isinstance(got, list):
        return len(expected) == len(got) and all(map(_alike, expected, got))
    numbers = _number(expected), _number(got)
    if None not in numbers:  # YAML has 1e-6 as text
        return math.isclose(numbers[0], numbers[1], rel_tol=1e-9)  # type: ignore[arg-type]
    if isinstance(expected, str) and isinstance(got, str):
        return expected.lower() == got.lower()
    return expected == got


def _number(value: Any) -> float | None:  # noqa: ANN401
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _short(flat: Mapping[str, Any], key: str) -> str:
    text = str(flat[key]) if key in flat else "nothing"
    return text if len(text) <= 40 else f"{text[:37]}..."


def _compare_kpoints(
    expected: Mapping[str, Any] | None, stated: Stated
) -> tuple[list[str], list[str]]:
    """Compare k-points: by mesh where one is expected, by spacing else.

    A file that states a mesh only proves a spacing where VASP makes this mesh of it.
    """
    got = stated.settings.get("k_points")
    if expected is None and got is None:
        return [], []
    if expected is None:
        return [f"k_points: expected nothing, got {got}"], []
    if got is None:
        return [], ["k_points"]
    if "points" in expected or "points" in got:
        same = expected.get("points") == got.get("points")
    elif expected.get("mesh"):
        shift = expected.get("shift") or [0.0, 0.0, 0.0]
        same = list(stated.mesh or []) == list(expected["mesh"]) and _shift(stated, got) == shift
    elif got.get("spacing"):
        same = _same("", expected["spacing"], got["spacing"])
        same = same and expected.get("shift", "none") == got.get("shift", "none")
    else:
        spacing = float(expected["spacing"])
        made = None if stated.cell is None else spacing_mesh(stated.cell, spacing)
        shift = [0.5 * (n % 2 == 0) for n in made or []]
        shift = shift if expected.get("shift") == "parity" else [0.0, 0.0, 0.0]
        same = made == list(got["mesh"]) and shift == list(got["shift"])
    return ([] if same else [f"k_points: expected {dict(expected)}, got {dict(got)}"]), []


def _shift(stated: Stated, got: Mapping[str, Any]) -> list[float]:
    """Return a mesh's shift from Gamma in divisions."""
    if got.get("shift") == "parity":
        return [0.5 * (n % 2 == 0) for n in stated.mesh or []]
    return [0.0, 0.0, 0.0] if got.get("shift") == "none" else list(got["shift"])


def _kinds_of(expected: Mapping[str, Any], got: Mapping[str, Any]) -> dict[str, Any]:
    """Write CP2K's kinds as files state them; those of the family are filled in."""
    kinds = {
        element: {"basis": kind[0], "potential": kind[-1]} if isinstance(kind, list) else kind
        for element, kind in expected["kinds"].items()
    }
    family = expected.get("basis_family")
    for element, kind in got.items():
        if element not in kinds and family:
            # A basis has a name with and one without its electrons; pymatgen writes the latter.
            short = kind["basis"] == family
            found = re.search(r"-(q\d+)$", kind["potential"]) if short else None
            found = found or re.fullmatch(re.escape(family) + r"-(q\d+)", kind["basis"])
            electrons = found[1] if found else "q?"
            kinds[element] = {
                "basis": family if short and found else f"{family}-{electrons}",
                "potential": f"{expected['potential_family']}-{electrons}",
            }
    return kinds
