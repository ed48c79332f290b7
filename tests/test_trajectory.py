"""Streams of positions: the same path from every format, and nothing guessed."""

from __future__ import annotations

import gzip
import logging
import os
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from ionloop.errors import TrajectoryError
from ionloop.explore.positions import remove_drift
from ionloop.trajectory import TrajectoryStream, open_trajectory

ROOT = Path(__file__).resolve().parents[1]
CELL = np.array([[8.0, 0.0, 0.0], [1.0, 9.0, 0.0], [0.0, -2.0, 10.0]])
SYMBOLS = ["Li", "Li", "P", "S", "S"]


def walk(n_frames: int = 40, *, seed: int = 1) -> np.ndarray:
    """Make continuous positions that leave the cell, framework drift included."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(size=(1, len(SYMBOLS), 3)) @ CELL
    steps = rng.normal(scale=0.7, size=(n_frames, len(SYMBOLS), 3))
    steps[0] = 0
    return start + np.cumsum(steps, axis=0) + 0.2 * np.arange(n_frames)[:, None, None]


def atoms_of(positions: np.ndarray, cell: np.ndarray = CELL, *, wrap: bool = True) -> list[Atoms]:
    frames = [Atoms(SYMBOLS, positions=x, cell=cell, pbc=True) for x in positions]
    for frame in frames:
        if wrap:
            frame.wrap()
    return frames


def write_xdatcar(path: Path, frames: list[Atoms], *, header_again: bool = False) -> Path:
    lines: list[str] = []
    for i, frame in enumerate(frames, start=1):
        if i == 1 or header_again:
            cell = [" ".join(f"{x:.12f}" for x in row) for row in frame.cell.array]
            lines += ["LiPS", "1.0", *cell, "Li_sv P S", "2 1 2"]
        lines.append(f"Direct configuration= {i:5d}")
        lines += [" ".join(f"{x:.12f}" for x in row) for row in frame.get_scaled_positions()]
    text = "\n".join(lines) + "\n"
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt") as stream:
        stream.write(text)
    return path


def write(path: Path, frames: list[Atoms]) -> Path:
    if "XDATCAR" in path.name:
        return write_xdatcar(path, frames)
    ase.io.write(path, frames)
    return path


def all_positions(stream: TrajectoryStream, **options: object) -> np.ndarray:
    return np.concatenate([c.positions for c in stream.chunks(**options)])


@pytest.mark.parametrize("name", ["XDATCAR", "run.XDATCAR.gz", "md.extxyz", "md.xyz.gz", "md.traj"])
def test_every_format_gives_the_path_back(tmp_path: Path, name: str) -> None:
    path = walk()
    stream = open_trajectory(write(tmp_path / name, atoms_of(path)))
    assert list(stream.symbols) == SYMBOLS
    assert stream.cell == pytest.approx(CELL, abs=1e-9)
    found = all_positions(stream, frames_per_chunk=7)
    assert found - found[0] == pytest.approx(path - path[0], abs=1e-6)
    again = all_positions(stream)
    assert np.array_equal(again, found)


def test_a_list_of_atoms_is_a_stream_too() -> None:
    path = walk()
    stream = open_trajectory(atoms_of(path))
    assert stream.n_frames == len(path)
    found = all_positions(stream)
    assert found - found[0] == pytest.approx(path - path[0], abs=1e-9)


def test_drift_is_that_of_the_framework_alone() -> None:
    path = walk()
    stream = open_trajectory(atoms_of(path, wrap=False))
    framework = stream.others("Li")
    assert framework.tolist() == [2, 3, 4]
    assert stream.of("Li").tolist() == [0, 1]
    found = all_positions(stream, framework=framework, frames_per_chunk=3)
    assert found == pytest.approx(remove_drift(path, framework), abs=1e-9)
    assert found[:, framework].mean(axis=1) == pytest.approx(
        np.tile(path[0, framework].mean(axis=0), (len(path), 1)), abs=1e-9
    )


def test_skipping_and_striding_miss_no_jump() -> None:
    path = walk()
    stream = open_trajectory(atoms_of(path))
    found = all_positions(stream, skip=5, stride=10, frames_per_chunk=2)
    # The way over ten frames is longer than half a cell: only every frame tells it.
    assert found - found[0] == pytest.approx(path[5::10] - path[5], abs=1e-9)
    starts = [c.start for c in stream.chunks(skip=5, stride=10, frames_per_chunk=2)]
    assert starts == [0, 2]


def test_a_breathing_cell_is_no_motion(tmp_path: Path) -> None:
    scaled = np.array([[0.1, 0.2, 0.3], [0.9, 0.5, 0.1], [0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0]])
    scales = 1 + 0.05 * np.sin(np.arange(12))
    frames = [Atoms(SYMBOLS, scaled_positions=scaled, cell=s * CELL, pbc=True) for s in scales]
    stream = open_trajectory(write_xdatcar(tmp_path / "XDATCAR", frames, header_again=True))
    (chunk,) = stream.chunks(framework=stream.others("Li"))
    assert chunk.positions == pytest.approx(np.tile(chunk.positions[0], (12, 1, 1)), abs=1e-8)
    assert chunk.cells == pytest.approx(scales[:, None, None] * CELL, abs=1e-8)


@pytest.mark.parametrize("name", ["XDATCAR", "XDATCAR.gz", "md.extxyz"])
@pytest.mark.parametrize("bytes_lost", [1, 4, 90])
def test_a_last_frame_that_is_cut_off_is_left_out(
    tmp_path: Path, name: str, bytes_lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = walk(6)
    plain = write(tmp_path / name.removesuffix(".gz"), atoms_of(path)).read_bytes()[:-bytes_lost]
    file = tmp_path / name
    file.write_bytes(gzip.compress(plain) if name.endswith(".gz") else plain)
    with caplog.at_level(logging.WARNING):
        found = all_positions(open_trajectory(file))
    assert len(found) == 5
    assert "frame 5, the last, is cut off and left out" in caplog.text


def test_a_gzip_that_is_cut_off_gives_its_whole_frames(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_xdatcar(tmp_path / "XDATCAR.gz", atoms_of(walk(400)))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    n = len(all_positions(open_trajectory(file)))
    assert 100 < n < 300
    assert "is cut off and left out" in caplog.text


def test_a_blank_line_does_not_end_a_file(tmp_path: Path) -> None:
    file = write_xdatcar(tmp_path / "XDATCAR", atoms_of(walk(6)))
    fourth = "Direct configuration=     4"
    file.write_text(file.read_text().replace(fourth, "\n" + fourth))
    assert len(all_positions(open_trajectory(file))) == 6


def half_a_cell() -> list[Atoms]:
    path = np.repeat(walk(1), 3, axis=0)
    path[2, 1] += 0.48 * CELL[1]
    return atoms_of(path)


def other_order() -> list[Atoms]:
    frames = atoms_of(walk(3))
    frames[2].set_chemical_symbols(["Li", "P", "Li", "S", "S"])
    return frames


def no_cell() -> list[Atoms]:
    frames = atoms_of(walk(2))
    frames[0].pbc = [True, True, False]
    return frames


REFUSED: list[tuple[Callable[[], list[Atoms]], str]] = [
    (half_a_cell, r"atom 1 \(Li\) moves 0.48 of a lattice vector from frame 1 to 2.*more often"),
    (other_order, "frame 2: expected the atoms of the first frame.*split the file"),
    (no_cell, "expected a cell that is periodic"),
    (list, "expected frames, got none"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_cannot_be_followed_is_refused(make: Callable[[], list[Atoms]], message: str) -> None:
    with pytest.raises(TrajectoryError, match=message):
        all_positions(open_trajectory(make()))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("md.dump", "x", "expected a name with XDATCAR"),
        ("XDATCAR", "", "expected frames, got none"),
        ("XDATCAR", "a\n1\n8 0 0\n0 8 0\n0 0 8\n2 1\nDirect\n", "symbols, got 1, 2"),
        ("XDATCAR", "a\n1\n8 0\n0 8 0\n0 0 8\nLi\n1\nDirect\n", "can't be read"),
        ("XDATCAR", "a\n1\n8 0 0\n0 8 0\n0 0 8\nLi Qq\n1 1\nDirect\n", "symbols, got Qq"),
        ("XDATCAR", "a\n1\n8 0 0\n0 8 0\n0 0 8\nLi\n1\nCartesian\n1 1 1\n", "expected a line"),
        ("a.xyz", "1\nx=1\nLi 0 0 0\n", "periodic in all directions"),
        ("a.xyz", '1\nLattice="8 0 0 0 8 0 0 0 8"\nLi 0 nan 0\n', "isn't a finite number"),
        ("a.xyz", '1\nLattice="8 0 0 0 8 0 0 0 8"\nLi 0 x 0\nmore\n', "frame 0: can't be read"),
        ("a.traj", "no ulm file", "can't be read as a trajectory of ASE"),
    ],
)
def test_what_is_no_trajectory_is_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(TrajectoryError, match=message):
        open_trajectory(file)


def test_a_missing_file_and_a_missing_element_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryError, match="found no such file"):
        open_trajectory(tmp_path / "XDATCAR")
    stream = open_trajectory(atoms_of(walk(2)))
    with pytest.raises(TrajectoryError, match="expected atoms of Na, got Li, P, S"):
        stream.of("Na")
    alone = open_trajectory([Atoms("Li", cell=CELL, pbc=True)])
    with pytest.raises(TrajectoryError, match="without one"):
        alone.others("Li")


def test_real_aimd_is_read() -> None:
    folder = Path(os.environ.get("IONLOOP_TEST_DATA", ROOT.parent / "shared" / "data"))
    file = folder / "argyrodite_aimd" / "Li6PS5Cl_0p_run1.XDATCAR.gz"
    if not file.is_file():
        pytest.skip(f"no {file}; IONLOOP_TEST_DATA names the folder of real data")
    stream = open_trajectory(file)
    found = all_positions(stream, framework=stream.others("Li"))
    assert found.shape == (140, 416, 3)
    assert len(stream.of("Li")) == 192
    # Li moves some Å in 14 ps at 500 K; sulfur stays.
    moved = np.linalg.norm(found[-1] - found[0], axis=1)
    assert 1.0 < moved[stream.of("Li")].mean() < 6.0
    assert moved[stream.of("S")].mean() < 1.0
