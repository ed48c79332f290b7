"""The material, and what its campaign may spend: everything a user must decide."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, Self

import numpy as np
from ase import Atoms
from ase.io import read
from pydantic import Field, field_validator, model_validator
from pymatgen.core import Element, Structure

from ionloop.document import Document
from ionloop.errors import ProfileError, StructureError
from ionloop.frame import Origin

#: Names of files that ASE reads.
XYZ = (".xyz", ".extxyz")
#: Below this number of temperatures a line through ln D has no error.
TRANSPORT_TEMPERATURES_MIN = 3


def _check_symbol(symbol: str) -> str:
    if not Element.is_valid_symbol(symbol):
        msg = f"expected a chemical element, got {symbol!r}; use symbols such as 'Li'"
        raise ProfileError(msg)
    return symbol


class Budget(Document):
    """How many labels a campaign may cost, and which frames they go to."""

    labels_max: int = Field(
        400,
        gt=0,
        description="Hard cap on static calculations of the reference for the whole campaign: "
        "seeds, generations and test set, refused labels too. Steps of its own molecular "
        "dynamics and bands aren't counted; those of their frames that are labelled are.",
    )
    generations_max: int = Field(8, gt=0, description="Hard cap on generations.")
    labels_per_generation: int = Field(30, gt=0, description="Labels of a generation after 0.")
    shares: dict[Origin, float] = Field(
        default={
            Origin.HOP: 0.4,
            Origin.SADDLE: 0.2,
            Origin.UNCERTAIN: 0.2,
            Origin.STRAIN: 0.1,
            Origin.RANDOM: 0.1,
        },
        description="Share of a generation's labels by origin; sums to 1.",
    )

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> Self:
        total = sum(self.shares.values())
        if min(self.shares.values(), default=0.0) < 0:
            msg = f"Budget.shares: expected no share below 0, got {dict(self.shares)}"
            raise ProfileError(msg)
        if not math.isclose(total, 1.0, abs_tol=1e-6):
            msg = f"Budget.shares: expected a sum of 1, got {total:g}; rescale the shares"
            raise ProfileError(msg)
        return self

    def left(self, spent: int, reserve: int = 0) -> int:
        """Return how many labels may still be asked, never below 0.

        Parameters
        ----------
        spent
            Frames that were asked so far, admitted or not: both cost a calculation.
        reserve
            Labels to keep back, as for the test set.
        """
        return max(self.labels_max - spent - reserve, 0)


class Profile(Document):
    """One material and the choices that belong to it."""

    name: str = Field(description="Name of the material, as in Li3OCl.")
    mobile_ion: str = Field(description="Element of the mobile ion.")
    formal_charges: dict[str, int] = Field(description="Formal charge of every element, e.")
    charge: int = Field(
        0, description="Net charge of the cells, e; energies and stress count only when 0."
    )
    r_max: float = Field(5.0, gt=2.0, description="Cut-off of the learned potential, Å.")
    small_cell_reason: str | None = Field(
        None, description="Why a cell below twice the cut-off is accepted; None forbids it."
    )
    seed_temperatures: list[float] = Field(
        default=[600.0, 900.0, 1200.0], description="AIMD temperatures, K."
    )
    temperatures: list[float] = Field(
        default=[600.0, 900.0, 1200.0], description="Exploration temperatures, K."
    )
    transport_temperatures: list[float] = Field(
        default=[900.0, 1050.0, 1200.0], description="Temperatures of D, K; three or more."
    )
    hop_distance_max: float = Field(4.0, gt=0, description="Longest hop that is looked for, Å.")
    sites: Literal["crystal", "density", "auto"] = Field(
        "crystal",
        description="Sites that hops in molecular dynamics lead between: the host's, peaks of the "
        "mobile ions' density, or whichever describes the ions better.",
    )
    min_distance_fraction: float = Field(
        0.6, gt=0, lt=1, description="Closest contact, as a fraction of covalent radii's sum."
    )
    force_ceiling: float = Field(30.0, gt=0, description="Largest force of a label, eV/Å.")
    min_success_fraction: float = Field(
        0.8, ge=0, le=1, description="Share of a batch that must be admitted to go on."
    )
    e0s: dict[str, float] | None = Field(
        None, description="Isolated-atom energies, eV; None asks the reference for them."
    )
    budget: Budget = Field(default_factory=Budget)  # type: ignore[arg-type]

    @field_validator("mobile_ion")
    @classmethod
    def _mobile_ion_exists(cls, value: str) -> str:
        return _check_symbol(value)

    @field_validator("formal_charges")
    @classmethod
    def _elements_exist(cls, value: dict[str, int]) -> dict[str, int]:
        for symbol in value:
            _check_symbol(symbol)
        return value

    @field_validator("seed_temperatures", "temperatures", "transport_temperatures")
    @classmethod
    def _temperatures_positive(cls, value: list[float]) -> list[float]:
        if not value or not all(0 < t < math.inf for t in value):
            msg = (
                f"expected one or more temperatures above 0 K, got {value}; "
                "give a list such as [600, 900, 1200]"
            )
            raise ProfileError(msg)
        return value

    @field_validator("transport_temperatures")
    @classmethod
    def _three_make_a_line(cls, value: list[float]) -> list[float]:
        if len(set(value)) < TRANSPORT_TEMPERATURES_MIN:
            msg = (
                f"expected {TRANSPORT_TEMPERATURES_MIN} or more different transport temperatures "
                f"for an activation energy with an error, got {value}; add some"
            )
            raise ProfileError(msg)
        return value

    @model_validator(mode="after")
    def _mobile_ion_has_a_charge(self) -> Self:
        if self.mobile_ion not in self.formal_charges:
            msg = (
                f"mobile ion {self.mobile_ion} has no formal charge; "
                f"formal_charges names {sorted(self.formal_charges)}"
            )
            raise ProfileError(msg)
        return self

    def check(self, structure: Structure) -> None:
        """Check a structure against the profile.

        Raises
        ------
        StructureError
            If a site is partly occupied, or the structure has no volume.
        ProfileError
            If an element has no formal charge, the mobile ion is absent, the formal
            charges don't add up to ``charge``, or the cell is too small for ``r_max``.
        """
        check_periodic(structure)
        elements = {el.symbol for el in structure.composition.elements}
        if missing := elements - set(self.formal_charges):
            msg = (
                f"{self.name}: no formal charge for {sorted(missing)}; "
                "add them to Profile.formal_charges"
            )
            raise ProfileError(msg)
        if self.mobile_ion not in elements:
            msg = (
                f"{self.name}: expected the mobile ion {self.mobile_ion} in the structure, "
                f"got {structure.composition.reduced_formula}; set Profile.mobile_ion to one "
                f"of {sorted(elements)}"
            )
            raise ProfileError(msg)
        total = sum(self.formal_charges[site.specie.symbol] for site in structure)
        if total != self.charge:
            msg = (
                f"{self.name}: formal charges of {structure.composition.formula} add up to "
                f"{total:+d}, expected {self.charge:+d}; remove or add compensating ions, "
                "mend Profile.formal_charges, or state Profile.charge"
            )
            raise ProfileError(msg)
        self._check_cell(structure)

    def _check_cell(self, structure: Structure) -> None:
        height = smallest_height(structure)
        if height < 2 * self.r_max and not self.small_cell_reason:
            msg = (
                f"{self.name}: the cell's smallest height is {height:.2f} Å, expected at least "
                f"twice the cut-off ({2 * self.r_max:.2f} Å); use a larger cell or a smaller "
                "Profile.r_max, or say in Profile.small_cell_reason why it will do"
            )
            raise ProfileError(msg)


def read_structure(path: str | Path) -> Structure:
    """Read a crystal: whatever pymatgen knows, or an extxyz with a Lattice.

    Raises
    ------
    StructureError
        If there is no such file, it can't be read, or it is no ordered periodic crystal.
    """
    path = Path(str(path))
    if not path.is_file():
        msg = f"no structure file {path}; expected a CIF, a POSCAR or an extxyz with a Lattice"
        raise StructureError(msg)
    try:
        structure = _read_xyz(path) if path.suffix in XYZ else Structure.from_file(path)
    except Exception as error:
        msg = (
            f"{path}: can't be read as a structure: {type(error).__name__}: {error}; expected a "
            "CIF, a POSCAR or an extxyz with a Lattice"
        )
        raise StructureError(msg) from error
    if not isinstance(structure, Structure):
        msg = f"{path}: expected a periodic cell, got none; give an extxyz with a Lattice"
        raise StructureError(msg)
    check_periodic(structure)
    return structure


def _read_xyz(path: Path) -> Structure | None:
    """Read the last frame; None if it isn't periodic."""
    atoms = read(path, index=-1, format="extxyz")
    if not isinstance(atoms, Atoms) or not atoms.pbc.all() or atoms.cell.rank < 3:
        return None
    return Structure(
        atoms.cell.array, atoms.get_chemical_symbols(), atoms.positions, coords_are_cartesian=True
    )


def check_periodic(structure: Structure) -> None:
    """Refuse what is no ordered periodic crystal.

    Raises
    ------
    StructureError
        If the input is no periodic structure, or a site is partly occupied.
    """
    if not isinstance(structure, Structure) or structure.volume <= 0:
        msg = (
            f"expected a structure with a periodic cell, got {type(structure).__name__}; "
            "give a CIF, a POSCAR or an extxyz with a Lattice"
        )
        raise StructureError(msg)
    if not structure.is_ordered:
        msg = (
            f"{structure.composition.reduced_formula}: a site is partly occupied; "
            "give an ordered structure (pymatgen's OrderDisorderedStructureTransformation)"
        )
        raise StructureError(msg)


def smallest_height(structure: Structure) -> float:
    """Return the smallest distance between opposite faces of the cell, Å."""
    matrix = structure.lattice.matrix
    areas = [np.linalg.norm(np.cross(matrix[(i + 1) % 3], matrix[(i + 2) % 3])) for i in range(3)]
    return float(structure.volume / max(areas))
