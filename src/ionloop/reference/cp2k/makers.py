"""atomate2's CP2K Maker of labels, with our settings, our documents and no silent corrections."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from atomate2.cp2k.jobs.core import StaticMaker
from jobflow import Response, job

from ionloop.frame import Frame
from ionloop.reference.attempts import is_good, new_attempt
from ionloop.reference.base import hash_settings
from ionloop.reference.cp2k.facts import SAME_CHARGE, facts_of, geometry_failure
from ionloop.reference.cp2k.found import found_settings
from ionloop.reference.cp2k.inputs import IonicSetGenerator
from ionloop.reference.cp2k.orbitals import Orbitals, one_state
from ionloop.reference.cp2k.output import (
    TOO_FEW_STEPS,
    last_evaluation,
    total_cores,
    total_time,
)
from ionloop.reference.cp2k.runs import Outcome, failure_in, run_here
from ionloop.reference.cp2k.settings import Cp2kSettings, describe
from ionloop.reference.folders import (
    drop_half_zipped,
    first_folder,
    geometry,
    read_text,
    same_request,
)
from ionloop.reference.runs import MAX_RESTARTS, in_a_new_launch, is_out_of_time
from ionloop.reference.schema import SinglePoint
from ionloop.units import HARTREE_EV

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
    def make(  # type: ignore[override]
        self, frames: list[Frame], folder: str | None = None, attempt: int = 1
    ) -> list[SinglePoint] | Response:
        """Compute energy and forces of frames, one folder each below the job's own.

        Where the worker's wall time is over, the job goes on in a new launch: there it is
        given the ``folder`` of the first one and the number of its ``attempt``.
        """
        here = first_folder(folder)
        points = []
        with Orbitals(here, used=self._hands_on(frames)) as orbitals:
            for frame in frames:
                points.append(self.compute(frame, here, orbitals))
                if is_out_of_time(points[-1].failure) and attempt <= MAX_RESTARTS:
                    logger.warning("%s: labels go on in a new launch, %d", here, attempt + 1)
                    return in_a_new_launch(self.make(frames, str(here), attempt + 1))
        return points

    def _hands_on(self, frames: list[Frame]) -> bool:
        if not self.restart_orbitals or len(frames) < 2:
            return False
        if not one_state(self.input_set_generator.dft):
            logger.info("each frame starts from atoms: spin or smearing allow several states")
            return False
        return True

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
        settings_hash = hash_settings(describe(dft))
        request = {"settings": settings_hash, "frame": geometry(frame)}
        if same_request(folder, request):
            point = single_point(folder, frame, dft, failure_in(folder, dft.version))
            if is_good(
                point,
                frame,
                stress=dft.stress,
                settings_hash=settings_hash,
                same_charge=SAME_CHARGE,
            ):
                logger.info("reusing the finished calculation in %s", folder)
                drop_half_zipped(folder)
                return point
        orbitals = orbitals or Orbitals(parent, used=False)
        outcome = self._calculate(frame, folder, request, orbitals)
        return single_point(folder, frame, dft, outcome.failure)

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


def single_point(folder: Path, frame: Frame, dft: Cp2kSettings, failure: str | None) -> SinglePoint:
    """Read a label from CP2K's own files, with the facts that the quality gate judges.

    Parameters
    ----------
    folder
        The calculation's.
    frame
        What was asked for.
    dft
        The settings that were asked for.
    failure
        Why the run has no answer, as far as it is known; None if it ended as it should.
    """
    output = read_text(folder / "cp2k.out") or ""
    settings = found_settings(output, folder, dft)
    common: dict[str, Any] = {
        **facts_of(output),
        "settings_hash": hash_settings(settings),
        "settings": settings,
        "engine": f"cp2k {dft.version}",
        "wall_s": total_time(output),
        "cores": total_cores(output),
        "directory": str(folder),
    }
    if failure and failure.startswith(TOO_FEW_STEPS):
        # Too few electronic steps are the gate's to tell, from the facts.
        return SinglePoint(converged=False, failure=geometry_failure(output, frame), **common)
    failure = failure or geometry_failure(output, frame)
    last = failure or last_evaluation(output)
    if isinstance(last, str):
        return SinglePoint(converged=False, failure=last, **common)
    return SinglePoint(
        energy=last.energy * HARTREE_EV,
        forces=None if last.forces is None else last.forces.tolist(),
        stress=last.stress.tolist() if dft.stress and last.stress is not None else None,
        converged=True,
        **common,
    )
