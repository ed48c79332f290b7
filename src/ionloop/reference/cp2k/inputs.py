"""What CP2K is asked: the input sets of atomate2's Makers, made of our settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from atomate2.cp2k.sets.base import Cp2kInputGenerator, Cp2kInputSet
from pymatgen.core import Molecule, Structure
from pymatgen.io.cp2k.inputs import (
    Cp2kInput,
    GaussianTypeOrbitalBasisSet,
    GthPotential,
    Keyword,
    Section,
)
from pymatgen.io.vasp.inputs import Kpoints

from ionloop.reference.cp2k.fixes import (
    electronic_steps,
    kinds_by_element,
    known_warnings,
    thermostat_keyword,
)
from ionloop.reference.cp2k.settings import Cp2kSettings, MdSettings, entries, kind_of

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


def _xc_input(dft: Cp2kSettings) -> dict[str, Any]:
    """Return the functional's changes; pymatgen takes PBE and r2SCAN by name."""
    changes: dict[str, Any] = {}
    if dft.functional == "PBEsol":
        changes["XC_FUNCTIONAL"] = {"PBE": {"PARAMETRIZATION": "PBESOL"}}
    if dft.smoothing:
        changes["XC_GRID"] = {"XC_SMOOTH_RHO": "NN10", "XC_DERIV": "SPLINE2_SMOOTH"}
    return changes


def _smearing_input(dft: Cp2kSettings) -> dict[str, Any]:
    """Return the SCF section's changes; a stated multiplicity fixes the moment."""
    if dft.smearing is None:
        return {}
    added = [dft.smearing.added_mos] * (2 if dft.spin_polarized else 1)
    changes: dict[str, Any] = {"ADDED_MOS": Keyword("ADDED_MOS", *added)}
    if dft.spin_polarized and dft.multiplicity:
        changes["SMEAR"] = {"FIXED_MAGNETIC_MOMENT": float(dft.multiplicity - 1)}
    return changes


def base_input(symbols: list[str], dft: Cp2kSettings) -> dict[str, Any]:
    """Return the arguments of pymatgen's ``DftSet`` that all our calculations share."""
    scf = {
        **electronic_steps(dft.max_scf),
        "PRINT": {"RESTART": _off("RESTART")},
        **_smearing_input(dft),
    }
    changes: dict[str, Any] = {"SCF": scf, "XC": _xc_input(dft)}
    silent = dict.fromkeys(("dos", "pdos", "v_hartree", "e_density", "mo_cubes"), False)
    return {
        "basis_and_potential": _kinds_input(symbols, dft),
        "xc_functionals": "PBE" if dft.functional == "PBEsol" else dft.functional,
        "cutoff": dft.cutoff,
        "rel_cutoff": dft.rel_cutoff,
        "ngrids": dft.n_grids,
        "eps_default": dft.eps_default,
        "eps_scf": dft.eps_scf,
        "ot": False,
        "smearing": dft.smearing is not None,
        "elec_temp": dft.smearing.temperature if dft.smearing else 0.0,
        "spin_polarized": dft.spin_polarized,
        "multiplicity": dft.multiplicity or 0,
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
        generator = _Filled(
            config_dict={"cp2k_input": self.input_settings(symbols), "KPOINTS": {}},
            user_kpoints_settings=self.k_points(),
        )
        with known_warnings():
            return generator.get_input_set(structure, prev_dir, optional_files)

    def input_settings(self, symbols: list[str]) -> dict[str, Any]:
        """Return the arguments of ``DftSet`` and of its methods."""
        result = base_input(symbols, self.dft)
        if self.dft.stress:
            result["override_default_params"]["FORCE_EVAL"]["STRESS_TENSOR"] = "ANALYTICAL"
        return {**result, "run_type": "ENERGY_FORCE"}

    def k_points(self) -> Kpoints | None:
        """Return the mesh; None leaves the section out, which is the Gamma point."""
        return Kpoints.monkhorst_automatic(self.dft.k_mesh) if self.dft.k_mesh else None


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

    Smeared occupations and k-points are diagonalized, as labels are.

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
        if run.orbital_transformation and self.dft.smearing is None and self.k_points() is None:
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
    """Return an input without what ASE adds itself: project, cell and coordinates."""
    trimmed = Cp2kInput.from_str(str(cp2k_input))
    del trimmed["GLOBAL"]["PROJECT_NAME"]
    subsys = trimmed["FORCE_EVAL"]["SUBSYS"]
    del subsys["CELL"]
    del subsys["COORD"]
    return kinds_by_element(str(trimmed))
