"""atomate2's CP2K Maker of labels, with our settings, our documents and no silent corrections."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from atomate2.cp2k.jobs.core import StaticMaker
from atomate2.cp2k.schemas.task import TaskDocument
from jobflow import job

from ionloop.frame import Frame
from ionloop.reference.attempts import new_attempt
from ionloop.reference.base import hash_settings
from ionloop.reference.cp2k.facts import facts_of, geometry_failure
from ionloop.reference.cp2k.fixes import readable_task_document
from ionloop.reference.cp2k.found import found_settings
from ionloop.reference.cp2k.inputs import IonicSetGenerator
from ionloop.reference.cp2k.orbitals import Orbitals
from ionloop.reference.cp2k.output import stress_of, total_time
from ionloop.reference.cp2k.runs import Outcome, finished, run_here
from ionloop.reference.cp2k.settings import describe
from ionloop.reference.folders import drop_half_zipped, geometry, read_text
from ionloop.reference.schema import SinglePoint
from ionloop.units import HARTREE_PER_BOHR_EV_PER_ANGSTROM

logger = logging.getLogger(__name__)


@dataclass
class Cp2kStaticMaker(StaticMaker):
    """atomate2's static Maker, whose job returns a list of ``SinglePoint``.

    Parameters
    ----------
    name
        Job name.
    input_set_generator
        Holds the settings.
    write_input_set_kwargs
        A user's ``~/.atomate2.yaml`` must not change a label behind its settings hash.
    stop_children_kwargs
        A failed label is quarantined later; it stops nothing.
    restart_orbitals
        Whether a frame starts from the wave function of the one before it in its job.
    """

    name: str = "cp2k static"
    input_set_generator: IonicSetGenerator = field(default_factory=IonicSetGenerator)
    write_input_set_kwargs: dict = field(default_factory=lambda: {"apply_input_updates": False})
    stop_children_kwargs: dict = field(default_factory=lambda: {"handle_unsuccessful": False})
    restart_orbitals: bool = True

    @job
    def make(self, frames: list[Frame]) -> list[SinglePoint]:  # type: ignore[override]
        """Compute energy and forces of frames, one folder each below the job's own."""
        here = Path.cwd()
        with Orbitals(here, used=self.restart_orbitals and len(frames) > 1) as orbitals:
            return [self.compute(frame, here, orbitals) for frame in frames]

    def compute(self, frame: Frame, parent: Path, orbitals: Orbitals | None = None) -> SinglePoint:
        """Compute one frame in a folder below ``parent``.

        A job that was killed or is asked again runs in its old folder: a good label of the
        same request is read again; all else starts afresh, and what failed is put aside.

        Raises
        ------
        ReferenceSetupError
            If CP2K or its data can't be found. A calculation that fails is a result.
        """
        dft = self.input_set_generator.dft
        folder = parent / f"cp2k_{frame.frame_hash}"
        request = {"settings": hash_settings(describe(dft)), "frame": geometry(frame)}
        if finished(folder, request, dft.version):
            logger.info("reusing the finished calculation in %s", folder)
            outcome = self._read_again(folder)
        else:
            orbitals = orbitals or Orbitals(parent, used=False)
            outcome = self._calculate(frame, folder, request, orbitals)
        output = read_text(folder / "cp2k.out") or ""
        settings = found_settings(output, folder, dft)
        common: dict[str, Any] = {
            **facts_of(output),
            "settings_hash": hash_settings(settings),
            "settings": settings,
            "engine": f"cp2k {dft.version}",
            "wall_s": total_time(output),
            "directory": str(folder),
        }
        failure = outcome.failure or geometry_failure(output, frame)
        if failure or outcome.document is None:
            # Too few electronic steps are the gate's to tell, from the facts.
            failure = None if outcome.unconverged else failure
            return SinglePoint(converged=False, failure=failure, **common)
        # atomate2 leaves the forces in hartree/bohr, though the energy is in eV.
        forces = np.array(outcome.document.output.forces) * HARTREE_PER_BOHR_EV_PER_ANGSTROM
        return SinglePoint(
            energy=outcome.document.output.energy,
            forces=forces.tolist(),
            stress=stress_of(output) if dft.stress else None,
            converged=True,
            **common,
        )

    def _read_again(self, folder: Path) -> Outcome:
        drop_half_zipped(folder)
        with readable_task_document():
            document = TaskDocument.from_directory(folder, **self.task_document_kwargs)
        return Outcome(document, None)

    def _calculate(
        self, frame: Frame, folder: Path, request: dict[str, Any], orbitals: Orbitals
    ) -> Outcome:
        """Run CP2K; what fails from a former frame's wave function is tried from atoms."""
        structure = frame.to_structure()
        new_attempt(folder, request)
        given = orbitals.give(frame, folder)
        outcome = run_here(self, structure, folder, orbitals.sections(), start_again=True)
        if given and outcome.failure and not (outcome.died or outcome.out_of_time):
            logger.warning("%s: %s; computed again from atoms", folder, outcome.failure)
            orbitals.take(frame, folder, good=False)
            new_attempt(folder, request)
            outcome = run_here(self, structure, folder, orbitals.sections(), start_again=True)
        orbitals.take(frame, folder, good=outcome.failure is None)
        return outcome
