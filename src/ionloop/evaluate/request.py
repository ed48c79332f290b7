"""What is asked of an evaluation, and the hashes of its input."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ase import Atoms
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from ionloop.errors import EvaluationError
from ionloop.evaluate.born import Born
from ionloop.evaluate.cost_scaling import CostSettings
from ionloop.evaluate.dynamics import DynamicsSettings
from ionloop.evaluate.expansion import ExpansionSettings
from ionloop.evaluate.models import Model
from ionloop.evaluate.scorecard_schema import PARTS
from ionloop.evaluate.stability import StabilitySettings
from ionloop.evaluate.static import StaticSettings
from ionloop.frame import frame_hash
from ionloop.label.schema import Label
from ionloop.profile import Profile
from ionloop.train.schema import Calibration


@dataclass(frozen=True)
class Request:
    """What is asked.

    Parameters
    ----------
    model
        Who is evaluated.
    profile
        The material.
    parts
        Of :data:`~ionloop.evaluate.scorecard_schema.PARTS`.
    data
        Files of held-out labels, for the accuracy.
    structure
        An ordered cell, for all parts but accuracy.
    reference
        Beside whom the cost is measured.
    static, expansion, dynamics, cost, stability
        How.
    born
        Born charges of the structure, for the static part's phonons; None leaves them out.
    calibration
        Of a committee's spread, for the accuracy; None leaves that out.
    random_seed
        Draws bootstraps.
    """

    model: Model
    profile: Profile
    parts: Sequence[str]
    data: Sequence[Path] = ()
    structure: Structure | None = None
    reference: Model | None = None
    static: StaticSettings = field(default_factory=StaticSettings)
    expansion: ExpansionSettings = field(default_factory=ExpansionSettings)
    dynamics: DynamicsSettings = field(default_factory=DynamicsSettings)
    cost: CostSettings = field(default_factory=CostSettings)
    stability: StabilitySettings = field(default_factory=StabilitySettings)
    born: Born | None = None
    calibration: Calibration | None = None
    random_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse parts that aren't known, or whose input is missing.

        Raises
        ------
        EvaluationError
            If a part is unknown, or needs a structure or labels that aren't given.
        """
        if unknown := [part for part in self.parts if part not in PARTS]:
            msg = f"expected parts of {', '.join(PARTS)}, got {', '.join(unknown)}"
            raise EvaluationError(msg)
        for part, given, what in (
            ("accuracy", bool(self.data), "--data"),
            ("static", self.structure is not None, "--structure"),
            ("expansion", self.structure is not None, "--structure"),
            ("cost", self.structure is not None, "--structure"),
            ("diffusion", self.structure is not None, "--structure"),
            ("stability", self.structure is not None, "--structure"),
        ):
            if part in self.parts and not given:
                msg = f"expected {what} for the part {part}, got none; give it, or leave {part} out"
                raise EvaluationError(msg)
        if self.born is not None and ("static" not in self.parts or self.static.phonons is None):
            msg = (
                "expected the part static and its phonons with Born charges, got "
                f"{', '.join(self.parts)}"
            )
            raise EvaluationError(msg)


def hash_labels(labels: Sequence[Label]) -> str:
    """Hash frames with what is known of them, and their labels."""
    digest = hashlib.sha256()
    for label in labels:
        digest.update(label.model_dump_json(exclude={"directory", "wall_s", "cores"}).encode())
    return digest.hexdigest()[:16]


def bare_atoms(structure: Structure) -> Atoms:
    """Return a structure's atoms, without oxidation states or anything else."""
    bare = structure.copy()
    bare.remove_oxidation_states()
    atoms = AseAtomsAdaptor.get_atoms(bare)
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def hash_structure(structure: Structure) -> str:
    """Hash a structure by content."""
    atoms = bare_atoms(structure)
    return frame_hash(atoms.get_chemical_symbols(), atoms.positions, atoms.cell.array)
