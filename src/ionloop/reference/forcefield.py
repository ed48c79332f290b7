"""A force field as reference: the teacher of demos, tests and benchmarks.

Labels cost milliseconds, so that a whole campaign fits into minutes, and D of the
reference itself is affordable: what no DFT campaign can check, a teacher can.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from jobflow import Job, Maker, job

from ionloop.document import DATA_FIELDS
from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame
from ionloop.reference import buckingham
from ionloop.reference.base import Reference
from ionloop.reference.neb import relax_band
from ionloop.reference.schema import Band, SinglePoint, Trajectory
from ionloop.seed.schema import Hop


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

    def run_md(
        self,
        atoms: Atoms,
        *,
        temperature: float,
        n_steps: int,
        time_step: float,
        store_every: int,
        seed: int,
    ) -> np.ndarray:
        """Run Langevin NVT by ASE; unwrapped positions, [n_stored, n, 3], Å."""
        from ase import units
        from ase.md.langevin import Langevin
        from ase.md.velocitydistribution import thermalize_momenta

        rng = np.random.default_rng(seed)
        atoms = atoms.copy()
        atoms.calc = self.calculator()
        # Half of this turns into potential energy: the start has no thermal displacements.
        thermalize_momenta(atoms, temperature_K=2 * temperature, rng=rng)
        dynamics = Langevin(
            atoms,
            time_step * units.fs,
            temperature_K=temperature,
            friction=0.001 / units.fs,
            fixcm=False,
            rng=rng,
        )
        frames = [atoms.positions.copy()]
        for _ in range(n_steps // store_every):
            dynamics.run(store_every)
            frames.append(atoms.positions.copy())
        return np.array(frames)


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

    def run_md(self, atoms: Atoms, **kwargs: Any) -> np.ndarray:  # noqa: ANN401
        """Run inside LAMMPS, much faster than calling it once a step."""
        return buckingham.run_md(self.model, atoms, **kwargs)


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
        model = CHGNet.load(model_name=self.model_name, use_device="cpu", verbose=False)
        return CHGNetCalculator(model=model, use_device="cpu")

    def isolated_atom_energy(self, symbol: str) -> float:
        """One atom in a 12 Å box, as CHGNet sees it: beyond every cut-off."""
        atoms = Atoms([symbol], cell=[12.0] * 3, pbc=True)
        atoms.calc = self.calculator()
        return float(atoms.get_potential_energy())


TEACHERS: dict[str, type[Teacher]] = {"buckingham": BuckinghamTeacher, "chgnet": ChgnetTeacher}


def teacher_by_name(name: str) -> Teacher:
    """Return a teacher with its default settings.

    Raises
    ------
    ReferenceSetupError
        If there is no such teacher.
    """
    if name not in TEACHERS:
        msg = f"expected one of the teachers {sorted(TEACHERS)}, got {name!r}"
        raise ReferenceSetupError(msg)
    return TEACHERS[name]()


@dataclass
class ForceFieldReference(Reference):
    """A teacher as reference.

    Parameters
    ----------
    teacher
        Makes the calculator.
    frames_per_job
        Labels that one job computes; it stores each as it goes.
    """

    name: str = "force field"
    frames_per_job: int = 20
    teacher: Teacher = field(default_factory=BuckinghamTeacher)

    @property
    def settings(self) -> dict[str, Any]:
        """The teacher's."""
        return {"teacher": self.teacher.name, **self.teacher.settings}

    @property
    def has_stress(self) -> bool:
        """Teachers give analytical stress."""
        return True

    @property
    def cheap(self) -> bool:
        """Long MD is affordable."""
        return True

    def isolated_atom_energies(self, symbols: list[str]) -> dict[str, float] | None:
        """Ask the teacher."""
        return {symbol: self.teacher.isolated_atom_energy(symbol) for symbol in symbols}

    def check(self, symbols: list[str]) -> None:
        """Raise ``ReferenceSetupError`` if the teacher doesn't know an element or can't load."""
        known = self.teacher.elements
        if known is not None and (unknown := set(symbols) - known):
            msg = (
                f"teacher {self.teacher.name} knows {sorted(known)}, got {sorted(unknown)}; "
                "use --teacher chgnet, which covers most elements"
            )
            raise ReferenceSetupError(msg)
        self.teacher.calculator()

    def static(self, frames: list[Frame]) -> Job:
        """One job for several frames."""
        return teacher_labels(frames, self)

    def md(self, frame: Frame, **settings: Any) -> Job:  # noqa: ANN401
        """One NVT run."""
        return teacher_md(frame, self, settings)

    def neb(self, hop: Hop, **settings: Any) -> Job:  # noqa: ANN401
        """One band."""
        return teacher_band(hop, self, settings)


@job(data=DATA_FIELDS)
def teacher_labels(frames: list[Frame], reference: ForceFieldReference) -> list[SinglePoint]:
    """Label frames one by one; finished ones stand in ``labels.jsonl`` and aren't repeated."""
    journal = Path("labels.jsonl")
    done = read_journal(journal)
    calculator = reference.teacher.calculator()
    with journal.open("a") as out:
        for frame in frames[len(done) :]:
            point = single_point(frame, calculator, reference)
            # Not model_dump_json: it writes NaN as null, which no reader takes for a number.
            out.write(json.dumps(point.model_dump()) + "\n")
            out.flush()
            done.append(point)
    return done


def read_journal(journal: Path) -> list[SinglePoint]:
    """Read what an earlier run of the job finished; cuts off a line that was being written."""
    if not journal.exists():
        return []
    whole = journal.read_text()
    kept = whole[: whole.rfind("\n") + 1]
    if kept != whole:
        journal.write_text(kept)
    return [SinglePoint(**json.loads(line)) for line in kept.splitlines()]


def single_point(
    frame: Frame, calculator: Calculator, reference: ForceFieldReference
) -> SinglePoint:
    """Compute one label; a number that isn't finite is left to the quality gate."""
    atoms = frame.to_atoms()
    begin = time.perf_counter()
    atoms.calc = calculator
    energy = float(atoms.get_potential_energy())
    forces = atoms.get_forces()
    stress = atoms.get_stress(voigt=False)
    return SinglePoint(
        energy=energy,
        forces=forces.tolist(),
        stress=stress.tolist(),
        converged=True,
        settings_hash=reference.settings_hash,
        engine=reference.teacher.engine,
        wall_s=time.perf_counter() - begin,
        directory=str(Path.cwd()),
    )


@job(data=DATA_FIELDS)
def teacher_md(frame: Frame, reference: ForceFieldReference, settings: dict) -> Trajectory:
    """Run MD with the teacher."""
    begin = time.perf_counter()
    options = dict(settings)
    group = options.pop("group")
    atoms = frame.to_atoms()
    positions = reference.teacher.run_md(atoms, **options)
    return Trajectory.from_positions(
        positions,
        atoms,
        charge=frame.charge,
        temperature=options["temperature"],
        frame_interval_fs=options["time_step"] * options["store_every"],
        n_steps=options["n_steps"],
        group=group,
        engine=reference.teacher.engine,
        wall_s=time.perf_counter() - begin,
    )


@job(data=DATA_FIELDS)
def teacher_band(hop: Hop, reference: ForceFieldReference, settings: dict) -> Band:
    """Relax a band with the teacher."""
    make: Callable[[int], Calculator] = lambda _: reference.teacher.calculator()  # noqa: E731
    return relax_band(
        hop,
        make,
        engine=reference.teacher.engine,
        settings_hash=reference.settings_hash,
        checkpoint=Path("band.extxyz"),
        **settings,
    )
