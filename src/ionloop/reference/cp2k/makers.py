"""atomate2's CP2K Makers, with our settings, our documents and no silent corrections."""

from __future__ import annotations

import logging
from contextlib import chdir
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from atomate2.cp2k.jobs.base import BaseCp2kMaker
from atomate2.cp2k.jobs.core import MDMaker, StaticMaker
from atomate2.cp2k.schemas.task import TaskDocument
from custodian.custodian import CustodianError
from jobflow import job

from ionloop.document import DATA_FIELDS
from ionloop.errors import ExplorationError
from ionloop.frame import Frame
from ionloop.reference.base import hash_settings
from ionloop.reference.cp2k.facts import facts_of, geometry_failure
from ionloop.reference.cp2k.fixes import plain_run, quiet_command, readable_task_document
from ionloop.reference.cp2k.found import found_settings
from ionloop.reference.cp2k.inputs import IonicMdSetGenerator, IonicSetGenerator
from ionloop.reference.cp2k.output import (
    failure_reason,
    is_finished,
    read_xyz,
    stress_of,
    total_time,
)
from ionloop.reference.cp2k.settings import MdSettings, describe
from ionloop.reference.folders import drop_half_zipped, fresh_folder, geometry, read_text
from ionloop.reference.schema import SinglePoint, Trajectory
from ionloop.settings import get_settings
from ionloop.units import HARTREE_PER_BOHR_EV_PER_ANGSTROM

logger = logging.getLogger(__name__)


def run_in(
    folder: Path, maker: BaseCp2kMaker, frame: Frame, request: dict[str, Any]
) -> TaskDocument | None:
    """Run a Maker's own ``make`` in a folder, unless the answer is already there.

    A job that was killed runs again in its old folder: a finished calculation of the same
    request is read again, an unfinished one starts afresh.

    Returns
    -------
    TaskDocument | None
        None if the calculation failed; the output in the folder says why.
    """
    command = quiet_command(get_settings().cp2k_cmd)
    version = maker.input_set_generator.dft.version
    if not is_finished(folder, request):
        fresh_folder(folder, request)
        ready = replace(maker, run_cp2k_kwargs={**maker.run_cp2k_kwargs, "cp2k_cmd": command})
        with chdir(folder), readable_task_document():
            try:
                return BaseCp2kMaker.make.original(ready, frame.to_structure()).output
            except CustodianError as error:
                logger.warning("CP2K failed in %s: %s", folder, error)
                return None
    logger.info("reusing the finished calculation in %s", folder)
    drop_half_zipped(folder)
    if failure_reason(read_text(folder / "cp2k.out") or "", version):
        return None
    with readable_task_document():
        return TaskDocument.from_directory(folder, **maker.task_document_kwargs)


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
    run_cp2k_kwargs
        Custodian without handlers; see :func:`~ionloop.reference.cp2k.fixes.plain_run`.
    """

    name: str = "cp2k static"
    input_set_generator: IonicSetGenerator = field(default_factory=IonicSetGenerator)
    write_input_set_kwargs: dict = field(default_factory=lambda: {"apply_input_updates": False})
    stop_children_kwargs: dict = field(default_factory=lambda: {"handle_unsuccessful": False})
    run_cp2k_kwargs: dict = field(default_factory=plain_run)

    @job
    def make(self, frames: list[Frame]) -> list[SinglePoint]:  # type: ignore[override]
        """Compute energy and forces of frames, one folder each below the job's own."""
        return [self.compute(frame, Path.cwd()) for frame in frames]

    def compute(self, frame: Frame, parent: Path) -> SinglePoint:
        """Compute one frame in a folder below ``parent``.

        Raises
        ------
        ReferenceSetupError
            If CP2K or its data can't be found. A calculation that fails is a result.
        """
        dft = self.input_set_generator.dft
        folder = parent / f"cp2k_{frame.frame_hash}"
        request = {"settings": hash_settings(describe(dft)), "frame": geometry(frame)}
        document = run_in(folder, self, frame, request)
        output = read_text(folder / "cp2k.out") or ""
        failure = failure_reason(output, dft.version) or geometry_failure(output, frame)
        settings = found_settings(output, folder, dft)
        common: dict[str, Any] = {
            **facts_of(output),
            "settings_hash": hash_settings(settings),
            "settings": settings,
            "engine": f"cp2k {dft.version}",
            "wall_s": total_time(output),
            "directory": str(folder),
        }
        if failure or document is None:
            failure = failure or "custodian refused the output"
            return SinglePoint(converged=False, failure=failure, **common)
        # atomate2 leaves the forces in hartree/bohr, though the energy is in eV.
        forces = np.array(document.output.forces) * HARTREE_PER_BOHR_EV_PER_ANGSTROM
        return SinglePoint(
            energy=document.output.energy,
            forces=forces.tolist(),
            stress=stress_of(output) if dft.stress else None,
            converged=True,
            **common,
        )


@dataclass
class Cp2kMdMaker(MDMaker):
    """atomate2's MD Maker, whose job returns a ``Trajectory``.

    The other fields are those of :class:`Cp2kStaticMaker`.

    Parameters
    ----------
    task_document_kwargs
        Positions are read from CP2K's own file, so atomate2 keeps no second copy.
    """

    name: str = "cp2k md"
    input_set_generator: IonicMdSetGenerator = field(default_factory=IonicMdSetGenerator)
    write_input_set_kwargs: dict = field(default_factory=lambda: {"apply_input_updates": False})
    stop_children_kwargs: dict = field(default_factory=lambda: {"handle_unsuccessful": False})
    run_cp2k_kwargs: dict = field(default_factory=plain_run)
    task_document_kwargs: dict = field(default_factory=dict)

    @job(data=DATA_FIELDS)
    def make(self, frame: Frame, group: str) -> Trajectory:  # type: ignore[override]
        """Run NVT molecular dynamics from a frame.

        A run that CP2K ended early keeps the frames that it wrote.

        Raises
        ------
        ReferenceSetupError
            If CP2K or its data can't be found.
        ExplorationError
            If fewer than two frames were written.
        """
        generator = self.input_set_generator
        run = MdSettings(**generator.md)
        folder = Path.cwd() / f"cp2k_md_{frame.frame_hash}"
        settings_hash = hash_settings(describe(generator.dft))
        request = {"settings": settings_hash, "md": asdict(run), "frame": geometry(frame)}
        run_in(folder, self, frame, request)
        output = read_text(folder / "cp2k.out") or ""
        reason = failure_reason(output, generator.dft.version)
        text = read_text(folder / "CP2K-pos-1.xyz") or ""
        positions, steps = read_xyz(text, len(frame.symbols))
        if len(positions) < 2:
            msg = (
                f"expected an MD run of {run.n_steps} steps, got {len(positions)} frames in "
                f"{folder}: {reason}; see cp2k.out there"
            )
            raise ExplorationError(msg)
        if reason:
            logger.warning("MD in %s kept %d frames: %s", folder, len(positions), reason)
        return Trajectory.from_positions(
            positions,
            frame.to_atoms(),
            charge=frame.charge,
            temperature=run.temperature,
            frame_interval_fs=run.store_every * run.time_step,
            n_steps=steps[-1],
            stopped=(reason or "no reason given") if steps[-1] < run.n_steps else None,
            group=group,
            engine=f"cp2k {generator.dft.version}",
            wall_s=total_time(output),
        )
