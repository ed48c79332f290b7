"""What CP2K is asked: settings, basis sets and the input sets of atomate2's Makers.

Gaussian and plane waves, PBE, GTH potentials, Gamma point only, restricted. Two
choices are unusual and decide the cost:

- Lithium has a basis of our own (``data/BASIS_ION``): the core contraction of
  DZVP-GTH with a split valence, without the diffuse tail that only a free atom needs.
- The density on the grid is smoothed (``XC_SMOOTH_RHO NN10``, ``XC_DERIV
  SPLINE2_SMOOTH``), which lowers the egg-box error of oxides at 300 Ry tenfold. The
  stress is then wrong by GPa and depends on the cut-off, so none is computed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from atomate2.cp2k.sets.base import Cp2kInputGenerator, Cp2kInputSet
from pydantic import Field
from pymatgen.core import Molecule, Structure
from pymatgen.io.cp2k.inputs import (
    Cp2kInput,
    GaussianTypeOrbitalBasisSet,
    GthPotential,
    Section,
)

from ionloop.document import Document
from ionloop.errors import ReferenceSetupError
from ionloop.reference.cp2k_fixes import known_warnings, thermostat_keyword
from ionloop.settings import get_settings

#: Orbital transformation for MD, where extrapolated orbitals are a good start.
ORBITAL_TRANSFORMATION: dict[str, Any] = {
    "ot": True,
    "minimizer": "DIIS",
    "preconditioner": "FULL_ALL",
    "algorithm": "STRICT",
    "rotation": False,
    "energy_gap": 0.08,
    "outer_max_scf": 10,
}

#: Name of the basis file that this package ships.
OWN_BASIS_FILE = "BASIS_ION"


class Kind(Document):
    """Basis set and pseudopotential of one element, by name."""

    basis: str = Field(description="Name of the basis set.")
    basis_file: str = Field(description="File in CP2K's data folder, or BASIS_ION, our own.")
    potential: str = Field(description="Name of the pseudopotential.")


class Cp2kSettings(Document):
    """All that decides a CP2K label."""

    functional: Literal["PBE"] = Field("PBE", description="Exchange and correlation.")
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
    potential_file: str = Field("GTH_POTENTIALS", description="File of the pseudopotentials.")
    kinds: dict[str, Kind] = Field(
        default={
            "Li": Kind(basis="DZVP-ION-GTH-q3", basis_file=OWN_BASIS_FILE, potential="GTH-PBE-q3")
        },
        description="Elements with a basis of their own.",
    )
    version: str = Field("2023.1", description="CP2K version; another one's labels are refused.")


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
    path = get_settings().cp2k_data_dir / name
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
        potential = f"GTH-{dft.functional}-{electrons}"
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
        **dft.model_dump(mode="json", exclude={"schema_version": True, "kinds": True}),
        "kinds": {el: [k.basis, k.basis_file, k.potential] for el, k in dft.kinds.items()},
        "data_files": digests,
        "solver": "diagonalization, Broyden mixing; restricted, no smearing, Gamma point",
        "charge": "of the frame",
    }


def _kinds_input(symbols: list[str], dft: Cp2kSettings) -> dict[str, dict[str, Any]]:
    """Basis sets and potentials as objects: atomate2 writes them into the job's folder."""
    result = {}
    for symbol in symbols:
        kind = kind_of(symbol, dft)
        basis = entries(kind.basis_file)[symbol, kind.basis]
        potential = entries(dft.potential_file)[symbol, kind.potential]
        result[symbol] = {
            "basis": GaussianTypeOrbitalBasisSet.from_str(basis),
            "potential": GthPotential.from_str(potential),
            "aux_basis": None,
        }
    return result


def _off(name: str) -> Section:
    """Return a section of output that is switched off."""
    return Section(name, section_parameters=["OFF"])


def base_input(symbols: list[str], dft: Cp2kSettings) -> dict[str, Any]:
    """Return the arguments of pymatgen's ``DftSet`` that all our calculations share."""
    # pymatgen's diagonalization ignores max_scf (always 400): set it in the section.
    scf = {"MAX_SCF": dft.max_scf, "PRINT": {"RESTART": _off("RESTART")}}
    changes: dict[str, Any] = {"SCF": scf}
    if dft.smoothing:
        changes["XC"] = {
            "XC_GRID": {"XC_SMOOTH_RHO": "NN10", "XC_DERIV": "SPLINE2_SMOOTH"},
        }
    silent = dict.fromkeys(("dos", "pdos", "v_hartree", "e_density", "mo_cubes"), False)
    return {
        "basis_and_potential": _kinds_input(symbols, dft),
        "xc_functionals": dft.functional,
        "cutoff": dft.cutoff,
        "rel_cutoff": dft.rel_cutoff,
        "ngrids": dft.n_grids,
        "eps_default": dft.eps_default,
        "eps_scf": dft.eps_scf,
        "ot": False,
        "smearing": False,
        "spin_polarized": False,
        "alpha": dft.mixing_alpha,
        "nbuffer": dft.n_broyden,
        "n_simple_mix": 0,
        "override_default_params": {"FORCE_EVAL": {"STRESS_TENSOR": "NONE", "DFT": changes}},
        **{f"print_{what}": value for what, value in silent.items()},
    }


