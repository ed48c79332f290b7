"""Molecular dynamics with CP2K: atomate2's Maker, piece after piece, and our trajectory.

CP2K writes all that the next step depends on (positions, velocities, thermostat, random
numbers) after each step. A run that was killed, or stopped near the end of the worker's wall
time, goes on from there in a new piece, a folder of its own.
"""

from __future__ import annotations

import logging
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from atomate2.cp2k.jobs.core import MDMaker
from jobflow import job
from pymatgen.io.cp2k.inputs import Keyword, Section

from ionloop.document import DATA_FIELDS
from ionloop.errors import ExplorationError
from ionloop.frame import Frame
from ionloop.reference.base import hash_settings
from ionloop.reference.cp2k.inputs import IonicMdSetGenerator
from ionloop.reference.cp2k.output import read_xyz, total_time
from ionloop.reference.cp2k.runs import run_here
from ionloop.reference.cp2k.settings import MdSettings, describe
from ionloop.reference.folders import fresh_folder, geometry, read_text, same_request
from ionloop.reference.pieces import make_piece, pieces
from ionloop.reference.runs import MAX_RESTARTS
from ionloop.reference.schema import Trajectory

logger = logging.getLogger(__name__)

#: The checkpoint that a piece goes on from.
START_FILE = "start.restart"


@dataclass
class Cp2kMdMaker(MDMaker):
    """atomate2's MD Maker, run piece after piece, whose job returns a ``Trajectory``.

    The other fields are those of :class:`~ionloop.reference.cp2k.makers.Cp2kStaticMaker`.

    Parameters
    ----------
    task_document_kwargs
        Positions are read from CP2K's own file, so atomate2 keeps no second copy.
    """

    name: str = "cp2k md"
    input_set_generator: IonicMdSetGenerator = field(default_factory=IonicMdSetGenerator)
    write_input_set_kwargs: dict = field(default_factory=lambda: {"apply_input_updates": False})
    stop_children_kwargs: dict = field(default_factory=lambda: {"handle_unsuccessful": False})
    task_document_kwargs: dict = field(default_factory=dict)

    @job(data=DATA_FIELDS)
    def make(self, frame: Frame, group: str) -> Trajectory:  # type: ignore[override]
        """Run NVT molecular dynamics from a frame.

        A run that CP2K ended early, or that was killed too often, keeps its frames.

        Raises
        ------
        ReferenceSetupError
            If CP2K or its data can't be found.
        ExplorationError
            If fewer than two frames were written, or the worker's wall time is over: run
            again, it goes on.
        """
        generator = self.input_set_generator
        run = MdSettings(**generator.md)
        folder = Path.cwd() / f"cp2k_md_{frame.frame_hash}"
        settings_hash = hash_settings(describe(generator.dft))
        request = {"settings": settings_hash, "md": asdict(run), "frame": geometry(frame)}
        if not same_request(folder, request):
            fresh_folder(folder, request)
        reason = self._run_pieces(folder, frame, run)
        positions, steps = join_pieces(pieces(folder), len(frame.symbols))
        if len(positions) < 2:
            msg = (
                f"expected an MD run of {run.n_steps} steps, got {len(positions)} frames in "
                f"{folder}: {reason}; see cp2k.out in its last piece"
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
            n_steps=steps[-1] if reason else run.n_steps,
            stopped=reason,
            group=group,
            engine=f"cp2k {generator.dft.version}",
            wall_s=sum(wall_time(piece) for piece in pieces(folder)),
        )

    def _run_pieces(self, folder: Path, frame: Frame, run: MdSettings) -> str | None:
        """Run until all steps are there; say why they aren't.

        Raises
        ------
        ExplorationError
            If the worker's wall time is over.
        """
        structure, attempts, reason = frame.to_structure(), 0, None

        def stand() -> tuple[int, str | None]:
            return last_checkpoint(folder, len(frame.symbols), run.store_every)

        while attempts <= MAX_RESTARTS:
            step, checkpoint = stand()
            if step >= run.n_steps:
                return None
            piece = new_piece(folder, checkpoint)
            sections = with_checkpoints(run.n_steps - step, goes_on=checkpoint is not None)
            outcome = run_here(self, structure, piece, sections, start_again=False)
            done = stand()[0]
            if outcome.out_of_time:
                msg = (
                    f"expected an MD run of {run.n_steps} steps, got {done} until the worker's "
                    "wall time was nearly over; run again, as by `ionloop resume`, it goes on "
                    f"from its checkpoint in {folder}"
                )
                raise ExplorationError(msg)
            if done >= run.n_steps:
                if outcome.failure:  # steps whose electrons didn't converge are frames, too
                    logger.warning("MD in %s: %s", piece, outcome.failure)
                return None
            if not outcome.died:
                return outcome.failure or f"CP2K ended after {done} steps, without a reason"
            attempts += 1
            reason = f"{outcome.failure}, {attempts} attempts"
        return reason


