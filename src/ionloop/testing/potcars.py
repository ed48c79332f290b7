"""Made-up POTCARs: the right header, numbers that mean nothing. None of VASP's is here.

``python -m ionloop.testing.potcars FOLDER [SYMBOL ...]`` writes them as `pmg config -p`
arranges a release, for a dry run with :mod:`ionloop.testing.vasp_std`, which takes no others.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ase.data import atomic_masses, atomic_numbers

from ionloop.errors import ReferenceSetupError

#: Stands in each of them.
MARK = "made up by ionloop"
#: Electrons and cut-offs (eV) near the real ones, where a test counts on them.
VALENCE = {"Li": 3.0, "O": 6.0, "Cl": 7.0, "Na": 7.0, "P": 5.0, "S": 6.0, "N": 5.0, "F": 7.0}
ENMAX = {"Li": 499.0, "O": 400.0, "Cl": 262.5, "Na": 260.0}
#: Written if no symbols are named.
SYMBOLS = ("Li_sv", "Na_pv", "O", "Cl", "P", "S", "F", "N")
#: Releases that pymatgen and atomate2 look for, as folders of PMG_VASP_PSP_DIR.
RELEASES = ("POT_GGA_PAW_PBE_54", "POT_PAW_PBE_64", "POT_GGA_PAW_PBE")


def potcar_text(element: str, symbol: str, tail: str = "made up for a test") -> str:
    """Return a POTCAR's text."""
    title = f"PAW_PBE {symbol} 01Jan2000"
    valence, enmax = VALENCE.get(element, 4.0), ENMAX.get(element, 300.0)
    mass = atomic_masses[atomic_numbers[element]]
    return f"""  {title}
 {valence:18.14f}
 parameters from PSCTR are:
   VRHFIN ={element}: {tail}
   LEXCH  = PE
   EATOM  =   100.0000 eV,    7.3500 Ry

   TITEL  = {title}
   LULTRA =        F    use ultrasoft PP ?
   IUNSCR =        1    unscreen: 0-lin 1-nonlin 2-no
   RPACOR =    1.000    partial core radius
   POMASS = {mass:8.3f}; ZVAL   =    {valence:.3f}    mass and valenz
   RCORE  =    1.500    outmost cutoff radius
   ENMAX  =  {enmax:.3f}; ENMIN  =  {0.75 * enmax:.3f} eV
   LCOR   =        T    correct aug charges
   LPAW   =        T    paw PP
   EAUG   =  600.000
END of PSCTR-controll parameters
 local part, {MARK}
   1.00000000000000
  0.10000000E+01  0.20000000E+01  0.30000000E+01
 End of Dataset
"""


def write_potcars(folder: Path, *symbols: str, releases: tuple[str, ...] = RELEASES[:1]) -> Path:
    """Write POTCARs as `pmg config -p` arranges them; returns PMG_VASP_PSP_DIR.

    Raises
    ------
    ReferenceSetupError
        If a symbol begins with no element.
    """
    for symbol in symbols or SYMBOLS:
        element = symbol.split("_")[0]
        if element not in atomic_numbers:
            msg = f"expected POTCAR symbols as Li_sv or Cl, got {symbol!r}"
            raise ReferenceSetupError(msg)
        for release in releases:
            place = folder / release
            place.mkdir(parents=True, exist_ok=True)
            (place / f"POTCAR.{symbol}").write_text(potcar_text(element, symbol))
    return folder


def main(arguments: list[str]) -> None:
    """Write made-up POTCARs, and say how to run VASP's stand-in with them."""
    if not arguments or arguments[0].startswith("-"):
        sys.exit("python -m ionloop.testing.potcars FOLDER [SYMBOL ...], as made-up Li_sv O Cl")
    try:
        folder = write_potcars(Path(arguments[0]), *arguments[1:], releases=RELEASES)
    except ReferenceSetupError as error:
        sys.exit(str(error))
    sys.stdout.write(
        f"export PMG_VASP_PSP_DIR={folder.resolve()}\n"
        f'export IONLOOP_VASP_CMD="{sys.executable} -m ionloop.testing.vasp_std"\n'
    )


if __name__ == "__main__":
    main(sys.argv[1:])
