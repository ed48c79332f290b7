"""Where a molecular-dynamics run stands, so that a killed job goes on.

The engine runs a killed job again in its old folder. A file is written beside and
renamed, so that a kill at any moment leaves the old state or the new one, never a half.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ionloop.files import whole

logger = logging.getLogger(__name__)


class Checkpoint:
    """One npz of arrays, and the wall time that made them.

    Parameters
    ----------
    path
        The file, with its suffix ``.npz``.
    run
        Hash of all that decides the run; the file of another run is left unread, and is
        overwritten.
    every_s
        Wall time between two writes, s: what a kill may cost.
    """

    def __init__(self, path: Path, run: str, every_s: float = 20.0) -> None:
        self.path = path
        self.run = run
        self.every_s = every_s
        self._earlier_s = 0.0
        self._begin = self._saved = time.monotonic()

    @property
    def wall_s(self) -> float:
        """Wall time so far, s, with earlier launches' up to what they saved."""
        return self._earlier_s + time.monotonic() - self._begin

    @property
    def due(self) -> bool:
        """Whether ``every_s`` have passed since the last write."""
        return time.monotonic() - self._saved >= self.every_s

    def load(self) -> dict[str, np.ndarray] | None:
        """Read what an earlier launch of this run saved; None if there is nothing."""
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as npz:
                state = {key: npz[key] for key in npz.files}
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            logger.warning("%s can't be read (%s); the run starts anew", self.path, error)
            return None
        if str(state.pop("run", "")) != self.run:
            logger.warning("%s is of another run; this one starts anew", self.path.resolve())
            return None
        self._earlier_s = float(state.pop("wall_s"))
        return state

    def save(self, **arrays: np.ndarray) -> None:
        """Write the arrays by one atomic rename."""
        with whole(self.path) as scratch:
            np.savez(scratch, run=self.run, wall_s=self.wall_s, **arrays)  # type: ignore[arg-type]
        self._saved = time.monotonic()
