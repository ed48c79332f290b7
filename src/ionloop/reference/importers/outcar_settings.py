"""The settings that an OUTCAR states in its header: fewer than vasprun.xml has.

VASP 6 repeats the INCAR at the top, and what it doesn't repeat is VASP's default. VASP 5
keeps silent on ``IVDW``, ``LUSE_VDW``, ``ADDGRID``, on the letter of ``LREAL`` and on
``KSPACING``: an INCAR beside it is asked; without one they are unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ionloop.errors import ImportLabelsError
from ionloop.reference.importers.compare import OTHER_TAGS
from ionloop.reference.importers.incar import other_tags
from ionloop.reference.importers.vasp_settings import (
    ENERGY,
    NUMBERS,
    OPTIONS,
    first_letter,
    functional,
    hubbard_table,
    incar_tags,
    mesh_settings,
    potcar_table,
    set_temperature,
    spacing_mesh,
    whole_charge,
)

#: Where a header states a tag.
TAGS: dict[str, str] = {
    "ENCUT": r"^   ENCUT  =\s*([\d.]+)",
    "EDIFF": r"^   EDIFF  =\s*(\S+)",
    "ISMEAR": r"^   ISMEAR =\s*(-?\d+)",
    "SIGMA": r"SIGMA  =\s*(\S+)",
    "ISPIN": r"^   ISPIN  =\s*(\d)",
    "PREC": r"^   PREC   =\s*(\S+)",
    "AEXX": r"^   AEXX\s*=\s*(\S+)",
    "HFSCREEN": r"^   HFSCREEN\s*=\s*(\S+)",
    "IVDW": r"^   IVDW\s*=\s*(\d+)",
}
SWITCHES: dict[str, str] = {
    key: rf"^   {key}\s*=\s*\.?([TFtf])"
    for key in ("LASPH", "LHFCALC", "LSORBIT", "LUSE_VDW", "ADDGRID")
}


def from_outcar(
    header: str, beside: dict[str, str] | None = None
) -> tuple[dict[str, Any], list[str], list[int] | None]:
    """Return what an OUTCAR's header states.

    Parameters
    ----------
    header
        Its text up to the first electronic step.
    beside
        The INCAR of the same folder, which stands in where VASP 5 repeats none.

    Returns
    -------
    tuple
        The settings, the keys that it doesn't state, and the mesh of k-points.
    """
    titles = potcar_titles(header)
    version = re.match(r"\s*vasp\.(\d+(?:\.\w+(?:-\w+)*)*)", header)
    incar = incar_echo(header) or beside
    stated = _stated(header, incar)
    metagga = re.search(r"^   METAGGA=\s*(\S+)", header, re.MULTILINE)
    gga = re.search(r"^   GGA     =\s*(\S+)", header, re.MULTILINE)
    found: dict[str, Any] = {
        "code": "vasp",
        "functional": functional(
            gga[1] if gga else "--",
            (incar or {}).get("METAGGA") or (metagga[1] if metagga else "--"),
            titles,
        ),
        "incar": incar_tags(stated) | other_tags(incar or {}),
        "potcars": potcar_table(titles),
        "energy": ENERGY,
    }
    if version:
        found["version"] = version[1].lower()
    hubbard = re.search(r"LDA\+U is selected, type is set to LDAUTYPE =\s*(\d)", header)
    if hubbard:
        found["incar"]["LDAUTYPE"] = int(hubbard[1])
        found["hubbard"] = _hubbard(header, titles)
    described, used = _kpoints(header, incar or {})
    if described:
        found["k_points"] = described
    known = {*NUMBERS, *OPTIONS, "PREC", "LREAL", "LASPH"}
    unknown = [f"incar.{key}" for key in sorted(known - stated.keys())]
    unknown += [] if incar is not None else [OTHER_TAGS]
    return found, unknown + [k for k in ("version", "k_points") if k not in found], used


def _stated(header: str, incar: dict[str, str] | None) -> dict[str, Any]:
    """Return the values of the tags that a header states; VASP 6 states all, by its INCAR."""
    stated: dict[str, Any] = {}
    for key, pattern in TAGS.items():
        if text := re.search(pattern, header, re.MULTILINE):
            stated[key] = text[1]
    for key, pattern in SWITCHES.items():
        if text := re.search(pattern, header, re.MULTILINE):
            stated[key] = text[1].upper() == "T"
    if "IVDW" in stated:
        stated["IVDW"] = int(stated["IVDW"])
    if incar is not None:
        for key, default in OPTIONS.items():
            word = str(incar.get(key, default))
            told = int(word) if key == "IVDW" else first_letter(word) == "T"
            stated.setdefault(key, told)
    if (lreal := _lreal(header, incar)) is not None:
        stated["LREAL"] = lreal
    return stated


def potcar_titles(header: str) -> list[str]:
    """Return the POTCARs' titles in order; each is listed twice, the first time in one block."""
    titles = re.findall(r"^   TITEL  =\s*(.+?)\s*$", header, re.MULTILINE)
    listed = re.findall(r"^ POTCAR:\s*(.+?)\s*$", header, re.MULTILINE)
    return titles or listed[: (len(listed) + 1) // 2]


def incar_echo(header: str) -> dict[str, str] | None:
    """Return the INCAR that VASP 6 repeats in its OUTCAR; None where there is none."""
    block = re.search(r"^ INCAR:\n((?:   .*\n)+)", header, re.MULTILINE)
    if block is None:
        return None
    return incar_text(block[1]) or None


def incar_text(text: str) -> dict[str, str]:
    """Return an INCAR's tags as text."""
    lines = (re.split("[#!]", line)[0] for row in text.splitlines() for line in row.split(";"))
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {key.strip().upper(): value.strip() for key, value in pairs}


def _lreal(header: str, incar: dict[str, str] | None) -> str | None:
    """Return LREAL's letter; T in the header may be Auto, On or True, which differ."""
    resolved = re.search(r"^   LREAL  =\s*(\S+)", header, re.MULTILINE)
    if incar is not None and "LREAL" in incar:
        return first_letter(incar["LREAL"])
    if resolved and first_letter(resolved[1]) == "F":
        return "F"
    return None


def _hubbard(header: str, titles: Sequence[str]) -> dict[str, list[float]]:
    rows = {
        key: re.search(rf"{text}.*?=\s*([-\d. ]+)$", header, re.MULTILINE)
        for key, text in (
            ("LDAUL", "angular momentum for each species"),
            ("LDAUU", "U \\(eV\\)"),
            ("LDAUJ", "J \\(eV\\)"),
        )
    }
    return hubbard_table(titles, {k: row[1].split() for k, row in rows.items() if row})


def mesh(header: str) -> list[int] | None:
    """Return the divisions of an automatic mesh of k-points."""
    found = re.search(r"generate k-points for:\s+(\d+)\s+(\d+)\s+(\d+)", header)
    return [int(n) for n in found.groups()] if found else None


def _kpoints(header: str, incar: dict[str, str]) -> tuple[dict[str, Any] | None, list[int] | None]:
    """Describe the k-points; only VASP 6 says whether a KSPACING made the mesh."""
    number = re.search(r"NKPTS =\s*(\d+)", header)
    block = header.split("k-points in reciprocal lattice and weights", 1)
    if number is None or len(block) < 2:
        return None, None
    rows = block[1].splitlines()[1 : 1 + int(number[1])]
    points = np.array([row.split()[:3] for row in rows], float)
    spacing, divisions = None, mesh(header)
    if "KSPACING" in incar and divisions is not None:
        spacing = float(incar["KSPACING"].split()[0])
        if divisions != spacing_mesh(_first_cell(header), spacing):
            spacing = None  # a KPOINTS file overrides it
    gamma = first_letter(incar.get("KGAMMA", "T")) == "T"
    return mesh_settings(divisions, points, spacing, gamma=gamma)


def _first_cell(header: str) -> np.ndarray:
    """Return the first cell, shape [3, 3], Å."""
    rows = header.split("direct lattice vectors", 1)[1].splitlines()[1:4]
    return np.array([re.sub(r"(\d)-(\d)", r"\1 -\2", row).split()[:3] for row in rows], float)


def charge(header: str, path: Path) -> int:
    """Return the cell's charge, e: valence electrons of the POTCARs less NELECT.

    Raises
    ------
    ImportLabelsError
        If the header doesn't have them, or the charge isn't whole.
    """
    zvals = re.findall(r"ZVAL   =\s*([\d.]+)\s+mass and valenz", header)
    row = re.search(r"^   ZVAL   =((?:\s*\d+\.\d+)+)", header, re.MULTILINE)
    counts = re.search(r"ions per type =((?:\s+\d+)+)", header)
    electrons = re.search(r"^   NELECT =\s*(\S+)", header, re.MULTILINE)
    numbers = counts[1].split() if counts else []
    if len(zvals) != len(numbers) and row:
        zvals = row[1].split()
    if len(zvals) != len(numbers) or not numbers or electrons is None:
        msg = (
            f"{path}: expected ZVAL of each of {len(numbers)} types and NELECT in the header, got "
            f"{len(zvals)}; without them the cell's charge isn't known: give the vasprun.xml"
        )
        raise ImportLabelsError(msg)
    valence = sum(int(n) * float(zval) for n, zval in zip(numbers, zvals, strict=True))
    return whole_charge(valence - float(electrons[1]), path)


def temperature(header: str) -> float | None:
    """Return the set temperature of a molecular-dynamics run, K."""
    found = re.search(r"TEBEG\s*=\s*([\d.]+);\s*TEEND\s*=\s*([\d.]+)", header)
    ibrion = re.search(r"^   IBRION =\s*(-?\d+)", header, re.MULTILINE)
    if not (found and ibrion) or int(ibrion[1]) != 0:
        return None
    return set_temperature(float(found[1]), float(found[2]))


def max_scf(header: str) -> int | None:
    """Return NELM, the most electronic steps allowed."""
    found = re.search(r"^   NELM   =\s*(\d+)", header, re.MULTILINE)
    return int(found[1]) if found else None
