"""CP2K's input and restart files: sections, keywords, the cell and the first positions.

CP2K's output at low print level names neither cell nor basis sets, and at any level the
cell to 0.001 Å only, so that an output without its input is no label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.calculators.cp2k import InputSection, parse_input
from ase.geometry import cellpar_to_cell

from ionloop.errors import ImportLabelsError
from ionloop.reference.folders import read_text
from ionloop.units import BOHR_ANGSTROM

#: Paths of what decides no label, or is judged by other facts: names, geometry, charge, starts.
FREE = re.compile(
    r"GLOBAL(/(?!RUN_TYPE)|$)|EXT_RESTART|(.*/)?PRINT\b|FORCE_EVAL/SUBSYS/(CELL/[ABC]$|COORD)|"
    r"FORCE_EVAL/DFT/(CHARGE|WFN_RESTART_FILE_NAME|SCF/SCF_GUESS)$"
)
LOGICAL = {"T": "TRUE", ".TRUE.": "TRUE", "F": "FALSE", ".FALSE.": "FALSE"}
LENGTHS = {"": 1.0, "ANGSTROM": 1.0, "BOHR": BOHR_ANGSTROM}


@dataclass(frozen=True)
class Cp2kInputFile:
    """An input or restart file, parsed.

    Parameters
    ----------
    path
        The file.
    root
        Its sections.
    """

    path: Path
    root: InputSection

    @classmethod
    def read(cls, path: Path) -> Cp2kInputFile:
        """Parse a file.

        Raises
        ------
        ImportLabelsError
            If it uses directives but @SET.
        """
        return cls(path, parse_input("\n".join(_expanded(path))))

    def section(self, name: str) -> InputSection | None:
        """Return a section by its path, as ``FORCE_EVAL/DFT``; None if it isn't there."""
        found: InputSection | None = self.root
        for part in name.split("/"):
            parts = [s for s in found.subsections if s.name == part] if found else []
            found = parts[0] if parts else None
        return found

    def value(self, name: str, default: str | None = None) -> str | None:
        """Return a keyword's value by its path, in any case."""
        folder, _, keyword = name.rpartition("/")
        return keyword_of(self.section(folder), keyword, default)

    def number(self, name: str, default: float) -> float | str:
        """Return a number; one in units that aren't CP2K's own stays text."""
        text = str(self.value(name, str(default)))
        try:
            return float(re.sub(r"^\[ry\]\s*", "", text, flags=re.IGNORECASE))
        except ValueError:
            return " ".join(text.split())


def keyword_of(section: InputSection | None, name: str, default: str | None) -> str | None:
    """Return the value of a section's keyword."""
    for line in section.keywords if section else []:
        word, _, rest = line.partition(" ")
        if word.upper() == name:
            return str(rest.strip() or "T")
    return default


def input_table(section: InputSection, path: str = "") -> dict[str, str]:
    """Write an input's keywords by their paths; a section stands for itself as well."""
    found: dict[str, str] = {}
    for line in section.keywords:
        name, _, value = line.partition(" ")
        key = f"{path}{name.upper()}"
        value = " ".join(input_words(value)) or "TRUE"
        found[key] = f"{found[key]} & {value}" if key in found else value
    for part in section.subsections:
        params = " ".join(input_words(part.params or ""))
        name = f"{path}{part.name} {params}" if part.name == "KIND" else f"{path}{part.name}"
        found[name] = params or "ON"
        found |= input_table(part, f"{name}/")
    return found


def input_words(text: str) -> list[str]:
    """Cut a text into words, with numbers and logical values each in one way."""
    return [_word(word.upper()) for word in text.split()]


def _word(word: str) -> str:
    try:
        return f"{float(word):.12g}"
    except ValueError:
        return LOGICAL.get(word, word)


def _expanded(path: Path) -> Iterator[str]:
    """Yield a file's lines without comments, with @SET's variables put in."""
    variables: dict[str, str] = {}
    for raw in (read_text(path) or "").splitlines():
        line = re.sub(r"\s*[#!].*$", "", raw).replace("\t", " ")
        line = re.sub(r"\$\{?(\w+)\}?", lambda m: variables.get(m[1].upper(), m[0]), line).strip()
        if line.upper().startswith("@SET"):
            _, name, value = line.split(None, 2)
            variables[name.upper()] = value
        elif line.startswith("@"):
            msg = f"{path}: {line.split()[0]} isn't understood; give the run's .restart file"
            raise ImportLabelsError(msg)
        else:
            yield line


