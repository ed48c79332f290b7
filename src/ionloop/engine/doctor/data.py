"""Pseudopotentials and basis sets."""

from __future__ import annotations

import os
from pathlib import Path

from ionloop.engine.doctor.check import Found, Probe, Reference, Scene

_CP2K_FILES = ("GTH_POTENTIALS", "BASIS_MOLOPT")
#: pymatgen's names of releases, and the folders that `pmg config -p` makes of them.
RELEASES = {
    "PBE_54": ("POT_GGA_PAW_PBE_54", "POT_PAW_PBE_54"),
    "PBE_64": ("POT_PAW_PBE_64", "POT_GGA_PAW_PBE_64"),
    "PBE": ("POT_GGA_PAW_PBE",),
}


def potcars(_: Scene) -> Found:
    """Whether VASP's POTCARs are where pymatgen looks, and of which releases."""
    from pymatgen.core import SETTINGS

    path = SETTINGS.get("PMG_VASP_PSP_DIR")
    folder = Path(os.path.expandvars(str(path))).expanduser() if path else None
    if folder is None or not folder.is_dir():
        mend = (
            "set PMG_VASP_PSP_DIR to your licensed POTCARs as `pmg config -p` arranges them "
            "(POT_GGA_PAW_PBE_54/POTCAR.Li_sv.gz); only a VASP reference needs them"
        )
        return Found(ok=False, detail=f"no folder {path}" if path else "none set", mend=mend)
    found = {
        release: n
        for release, names in RELEASES.items()
        if (n := sum(1 for name in names for _ in (folder / name).glob("POTCAR*")))
        or (n := sum(1 for name in names for _ in (folder / name).glob("*/POTCAR*")))
    }
    mend = "arrange them by `pmg config -p`: POT_GGA_PAW_PBE_54/POTCAR.Li_sv.gz"
    if "PBE_54" not in found:
        has = ", ".join(found) or "no release that pymatgen knows"
        return Found(ok=False, detail=f"{folder}: {has}, no PBE_54", mend=mend)
    releases = ", ".join(f"{n} of {release}" for release, n in found.items())
    return Found(ok=True, detail=f"{folder}: {releases}")


def cp2k_data(scene: Scene) -> Found:
    """Whether CP2K's basis sets and potentials are there."""
    folder = scene.settings.cp2k_data_dir
    missing = [name for name in _CP2K_FILES if not (folder / name).is_file()]
    mend = "`apt-get install cp2k-data` or set IONLOOP_CP2K_DATA_DIR; only CP2K needs it"
    detail = f"no {', '.join(missing)} in {folder}" if missing else str(folder)
    return Found(ok=not missing, detail=detail, mend=mend)


PROBES = [
    Probe("potcar", potcars, reference=Reference.VASP),
    Probe("cp2k data", cp2k_data, reference=Reference.CP2K),
]
