"""Made-up POTCARs: the right header, numbers that mean nothing. None of VASP's is here."""

from __future__ import annotations

from pathlib import Path

VALENCE = {"Li": 3.0, "O": 6.0, "Cl": 7.0, "Na": 7.0}
ENMAX = {"Li": 499.0, "O": 400.0, "Cl": 262.5, "Na": 260.0}


def potcar_text(element: str, symbol: str, tail: str = "made up for a test") -> str:
    """Return a POTCAR's text."""
    title = f"PAW_PBE {symbol} 01Jan2000"
    return f"""  {title}
 {VALENCE[element]:18.14f}
 parameters from PSCTR are:
   VRHFIN ={element}: {tail}
   LEXCH  = PE
   EATOM  =   100.0000 eV,    7.3500 Ry

   TITEL  = {title}
   LULTRA =        F    use ultrasoft PP ?
   IUNSCR =        1    unscreen: 0-lin 1-nonlin 2-no
   RPACOR =    1.000    partial core radius
   POMASS =   10.000; ZVAL   =    {VALENCE[element]:.3f}    mass and valenz
   RCORE  =    1.500    outmost cutoff radius
   ENMAX  =  {ENMAX[element]:.3f}; ENMIN  =  {0.75 * ENMAX[element]:.3f} eV
   LCOR   =        T    correct aug charges
   LPAW   =        T    paw PP
   EAUG   =  600.000
END of PSCTR-controll parameters
 local part
   1.00000000000000
  0.10000000E+01  0.20000000E+01  0.30000000E+01
 End of Dataset
"""


def write_potcars(folder: Path, **symbols: str) -> Path:
    """Write POTCARs as `pmg config -p` arranges them; returns PMG_VASP_PSP_DIR."""
    symbols = symbols or {"Li": "Li_sv", "O": "O", "Cl": "Cl", "Na": "Na_pv"}
    place = folder / "POT_GGA_PAW_PBE_54"
    place.mkdir(parents=True, exist_ok=True)
    for element, symbol in symbols.items():
        (place / f"POTCAR.{symbol}").write_text(potcar_text(element, symbol))
    return folder
