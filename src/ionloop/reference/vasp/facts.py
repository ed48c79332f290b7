"""What a VASP calculation was, by its own files: settings, POTCARs, charge, magnetization."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.io.vasp.inputs import Incar, Potcar, UnknownPotcarWarning

from ionloop.reference.folders import read_text
from ionloop.reference.vasp.output import VaspRun
from ionloop.reference.vasp.potcars import potcar_digest
from ionloop.reference.vasp.settings import VaspSettings, describe, plain_value
from ionloop.units import KBAR_EV_PER_A3

#: Parameters that VASP prints as it took them, against the INCAR that it was given.
CHECKED = {"ENCUT": "ENMAX", "EDIFF": "EDIFF", "ISMEAR": "ISMEAR", "SIGMA": "SIGMA",
           "ISPIN": "ISPIN", "LASPH": "LASPH", "NELM": "NELM", "ISYM": "ISYM"}  # fmt: skip
#: INCAR tags of one cell, not of the campaign.
CELL_TAGS = frozenset({"NELECT", "MAGMOM"})
#: A magnetization that jumped is off by one electron's spin at least, Bohr magnetons.
SAME_MOMENT = 0.5


def total_charge(run: VaspRun) -> float | None:
    """Return the net charge that VASP computed, e: valence of its atoms less NELECT.

    None if the POTCAR that holds the valences isn't there.
    """
    valence = {single.element: single.zval for single in potcars_in(run.folder)}
    symbols = list(run.vasprun.atomic_symbols) if run.vasprun else []
    electrons = run.vasprun.parameters.get("NELECT") if run.vasprun else None
    if electrons is None or not valence.keys() >= set(symbols):
        return None
    return float(sum(valence[symbol] for symbol in symbols) - electrons)


def potcars_in(folder: Path) -> Potcar:
    """Read the POTCAR of a run; what pymatgen doesn't know was told at launch."""
    text = read_text(folder / "POTCAR")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownPotcarWarning)
        return Potcar.from_str(text) if text else Potcar([])


def total_moment(run: VaspRun) -> float | None:
    """Return the last magnetization in the OSZICAR, Bohr magnetons; None without ISPIN 2."""
    text = read_text(run.folder / "OSZICAR") or ""
    found = re.findall(r"mag=\s*([-+.\dEe]+)", text)
    return float(found[-1]) if found else None


def found_settings(run: VaspRun, dft: VaspSettings, inputs: Path | None = None) -> dict[str, Any]:
    """Return the settings that a calculation ran with, as :func:`describe` writes them.

    Taken from INCAR, POTCAR and KPOINTS as they are after the run, and from what VASP
    says in vasprun.xml that it took; so that an edit by custodian, by a user's
    configuration, or by VASP itself changes the hash.

    Parameters
    ----------
    run
        Where VASP wrote its results.
    dft
        What was asked.
    inputs
        Where INCAR and POTCAR stand, if not in the run's folder.
    """
    inputs = inputs or run.folder
    settings = describe(dft)
    given = Incar.from_str(read_text(inputs / "INCAR") or "")
    incar = {key: plain_value(v) for key, v in sorted(given.items()) if key not in CELL_TAGS}
    if run.vasprun is not None:
        taken = run.vasprun.parameters
        for tag, name in CHECKED.items():
            value = plain_value(taken.get(name))
            if tag in incar and value is not None and not _same(value, incar[tag]):
                incar[tag] = value
        version = str(run.vasprun.vasp_version).strip()
        if version != dft.version and not version.startswith(f"{dft.version}."):
            settings["version"] = version
        mesh = run.vasprun.kpoints.kpts[0] if run.vasprun.kpoints.kpts else ()
        if dft.k_mesh and tuple(mesh) != tuple(dft.k_mesh):
            settings["k_points"] = {**settings["k_points"], "mesh": [int(n) for n in mesh]}
        if dft.magnetization is not None:
            moment = total_moment(run)
            if moment is None or abs(moment - dft.magnetization) > SAME_MOMENT:
                settings["magnetization"] = moment
    settings["incar"] = incar
    settings["potcars"] |= found_potcars(run, dft, inputs)
    return settings


def found_potcars(run: VaspRun, dft: VaspSettings, inputs: Path) -> dict[str, dict[str, Any]]:
    """Return symbols and hashes of the POTCARs by element: by vasprun.xml, and by the file.

    An asked element without either has None: nobody knows what was used.
    """
    files = {single.element: potcar_digest(single) for single in potcars_in(inputs)}
    titles = run.vasprun.potcar_symbols if run.vasprun else []
    words = [title.split()[1:2] for title in titles]
    symbols = {word[0].split("_")[0]: word[0] for word in words if word}
    computed = set(run.vasprun.atomic_symbols) if run.vasprun else set(files)
    return {
        element: {
            "symbol": symbols.get(element) if run.vasprun else dft.potcars.get(element),
            "sha256": files.get(element),
        }
        for element in sorted(computed)
    }


def _same(a: Any, b: Any) -> bool:  # noqa: ANN401
    """Compare numbers as VASP prints them, with eight decimals."""
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) <= 1e-8 + 1e-6 * abs(b)
    return bool(a == b)


def stress_of(kilobar: Any) -> list[list[float]]:  # noqa: ANN401
    """Convert VASP's stress, kB and positive in compression, to ASE's sign in eV/Å³."""
    return (-KBAR_EV_PER_A3 * np.array(kilobar, float)).tolist()
