"""What VASP is asked: the input sets of atomate2's Makers, made of our settings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from atomate2.vasp.sets.base import VaspInputGenerator
from pymatgen.core import Structure
from pymatgen.io.vasp.inputs import Kpoints, UnknownPotcarWarning, VaspInput
from pymatgen.io.vasp.sets import BadInputSetWarning

from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame
from ionloop.reference.vasp.potcars import check_potcars
from ionloop.reference.vasp.settings import AimdSettings, VaspSettings, label_incar, mesh_of

#: The largest first number that VASP takes in RANDOM_SEED.
RANDOM_SEED_MAX = 900_000_000
#: What dynamics go on from besides positions: pymatgen's names of a CONTCAR's blocks.
GOES_ON = ("velocities", "predictor_corrector")


def sorted_order(symbols: list[str]) -> np.ndarray:
    """Return the order in which VASP gets the atoms: by element, else as they stand.

    VASP counts each run of equal species as a type of its own, with a POTCAR each. Results
    go back by ``result[order] = vasp_result``.
    """
    return np.argsort(np.array(symbols), kind="stable")


def handedness(cell: np.ndarray | list[list[float]]) -> int:
    """Return 1 for a right-handed cell and -1 for a left-handed one, which VASP refuses.

    Times -1 its vectors span the same lattice, right-handed; so do fractional positions.
    """
    return 1 if np.linalg.det(np.array(cell)) > 0 else -1


def vasp_structure(frame: Frame) -> Structure:
    """Return a frame as it goes into a POSCAR: atoms sorted by element, right-handed, no charge.

    The charge stands in the input set: atomate2's documents lose a structure's.
    """
    order = sorted_order(frame.symbols)
    symbols = [frame.symbols[i] for i in order]
    positions = np.array(frame.positions).reshape(-1, 3)[order]
    cell = handedness(frame.cell) * np.array(frame.cell)
    return Structure(cell, symbols, positions, coords_are_cartesian=True)


def in_frame_order(values: np.ndarray, symbols: list[str]) -> np.ndarray:
    """Put VASP's values of atoms, shape [n, ...], back into the frame's order."""
    result = np.empty_like(values)
    result[sorted_order(symbols)] = values
    return result


def run_properties(structure: Structure) -> dict[str, Any]:
    """Return a CONTCAR's thermostat and cell velocities, as pymatgen's POSCAR takes them back."""
    found = dict(structure.properties)
    if "lattice_velocities" in found:  # it asks whether they are true, which an array isn't
        found["lattice_velocities"] = np.asarray(found["lattice_velocities"]).tolist()
    return found


@contextmanager
def known_warnings() -> Iterator[None]:
    """Silence what atomate2 and pymatgen say of choices that are made on purpose.

    The POTCAR release is a setting of ours; and a POTCAR that pymatgen doesn't know was
    told at launch. atomate2 0.1.5 calls deprecated names of pydantic, monty and spglib.
    """
    with warnings.catch_warnings():
        for category in (
            BadInputSetWarning, UnknownPotcarWarning, DeprecationWarning, FutureWarning
        ):  # fmt: skip
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", message="Structure charge")
        warnings.filterwarnings("ignore", message=".*is an unconverged VASP run")
        yield


@dataclass
class IonicVaspSet(VaspInputGenerator):
    """Input sets of static calculations; the base of the others.

    Parameters
    ----------
    dft
        The settings.
    charge
        Net charge of the cells, e.
    sort_structure
        Off: :func:`vasp_structure` sorts, and knows the way back.
    config_dict
        Empty: the input is made of ``dft`` when it's written, on the machine that runs.
    """

    dft: VaspSettings = field(default_factory=VaspSettings)  # type: ignore[arg-type]
    charge: int = 0
    sort_structure: bool = False
    auto_ismear: bool = False
    auto_metal_kpoints: bool = False
    inherit_incar: bool = False
    validate_magmom: bool = False
    config_dict: dict = field(default_factory=lambda: {"INCAR": {}, "POTCAR": {}})

    def __post_init__(self) -> None:
        """Rebuild the settings from their dictionary, as :meth:`as_dict` writes them."""
        if isinstance(self.dft, dict):
            self.dft = VaspSettings(**self.dft)
        super().__post_init__()

    def as_dict(self, verbosity: int = 2) -> dict[str, Any]:
        """Serialize; FireWorks turns a document inside a bound Maker into a string."""
        return {**super().as_dict(verbosity), "dft": self.dft.model_dump(mode="json")}

    def get_input_set(
        self,
        structure: Structure | None = None,
        prev_dir: str | Path | None = None,  # noqa: ARG002
        potcar_spec: bool = False,  # noqa: FBT001, FBT002
    ) -> VaspInput:
        """Make the input set of a structure whose atoms are sorted by element.

        Raises
        ------
        ReferenceSetupError
            If a POTCAR isn't there, or isn't the one of the campaign's launch.
        """
        if structure is None:
            msg = "expected a structure for VASP's input, got none"
            raise ReferenceSetupError(msg)
        check_potcars(structure, self.dft)
        # Only what a POSCAR needs; velocities and the predictor are a run's that goes on.
        kept = {k: v for k, v in structure.site_properties.items() if k in GOES_ON}
        structure = Structure(
            structure.lattice,
            structure.species,
            structure.frac_coords,
            self.charge or None,
            site_properties=kept if self.goes_on else None,
            properties=run_properties(structure) if self.goes_on else None,
        )
        tags = self.tags(structure)
        if self.dft.spin_polarized:
            symbols = {site.specie.symbol for site in structure}
            tags["MAGMOM"] = {symbol: self.dft.moments.get(symbol, 0.6) for symbol in symbols}
        with known_warnings():
            return VaspInputGenerator(
                config_dict={
                    "INCAR": {},
                    "POTCAR": self.dft.potcars,
                    "POTCAR_FUNCTIONAL": self.dft.potcar_set,
                },
                user_incar_settings=tags,
                user_kpoints_settings=Kpoints.gamma_automatic(self.mesh(structure)),
                user_potcar_functional=self.dft.potcar_set,
                use_structure_charge=bool(self.charge),
                sort_structure=False,
                auto_ismear=False,
                auto_metal_kpoints=False,
                inherit_incar=False,
                validate_magmom=False,
            ).get_input_set(structure, potcar_spec=potcar_spec)

    @property
    def goes_on(self) -> bool:
        """Whether velocities, predictor and thermostat of the structure go into the POSCAR."""
        return False

    def tags(self, structure: Structure) -> dict[str, Any]:  # noqa: ARG002
        """Return the INCAR; magnetic moments and the charge's electrons come on top."""
        return label_incar(self.dft)

    def mesh(self, structure: Structure) -> tuple[int, int, int]:
        """Return the k-point mesh, centred on Gamma."""
        return mesh_of(structure.lattice.matrix, self.dft)