def with_checkpoints(n_steps: int, *, goes_on: bool) -> dict[str, Any]:
    """Return the sections of a piece: its steps, a checkpoint after each, and where it starts."""
    each = Section("EACH", keywords={"MD": Keyword("MD", 1)}, subsections={})
    restart = Section(
        "RESTART",
        keywords={"BACKUP_COPIES": Keyword("BACKUP_COPIES", 1)},
        subsections={"EACH": each},
    )
    sections: dict[str, Any] = {"MOTION": {"MD": {"STEPS": n_steps}, "PRINT": {"RESTART": restart}}}
    if goes_on:
        sections["EXT_RESTART"] = {"RESTART_FILE_NAME": START_FILE}
    return sections


def new_piece(folder: Path, checkpoint: str | None) -> Path:
    """Make the next piece's folder, with the checkpoint that it goes on from."""
    if checkpoint is None:
        return make_piece(folder, {})
    logger.info("MD in %s goes on from step %s", folder, step_of(checkpoint))
    return make_piece(folder, {START_FILE: checkpoint})


def with_content(parts: list[Path], n_atoms: int) -> list[Path]:
    """Leave out pieces with neither a frame nor a whole start: they say nothing of the run."""
    return [
        piece
        for piece in parts
        if len(frames_of(piece, n_atoms)[1]) or step_of(read_text(piece / START_FILE)) is not None
    ]


def frames_of(piece: Path, n_atoms: int) -> tuple[np.ndarray, list[int]]:
    """Read a piece's own frames as :func:`~ionloop.reference.cp2k.output.read_xyz` does."""
    text = read_text(piece / "CP2K-pos-1.xyz") or ""
    # A line that was cut off would pass for a shorter number.
    return read_xyz(text[: text.rfind("\n") + 1], n_atoms)


def step_of(checkpoint: str | None) -> int | None:
    """Return the step after which a checkpoint was written; None if it isn't whole."""
    text = checkpoint or ""
    opened, closed = (len(re.findall(p, text, re.MULTILINE)) for p in (r"^ *&(?!END)", r"^ *&END "))
    if opened != closed or "&END FORCE_EVAL" not in text:
        return None
    found = re.search(r"^\s*STEP_START_VAL\s+(\d+)\s*$", text, flags=re.MULTILINE)
    return int(found[1]) if found else None


def join_pieces(parts: list[Path], n_atoms: int) -> tuple[np.ndarray, list[int]]:
    """Join trajectories: each piece's own frames follow those up to where it began.

    Returns
    -------
    tuple[numpy.ndarray, list[int]]
        Positions, shape [n_frames, n_atoms, 3], Å, and the step of each.
    """
    frames: dict[int, np.ndarray] = {}
    for piece in with_content(parts, n_atoms):
        begin = step_of(read_text(piece / START_FILE))
        frames = {step: x for step, x in frames.items() if begin is not None and step <= begin}
        positions, steps = frames_of(piece, n_atoms)
        frames |= dict(zip(steps, positions, strict=True))
    return np.array(list(frames.values())).reshape(-1, n_atoms, 3), list(frames)


def last_checkpoint(folder: Path, n_atoms: int, store_every: int) -> tuple[int, str | None]:
    """Find where a run stands: a whole checkpoint, before which no frame is missing.

    Returns
    -------
    tuple[int, str | None]
        Its step and its text; 0 and None if the run must begin anew.
    """
    parts = with_content(pieces(folder), n_atoms)
    if not parts:
        return 0, None
    _, stored = join_pieces(parts, n_atoms)
    for name in ("CP2K-1.restart", "CP2K-1.restart.bak-1", START_FILE):
        text = read_text(parts[-1] / name)
        step = step_of(text)
        if step is not None and set(range(0, step + 1, store_every)) <= set(stored):
            return step, text
    return 0, None


def wall_time(piece: Path) -> float:
    """Return a piece's wall time, s; of a killed one up to its last step."""
    if total := total_time(read_text(piece / "cp2k.out") or ""):
        return total
    rows = (read_text(piece / "CP2K-1.ener") or "").splitlines()
    return sum(float(row.split()[6]) for row in rows if len(row.split()) == 7)
