"""The stand-in's reading of an INCAR, as strict as VASP's."""

from __future__ import annotations

import re
from pathlib import Path

from ionloop.testing.vasp_std.refusals import refuse, refuse_tag

#: Tags by what VASP reads; others aren't checked.
INTEGERS = """
    NELM NELMIN NELMDL NSW IBRION ISIF ISMEAR ISPIN ISYM IMAGES ISTART ICHARG LMAXMIX IOPT
    MDALGO KPAR NCORE NPAR IVDW NBANDS NEDOS NBLOCK KBLOCK NFREE
"""
REALS = """
    ENCUT ENAUG EDIFF EDIFFG SIGMA POTIM TEBEG TEEND NELECT SMASS SPRING KSPACING AMIX BMIX
    NUPDOWN PSTRESS SYMPREC MAXMOVE
"""
LOGICALS = """
    LWAVE LCHARG LASPH LCLIMB ADDGRID KGAMMA LELF LVTOT LVHAR LDAU LHFCALC LSORBIT LPLANE
    LMIXTAU LAECHG LUSE_VDW LDIPOL NLSPLINE
"""
#: Words that a tag can have, by their first letters in capitals; VASP's wiki.
WORDS = {
    "ALGO": ("N", "V", "F", "A", "C", "D", "E", "G", "S", "B", "T"),
    "PREC": ("L", "M", "H", "N", "S", "A"),
    "LREAL": ("T", "F", ".T", ".F", "A", "O"),
}


def read_incar(path: Path) -> dict[str, str]:
    """Read the tags of an INCAR as text, names in capitals; refuse values that can't be read."""
    if not path.exists():
        refuse("No INCAR found, STOPPING")
    text = re.sub(r"\\[ \t]*\n", " ", path.read_text())
    tags: dict[str, str] = {}
    for line in text.splitlines():
        for item in re.split(r"[#!]", line)[0].split(";"):
            if "=" in item:
                key, value = item.split("=", 1)
                tags.setdefault(key.strip().upper(), value.strip())  # the first one counts
    for key, value in tags.items():
        _check(key, value)
    return tags


def _check(key: str, value: str) -> None:
    integer, number, logical = (key in names.split() for names in (INTEGERS, REALS, LOGICALS))
    words = value.split()
    if not words and (integer or number or logical or key in WORDS):
        refuse_tag(key, found=0)
    if (
        (integer and not re.fullmatch(r"[-+]?\d+", words[0]))
        or (number and real(words[0]) is None)
        or (logical and not re.match(r"\.?[TF]", words[0].upper()))
        or (key in WORDS and not words[0].upper().startswith(WORDS[key]))
    ):
        refuse_tag(key)
    if key == "ISPIN" and int(words[0]) not in {1, 2}:
        refuse_tag(key, 0, 1)


def real(word: str) -> float | None:
    """Read a Fortran number; None if it is none."""
    try:
        return float(re.sub("[dD]", "e", word))
    except ValueError:
        return None


def expand(value: str) -> list[float]:
    """Read a list with repetitions, as ``4*0.6 2*0``."""
    numbers: list[float] = []
    for word in value.split():
        times, _, number = word.rpartition("*")
        if not re.fullmatch(r"\d*", times) or real(number) is None:
            break  # VASP stops reading at the first word that is no number
        numbers += [float(real(number) or 0.0)] * int(times or 1)
    return numbers
