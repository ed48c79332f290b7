"""POTCARs: which one of each element, where it is, and whether it's still the same.

They are licensed and never shipped: they are read from the folder that pymatgen knows as
``PMG_VASP_PSP_DIR``. A campaign keeps their names and hashes only.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from pymatgen.core import SETTINGS, Structure
from pymatgen.io.vasp.inputs import PotcarSingle

from ionloop.errors import ReferenceSetupError
from ionloop.paths import component
from ionloop.reference.vasp.settings import VaspSettings, mesh_of

#: POTCARs of elements that `VaspSettings.potcars` doesn't name: VASP's own recommendations,
#: with the semicore electrons of mobile and of d0 cations, whose ions come close to anions.
RECOMMENDED = """
    H B C N O F Mg Al Si P S Cl Zn As Se Br Sb Te I La Fe Co Ni Cu Ag Ga_d Ge_d In_d Sn_d Bi_d
    Li_sv K_sv Ca_sv Sc_sv Ti_sv V_sv Rb_sv Sr_sv Y_sv Zr_sv Nb_sv Mo_sv Cs_sv Ba_sv W_sv
    Na_pv Cr_pv Mn_pv Hf_pv Ta_pv
"""


def psp_dir() -> Path:
    """Return the folder of the POTCARs.

    Raises
    ------
    ReferenceSetupError
        If none is set, or it isn't there.
    """
    path = SETTINGS.get("PMG_VASP_PSP_DIR")
    folder = Path(os.path.expandvars(str(path))).expanduser() if path else None
    if folder is None or not folder.is_dir():
        msg = (
            f"expected a folder of POTCARs, got {path or 'none'}; ionloop ships no POTCARs: set "
            "PMG_VASP_PSP_DIR to your licensed ones as `pmg config -p` arranges them "
            "(POT_GGA_PAW_PBE_54/POTCAR.Li_sv.gz)"
        )
        raise ReferenceSetupError(msg)
    return folder


@lru_cache
def _potcar(_folder: Path, symbol: str, potcar_set: str) -> PotcarSingle:
    return PotcarSingle.from_symbol_and_functional(symbol, potcar_set)


def potcar(symbol: str, potcar_set: str) -> PotcarSingle:
    """Read a POTCAR.

    Raises
    ------
    ReferenceSetupError
        If there is none of that name.
    """
    folder = psp_dir()
    if potcar_set not in PotcarSingle.functional_dir:
        known = list(PotcarSingle.functional_dir)
        msg = f"VaspSettings.potcar_set: expected one of {known}, got {potcar_set!r}"
        raise ReferenceSetupError(msg)
    try:
        return _potcar(folder, component(symbol, "VaspSettings.potcars"), potcar_set)
    except FileNotFoundError as error:
        where = folder / PotcarSingle.functional_dir[potcar_set]
        msg = (
            f"expected the POTCAR {symbol} in {where}, got none; name another one in "
            "VaspSettings.potcars, another release in potcar_set, or add it to PMG_VASP_PSP_DIR"
        )
        raise ReferenceSetupError(msg) from error


def potcar_digest(single: PotcarSingle) -> str:
    """Hash a POTCAR's words: white space changes when pymatgen joins several into a file."""
    return hashlib.sha256(" ".join(single.data.split()).encode()).hexdigest()


def bind(dft: VaspSettings, structure: Structure) -> VaspSettings:
    """Fill in what depends on the material: POTCARs with hashes, and one k-point mesh.

    Strained cells share the mesh: a mesh that follows the cell makes energies jump.

    Raises
    ------
    ReferenceSetupError
        If a POTCAR isn't there, is another element's, or needs a higher cut-off.
    """
    ready = with_potcars(dft, sorted({site.specie.symbol for site in structure}))
    return ready.model_copy(update={"k_mesh": mesh_of(structure.lattice.matrix, dft)})


def with_potcars(dft: VaspSettings, elements: list[str]) -> VaspSettings:
    """Fill in symbols and hashes of the POTCARs of these elements.

    Raises
    ------
    ReferenceSetupError
        If one isn't there, is another element's, or needs a higher cut-off.
    """
    recommended = {symbol.split("_")[0]: symbol for symbol in RECOMMENDED.split()}
    symbols = dict(dft.potcars)
    for element in elements:
        symbols.setdefault(element, recommended.get(element, ""))
        if not symbols[element]:
            msg = f"expected a POTCAR for {element} in VaspSettings.potcars, got none; name one"
            raise ReferenceSetupError(msg)
    digests = {}
    for element, symbol in symbols.items():
        single = potcar(symbol, dft.potcar_set)
        if single.element != element:
            msg = f"VaspSettings.potcars: expected one of {element}, got {symbol}"
            raise ReferenceSetupError(msg)
        if element in elements and dft.encut < single.enmax:
            msg = (
                f"expected ENCUT of at least {single.enmax:g} eV, which {symbol} needs, got "
                f"{dft.encut:g}; raise VaspSettings.encut or name a softer POTCAR"
            )
            raise ReferenceSetupError(msg)
        digests[element] = potcar_digest(single)
    return dft.model_copy(update={"potcars": symbols, "potcar_sha256": digests})


def check_potcars(structure: Structure, dft: VaspSettings) -> None:
    """Compare the POTCARs here with those of the campaign's launch.

    Raises
    ------
    ReferenceSetupError
        If one isn't named, isn't there, or has another content.
    """
    for element in sorted({site.specie.symbol for site in structure}):
        symbol, digest = dft.potcars.get(element), dft.potcar_sha256.get(element)
        if symbol is None or digest is None:
            msg = (
                f"expected the POTCAR of {element} in the settings, got none; a campaign fills "
                "them in, elsewhere use VaspReference().bind(structure)"
            )
            raise ReferenceSetupError(msg)
        found = potcar_digest(potcar(symbol, dft.potcar_set))
        if found != digest:
            msg = (
                f"potcars.{element}: expected the {symbol} of the campaign's launch "
                f"({digest[:12]}), got another one ({found[:12]}); point PMG_VASP_PSP_DIR to the "
                "same release on all machines"
            )
            raise ReferenceSetupError(msg)