@dataclass
class IonicVaspMdSet(IonicVaspSet):
    """Input sets of molecular dynamics: NVT, Nosé-Hoover, cheaper than a label.

    Parameters
    ----------
    aimd
        The cheaper settings, as a dictionary of :class:`AimdSettings`.
    run
        ``temperature`` (K), ``n_steps``, ``time_step`` (fs) and ``seed``.
    """

    aimd: dict = field(default_factory=dict)
    run: dict = field(default_factory=dict)

    @property
    def goes_on(self) -> bool:
        """Yes: a run goes on from its CONTCAR."""
        return True

    def tags(self, structure: Structure) -> dict[str, Any]:
        """Return the INCAR."""
        cheap = AimdSettings(**self.aimd)
        return super().tags(structure) | {
            "ENCUT": cheap.encut,
            "EDIFF": cheap.ediff,
            "PREC": cheap.prec,
            "LREAL": cheap.lreal,
            "IBRION": 0,
            "ISIF": 0,
            "MDALGO": 2,
            "SMASS": 0,
            "POTIM": self.run["time_step"],
            "NSW": self.run["n_steps"],
            "TEBEG": self.run["temperature"],
            "TEEND": self.run["temperature"],
            "RANDOM_SEED": [self.run["seed"] % RANDOM_SEED_MAX, 0, 0],
        }

    def mesh(self, structure: Structure) -> tuple[int, int, int]:  # noqa: ARG002
        """Return the cheaper k-point mesh."""
        return AimdSettings(**self.aimd).k_mesh


@dataclass
class IonicVaspRelaxSet(IonicVaspSet):
    """Input sets of relaxed band ends: positions only, conjugate gradients.

    Parameters
    ----------
    fmax
        Largest force at convergence, eV/Å.
    max_steps
        Steps allowed.
    """

    fmax: float = 0.03
    max_steps: int = 60

    def tags(self, structure: Structure) -> dict[str, Any]:
        """Return the INCAR."""
        return super().tags(structure) | {
            "IBRION": 2,
            "ISIF": 2 if self.dft.stress else 0,
            "EDIFFG": -self.fmax,
            "NSW": self.max_steps,
        }


@dataclass
class IonicVaspNebSet(IonicVaspRelaxSet):
    """Input sets of bands.

    Parameters
    ----------
    num_images
        Moving images; atomate2's Maker sets it.
    climb
        Climbing image and the force-based FIRE of the VTST tools, which VASP must be built
        with; else VASP's own damped dynamics, without climbing.
    """

    num_images: int = 1
    climb: bool = True

    def tags(self, structure: Structure) -> dict[str, Any]:
        """Return the INCAR."""
        band = {"IMAGES": self.num_images, "SPRING": -5, "NSW": self.max_steps}
        if self.climb:
            return super().tags(structure) | band | {
                "LCLIMB": True, "IOPT": 7, "IBRION": 3, "POTIM": 0
            }  # fmt: skip
        return super().tags(structure) | band | {"IBRION": 3, "POTIM": 0.1, "SMASS": 2}
