"""Frames of trajectory files one after another: XDATCAR, extended xyz, ASE's own.

Nothing is held but the frame at hand. :mod:`ionloop.trajectory` makes the frames continuous.
"""

from __future__ import annotations

import gzip
import logging
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TextIO

import ase.io.trajectory
import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io.extxyz import key_val_str_to_dict

from ionloop.errors import TrajectoryError

logger = logging.getLogger(__name__)

#: Lines of an XDATCAR's header: title, scale, three vectors, symbols, counts.
HEADER = 7


class RawFrame(NamedTuple):
    """One frame as a file has it."""

    symbols: tuple[str, ...]
    cell: np.ndarray  #: Lattice vectors as rows, shape [3, 3], Å.
    scaled: np.ndarray  #: Fractional positions, shape [n, 3], not wrapped here.


class _CutOffError(Exception):
    """The file ends inside a frame."""


def frames_of(path: Path) -> Iterator[RawFrame]:
    """Read a file's frames one after another; a last frame that is cut off is left out.

    Raises
    ------
    TrajectoryError
        If the file is missing, of a kind that isn't read, or can't be understood.
    """
    if not path.is_file():
        msg = f"{path}: expected a trajectory, found no such file"
        raise TrajectoryError(msg)
    yield from _reader_of(path)(path)


def _reader_of(path: Path) -> Callable[[Path], Iterator[RawFrame]]:
    name = path.name.removesuffix(".gz")
    if name.endswith((".xyz", ".extxyz")):
        return lambda p: _text_frames(p, _xyz_frame)
    if name.endswith(".traj") and name == path.name:
        return _ase_frames
    if "XDATCAR" in name:
        return lambda p: _text_frames(p, _XdatcarReader().frame)
    msg = (
        f"{path}: expected a name with XDATCAR, or one that ends in .xyz, .extxyz (each with "
        ".gz or without) or .traj; rename the file or convert it with ase.io.write"
    )
    raise TrajectoryError(msg)


def raw_frame(atoms: Atoms, where: str) -> RawFrame:
    """Take a frame from ASE atoms; ``where`` names it in errors.

    Raises
    ------
    TrajectoryError
        If the atoms aren't periodic in all directions.
    """
    if not atoms.pbc.all():
        raise TrajectoryError(_not_periodic(where))
    return _checked(tuple(atoms.get_chemical_symbols()), atoms.cell.array, atoms.positions, where)


def _checked(
    symbols: tuple[str, ...], cell: np.ndarray, positions: np.ndarray, where: str
) -> RawFrame:
    """Turn Cartesian positions into fractional ones; what isn't finite is refused."""
    if not abs(np.linalg.det(cell)) > 1e-3:
        raise TrajectoryError(_not_periodic(where))
    return RawFrame(symbols, cell, _finite(positions @ np.linalg.inv(cell), where))


def _finite(scaled: np.ndarray, where: str) -> np.ndarray:
    if not np.isfinite(scaled).all():
        msg = f"{where}: a position isn't a finite number; leave the frames from there on out"
        raise TrajectoryError(msg)
    return scaled


def _not_periodic(where: str) -> str:
    return (
        f"{where}: expected a cell that is periodic in all directions, got none; set cell and pbc"
    )


def _ase_frames(path: Path) -> Iterator[RawFrame]:
    try:
        stored = ase.io.trajectory.Trajectory(str(path))
    except Exception as error:
        msg = f"{path}: can't be read as a trajectory of ASE: {type(error).__name__}: {error}"
        raise TrajectoryError(msg) from error
    with stored:
        for i in range(len(stored)):
            try:
                atoms = stored[i]
            except Exception as error:
                if i == len(stored) - 1:
                    _warn_cut_off(path, i)
                    return
                msg = f"{path}: frame {i} can't be read: {type(error).__name__}: {error}"
                raise TrajectoryError(msg) from error
            yield raw_frame(atoms, f"{path}: frame {i}")


