"""Which INCAR tags decide a label: all that aren't known to decide none.

Those that :mod:`~ionloop.reference.importers.vasp_settings` reads are written there; those
here that say how a run goes, what it writes or how its atoms move are left out; any other
tag that the user set is part of the settings, whatever it does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: How a run goes about it: no converged label depends on it.
HOW = {
    *("ALGO", "NELM", "NELMIN", "NELMDL", "ISTART", "ICHARG", "ISYM", "LMAXMIX"),
    *("IBRION", "NSW", "ISIF", "MDALGO", "POTIM", "TEBEG", "TEEND", "SMASS"),
    *("LWAVE", "LCHARG", "NWRITE", "NCORE", "KPAR", "NPAR"),
}
#: What besides decides no label. Bands (IMAGES) and biased dynamics aren't here: their forces
#: aren't the energy's alone. Steps of VASP's own force field are told by their output.
HARMLESS = {
    *HOW,
    # work shared among processors
    *("NSIM", "NBLK", "LPLANE", "LSCALAPACK", "LSCALU", "LSCAAWARE", "LASYNC", "LELPA"),
    # what is written
    *("SYSTEM", "LVTOT", "LVHAR", "LELF", "LORBIT", "RWIGS", "NEDOS", "EMIN", "EMAX", "LAECHG"),
    *("LPARD", "LDAUPRINT", "LORBMOM", "LH5", "LWAVEH5", "LCHARGH5", "NBLOCK", "KBLOCK"),
    *("NPACO", "APACO", "KPOINT_BSE"),
    # where the electrons start, and how they get to the end
    *("MAGMOM", "INIWAV", "IALGO", "NBANDS", "NRMM", "LDIAG", "LSUBROT", "TIME", "DEPER"),
    *("WEIMIN", "EBREAK", "NMIN", "AMIX", "BMIX", "AMIN", "AMIX_MAG", "BMIX_MAG", "IMIX"),
    *("MAXMIX", "MIXPRE", "INIMIX", "MREMOVE", "WC"),
    # how atoms and cell move; an external pressure's energy is taken off again
    *("EDIFFG", "NFREE", "PSTRESS", "PMASS", "LANGEVIN_GAMMA", "LANGEVIN_GAMMA_L"),
    *("ANDERSEN_PROB", "CSVR_PERIOD", "NHC_NCHAINS", "NHC_PERIOD", "NHC_NRESPA", "NHC_NS"),
    *("TSUBSYS", "PSUBSYS", "NSUBSYS", "RANDOM_SEED", "SYMPREC"),
}
#: What other keys of the settings, or the cell's charge, say.
INTERPRETED = {
    *("ENCUT", "ENMAX", "EDIFF", "ISMEAR", "SIGMA", "ISPIN", "PREC", "LREAL", "LASPH"),
    *("ADDGRID", "IVDW", "LHFCALC", "LSORBIT", "LUSE_VDW", "AEXX", "HFSCREEN", "NELECT"),
    *("GGA", "METAGGA", "KSPACING", "KGAMMA", "LDAU", "LDAUTYPE", "LDAUL", "LDAUU", "LDAUJ"),
}
#: VASP's defaults of tags that are often written out; a tag that isn't here has none.
DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(("ADDGRID", "LHFCALC", "LSORBIT", "LUSE_VDW", "LDAU"), False),
    **dict.fromkeys(("LNONCOLLINEAR", "LDIPOL", "LMONO", "LSPIRAL", "LSOL", "LCALCEPS"), False),
    **dict.fromkeys(("IVDW", "IDIPOL", "EFIELD"), 0),
    "NUPDOWN": -1,
    "EPSILON": 1,
}


def other_tags(incar: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tags that decide a label and that nobody interprets, each in one form.

    Parameters
    ----------
    incar
        Tags that the user set, as text or parsed.
    """
    plain = {key.upper(): plain_tag(value) for key, value in incar.items()}
    return {
        key: value
        for key, value in sorted(plain.items())
        if key not in HARMLESS | INTERPRETED
        and not key.startswith("ML_")
        and not (key in DEFAULTS and value == DEFAULTS[key])
    }


def plain_tag(value: Any) -> Any:  # noqa: ANN401
    """Write a tag's value in one way, be it an INCAR's text or parsed; one number is no list."""
    if isinstance(value, str):
        words = [_word(w) for text in re.split("[!#]", value)[0].split() for w in _copies(text)]
        if any(isinstance(word, str) for word in words):
            return " ".join(str(word) for word in words)
        return words[0] if len(words) == 1 else words
    if isinstance(value, (list, tuple)):
        plain = [plain_tag(x) for x in value]
        return plain[0] if len(plain) == 1 else plain
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.8g}")
    return value


def _copies(text: str) -> list[str]:
    """Write ``3*0.5`` as three words."""
    found = re.fullmatch(r"(\d+)\*(\S+)", text)
    return [found[2]] * int(found[1]) if found else [text]


def _word(word: str) -> Any:  # noqa: ANN401
    if word.upper().strip(".") in ("T", "TRUE", "F", "FALSE"):
        return word.upper().strip(".")[0] == "T"
    try:
        return plain_tag(float(re.sub("[dD]", "e", word)))
    except ValueError:
        return word.lower()
