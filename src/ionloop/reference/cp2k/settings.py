"""What decides a CP2K label: settings, basis sets and pseudopotentials.

Gaussian and plane waves, GTH potentials; by default PBE, Gamma point only, restricted.
Two choices are unusual and decide the cost:

- Lithium has a basis of our own (``data/BASIS_ION``): the core contraction of
  DZVP-GTH with a split valence, without the diffuse tail that only a free atom needs.
- The density on the grid is smoothed (``XC_SMOOTH_RHO NN10``, ``XC_DERIV
  SPLINE2_SMOOTH``), which lowers the egg-box error of oxides at 300 Ry tenfold. The
  stress is then wrong by GPa and depends on the cut-off: smoothing and stress exclude
  each other.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from ionloop.document import Document
from ionloop.errors import ReferenceSetupError
from ionloop.paths import component
from ionloop.settings import get_settings

#: Name of the basis file that this package ships.
OWN_BASIS_FILE = "BASIS_ION"
#: What isn't physics, or is written in another way.
UNHASHED: Any = {"schema_version": True, "kinds": True, "smearing": {"schema_version"}}


class Kind(Document):
    """Basis set and pseudopotential of one element, by name."""

    basis: str = Field(description="Name of the basis set.")
    basis_file: str = Field(description="File in CP2K's data folder, or BASIS_ION, our own.")
    potential: str = Field(description="Name of the pseudopotential.")


class Smearing(Document):
    """Occupations by Fermi and Dirac; energies are then free energies of the electrons."""

    temperature: float = Field(gt=0, description="Temperature of the electrons, K.")
    added_mos: int = Field(
        ge=1, description="Orbitals above the occupied ones, of each spin; the last stays empty."
    )


class Cp2kSettings(Document):
    """All that decides a CP2K label."""

    functional: Literal["PBE", "PBEsol", "r2SCAN"] = Field(
        "PBE", description="Exchange and correlation."
    )
    stress: bool = Field(False, description="Whether stress is computed and trained on.")  # noqa: FBT003
    spin_polarized: bool = Field(False, description="Unrestricted Kohn and Sham.")  # noqa: FBT003
    multiplicity: int | None = Field(
        None, ge=1, description="2S + 1 of the cell; None: the lowest, or free if smeared."
    )
    smearing: Smearing | None = Field(None, description="Fractional occupations; None: none.")
    k_mesh: tuple[int, int, int] | None = Field(
        None, description="Monkhorst and Pack's mesh; None: the Gamma point."
    )
    cutoff: float = Field(300.0, gt=0, description="Cut-off of the finest grid, Ry.")
    rel_cutoff: float = Field(40.0, gt=0, description="Cut-off that maps Gaussians to grids, Ry.")
    n_grids: int = Field(4, ge=1, description="Grid levels.")
    smoothing: bool = Field(True, description="NN10 density and SPLINE2_SMOOTH derivatives.")  # noqa: FBT003
    eps_default: float = Field(1e-8, gt=0, description="Accuracy of integrals, hartree.")
    eps_scf: float = Field(1e-5, gt=0, description="Largest change of the density matrix.")
    max_scf: int = Field(60, ge=1, description="Electronic steps of a static calculation.")
    mixing_alpha: float = Field(0.4, gt=0, le=1, description="Share of the new density, Broyden.")
    n_broyden: int = Field(8, ge=1, description="Steps that Broyden's mixing remembers.")
    basis_family: str = Field(
        "DZVP-MOLOPT-SR-GTH", description="Basis of elements that `kinds` doesn't name."
    )
    basis_file: str = Field("BASIS_MOLOPT", description="File of `basis_family`.")
    potential_family: str = Field(
        "GTH-PBE", description="Potential of elements that `kinds` doesn't name."
    )
    potential_file: str = Field("GTH_POTENTIALS", description="File of the pseudopotentials.")
    kinds: dict[str, Kind] = Field(
        default={
            "Li": Kind(basis="DZVP-ION-GTH-q3", basis_file=OWN_BASIS_FILE, potential="GTH-PBE-q3")
        },
        description="Elements with a basis of their own.",
    )
    version: str = Field("2023.1", description="CP2K version; another one's labels are refused.")

    @field_validator("k_mesh")
    @classmethod
    def _gamma_is_none(cls, mesh: tuple[int, int, int] | None) -> tuple[int, int, int] | None:
        if mesh and min(mesh) < 1:
            msg = f"expected a k_mesh of three positive numbers, got {mesh}"
            raise ValueError(msg)
        return None if mesh == (1, 1, 1) else mesh

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.stress and self.smoothing:
            msg = (
                "expected stress or smoothing, got both: the smoothed density's pressure is wrong "
                "by GPa; set smoothing=False and a cutoff that the forces are converged with"
            )
            raise ValueError(msg)
        if self.multiplicity not in (None, 1) and not self.spin_polarized:
            msg = (
                f"expected spin_polarized=True with multiplicity {self.multiplicity}, got False: "
                "restricted orbitals hold pairs"
            )
            raise ValueError(msg)
        if self.k_mesh and self.spin_polarized and (self.multiplicity or not self.smearing):
            msg = (
                "expected smearing and no multiplicity with spin_polarized and a k_mesh, got "
                f"{self.smearing} and {self.multiplicity}: CP2K 2023.1 holds no moment at k-points"
            )
            raise ValueError(msg)
        return self


@dataclass(frozen=True)
class MdSettings:
    """Molecular dynamics with CP2K: it explores, so its numbers are never labels.

    Parameters
    ----------
    temperature
        Set temperature, K; CP2K draws the first velocities from it.
    n_steps
        Steps.
    time_step
        Time step, fs.
    store_every
        Steps between stored frames.
    seed
        Seed of velocities and thermostat.
    time_constant
        Time constant of the CSVR thermostat, fs.
    eps_scf
        Convergence of the electrons; 1e-5 keeps the drift below 0.3 meV/atom in 20 fs.
    orbital_transformation
        Minimize orbitals instead of diagonalizing.
    """

    temperature: float
    n_steps: int
    time_step: float
    store_every: int
    seed: int
    time_constant: float = 50.0
    eps_scf: float = 1e-5
    orbital_transformation: bool = True


def data_file(name: str) -> Path:
    """Find a file of basis sets or potentials.

    Raises
    ------
    ReferenceSetupError
        If it isn't there.
    """
    if name == OWN_BASIS_FILE:
        return Path(str(files("ionloop.reference") / "data" / name))
    path = get_settings().cp2k_data_dir / component(name, "CP2K's data file")
    if not path.is_file():
        msg = (
            f"expected CP2K's data file {path}, got nothing; install Debian's cp2k-data, or set "
            "IONLOOP_CP2K_DATA_DIR to CP2K's data folder"
        )
        raise ReferenceSetupError(msg)
    return path


@lru_cache
def _entries(path: Path, _mtime: float) -> dict[tuple[str, str], str]:
    """Index a CP2K data file by element and name."""
    found: dict[tuple[str, str], list[str]] = {}
    current: list[str] = []
    for line in path.read_text().splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if re.fullmatch("[A-Z][a-z]?", words[0]) and len(words) > 1:
            current = []
            for name in words[1:]:
                found.setdefault((words[0], name), current)
        current.append(line)
    return {key: "\n".join(lines) + "\n" for key, lines in found.items()}


def entries(name: str) -> dict[tuple[str, str], str]:
    """Return the texts in a data file, by (element, name)."""
    path = data_file(name)
    return _entries(path, path.stat().st_mtime)


def kind_of(symbol: str, dft: Cp2kSettings) -> Kind:
    """Return the basis and potential of an element.

    An element that ``dft.kinds`` doesn't name gets the only basis of the family, and
    the potential with the same number of electrons.

    Raises
    ------
    ReferenceSetupError
        If the data files have none for the element.
    """
    kind = dft.kinds.get(symbol)
    if kind is None:
        pattern = re.compile(re.escape(dft.basis_family) + r"-(q\d+)")
        names = [n for el, n in entries(dft.basis_file) if el == symbol and pattern.fullmatch(n)]
        if len(names) != 1:
            msg = (
                f"expected one {dft.basis_family} basis for {symbol} in {dft.basis_file}, got "
                f"{names or 'none'}; name basis and potential in Cp2kSettings.kinds"
            )
            raise ReferenceSetupError(msg)
        electrons = names[0].rsplit("-", 1)[1]
        potential = f"{dft.potential_family}-{electrons}"
        kind = Kind(basis=names[0], basis_file=dft.basis_file, potential=potential)
    for name, file in ((kind.basis, kind.basis_file), (kind.potential, dft.potential_file)):
        if (symbol, name) not in entries(file):
            msg = (
                f"expected {name} for {symbol} in {file}, got none; name another one in "
                "Cp2kSettings.kinds"
            )
            raise ReferenceSetupError(msg)
    return kind


def describe(dft: Cp2kSettings) -> dict[str, Any]:
    """Return the settings with hashes of the data files: what a label's hash is made of.

    Raises
    ------
    ReferenceSetupError
        If a data file is missing.
    """
    names = {dft.basis_file, dft.potential_file, *(k.basis_file for k in dft.kinds.values())}
    digests = {n: hashlib.sha256(data_file(n).read_bytes()).hexdigest() for n in sorted(names)}
    return {
        "code": "cp2k",
        **dft.model_dump(mode="json", exclude=UNHASHED),
        "kinds": {el: [k.basis, k.basis_file, k.potential] for el, k in dft.kinds.items()},
        "data_files": digests,
        "solver": "diagonalization, Broyden mixing",
        "charge": "of the frame",
    }