def _text_frames(
    path: Path, read_frame: Callable[[TextIO, str], RawFrame | None]
) -> Iterator[RawFrame]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as stream:
        n = 0
        while True:
            where = f"{path}: frame {n}"
            try:
                frame = read_frame(stream, where)
            except (_CutOffError, EOFError):
                _warn_cut_off(path, n)
                return
            except (ValueError, KeyError, OSError, zlib.error) as error:
                if _at_end(stream):
                    _warn_cut_off(path, n)
                    return
                msg = f"{where}: can't be read: {type(error).__name__}: {error}"
                raise TrajectoryError(msg) from error
            if frame is None:
                return
            yield frame
            n += 1


def _warn_cut_off(path: Path, n: int) -> None:
    logger.warning("%s: frame %d, the last, is cut off and left out", path, n)


def _at_end(stream: TextIO) -> bool:
    """Tell whether nothing is left to read, so that what failed was the last frame."""
    try:
        return not stream.readline()
    except (EOFError, OSError, zlib.error, UnicodeDecodeError):
        return False


def _lines(stream: TextIO, n: int) -> list[str]:
    lines = list(islice(stream, n))
    # A last number that lost digits would still be a number: its line must be whole.
    if len(lines) < n or not lines[-1].endswith("\n"):
        raise _CutOffError
    return lines


def _next_line(stream: TextIO) -> str:
    """Return the next line that isn't blank; nothing at the end."""
    line = stream.readline()
    while line.isspace():
        line = stream.readline()
    return line


def _elements(names: list[str], where: str) -> tuple[str, ...]:
    """Return chemical symbols; VASP writes Li_sv, or Li/ with a hash, for Li."""
    symbols = tuple(name.split("_")[0].split("/")[0] for name in names)
    if unknown := sorted(set(symbols) - set(atomic_numbers)):
        msg = f"{where}: expected chemical symbols, got {', '.join(unknown[:5])}"
        raise TrajectoryError(msg)
    return symbols


class _XdatcarReader:
    """Reads frames; a header that comes again, as with a cell that varies, is taken over."""

    def __init__(self) -> None:
        self.symbols: tuple[str, ...] = ()
        self.cell = np.zeros((3, 3))

    def frame(self, stream: TextIO, where: str) -> RawFrame | None:
        line = _next_line(stream)
        if not line:
            return None
        if not _is_configuration(line):
            self._header([line, *_lines(stream, HEADER - 1)], where)
            line = stream.readline()
            if not line:
                raise _CutOffError
        if not line.lstrip().lower().startswith("direct"):
            msg = f"{where}: expected a line 'Direct configuration=', got {line.strip()[:60]!r}"
            raise TrajectoryError(msg)
        body = _lines(stream, len(self.symbols))
        scaled = np.array(" ".join(body).split(), float).reshape(len(self.symbols), 3)
        return RawFrame(self.symbols, self.cell, _finite(scaled, where))

    def _header(self, lines: list[str], where: str) -> None:
        scale, *vectors = (np.array(line.split(), float) for line in lines[1:5])
        cell = np.array(vectors).reshape(3, 3)
        # A negative scale is the cell's volume.
        cell *= scale[0] if scale[0] > 0 else (-scale[0] / abs(np.linalg.det(cell))) ** (1 / 3)
        names = _elements(lines[5].split(), where)
        counts = [int(x) for x in lines[6].split()]
        self.symbols = tuple(s for s, n in zip(names, counts, strict=True) for _ in range(n))
        self.cell = cell


def _is_configuration(line: str) -> bool:
    return "configuration=" in line.lower()


def _xyz_frame(stream: TextIO, where: str) -> RawFrame | None:
    first = _next_line(stream)
    if not first:
        return None
    n = int(first)
    comment, *body = _lines(stream, n + 1)
    info = key_val_str_to_dict(comment)
    if "Lattice" not in info or not np.all(info.get("pbc", True)):
        raise TrajectoryError(_not_periodic(where))
    names = info.get("Properties", "species:S:1:pos:R:3").split(":")
    widths = [int(width) for width in names[2::3]]
    starts = dict(zip(names[::3], np.cumsum([0, *widths]), strict=False))
    table = np.array(" ".join(body).split(), dtype=object).reshape(n, sum(widths))
    positions = table[:, starts["pos"] : starts["pos"] + 3].astype(float)
    symbols = _elements(table[:, starts["species"]].tolist(), where)
    # ASE gives back the lattice with vectors as columns.
    return _checked(symbols, np.array(info["Lattice"], float).reshape(3, 3).T, positions, where)
