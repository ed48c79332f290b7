"""Ions' paths, read a group of ions at a time: from memory, or from a scratch file.

A trajectory comes frame by frame, but correlations in time need one ion's whole path. A
stream is therefore turned round once, on the disk: its chunks are written as slabs
[n, 3, frames of the chunk] in float32, of which a group of ions is one contiguous piece.
Memory then holds one chunk, or one group of ions, never the trajectory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ionloop.errors import EvaluationError
from ionloop.explore.positions import remove_drift
from ionloop.trajectory import TrajectoryStream

#: Bytes of one group's paths, float64; their transforms take about four times as much.
GROUP_BYTES = 2**24
_FLOAT = np.dtype(np.float32)


@dataclass(frozen=True)
class Paths:
    """Paths of one run's ions, continuous and freed of the framework's drift.

    Parameters
    ----------
    n_frames
        Frames of the run.
    n_mobile, n_framework
        Mobile ions, which come first, and the others.
    cell
        Mean lattice vectors as rows, shape [3, 3], Å.
    read
        Gives the paths of ions ``first`` to ``last`` (left out), shape
        [n_frames, last - first, 3], Å, float64.
    """

    n_frames: int
    n_mobile: int
    n_framework: int
    cell: np.ndarray
    read: Callable[[int, int], np.ndarray]

    @property
    def volume(self) -> float:
        """Volume of the mean cell, Å³."""
        return float(abs(np.linalg.det(self.cell)))

    def mobile(self) -> Iterator[np.ndarray]:
        """Give the mobile ions' paths group by group, each of shape [n_frames, k, 3], Å."""
        return self._groups(0, self.n_mobile)

    def framework(self) -> Iterator[np.ndarray]:
        """Give the framework's paths group by group, each of shape [n_frames, k, 3], Å."""
        return self._groups(self.n_mobile, self.n_mobile + self.n_framework)

    def _groups(self, first: int, end: int) -> Iterator[np.ndarray]:
        size = max(1, GROUP_BYTES // (24 * self.n_frames))
        for i in range(first, end, size):
            yield self.read(i, min(i + size, end))


def paths_of_array(
    positions: np.ndarray, mobile: np.ndarray, framework: np.ndarray, cell: np.ndarray | None = None
) -> Paths:
    """Take paths from unwrapped positions in memory, shape [n_frames, n, 3], Å."""
    corrected = remove_drift(positions, framework)
    order = np.concatenate([mobile, framework]).astype(int)

    def read(first: int, last: int) -> np.ndarray:
        return corrected[:, order[first:last]]

    box = np.full((3, 3), np.nan) if cell is None else np.asarray(cell, float)
    return Paths(len(positions), len(mobile), len(framework), box, read)


@contextmanager
def paths_of_stream(stream: TrajectoryStream, mobile_ion: str, skip: int = 0) -> Iterator[Paths]:
    """Turn a stream round on the disk; the scratch file is gone when the block ends.

    Where the cell varies, paths are those of fractional coordinates in the mean cell.

    Parameters
    ----------
    stream
        The trajectory.
    mobile_ion
        Element of the mobile ions; all others are the framework.
    skip
        Frames of equilibration that are left out.

    Raises
    ------
    TrajectoryError
        If the trajectory can't be read, or lacks mobile ions or a framework.
    EvaluationError
        If no frame is left after ``skip``.
    """
    mobile, framework = stream.of(mobile_ion), stream.others(mobile_ion)
    order = np.concatenate([mobile, framework])
    with tempfile.TemporaryFile(prefix="ionloop-paths-") as scratch:
        lengths, cell = _write_slabs(stream, order, framework, skip, scratch)
        slabs = _Slabs(scratch, lengths, len(order), np.linalg.solve(stream.cell, cell))
        yield Paths(sum(lengths), len(mobile), len(framework), cell, slabs.read)


def _write_slabs(
    stream: TrajectoryStream,
    order: np.ndarray,
    framework: np.ndarray,
    skip: int,
    scratch: BinaryIO,
) -> tuple[list[int], np.ndarray]:
    """Write a slab a chunk; return the slabs' frames and the mean cell, shape [3, 3], Å."""
    lengths: list[int] = []
    cells, rest = np.zeros((3, 3)), np.zeros(0)
    for chunk in stream.chunks(framework=framework, skip=skip):
        ordered = chunk.positions[:, order]
        rest = ordered[0] if not lengths else rest
        # From the start on, so that float32 keeps 1e-5 Å over 100 Å.
        slab = (ordered - rest).transpose(1, 2, 0).astype(_FLOAT)
        scratch.write(np.ascontiguousarray(slab).data)
        lengths.append(len(ordered))
        cells += chunk.cells.sum(axis=0)
    if not lengths:
        msg = f"{stream.name}: expected frames after {skip} of equilibration, got none; skip fewer"
        raise EvaluationError(msg)
    return lengths, cells / sum(lengths)


@dataclass(frozen=True)
class _Slabs:
    """A scratch file of slabs [n, 3, frames], one a chunk, and what brings them to scale."""

    file: BinaryIO
    lengths: list[int]
    n: int
    to_mean_cell: np.ndarray

    def read(self, first: int, last: int) -> np.ndarray:
        found = np.empty((sum(self.lengths), last - first, 3))
        frame = offset = 0
        for length in self.lengths:
            self.file.seek((offset + first * 3 * length) * _FLOAT.itemsize)
            piece = self.file.read((last - first) * 3 * length * _FLOAT.itemsize)
            slab = np.frombuffer(piece, _FLOAT).reshape(last - first, 3, length)
            found[frame : frame + length] = slab.transpose(2, 0, 1)
            frame, offset = frame + length, offset + self.n * 3 * length
        return found @ self.to_mean_cell
