"""The settings of a VASP run, as its own files state them.

They have the shape of a :class:`~ionloop.reference.base.Reference`'s settings: functional,
INCAR tags that decide the numbers (those at VASP's default only if no label can do without),
k-points, POTCARs by title, and every other tag that isn't known to decide none. How a run went
about it (``ALGO``, ``NELM``, ``NSW``) isn't there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ionloop.errors import ImportLabelsError
from ionloop.reference.importers.incar import other_tags

#: Which energy is read: part of the settings, since labels of two kinds mustn't mix.
ENERGY = "free energy, which the forces belong to"
#: Tags that every label states.
NUMBERS = {"ENCUT": float, "EDIFF": float, "ISMEAR": int, "SIGMA": float, "ISPIN": int}
#: Tags that are stated where they aren't VASP's default.
OPTIONS: dict[str, Any] = {
    "ADDGRID": False,
    "IVDW": 0,
    "LHFCALC": False,
    "LSORBIT": False,
    "LUSE_VDW": False,
}
#: What hybrids add.
HYBRID = ("AEXX", "HFSCREEN")
#: Names of functionals by GGA, and by METAGGA.
FUNCTIONALS = {"PE": "PBE", "PS": "PBEsol", "RP": "RPBE", "RE": "revPBE", "CA": "LDA", "91": "PW91"}
METAGGAS = {"R2SCAN": "r2SCAN"}
#: Functional that a POTCAR brings where the INCAR names none.
POTCAR_FUNCTIONAL = {"PAW_PBE": "PE", "PAW": "CA", "PAW_LDA": "CA", "PAW_GGA": "91"}
PRECISIONS = {"A": "accurate", "N": "normal", "S": "single", "L": "low", "M": "medium", "H": "high"}
PROJECTORS = {"F": False, "T": True, "O": "on", "A": "auto"}


def mesh_settings(
    mesh: Sequence[int] | None, kpoints: np.ndarray, spacing: float | None, *, gamma: bool
) -> tuple[dict[str, Any], list[int] | None]:
    """Describe how k-points were chosen.

    Parameters
    ----------
    mesh
        Divisions of an automatic mesh; None for a list of points.
    kpoints
        The points used, shape [n, 3], in reciprocal lattice vectors.
    spacing
        KSPACING, if the mesh was made of it, 1/Å.
    gamma
        KGAMMA: whether such a mesh is centred on Gamma, or half a division off where its
        number of divisions is even.

    Returns
    -------
    tuple
        The settings: ``spacing`` and ``mesh``, one of which is None, and the mesh's ``shift``
        from Gamma; or ``points``. And the mesh that was used.
    """
    if mesh is None and len(kpoints) == 1 and not kpoints.any():
        mesh = [1, 1, 1]
    if mesh is None:
        return {"points": kpoints.tolist()}, None
    used = [int(n) for n in mesh]
    shift = np.mod(np.round(kpoints[0] * used, 4), 1.0).tolist()
    if spacing is not None:
        return {"spacing": spacing, "mesh": None, "shift": "none" if gamma else "parity"}, used
    return {"spacing": None, "mesh": used, "shift": shift}, used


def spacing_mesh(cell: np.ndarray, spacing: float) -> list[int]:
    """Return VASP's mesh of a cell and a KSPACING: at least one, :math:`|b_i| / s` rounded up.

    Source: the VASP manual, KSPACING; b with the factor 2 pi.
    """
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
    return [max(1, int(np.ceil(length / spacing - 1e-6))) for length in lengths]


def functional(gga: str, metagga: str, titles: Sequence[str]) -> str:
    """Return a functional's name; the POTCARs' where the INCAR has none."""
    metagga = metagga.strip().upper()
    if metagga not in ("", "--", "NONE", "F"):
        return METAGGAS.get(metagga, metagga)
    gga = gga.split("!", maxsplit=1)[0].strip().upper()
    if gga in ("", "--"):
        families = {POTCAR_FUNCTIONAL.get(title.split()[0], title.split()[0]) for title in titles}
        gga = "+".join(sorted(families))
    return FUNCTIONALS.get(gga, gga)


def potcar_table(titles: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return symbol and title of the POTCARs by element; two kinds of one share an entry."""
    table: dict[str, set[str]] = {}
    for title in titles:
        table.setdefault(potcar_element(title), set()).add(" ".join(title.split()))
    return {
        element: {
            "symbol": " / ".join(title.split()[1] for title in sorted(found)),
            "title": " / ".join(sorted(found)),
        }
        for element, found in sorted(table.items())
    }


