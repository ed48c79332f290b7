"""Failures on demand, as ``VASP_STAND_IN_FAIL`` names them."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

#: What can be planted; after half of the steps in molecular dynamics.
MODES = {
    "unconverged": "the electronic loop ends at NELM, EDIFF isn't reached",
    "nan": "energy and forces are NaN",
    "killed": "SIGKILL after the electronic loop",
    "oom": "SIGKILL, and the queue's words on memory in stderr",
    "truncated": "vasprun.xml loses its last fifth",
    "order": "the output has its species in another order",
    "walltime": "stopped as by a STOPCAR",
    "refuse": "VERY BAD NEWS from the symmetry routines",
    "nostress": "no stress in the output",
    "noforces": "no forces in the output",
    "charge": "one electron too many",
    "moment": "the magnetization jumps to 3",
    "version": "another version answers",
    "edited": "ALGO is changed in the INCAR, as custodian would",
    "empty": "the program doesn't load",
    "hang": "silence for ten minutes",
    "no_vtst": "built without the VTST tools",
}


@dataclass(frozen=True)
class Fault:
    """What goes wrong in this run.

    Parameters
    ----------
    mode
        One of :data:`MODES`; empty if nothing does.
    """

    mode: str = ""

    @classmethod
    def planted(cls) -> Fault:
        """Log this run, and read what was planted for it."""
        mode, _, times = os.environ.get("VASP_STAND_IN_FAIL", "").partition(":")
        if mode and mode not in MODES:
            sys.exit(f"expected VASP_STAND_IN_FAIL to be one of {sorted(MODES)}, got {mode!r}")
        log = Path(os.environ.get("VASP_STAND_IN_LOG", os.devnull))
        done = len(log.read_text().splitlines()) if log.is_file() else 0
        with log.open("a") as stream:
            stream.write(f"{Path.cwd()}\n")
        return cls(mode if not times or done < int(times) else "")

    def has(self, *modes: str) -> bool:
        """Say whether it is one of these."""
        return self.mode in modes


def pause() -> float:
    """Return how long an ionic step takes besides, s."""
    return float(os.environ.get("VASP_STAND_IN_SLEEP", "0"))
