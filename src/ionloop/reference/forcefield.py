"""A force field as reference: the teacher of demos, tests and benchmarks.

Labels cost milliseconds, so that a whole campaign fits into minutes, and D of the
reference itself is affordable: what no DFT campaign can check, a teacher can.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator
from jobflow import Job, job
from pymatgen.core import Structure

from ionloop.cores import thread_cores
from ionloop.document import DATA_FIELDS
from ionloop.frame import Frame
from ionloop.reference.base import Reference, hash_settings
from ionloop.reference.checkpoint import Checkpoint
from ionloop.reference.neb import relax_band
from ionloop.reference.nvt import NvtRun
from ionloop.reference.potentials import FunctionTeacher, NepTeacher, teacher_by_name
from ionloop.reference.schema import Band, SinglePoint, Trajectory
from ionloop.reference.teachers import TEACHERS, BuckinghamTeacher, ChgnetTeacher, Teacher
from ionloop.seed.schema import Hop

logger = logging.getLogger(__name__)

# Campaigns in MongoDB name the first teachers by this module, where they stood.
__all__ = [
    "TEACHERS",
    "BuckinghamTeacher",
    "ChgnetTeacher",
    "ForceFieldReference",
    "FunctionTeacher",
    "NepTeacher",
    "Teacher",
    "read_journal",
    "single_point",
    "teacher_band",
    "teacher_by_name",
    "teacher_labels",
    "teacher_md",
]


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

    def check(self, structure: Structure) -> None:
        """Ask the teacher: elements, cell, and whether it loads."""
        self.teacher.check(structure)

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
    """Read what an earlier run of the job finished; cuts off what was being written.

    A kill or a full disk leaves a part of a line, a machine that lost its power anything.
    """
    points: list[SinglePoint] = []
    if not journal.exists():
        return points
    kept = 0
    for line in journal.read_bytes().splitlines(keepends=True):
        try:
            point = SinglePoint(**json.loads(line)) if line.endswith(b"\n") else None
        except ValueError:  # neither JSON nor a label
            point = None
        if point is None:
            logger.warning("%s ends in the middle of a label; it is computed again", journal)
            break
        points.append(point)
        kept += len(line)
    os.truncate(journal, kept)
    return points


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
        settings=reference.settings,
        engine=reference.teacher.engine,
        wall_s=time.perf_counter() - begin,
        cores=thread_cores(),
        directory=str(Path.cwd()),
    )


@job(data=DATA_FIELDS)
def teacher_md(frame: Frame, reference: ForceFieldReference, settings: dict) -> Trajectory:
    """Run MD with the teacher; a killed run goes on from ``teacher_md.npz`` in its folder."""
    options = dict(settings)
    group = options.pop("group")
    run = NvtRun(**options)
    checkpoint = Checkpoint(Path("teacher_md.npz"), run_hash(frame, reference, run))
    atoms = frame.to_atoms()
    positions = reference.teacher.run_md(atoms, run, checkpoint)
    return Trajectory.from_positions(
        positions,
        atoms,
        charge=frame.charge,
        temperature=run.temperature,
        frame_interval_fs=run.time_step * run.store_every,
        n_steps=run.n_steps,
        group=group,
        engine=reference.teacher.engine,
        wall_s=checkpoint.wall_s,
    )


def run_hash(frame: Frame, reference: ForceFieldReference, run: NvtRun) -> str:
    """Hash all that decides a run: a checkpoint of another one isn't gone on from."""
    start = frame.model_dump(include={"symbols", "positions", "cell"})
    return hash_settings({**start, **asdict(run), "reference": reference.settings_hash})


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