def potcar_element(title: str) -> str:
    """Return the element of a title such as ``PAW_PBE Li_sv 10Sep2004``.

    Raises
    ------
    ValueError
        If it has none.
    """
    if found := re.match(r"\S+\s+([A-Z][a-z]?)", title.strip()):
        return found[1]
    msg = f"expected a POTCAR's title such as 'PAW_PBE Li_sv 10Sep2004', got {title!r}"
    raise ValueError(msg)


def hubbard_table(titles: Sequence[str], incar: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return l, U and J by element, eV; those without U are left out.

    The INCAR's own lists: ``parameters`` of VASP 5.4's vasprun.xml have the first number only.
    """
    columns = [incar.get(key) or [] for key in ("LDAUL", "LDAUU", "LDAUJ")]
    table = {}
    for i, title in enumerate(titles):
        ell, u, j = (float(c[i]) if i < len(c) else 0.0 for c in columns)
        if u or j:
            table[potcar_element(title)] = [ell, u, j]
    return table


def first_letter(value: object) -> str:
    """Return PREC or LREAL by its first letter, as VASP reads it: Auto and A are one."""
    if isinstance(value, bool):
        return "T" if value else "F"
    return str(value).strip().lstrip(".")[:1].upper()


def incar_tags(stated: Mapping[str, Any]) -> dict[str, Any]:
    """Write tags in one way, and leave out options at their default.

    Parameters
    ----------
    stated
        Values by tag, as far as a file states them.
    """
    tags: dict[str, Any] = {k: kind(stated[k]) for k, kind in NUMBERS.items() if k in stated}
    if "PREC" in stated:
        tags["PREC"] = PRECISIONS.get(first_letter(stated["PREC"]), stated["PREC"])
    if "LREAL" in stated:
        tags["LREAL"] = PROJECTORS.get(first_letter(stated["LREAL"]), stated["LREAL"])
    if "LASPH" in stated:
        tags["LASPH"] = bool(stated["LASPH"])
    tags |= {k: stated[k] for k, default in OPTIONS.items() if stated.get(k, default) != default}
    if tags.get("LHFCALC"):
        tags |= {key: float(stated[key]) for key in HYBRID if key in stated}
    return {key: tags[key] for key in sorted(tags)}


def from_vasprun(
    incar: Mapping[str, Any], parameters: Mapping[str, Any], titles: Sequence[str], version: str
) -> dict[str, Any]:
    """Return all settings of a vasprun.xml but the k-points.

    Parameters
    ----------
    incar
        Tags that the user set.
    parameters
        Tags as VASP resolved them.
    titles
        Titles of the POTCARs.
    version
        VASP's version.
    """
    metagga = str(incar.get("METAGGA") or parameters.get("METAGGA") or "--")
    stated = {**parameters, "ENCUT": parameters["ENMAX"], "IVDW": int(incar.get("IVDW", 0))}
    stated["LREAL"] = incar.get("LREAL", parameters["LREAL"])
    found: dict[str, Any] = {
        "code": "vasp",
        "version": version.strip().lower(),
        "functional": functional(str(parameters.get("GGA", "--")), metagga, titles),
        "incar": incar_tags(stated) | other_tags(incar),
        "potcars": potcar_table(titles),
        "energy": ENERGY,
    }
    if parameters.get("LDAU"):
        kind = incar.get("LDAUTYPE", parameters.get("LDAUTYPE", 2))
        found["incar"]["LDAUTYPE"] = int(kind[0] if isinstance(kind, list) else kind)
        found["hubbard"] = hubbard_table(titles, incar)
    return found


def whole_charge(charge: float, path: Path) -> int:
    """Return a charge as a whole number.

    Raises
    ------
    ImportLabelsError
        If it's none: no frame can say so.
    """
    if abs(charge - round(charge)) > 1e-3:
        msg = (
            f"{path}: expected a whole charge, got {charge:+.4f} e (valence electrons of the "
            "POTCARs less NELECT); such a cell can't be a label"
        )
        raise ImportLabelsError(msg)
    return round(charge)


def set_temperature(begin: float | None, end: float | None) -> float | None:
    """Return the temperature of a run at one temperature, K; VASP's default of 0 is none."""
    return float(begin) if begin and begin >= 1.0 and begin == end else None
