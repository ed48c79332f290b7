"""Trajectories as streams: continuous positions, freed of the framework's drift, in chunks.

A file of any length is read with the memory of one chunk. Every tool that looks at a
trajectory from outside a campaign begins here:

>>> stream = open_trajectory("XDATCAR.gz")  # doctest: +SKIP
>>> for chunk in stream.chunks(framework=stream.others("Li")):  # doctest: +SKIP
...     print(chunk.start, chunk.positions.shape)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from ionloop.errors import TrajectoryError
from ionloop.trajectory_files import RawFrame, frames_of, raw_frame

#: Bytes of positions that a chunk holds.
CHUNK_BYTES = 2**24
#: Largest step between frames, in lattice vectors, whose direction is beyond doubt: at half
#: a lattice vector, an ion may as well have come from the other side.
STEP_MAX = 0.45


@dataclass(frozen=True)
class Chunk:
    """Frames that follow one another.

    Parameters
    ----------
    start
        Index of the first frame among those that the stream gives out.
    positions
        Continuous positions, shape [n_frames, n, 3], Å.
    cells
        Lattice vectors as rows, shape [n_frames, 3, 3], Å.
    """

    start: int
    positions: np.ndarray
    cells: np.ndarray


@dataclass(frozen=True)
class TrajectoryStream:
    """A trajectory that is read when it's asked for, and again each time.

    Parameters
    ----------
    name
        What errors call it.
    symbols
        Chemical symbols, one an atom.
    cell
        Lattice vectors of the first frame as rows, shape [3, 3], Å.
    n_frames
        Number of frames, None where only reading all of it would tell.
    frames
        Gives the frames from the first on, anew at each call.
    """

    name: str
    symbols: tuple[str, ...]
    cell: np.ndarray
    n_frames: int | None
    frames: Callable[[], Iterator[RawFrame]]

    def of(self, symbol: str) -> np.ndarray:
        """Return the indices of one element's atoms, shape [m].

        Raises
        ------
        TrajectoryError
            If there is none.
        """
        found = np.flatnonzero(np.array(self.symbols) == symbol)
        if not len(found):
            kinds = ", ".join(dict.fromkeys(self.symbols))
            msg = f"{self.name}: expected atoms of {symbol}, got {kinds}; name the mobile ion"
            raise TrajectoryError(msg)
        return found

    def others(self, symbol: str) -> np.ndarray:
        """Return the indices of all atoms but one element's: the framework, shape [m].

        Raises
        ------
        TrajectoryError
            If there is none: drift can't be told from diffusion then.
        """
        found = np.flatnonzero(np.array(self.symbols) != symbol)
        if not len(found):
            msg = (
                f"{self.name}: expected a framework beside {symbol}, got {symbol} alone; drift "
                "can't be told from diffusion without one"
            )
            raise TrajectoryError(msg)
        return found

    def chunks(
        self,
        *,
        framework: np.ndarray | None = None,
        skip: int = 0,
        stride: int = 1,
        frames_per_chunk: int | None = None,
    ) -> Iterator[Chunk]:
        r"""Read the trajectory; atoms are followed through the cell's faces.

        .. math:: s_k = s_{k-1} + w_k - w_{k-1} - \mathrm{rint}(w_k - w_{k-1}), \quad
                  r_k = (s_k - \bar s_k + \bar s_0) H_0

        with fractional positions w as stored, and the framework's mean :math:`\bar s`.
        Positions belong to the first frame's cell :math:`H_0` throughout: where the cell
        varies, its breathing is no motion of ions against the lattice. (Multiplying by each
        frame's own cell instead would add noise that grows with the distance from the
        origin: Bullerjahn et al., J. Chem. Theory Comput. 19, 3406, 2023.)

        Parameters
        ----------
        framework
            Indices of the atoms whose mean displacement is taken from all; None leaves drift.
        skip
            Frames left out at the start.
        stride
            Give out every ``stride``-th frame; all are read, so that no jump is missed.
        frames_per_chunk
            None takes what fits into ``CHUNK_BYTES``.

        Raises
        ------
        TrajectoryError
            If atoms change, or one moves half a lattice vector from one frame to the next.
        """
        size = frames_per_chunk or max(1, CHUNK_BYTES // (24 * len(self.symbols)))
        start, positions, cells = 0, [], []
        rest: np.ndarray | None = None
        for i, (frame, scaled) in enumerate(self._continuous()):
            drift = np.zeros(3)
            if framework is not None:
                mean = scaled[framework].mean(axis=0)
                rest = mean if rest is None else rest
                drift = mean - rest
            if i < skip or (i - skip) % stride:
                continue
            positions.append((scaled - drift) @ self.cell)
            cells.append(frame.cell)
            if len(positions) == size:
                yield Chunk(start, np.array(positions), np.array(cells))
                start, positions, cells = start + size, [], []
        if positions:
            yield Chunk(start, np.array(positions), np.array(cells))

    def _continuous(self) -> Iterator[tuple[RawFrame, np.ndarray]]:
        """Yield frames with continuous fractional positions, shape [n, 3]."""
        before: np.ndarray | None = None
        path = np.zeros(0)
        for i, frame in enumerate(self.frames()):
            if frame.symbols != self.symbols:
                msg = (
                    f"{self.name}: frame {i}: expected the atoms of the first frame in their "
                    "order, got others; split the file where its atoms change"
                )
                raise TrajectoryError(msg)
            if before is None:
                path = frame.scaled.copy()
            else:
                step = frame.scaled - before
                step -= np.rint(step)
                self._require_short(step, i)
                path = path + step
            before = frame.scaled
            yield frame, path

    def _require_short(self, step: np.ndarray, i: int) -> None:
        largest = np.abs(step).max(axis=1)
        atom = int(largest.argmax())
        if largest[atom] > STEP_MAX:
            msg = (
                f"{self.name}: atom {atom} ({self.symbols[atom]}) moves {largest[atom]:.2f} of a "
                f"lattice vector from frame {i - 1} to {i}, expected at most {STEP_MAX:g}: which "
                "way it went can't be told; store frames more often, use a larger cell, or split "
                "the file if two runs were joined there"
            )
            raise TrajectoryError(msg)


def open_trajectory(source: str | Path | Sequence[Atoms]) -> TrajectoryStream:
    """Open an XDATCAR or extended xyz (each .gz or not), a .traj of ASE, or a list of atoms.

    Raises
    ------
    TrajectoryError
        If there is no frame, or the first can't be read.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        name, n_frames = str(source), None

        def frames() -> Iterator[RawFrame]:
            return frames_of(path)
    else:
        name, n_frames = "list of atoms", len(source)

        def frames() -> Iterator[RawFrame]:
            return (raw_frame(atoms, f"{name}: {i}") for i, atoms in enumerate(source))

    first = next(frames(), None)
    if first is None:
        msg = f"{name}: expected frames, got none that is whole"
        raise TrajectoryError(msg)
    return TrajectoryStream(name, first.symbols, first.cell, n_frames, frames)
