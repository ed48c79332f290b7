"""What a CP2K input says besides the settings that we know: any of it may decide a label.

Only what is known to decide none is left out: names, printing, geometry, how the electrons
get to the end and how the atoms move.
"""

from __future__ import annotations

import re

from ionloop.reference.importers.cp2k_input import FREE, Cp2kInputFile, element_of, input_table

DFT, KIND = "FORCE_EVAL/DFT", r"FORCE_EVAL/SUBSYS/KIND [^/]+"
#: Sections that say nothing by being there.
PLAIN = re.compile(
    rf"FORCE_EVAL(/SUBSYS(/(CELL|TOPOLOGY|COORD))?)?|{DFT}(/(QS|MGRID|SCF|POISSON|XC|XC/XC_GRID))?"
    rf"|{KIND}|MOTION"
)
#: What :mod:`~ionloop.reference.importers.cp2k_settings` reads, or the reader of structures.
READ = re.compile(
    rf"{DFT}/(QS/(METHOD|EPS_DEFAULT)|MGRID/(CUTOFF|REL_CUTOFF|NGRIDS)|SCF/(EPS_SCF|ADDED_MOS)|"
    r"SCF/SMEAR(/(METHOD|ELECTRONIC_TEMPERATURE|ELEC_TEMP|TEMPERATURE))?|"
    r"XC/XC_GRID/(XC_SMOOTH_RHO|XC_DERIV)|XC/XC_FUNCTIONAL(/[^/]+(/PARAMETRIZATION)?)?|"
    r"(UKS|UNRESTRICTED_KOHN_SHAM|LSD|SPIN_POLARIZED|MULTIPLICITY)|KPOINTS(/.*)?|"
    r"XC/(VDW_POTENTIAL|HF)(/.*)?)$|"
    rf"{KIND}/(ELEMENT|BASIS_SET|POTENTIAL)$|"
    r"FORCE_EVAL/(STRESS_TENSOR|SUBSYS/CELL/(ABC|ALPHA_BETA_GAMMA|MULTIPLE_UNIT_CELL))$"
)
#: What decides no label: files, starts, the way to self-consistency, velocities.
HARMLESS = re.compile(
    rf"{DFT}/((BASIS_SET|POTENTIAL|RESTART)_FILE_NAME|QS/EXTRAPOLATION(_ORDER)?|"
    r"SCF/(MAX_SCF|MAX_SCF_HISTORY|MAX_ITER_LUMO|MAX_DIIS|EPS_SCF_HISTORY|EPS_DIIS|EPS_LUMO|"
    r"NROW_BLOCK|NCOL_BLOCK|LEVEL_SHIFT|CHOLESKY|IGNORE_CONVERGENCE_FAILURE|"
    r"(DIAGONALIZATION|MIXING|OT)(/.*)?|OUTER_SCF(/(MAX_SCF|EPS_SCF|STEP_SIZE|OPTIMIZER))?))$|"
    rf"{KIND}/(MAGNETIZATION|MASS)$|"
    r"FORCE_EVAL/SUBSYS/(VELOCITY|RNG_INIT|TOPOLOGY/|CELL/(SYMMETRY|CANONICALIZE))|"
    r"MOTION/(?!CONSTRAINT|FREE_ENERGY|BAND)"
)
#: A restart file repeats the data that it has names for.
REPEATED = re.compile(rf"{KIND}/(BASIS|POTENTIAL)/")
#: CP2K's defaults of what is often written out, as the table has them.
DEFAULTS = {
    "FORCE_EVAL/METHOD": ("QS", "QUICKSTEP"),
    "FORCE_EVAL/SUBSYS/CELL/PERIODIC": ("XYZ",),
    f"{DFT}/MGRID/PROGRESSION_FACTOR": ("3",),
    f"{DFT}/MGRID/COMMENSURATE": ("FALSE",),
    f"{DFT}/POISSON/PERIODIC": ("XYZ",),
    f"{DFT}/POISSON/POISSON_SOLVER": ("PERIODIC",),
    f"{DFT}/POISSON/PSOLVER": ("PERIODIC",),
    f"{DFT}/SCF/SMEAR/FIXED_MAGNETIC_MOMENT": ("-100",),
    f"{DFT}/SURFACE_DIPOLE_CORRECTION": ("FALSE",),
    f"{DFT}/SURF_DIP_CORR": ("FALSE",),
    **{f"{DFT}/XC/{kind}_CUTOFF": ("1e-10",) for kind in ("DENSITY", "GRADIENT", "TAU")},
}
KIND_DEFAULTS = {"GHOST": ("FALSE",)}


def other_input(given: Cp2kInputFile) -> dict[str, str]:
    """Return what may decide a label and that nobody interprets, by its path in the input."""
    found: dict[str, str] = {}
    for path, value in input_table(given.root).items():
        if not _is_harmless(path, value, given):
            key = re.sub(r"/KIND ([^/]+)", lambda m: f"/KIND {element_of(m[1])}", path)
            found[key] = f"{found[key]} | {value}" if found.get(key, value) != value else value
    sections = [part for part in given.root.subsections if part.name == "FORCE_EVAL"]
    if len(sections) > 1:
        found["FORCE_EVAL"] = f"{len(sections)} sections"
    return dict(sorted(found.items()))


def _is_harmless(path: str, value: str, given: Cp2kInputFile) -> bool:
    """Whether a line of the input says nothing of a label that other settings don't say."""
    if not path.startswith(("FORCE_EVAL", "MOTION")) or FREE.match(path):
        return True
    if ".restart" in given.path.name and REPEATED.match(path):
        return True
    defaults = DEFAULTS.get(path, KIND_DEFAULTS.get(path.rpartition("/")[2], ()))
    if value in defaults or (PLAIN.fullmatch(path) and value not in ("OFF", "FALSE")):
        return True
    if path.endswith("/FIXED_MAGNETIC_MOMENT"):  # ours hold a stated multiplicity by it
        return float(value) == float(given.number(f"{DFT}/MULTIPLICITY", 0)) - 1
    several = " & " in value and not path.endswith("_FILE_NAME")  # as an auxiliary basis set
    read = READ.match(path) is not None and not several
    return read or HARMLESS.match(path) is not None
