"""Teachers: force fields that stand in for DFT, each one a recipe of an ASE calculator."""

from __future__ import annotations

from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from jobflow import Maker
from pymatgen.core import Structure

from ionloop.errors import ReferenceSetupError
from ionloop.reference import buckingham, buckingham_md
from ionloop.reference.checkpoint import Checkpoint
from ionloop.reference.nvt import NvtRun, run_langevin


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


@dataclass
class Teacher(Maker):
    """Something that makes an ASE calculator; subclasses name their physics."""

    name: str = "teacher"

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the numbers."""
        raise NotImplementedError

    @property
    def engine(self) -> str:
        """Program and version."""
        raise NotImplementedError

    @property
    def elements(self) -> set[str] | None:
        """Elements it knows; None for all."""
        return None

    def calculator(self) -> Calculator:
        """Make a fresh ASE calculator."""
        raise NotImplementedError

    def isolated_atom_energy(self, symbol: str) -> float:
        """Energy of one isolated atom, eV."""
        raise NotImplementedError

    def check(self, structure: Structure) -> None:
        """Check that it can label a structure and run MD on it here.

        Raises
        ------
        ReferenceSetupError
            If it doesn't know an element, refuses the cell, or can't load.
        """
        symbols = {site.specie.symbol for site in structure}
        if self.elements is not None and (unknown := symbols - self.elements):
            msg = (
                f"teacher {self.name} knows {sorted(self.elements)}, got {sorted(unknown)}; "
                "chgnet covers most elements"
            )
            raise ReferenceSetupError(msg)
        self.calculator()

    def run_md(self, atoms: Atoms, run: NvtRun, checkpoint: Checkpoint | None = None) -> np.ndarray:
        """Run Langevin NVT by ASE; unwrapped positions, [n_frames, n, 3], Å."""
        return run_langevin(atoms, self.calculator(), run, checkpoint)


@dataclass
class BuckinghamTeacher(Teacher):
    """Published rigid-ion Buckingham-Coulomb model with Ewald sums, by LAMMPS."""

    name: str = "buckingham"
    model: buckingham.BuckinghamModel = field(default_factory=lambda: buckingham.LI3OCL)

    def __post_init__(self) -> None:
        """Rebuild the model from its dictionary, as jobflow stores it."""
        if isinstance(self.model, dict):
            self.model = buckingham.BuckinghamModel(**self.model)

    @property
    def settings(self) -> dict[str, Any]:
        """The model's parameters and the version of LAMMPS."""
        return {"model": self.model.model_dump(), "lammps": _version("lammps")}

    @property
    def engine(self) -> str:
        """LAMMPS and its version."""
        return f"lammps {_version('lammps')}"

    @property
    def elements(self) -> set[str] | None:
        """The species that the model has charges for."""
        return set(self.model.charges)

    def calculator(self) -> Calculator:
        """ASE's LAMMPSlib."""
        return buckingham.calculator(self.model)

    def isolated_atom_energy(self, symbol: str) -> float:  # noqa: ARG002
        """Zero: a pair potential has no one-body term."""
        return 0.0

    def check(self, structure: Structure) -> None:
        """Check elements, LAMMPS and, since MD runs inside LAMMPS, the cell."""
        super().check(structure)
        buckingham_md.check_cell(structure.lattice.matrix)

    def run_md(self, atoms: Atoms, run: NvtRun, checkpoint: Checkpoint | None = None) -> np.ndarray:
        """Run inside LAMMPS, much faster than calling it once a step."""
        return buckingham_md.run_md(self.model, atoms, run, checkpoint)


@dataclass
class ChgnetTeacher(Teacher):
    """CHGNet, a pretrained model whose weights ship in its wheel."""

    name: str = "chgnet"
    model_name: str = "0.3.0"

    @property
    def settings(self) -> dict[str, Any]:
        """Weights and package version."""
        return {"model": self.model_name, "chgnet": _version("chgnet")}

    @property
    def engine(self) -> str:
        """CHGNet and its version."""
        return f"chgnet {_version('chgnet')}"

    def calculator(self) -> Calculator:
        """CHGNet's ASE calculator on the CPU."""
        try:
            from chgnet.model import CHGNet, CHGNetCalculator
        except ImportError as error:
            msg = f"expected CHGNet for this teacher, got {error}; pip install --no-deps chgnet"
            raise ReferenceSetupError(msg) from error
        with redirect_stdout(StringIO()):  # it prints at each start
            model = CHGNet.load(model_name=self.model_name, use_device="cpu", verbose=False)
            return CHGNetCalculator(model=model, use_device="cpu")

    def isolated_atom_energy(self, symbol: str) -> float:
        """One atom in a 12 Å box, as CHGNet sees it: beyond every cut-off."""
        atoms = Atoms([symbol], cell=[12.0] * 3, pbc=True)
        atoms.calc = self.calculator()
        return float(atoms.get_potential_energy())


TEACHERS: dict[str, type[Teacher]] = {"buckingham": BuckinghamTeacher, "chgnet": ChgnetTeacher}
