"""Molecular dynamics that is killed, by whomever, or out of time, and goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from ionloop.errors import ExplorationError
from ionloop.frame import Frame
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.cp2k.inputs import IonicMdSetGenerator
from ionloop.reference.cp2k.md import (
    START_FILE,
    Cp2kMdMaker,
    join_pieces,
    last_checkpoint,
    new_piece,
)
from ionloop.reference.cp2k.settings import Cp2kSettings, MdSettings
from ionloop.reference.folders import read_text
from ionloop.reference.pieces import pieces
from ionloop.reference.schema import Trajectory

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")

#: The last step isn't stored: its frame would be the seventh.
RUN = MdSettings(temperature=300, n_steps=11, time_step=0.5, store_every=2, seed=7, eps_scf=1e-7)


def md(dft: Cp2kSettings, frame: Frame, folder: Path) -> Trajectory:
    """Run the job in a folder, as the engine does, again and again."""
    folder.mkdir(exist_ok=True)
    maker = Cp2kMdMaker(input_set_generator=IonicMdSetGenerator(dft=dft, md=asdict(RUN)))
    before = Path.cwd()
    os.chdir(folder)
    try:
        return Cp2kMdMaker.make.original(maker, frame, "g")
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def whole(
    coarse: Cp2kSettings, hydrogen: list[Frame], tmp_path_factory: pytest.TempPathFactory
) -> Trajectory:
    """The run without a disturbance."""
    return md(coarse, hydrogen[0], tmp_path_factory.mktemp("whole"))


def is_like(run: Trajectory, whole: Trajectory) -> bool:
    """Say whether two runs are the same, up to what electrons from atoms differ by."""
    assert (run.n_frames, run.n_steps, run.stopped) == (whole.n_frames, whole.n_steps, None)
    return bool(np.abs(run.positions - whole.positions).max() < 1e-5)


def test_md_keeps_positions_unwrapped(frame: Frame, run, round_trip, tmp_path: Path) -> None:
    job = Cp2kReference().md(
        frame, temperature=600, n_steps=5, time_step=2.0, store_every=1, seed=7, group="a"
    )
    trajectory = run(round_trip(job), tmp_path)
    assert trajectory.n_frames == 6
    assert trajectory.n_steps == 5
    assert trajectory.frame_interval_fs == 2.0
    assert trajectory.group == "a"
    np.testing.assert_allclose(trajectory.positions[0], frame.positions, atol=1e-5)
    steps = np.linalg.norm(np.diff(trajectory.positions, axis=0), axis=-1)
    assert 1e-3 < steps.max() < 0.2


def test_an_undisturbed_run_is_one_piece(whole: Trajectory, hydrogen: list[Frame]) -> None:
    assert (whole.n_frames, whole.n_steps, whole.stopped) == (6, 11, None)
    assert whole.wall_s > 0.1
    np.testing.assert_allclose(whole.positions[0], hydrogen[0].positions, atol=1e-6)
    moved = np.linalg.norm(np.diff(whole.positions, axis=0), axis=2)
    assert moved.min(axis=1).max() > 0.001  # every stored frame is another one


def test_killed_md_goes_on_without_gap_or_doubled_frame(
    machine, coarse: Cp2kSettings, hydrogen: list[Frame], whole: Trajectory, tmp_path: Path
) -> None:
    """Positions, velocities and thermostat go on; a new start would be far off."""
    machine.kill(2, "CP2K-1.ener", "^ *[57] ")
    run = md(coarse, hydrogen[0], tmp_path / "md")
    assert machine.n_runs == 3
    assert is_like(run, whole)
    (folder,) = (tmp_path / "md").iterdir()
    assert len(pieces(folder)) == 3
    assert run.wall_s > 0.1


def test_md_that_is_always_killed_keeps_its_frames_and_goes_on_when_asked_again(
    machine, coarse: Cp2kSettings, hydrogen: list[Frame], whole: Trajectory, tmp_path: Path
) -> None:
    machine.kill(99, "CP2K-1.ener", "^ *[2468] ")
    run = md(coarse, hydrogen[0], tmp_path / "md")
    assert run.stopped == "CP2K died: killed by signal 9 (out of memory?), 3 attempts"
    assert 2 <= run.n_frames < whole.n_frames
    np.testing.assert_allclose(run.positions, whole.positions[: run.n_frames], atol=1e-5)
    machine.kill(0, "none", "none")
    assert is_like(md(coarse, hydrogen[0], tmp_path / "md"), whole)
    n_runs = machine.n_runs
    assert is_like(md(coarse, hydrogen[0], tmp_path / "md"), whole)
    assert machine.n_runs == n_runs  # what is finished isn't run again


def test_md_goes_on_after_its_worker_was_killed(
    coarse: Cp2kSettings, hydrogen: list[Frame], whole: Trajectory, tmp_path: Path
) -> None:
    """kill -9 of the worker in mid-run; CP2K ends with it, and another worker goes on."""
    generator = IonicMdSetGenerator(dft=coarse, md=asdict(RUN))
    (tmp_path / "frame.json").write_text(hydrogen[0].model_dump_json())
    script = (
        "import json, sys\n"
        "from ionloop.frame import Frame\n"
        "from ionloop.reference.cp2k.inputs import IonicMdSetGenerator\n"
        "from ionloop.reference.cp2k.md import Cp2kMdMaker\n"
        "frame = Frame.model_validate_json(open('../frame.json').read())\n"
        f"generator = IonicMdSetGenerator.from_dict({generator.as_dict()!r})\n"
        "maker = Cp2kMdMaker(input_set_generator=generator)\n"
        "Cp2kMdMaker.make.original(maker, frame, 'g')\n"
    )
    folder = tmp_path / "md"
    folder.mkdir()
    with (tmp_path / "err").open("w") as err:
        worker = subprocess.Popen([sys.executable, "-c", script], cwd=folder, stderr=err)
    end = time.monotonic() + 100
    while not any(len(p.read_text().splitlines()) > 4 for p in folder.rglob("CP2K-1.ener")):
        assert worker.poll() is None, (tmp_path / "err").read_text()
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    run = md(coarse, hydrogen[0], folder)
    assert is_like(run, whole)
    assert len(pieces(next(folder.iterdir()))) == 2


def test_md_near_the_wall_time_keeps_its_checkpoint(
    coarse: Cp2kSettings,
    hydrogen: list[Frame],
    whole: Trajectory,
    tmp_path: Path,
    ends_soon,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seconds in range(1, 9):  # a slow machine needs more than one to make a step
        ends_soon(seconds)
        folder = tmp_path / f"md_{seconds}"
        stopped = r"of 11 steps, got \d+ until the worker's wall time"
        with pytest.raises(ExplorationError, match=stopped) as error:
            md(coarse, hydrogen[0], folder)
        if "got 0 " not in str(error.value):
            break
    monkeypatch.delenv("IONLOOP_CP2K_WALL_TIME_S")
    assert is_like(md(coarse, hydrogen[0], folder), whole)
    first, second = pieces(next(folder.iterdir()))
    assert "PROGRAM ENDED" in read_text(first / "cp2k.out")  # cleanly
    assert read_text(second / START_FILE)


def test_silent_md_is_ended_three_times(
    coarse: Cp2kSettings, hydrogen: list[Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IONLOOP_CP2K_CMD", "sh -c 'exec sleep 60'")
    monkeypatch.setenv("IONLOOP_CP2K_FROZEN_S", "1")
    monkeypatch.setattr("ionloop.reference.cp2k.runs.CHECK_EVERY", 2)
    with pytest.raises(ExplorationError, match="silent for too long, ended, 3 attempts"):
        md(coarse, hydrogen[0], tmp_path / "md")
    assert len(pieces(next((tmp_path / "md").iterdir()))) == 3


# --- pieces by hand ---


def write_piece(folder: Path, begin: int | None, steps: list[int], saved: int | None) -> Path:
    """Write what a piece leaves: frames, its start, and its last checkpoint."""
    piece = folder / f"piece_{len(pieces(folder)):02d}"
    piece.mkdir()
    if begin is not None:
        (piece / START_FILE).write_text(checkpoint(begin))
    if saved is not None:
        (piece / "CP2K-1.restart").write_text(checkpoint(saved))
    frames = [f" 1\n i = {s}, time = {s}.000, E = -1.0\n H {s}.5 0.0 0.25\n" for s in steps]
    (piece / "CP2K-pos-1.xyz").write_text("".join(frames))
    return piece


def checkpoint(step: int) -> str:
    return f" &MOTION\n  STEP_START_VAL  {step}\n &END MOTION\n &FORCE_EVAL\n &END FORCE_EVAL\n"


def test_frames_after_the_checkpoint_are_replaced(tmp_path: Path) -> None:
    write_piece(tmp_path, None, [0, 2, 4, 6], 5)
    write_piece(tmp_path, 5, [6, 8], 8)
    positions, steps = join_pieces(pieces(tmp_path), 1)
    assert steps == [0, 2, 4, 6, 8]
    np.testing.assert_allclose(positions[:, 0, 0], [0.5, 2.5, 4.5, 6.5, 8.5])
    assert last_checkpoint(tmp_path, 1, 2)[0] == 8


def test_a_piece_that_began_anew_replaces_all(tmp_path: Path) -> None:
    write_piece(tmp_path, None, [0, 2], None)
    assert last_checkpoint(tmp_path, 1, 2) == (0, None)
    write_piece(tmp_path, None, [0], 1)
    assert join_pieces(pieces(tmp_path), 1)[1] == [0]
    assert last_checkpoint(tmp_path, 1, 2)[0] == 1


def test_a_checkpoint_that_was_cut_off_leaves_the_one_before(tmp_path: Path) -> None:
    write_piece(tmp_path, None, [0, 2], 2)
    piece = write_piece(tmp_path, 2, [4, 6], 6)
    text = (piece / "CP2K-1.restart").read_text()
    (piece / "CP2K-1.restart").write_text(text[:-9])
    assert last_checkpoint(tmp_path, 1, 2) == (2, checkpoint(2))
    (piece / "CP2K-1.restart.bak-1").write_text(checkpoint(5))
    assert last_checkpoint(tmp_path, 1, 2) == (5, checkpoint(5))


def test_a_checkpoint_ahead_of_its_frames_is_no_use(tmp_path: Path) -> None:
    """A number that was cut off is no frame, and the run goes back before it."""
    piece = write_piece(tmp_path, None, [0, 2, 4], 4)
    (piece / "CP2K-1.restart.bak-1").write_text(checkpoint(3))
    text = (piece / "CP2K-pos-1.xyz").read_text()
    (piece / "CP2K-pos-1.xyz").write_text(text[:-2])
    assert join_pieces([piece], 1)[1] == [0, 2]
    assert last_checkpoint(tmp_path, 1, 2) == (3, checkpoint(3))


@pytest.mark.parametrize("left", [None, "", checkpoint(4)[:-9]])
def test_a_piece_without_its_start_throws_nothing_away(tmp_path: Path, left: str | None) -> None:
    """What a kill or a full disk left of a new piece, before pieces were renamed into place."""
    write_piece(tmp_path, None, [0, 2, 4], 4)
    (tmp_path / "piece_01").mkdir()
    if left is not None:
        (tmp_path / "piece_01" / START_FILE).write_text(left)
    assert last_checkpoint(tmp_path, 1, 2) == (4, checkpoint(4))
    assert join_pieces(pieces(tmp_path), 1)[1] == [0, 2, 4]
    piece = new_piece(tmp_path, checkpoint(4))
    assert (piece.name, (piece / START_FILE).read_text()) == ("piece_02", checkpoint(4))
    assert last_checkpoint(tmp_path, 1, 2) == (4, checkpoint(4))
    assert join_pieces(pieces(tmp_path), 1)[1] == [0, 2, 4]


def test_a_new_piece_that_cannot_be_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        path.touch()
        raise OSError(28, "No space left on device", text[:0])

    write_piece(tmp_path, None, [0, 2, 4], 4)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space"):
            new_piece(tmp_path, checkpoint(4))
    assert [piece.name for piece in pieces(tmp_path)] == ["piece_00"]
    assert new_piece(tmp_path, checkpoint(4)).name == "piece_01"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["piece_00", "piece_01"]