def is_true(text: str | None) -> bool:
    """Whether a logical keyword is on."""
    return str(text or "F").strip().strip(".").upper() in ("T", "TRUE", "ON", "YES")


def is_off(section: InputSection) -> bool:
    """Whether a section is there, and switched off."""
    return str(section.params or "").strip().strip(".").upper() in ("F", "FALSE", "OFF", "NO")


def element_of(name: str) -> str:
    """Return the element of a kind's name, as Li of ``Li_1``.

    Raises
    ------
    ImportLabelsError
        If it has none.
    """
    if found := re.match("[A-Za-z]{1,2}", name.strip()):
        return found[0].capitalize()
    msg = f"expected an element, got {name!r}; name kinds by their elements"
    raise ImportLabelsError(msg)


def cell_of(given: Cp2kInputFile) -> np.ndarray:
    """Return the lattice vectors as rows, shape [3, 3], Å.

    Raises
    ------
    ImportLabelsError
        If the input has none, or repeats its cell.
    """
    cell = given.section("FORCE_EVAL/SUBSYS/CELL")
    vectors = [keyword_of(cell, key, None) for key in "ABC"]
    lengths = keyword_of(cell, "ABC", None)
    copies = (keyword_of(cell, "MULTIPLE_UNIT_CELL", "1 1 1") or "").split()
    if copies != ["1", "1", "1"]:
        msg = f"{given.path}: MULTIPLE_UNIT_CELL isn't understood; give the run's .restart file"
        raise ImportLabelsError(msg)
    if all(vectors):
        return np.array([_lengths(str(v), given.path) for v in vectors])
    if lengths is None:
        msg = f"{given.path}: expected a CELL with A, B, C or ABC, got none"
        raise ImportLabelsError(msg)
    angles = keyword_of(cell, "ALPHA_BETA_GAMMA", "90 90 90") or ""
    parameters = [*_lengths(lengths, given.path), *(float(x) for x in angles.split()[-3:])]
    return np.array(cellpar_to_cell(parameters))


def _lengths(text: str, path: Path) -> list[float]:
    """Return three lengths, Å."""
    found = re.match(r"(?:\[(\w+)\])?\s*(.*)", text)
    unit = (found[1] or "").upper() if found else "?"
    if found is None or unit not in LENGTHS:
        msg = f"{path}: expected lengths in angstrom or bohr, got {text!r}"
        raise ImportLabelsError(msg)
    return [float(x) * LENGTHS[unit] for x in found[2].split()[:3]]


def coordinates_of(given: Cp2kInputFile, cell: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return symbols and Cartesian positions, shape [n, 3], Å.

    Raises
    ------
    ImportLabelsError
        If the input has no coordinates that are understood.
    """
    coord = given.section("FORCE_EVAL/SUBSYS/COORD")
    name = given.value("FORCE_EVAL/SUBSYS/TOPOLOGY/COORD_FILE_NAME")
    scaled, unit = False, ""
    if coord is not None:
        scaled = is_true(keyword_of(coord, "SCALED", "F"))
        unit = (keyword_of(coord, "UNIT", "") or "").strip("[]").upper()
        rows = [k.split() for k in coord.keywords if k.split()[0].upper() not in ("SCALED", "UNIT")]
    elif name is not None and (text := read_text(given.path.parent / Path(name).name)):
        rows = [line.split() for line in text.splitlines()[2:] if line.split()]
    else:
        msg = f"{given.path}: expected coordinates in COORD or an xyz file, got none"
        raise ImportLabelsError(msg)
    if unit not in LENGTHS:
        msg = f"{given.path}: expected coordinates in angstrom or bohr, got {unit}"
        raise ImportLabelsError(msg)
    positions = np.array([row[1:4] for row in rows], float).reshape(-1, 3)
    positions = positions @ cell if scaled else positions * LENGTHS[unit]
    return [element_of(row[0]) for row in rows], positions
