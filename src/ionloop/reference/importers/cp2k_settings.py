"""The settings in CP2K's input and restart files, in the shape of our own."""

from __future__ import annotations

from typing import Any

from ionloop.reference.importers.cp2k_input import (
    Cp2kInputFile,
    element_of,
    is_off,
    is_true,
    keyword_of,
)
from ionloop.reference.importers.cp2k_other import other_input

#: Functionals by CP2K's name, and by PBE's PARAMETRIZATION.
FUNCTIONALS = {"PBESOL": "PBEsol", "REVPBE": "revPBE", "ORIG": "PBE", "PADE": "LDA",
               "MGGA_C_R2SCAN+MGGA_X_R2SCAN": "r2SCAN"}  # fmt: skip
#: Sections whose text is part of the settings, where they are there and not switched off.
WHOLE = {"vdw": "DFT/XC/VDW_POTENTIAL", "hybrid": "DFT/XC/HF", "smearing": "DFT/SCF/SMEAR",
         "k_mesh": "DFT/KPOINTS"}  # fmt: skip


def settings_of(given: Cp2kInputFile, version: str) -> dict[str, Any]:
    """Return what decides a label, with CP2K's defaults, in the shape of our own settings.

    Parameters
    ----------
    given
        The input.
    version
        CP2K's version, of the output.
    """
    xc = "FORCE_EVAL/DFT/XC"
    found: dict[str, Any] = {
        "code": "cp2k",
        "version": version,
        "functional": _functional(given),
        "cutoff": given.number("FORCE_EVAL/DFT/MGRID/CUTOFF", 280.0),
        "rel_cutoff": given.number("FORCE_EVAL/DFT/MGRID/REL_CUTOFF", 40.0),
        "n_grids": int(float(given.number("FORCE_EVAL/DFT/MGRID/NGRIDS", 4))),
        "eps_default": given.number("FORCE_EVAL/DFT/QS/EPS_DEFAULT", 1e-10),
        "eps_scf": given.number("FORCE_EVAL/DFT/SCF/EPS_SCF", 1e-5),
        "smoothing": False,
        "multiplicity": None,
        "smearing": None,
        "k_mesh": None,
        "kinds": _kinds(given),
        "solver": _solver(given),
    }
    grid = tuple(
        str(given.value(f"{xc}/XC_GRID/{key}", default)).upper()
        for key, default in (("XC_SMOOTH_RHO", "NONE"), ("XC_DERIV", "PW"))
    )
    if grid == ("NN10", "SPLINE2_SMOOTH"):
        found["smoothing"] = True
    elif grid != ("NONE", "PW"):
        found["smoothing"] = " ".join(grid)
    if (method := str(given.value("FORCE_EVAL/DFT/QS/METHOD", "GPW")).upper()) != "GPW":
        found["method"] = method
    spins = ("UKS", "UNRESTRICTED_KOHN_SHAM", "LSD", "SPIN_POLARIZED")
    found["spin_polarized"] = any(is_true(given.value(f"FORCE_EVAL/DFT/{key}")) for key in spins)
    multiplicity = int(float(given.number("FORCE_EVAL/DFT/MULTIPLICITY", 0)))
    if found["spin_polarized"] and multiplicity:
        found["multiplicity"] = multiplicity
    for key, name in WHOLE.items():
        section = given.section(f"FORCE_EVAL/{name}")
        if section is not None and not is_off(section):
            found[key] = sorted(" ".join(line.split()).upper() for line in section.write())
    if found["smearing"]:
        found["smearing"] = _smearing(given) or found["smearing"]
    if found["k_mesh"]:
        found["k_mesh"] = _k_mesh(given) or found["k_mesh"]
    if other := other_input(given):
        found["input"] = other
    return found


def _solver(given: Cp2kInputFile) -> str:
    """Name what minimizes the energy: each has its own measure of convergence, EPS_SCF."""
    section = given.section("FORCE_EVAL/DFT/SCF/OT")
    on = section is not None and not is_off(section)
    return "orbital transformation" if on else "diagonalization"


def _smearing(given: Cp2kInputFile) -> dict[str, Any] | None:
    """Return Fermi and Dirac's smearing as our own settings have it; None if it's another."""
    section = given.section("FORCE_EVAL/DFT/SCF/SMEAR")
    if str(keyword_of(section, "METHOD", "")).upper() != "FERMI_DIRAC":
        return None
    names = ("ELECTRONIC_TEMPERATURE", "ELEC_TEMP", "TEMPERATURE")
    stated = (keyword_of(section, name, None) for name in names)
    temperature = next((text for text in stated if text), "300").removeprefix("[K]")
    added = str(given.value("FORCE_EVAL/DFT/SCF/ADDED_MOS", "0")).split()
    return {"temperature": float(temperature), "added_mos": int(added[0])}


def _k_mesh(given: Cp2kInputFile) -> list[int] | None:
    """Return Monkhorst and Pack's mesh; None if it's another kind of k-points."""
    scheme = str(given.value("FORCE_EVAL/DFT/KPOINTS/SCHEME", "NONE")).split()
    if scheme[0].upper() != "MONKHORST-PACK" or len(scheme) != 4:
        return None
    return [int(n) for n in scheme[1:]]


def _functional(given: Cp2kInputFile) -> str:
    section = given.section("FORCE_EVAL/DFT/XC/XC_FUNCTIONAL")
    if section is None:
        return "none"
    name = (section.params or "").strip()
    if name and name.upper() not in ("NO_SHORTCUT", "T"):
        return FUNCTIONALS.get(name.upper(), name.upper())
    parts = []
    for part in section.subsections:
        kind = keyword_of(part, "PARAMETRIZATION", None)
        parts.append(FUNCTIONALS.get(kind.upper(), kind.upper()) if kind else part.name)
    name = "+".join(sorted(parts)) or "none"
    return FUNCTIONALS.get(name, name)


def _kinds(given: Cp2kInputFile) -> dict[str, dict[str, str]]:
    """Return basis and potential by element."""
    subsys = given.section("FORCE_EVAL/SUBSYS")
    table = {}
    for kind in [s for s in subsys.subsections if s.name == "KIND"] if subsys else []:
        element = element_of(keyword_of(kind, "ELEMENT", None) or kind.params or "")
        basis = (keyword_of(kind, "BASIS_SET", "") or "").split()
        table[element] = {
            "basis": basis[-1] if basis else "",
            "potential": ((keyword_of(kind, "POTENTIAL", "") or "").split() or [""])[-1],
        }
    return dict(sorted(table.items()))
