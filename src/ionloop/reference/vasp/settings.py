"""What decides a VASP label: the settings and the POTCARs, and one hash of both.

The defaults are for ionic solids with a band gap; docs/howto/vasp.md says why each.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from ionloop.document import Document

#: INCAR tags that belong to the kind of run, to the cell, or to a field of `VaspSettings`.
OWN_TAGS = """
    ALGO EDIFF ENCUT PREC LREAL ISMEAR SIGMA ISYM NELM ISPIN MAGMOM GGA METAGGA NELECT NSW
    IBRION ISIF POTIM TEBEG TEEND SMASS MDALGO EDIFFG IMAGES SPRING LCLIMB IOPT KSPACING
    RANDOM_SEED LWAVE LCHARG
"""

#: INCAR tags of the functionals.
FUNCTIONAL_TAGS: dict[str, dict[str, str]] = {
    "PBE": {"GGA": "PE"},
    "PBEsol": {"GGA": "PS"},
    "r2SCAN": {"METAGGA": "R2SCAN"},
}


class VaspSettings(Document):
    """All that decides a VASP label; the defaults are for ionic solids with a band gap."""

    functional: Literal["PBE", "PBEsol", "r2SCAN"] = Field(
        "PBE", description="Exchange and correlation."
    )
    encut: float = Field(520.0, gt=0, description="Plane-wave cut-off, eV.")
    ediff: float = Field(1e-6, gt=0, description="Electronic convergence, eV a cell.")
    prec: Literal["Accurate", "Normal"] = Field("Accurate", description="Grids, PREC.")
    lreal: bool | Literal["Auto"] = Field(
        False,  # noqa: FBT003
        description="Projectors in real space; False is exact.",
    )
    algo: Literal["Normal", "All"] = Field("Normal", description="Electronic minimizer.")
    nelm: int = Field(100, ge=1, description="Electronic steps allowed.")
    ismear: int = Field(0, ge=-5, description="Smearing; 0 is Gaussian.")
    sigma: float = Field(0.05, gt=0, description="Width of the smearing, eV.")
    isym: Literal[-1, 0] = Field(0, description="Symmetry: none but k and -k, or none at all.")
    k_spacing: float = Field(
        0.5, gt=0, description="Largest distance of k-points, 1/Å, with the factor 2 pi."
    )
    k_mesh: tuple[int, int, int] | None = Field(
        None, description="A mesh for all cells, centred on Gamma, in place of `k_spacing`."
    )
    stress: bool = Field(True, description="Whether stress is computed and trained on.")  # noqa: FBT003
    spin_polarized: bool = Field(False, description="ISPIN 2.")  # noqa: FBT003
    moments: dict[str, float] = Field(
        default={}, description="Starting moments by element, Bohr magnetons; 0.6 for others."
    )
    magnetization: float | None = Field(
        None, description="Magnetization that a cell must end with, Bohr magnetons; None: any."
    )
    potcar_set: str = Field("PBE_54", description="POTCAR release, in pymatgen's words.")
    potcars: dict[str, str] = Field(
        default={}, description="POTCAR symbols by element; the recommended ones for others."
    )
    potcar_sha256: dict[str, str] = Field(
        default={}, description="Hashes of the POTCARs by element; set at launch."
    )
    incar: dict[str, bool | int | float | str | list] = Field(
        default={}, description="INCAR tags besides, as IVDW or LDAUU."
    )
    version: str = Field("6.4", description="VASP version; 6.4 stands for 6.4.x.")

    @field_validator("incar")
    @classmethod
    def _no_own_tags(cls, tags: dict[str, Any]) -> dict[str, Any]:
        tags = {key.upper(): value for key, value in tags.items()}
        if taken := sorted(set(OWN_TAGS.split()).intersection(tags)):
            msg = f"expected tags that no field sets, got {taken}; use the fields instead"
            raise ValueError(msg)
        return tags


class AimdSettings(Document):
    """Cheaper settings of molecular dynamics: it explores, its numbers are never labels.

    A few per cent of error in the forces change which configurations are visited, not what
    is learned: every frame that is kept is computed again with `VaspSettings`.
    """

    encut: float = Field(400.0, gt=0, description="Plane-wave cut-off, eV.")
    ediff: float = Field(1e-5, gt=0, description="Electronic convergence, eV a cell.")
    prec: Literal["Accurate", "Normal"] = Field("Normal", description="Grids, PREC.")
    lreal: bool | Literal["Auto"] = Field("Auto", description="Projectors in real space.")
    k_mesh: tuple[int, int, int] = Field((1, 1, 1), description="k-points, centred on Gamma.")


def label_incar(dft: VaspSettings) -> dict[str, Any]:
    """Return the INCAR of a static label, without what belongs to one cell."""
    return {
        "ALGO": dft.algo,
        "EDIFF": dft.ediff,
        "ENCUT": dft.encut,
        "PREC": dft.prec,
        "LREAL": dft.lreal,
        "ISMEAR": dft.ismear,
        "SIGMA": dft.sigma,
        "ISYM": dft.isym,
        "NELM": dft.nelm,
        "NELMIN": 4,
        "ISPIN": 2 if dft.spin_polarized else 1,
        **FUNCTIONAL_TAGS[dft.functional],
        # Gradient corrections inside the PAW spheres: oxides and meta-GGAs need them.
        "LASPH": True,
        "LMAXMIX": 4,
        # Nothing is read that another run left, nor written that nobody reads.
        "ISTART": 0,
        "ICHARG": 2,
        "LWAVE": False,
        "LCHARG": False,
        "IBRION": -1,
        "NSW": 0,
        "ISIF": 2 if dft.stress else 0,
        **dft.incar,
    }


def mesh_of(cell: np.ndarray, dft: VaspSettings) -> tuple[int, int, int]:
    """Return the k-point mesh of a cell.

    Parameters
    ----------
    cell
        Lattice vectors as rows, shape [3, 3], Å.
    dft
        The settings.

    Returns
    -------
    tuple[int, int, int]
        The stated mesh, or VASP's ``max(1, ceil(|b_i| / KSPACING))``.
    """
    if dft.k_mesh is not None:
        return dft.k_mesh
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
    counts = np.maximum(np.ceil(lengths / dft.k_spacing - 1e-6), 1)
    return tuple(int(n) for n in counts)  # type: ignore[return-value]


def describe(dft: VaspSettings) -> dict[str, Any]:
    """Return the settings as the hash takes them: what every label has in common."""
    return {
        "code": "vasp",
        "version": dft.version,
        "functional": dft.functional,
        "incar": {key: plain_value(value) for key, value in sorted(label_incar(dft).items())},
        "k_points": {"spacing": dft.k_spacing, "mesh": list(dft.k_mesh) if dft.k_mesh else None},
        "moments": dft.moments,
        "magnetization": dft.magnetization,
        "potcar_set": dft.potcar_set,
        "potcars": {
            el: {"symbol": symbol, "sha256": dft.potcar_sha256.get(el)}
            for el, symbol in sorted(dft.potcars.items())
        },
        "electrons": "of the neutral atoms, less the frame's charge",
        "energy": "free energy, which the forces belong to",
    }


def plain_value(value: Any) -> Any:  # noqa: ANN401
    """Write an INCAR value in one way, however VASP or pymatgen spell it."""
    if isinstance(value, str):
        return {"T": True, ".TRUE.": True, "F": False, ".FALSE.": False}.get(
            value.upper(), value.strip().lower()
        )
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(f"{value:.8g}")
    if isinstance(value, (list, tuple)):
        return [plain_value(x) for x in value]
    return value