@dataclass
class IonicSetGenerator(Cp2kInputGenerator):
    """Input sets of static calculations.

    Parameters
    ----------
    dft
        The settings.
    sort_structure
        Off: forces must come back in the frame's order of atoms.
    config_dict
        Empty: the input is made of ``dft`` when it's written, on the machine that runs.
    """

    dft: Cp2kSettings = field(default_factory=Cp2kSettings)  # type: ignore[arg-type]
    sort_structure: bool = False
    config_dict: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Rebuild the settings from their dictionary, as :meth:`as_dict` writes them."""
        if isinstance(self.dft, dict):
            self.dft = Cp2kSettings(**self.dft)

    def as_dict(self) -> dict[str, Any]:
        """Serialize; FireWorks turns a document inside a bound Maker into a string."""
        return {**super().as_dict(), "dft": self.dft.model_dump(mode="json")}

    def get_input_set(
        self,
        structure: Structure | Molecule = None,  # type: ignore[assignment]
        prev_dir: str | Path | None = None,
        optional_files: dict | Literal[False] | None = None,
    ) -> Cp2kInputSet:
        """Make the input set of a structure; see atomate2."""
        symbols = sorted({site.specie.symbol for site in structure})
        generator = _Filled(config_dict={"cp2k_input": self.input_settings(symbols)})
        with known_warnings():
            return generator.get_input_set(structure, prev_dir, optional_files)

    def input_settings(self, symbols: list[str]) -> dict[str, Any]:
        """Return the arguments of ``DftSet`` and of its methods."""
        return {**base_input(symbols, self.dft), "run_type": "ENERGY_FORCE"}


@dataclass
class _Filled(Cp2kInputGenerator):
    """atomate2's generator with our settings and no others."""

    sort_structure: bool = False

    def get_input_updates(self, *_args: object, **_kwargs: object) -> dict:
        """Nothing to update."""
        return {}


@dataclass
class IonicMdSetGenerator(IonicSetGenerator):
    """Input sets of molecular dynamics: NVT, CSVR, orbital transformation with ASPC.

    Parameters
    ----------
    md
        The run, as a dictionary of :class:`MdSettings` (jobs are stored as JSON).
    """

    md: dict = field(default_factory=dict)

    def input_settings(self, symbols: list[str]) -> dict[str, Any]:
        """Return the arguments of ``DftSet`` and of its methods."""
        run = MdSettings(**self.md)
        result = base_input(symbols, self.dft)
        changes = result["override_default_params"]
        changes["GLOBAL"] = {"SEED": run.seed}
        each = {"EACH": {"MD": run.store_every}}
        changes["MOTION"] = {
            "MD": {"THERMOSTAT": {"CSVR": {"TIMECON": run.time_constant}}},
            "PRINT": {
                **dict.fromkeys(("TRAJECTORY", "CELL", "FORCES", "STRESS"), each),
                "RESTART": _off("RESTART"),
                "RESTART_HISTORY": _off("RESTART_HISTORY"),
            },
        }
        if run.orbital_transformation:
            # It counts inner steps, with an outer loop around.
            changes["FORCE_EVAL"]["DFT"]["SCF"]["MAX_SCF"] = 25
            result |= ORBITAL_TRANSFORMATION
        return result | {
            "run_type": "MD",
            "eps_scf": run.eps_scf,
            "outer_eps_scf": run.eps_scf,
            "print_forces": False,
            "activate_motion": {
                "ensemble": "NVT",
                "temperature": run.temperature,
                "timestep": run.time_step,
                "nsteps": run.n_steps,
                "thermostat": thermostat_keyword("CSVR"),
            },
        }


def shell_template(cp2k_input: Cp2kInput) -> str:
    """Return an input without what ASE adds itself: project, cell and coordinates.

    pymatgen numbers its kinds (Li_1), ASE names them by element.
    """
    trimmed = Cp2kInput.from_str(str(cp2k_input))
    del trimmed["GLOBAL"]["PROJECT_NAME"]
    subsys = trimmed["FORCE_EVAL"]["SUBSYS"]
    del subsys["CELL"]
    del subsys["COORD"]
    return re.sub(r"(&KIND [A-Z][a-z]?)_1\b", r"\1", str(trimmed))
