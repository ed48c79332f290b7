"""Molecular dynamics with VASP: atomate2's Maker, piece after piece, and our trajectory."""

from __future__ import annotations

from contextlib import chdir
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from atomate2.vasp.jobs.md import MDMaker
from jobflow import job

from ionloop.document import DATA_FIELDS
from ionloop.errors import ExplorationError, ReferenceSetupError
from ionloop.frame import Frame
from ionloop.reference.base import hash_settings
from ionloop.reference.folders import fresh_folder, geometry, same_request
from ionloop.reference.pieces import pieces
from ionloop.reference.schema import Trajectory
from ionloop.reference.vasp.facts import found_settings
from ionloop.reference.vasp.inputs import (
    IonicVaspMdSet,
    handedness,
    sorted_order,
)
from ionloop.reference.vasp.makers import (
    engine_of,
    locked_kwargs,
    plain_document,
    run_here,
)
from ionloop.reference.vasp.output import VaspRun
from ionloop.reference.vasp.pieces import join_pieces, last_stand, new_piece
from ionloop.reference.vasp.runs import MAX_RESTARTS
from ionloop.reference.vasp.settings import VaspSettings, describe


@dataclass
class VaspMdMaker(MDMaker):
    """atomate2's MD Maker, run piece after piece, whose job returns a ``Trajectory``.

    A piece that was killed, or stopped near the wall time, is followed by one that goes on
    from its CONTCAR: velocities, predictor and thermostat. The other fields are those of
    :class:`VaspStaticMaker`.
    """

    name: str = "vasp md"
    input_set_generator: IonicVaspMdSet = field(default_factory=IonicVaspMdSet)
    write_input_set_kwargs: dict = field(default_factory=locked_kwargs)
    stop_children_kwargs: dict = field(default_factory=lambda: {"handle_unsuccessful": False})
    run_vasp_kwargs: dict = field(default_factory=dict)
    task_document_kwargs: dict = field(default_factory=plain_document)

    @job(data=DATA_FIELDS)
    def make(self, frame: Frame, group: str, store_every: int) -> Trajectory:  # type: ignore[override]
        """Run NVT molecular dynamics from a frame.

        Raises
        ------
        ReferenceSetupError
            If VASP or a POTCAR isn't there, or VASP has another version than the settings name.
        ExplorationError
            If fewer than two frames were written, or the worker's wall time is over: run
            again, it goes on from its last step.
        """
        generator = self.input_set_generator
        folder = Path.cwd() / f"vasp_md_{frame.frame_hash}"
        request = {
            "settings": hash_settings(describe(generator.dft)),
            "md": {**generator.run, **generator.aimd},
            "frame": geometry(frame),
        }
        if not same_request(folder, request):
            fresh_folder(folder, request)
        n_steps = generator.run["n_steps"]
        stopped = self._run_pieces(folder, frame, n_steps)
        fractional = join_pieces(pieces(folder), len(frame.symbols))[:n_steps]
        positions = unwrap(fractional, frame)[::store_every]
        if len(positions) < 2:
            msg = (
                f"expected an MD run of {n_steps} steps, got {len(fractional)} in {folder}: "
                f"{stopped}; see vasp.out in its last piece"
            )
            raise ExplorationError(msg)
        runs = [VaspRun(piece) for piece in pieces(folder)]
        return Trajectory.from_positions(
            positions,
            frame.to_atoms(),
            charge=frame.charge,
            temperature=generator.run["temperature"],
            frame_interval_fs=store_every * generator.run["time_step"],
            n_steps=len(fractional),
            stopped=stopped if len(fractional) < n_steps else None,
            group=group,
            engine=engine_of(runs[-1], generator.dft),
            wall_s=sum(run.wall_s for run in runs),
        )

    def _run_pieces(self, folder: Path, frame: Frame, n_steps: int) -> str | None:
        """Run until all steps are there; say why they aren't.

        Raises
        ------
        ExplorationError
            If the worker's wall time is over.
        """
        reason = None
        for _ in range(1 + MAX_RESTARTS):
            n_done = len(join_pieces(pieces(folder), len(frame.symbols)))
            if n_done >= n_steps:
                return None
            step, structure = last_stand(folder, frame)
            piece = new_piece(folder, step, structure)
            generator = self.input_set_generator
            left = {**generator.run, "n_steps": n_steps + 1 - max(step, 1)}
            with chdir(piece):
                run_here(
                    replace(self, input_set_generator=replace(generator, run=left)),
                    "md",
                    structure,
                )
            run = VaspRun(piece)
            check_version(run, generator.dft)
            if run.stopped:
                n_done = len(join_pieces(pieces(folder), len(frame.symbols)))
                msg = (
                    f"expected an MD run of {n_steps} steps, got {n_done} until the worker's wall "
                    "time was nearly over; run again, as by `ionloop resume`, it goes on from "
                    f"its last CONTCAR in {folder}"
                )
                raise ExplorationError(msg)
            if run.refused:
                return run.last_words()
            reason = None if run.ended else f"VASP was killed or died: {run.last_words()}"
        return reason


def unwrap(fractional: np.ndarray, frame: Frame) -> np.ndarray:
    """Follow atoms through the cell's faces, beginning with the frame itself.

    Parameters
    ----------
    fractional
        Wrapped positions of each step, shape [n_steps, n, 3], in VASP's order of atoms.
    frame
        Where the run began.

    Returns
    -------
    numpy.ndarray
        Positions, shape [n_steps + 1, n, 3], Å, in the frame's order; an atom moves less
        than half a cell in a step.
    """
    order = sorted_order(frame.symbols)
    cell = handedness(frame.cell) * np.array(frame.cell)  # VASP's own
    start = np.array(frame.positions) @ np.linalg.inv(cell)
    steps = np.diff(np.concatenate([start[order][None], fractional]), axis=0)
    steps -= np.rint(steps)
    path = start[order] + np.concatenate([np.zeros((1, *start.shape)), np.cumsum(steps, axis=0)])
    result = np.empty_like(path)
    result[:, order] = path
    return result @ cell


def check_version(run: VaspRun, dft: VaspSettings) -> None:
    """Tell of another VASP before labels are paid for.

    Raises
    ------
    ReferenceSetupError
        If it isn't the version of the settings.
    """
    if run.vasprun is None:
        return
    found = found_settings(run, dft)["version"]
    if found != dft.version:
        msg = (
            f"expected VASP {dft.version}, got {found}; set VaspSettings.version, which is part of "
            "the settings hash, or IONLOOP_VASP_CMD"
        )
        raise ReferenceSetupError(msg)
