"""What VASP leaves behind: whether it is a label, why not, and with which settings."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from monty.os.path import zpath
from pymatgen.core import Structure
from pymatgen.io.vasp.outputs import UnconvergedVASPWarning, Vasprun

from ionloop.reference.folders import read_text
from ionloop.reference.runs import OUT_OF_TIME

END_MARK = "General timing and accounting informations"
#: Words of VASP's own when it gives up: running the same input again is of no use. Launchers
#: and libraries say ERROR and "Fatal error in" too, of a lost node: VASP's stand in its box, or
#: behind the one space that Fortran puts at a line's begin.
REFUSALS = re.compile(
    r"(I REFUSE TO CONTINUE|VERY BAD NEWS|^ ERROR\W|^ *\| +ERROR\W|Error reading item|"
    r"Error EDDDAV|ZBRENT: fatal|No INCAR found|Fatal error(?: detecting k-mesh|: unable to match)|"
    r"internal error in subroutine|EDWAV: internal error|"
    r"Sub-Space-Matrix is not hermitian in DAV)",
    re.MULTILINE,
)
#: Positions in vasprun.xml and POSCAR agree to this, Å.
SAME_POSITION = 1e-4


@dataclass(frozen=True)
class VaspRun:
    """A folder that VASP ran in; files are read when asked for, gzipped or not.

    Parameters
    ----------
    folder
        The folder.
    """

    folder: Path

    @cached_property
    def outcar(self) -> str:
        """Text of the OUTCAR; empty if there is none."""
        return read_text(self.folder / "OUTCAR") or ""

    @cached_property
    def messages(self) -> str:
        """What VASP and its launcher said on the way."""
        return "\n".join(
            read_text(self.folder / name) or "" for name in ("vasp.out", "std_err.txt")
        )

    @cached_property
    def vasprun(self) -> Vasprun | None:
        """The parsed vasprun.xml; None if it is missing, cut off or without a result."""
        path = Path(zpath(str(self.folder / "vasprun.xml")))
        if not path.exists():
            return None
        options = ("parse_dos", "parse_eigen", "parse_potcar_file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnconvergedVASPWarning)
            try:
                found = Vasprun(str(path), **dict.fromkeys(options, False))
            except (SyntaxError, AttributeError, IndexError, EOFError):
                return None  # cut off: bad XML, before its first step, or in the gzip
        return found if found.ionic_steps else None

    @property
    def ended(self) -> bool:
        """Whether VASP came to its own end."""
        return END_MARK in self.outcar

    @property
    def stopped(self) -> bool:
        """Whether a STOPCAR ended it, as custodian writes near the wall time."""
        return bool(re.search(r"(soft|hard) stop (encountered!|was set)", self.outcar))

    @property
    def refused(self) -> bool:
        """Whether VASP gave up with words of its own."""
        return bool(REFUSALS.search(self.messages))

    @property
    def wall_s(self) -> float:
        """Wall time by the OUTCAR, s; 0 if it has none."""
        found = re.findall(r"Elapsed time \(sec\):\s+([\d.]+)", self.outcar)
        return float(found[-1]) if found else 0.0

    @property
    def cores(self) -> int | None:
        """Processes times threads by the OUTCAR; None if it doesn't say.

        VASP writes ``running on 8 total cores``, or from 6.2 on ``running 8 mpi-ranks, with 2
        threads/rank, on 1 nodes``.
        """
        old = re.search(r"running on\s+(\d+) total cores", self.outcar)
        new = re.search(r"running\s+(\d+) mpi-ranks,(?: with\s+(\d+) threads/rank,)?", self.outcar)
        if new:
            return int(new[1]) * int(new[2] or 1)
        return int(old[1]) if old else None

    @property
    def step_times(self) -> list[float]:
        """Wall times of the ionic steps so far, s."""
        return [float(t) for t in re.findall(r"LOOP\+:.*real time\s*([\d.]+)", self.outcar)]

    @property
    def n_scf(self) -> int:
        """Electronic steps of the last ionic step."""
        steps = self.vasprun.ionic_steps if self.vasprun else []
        return len(steps[-1]["electronic_steps"]) if steps else 0

    @property
    def scf_limit(self) -> int | None:
        """Electronic steps that an ionic step may take, NELM."""
        return int(self.vasprun.parameters["NELM"]) if self.vasprun else None

    @property
    def converged(self) -> bool:
        """Whether the last electronic loop ended because EDIFF was reached.

        VASP writes how each loop ended: ``because EDIFF is reached``, ``EDIFF was not reached
        (unconverged)`` or ``because hard stop was set``.
        """
        marks = re.findall(r"aborting loop (.*)", self.outcar)
        return bool(marks) and "EDIFF is reached" in marks[-1]

    def last_words(self) -> str:
        """Return the line in which VASP gave up, or the last that it or its launcher said."""
        lines = [line for line in self.messages.splitlines() if line.strip(" |*-")] or ["no word"]
        return next((line for line in lines if REFUSALS.search(line)), lines[-1]).strip(" |*-")


def run_failure(run: VaspRun) -> str | None:
    """Say why a calculation gave no answer, or None if it gave one."""
    if run.vasprun is None:
        size = Path(zpath(str(run.folder / "vasprun.xml")))
        found = f"{size.stat().st_size} bytes of it" if size.exists() else "none"
        how = "VASP gave up" if run.refused else "VASP was killed or died"
        how = "VASP ended" if run.ended else how
        words = run.last_words()
        return f"{how}: expected a whole vasprun.xml, got {found}; its last words: {words}"
    if run.stopped:
        return f"{OUT_OF_TIME}, by a STOPCAR"
    return None if run.ended else f"VASP was killed or died; its last words: {run.last_words()}"


def electronic_failure(run: VaspRun) -> str | None:
    """Say why a relaxation or band has no energy to rely on: its last step counts."""
    if failure := run_failure(run):
        return failure
    return None if run.converged else f"SCF not converged within {run.n_scf} steps"


def label_failure(run: VaspRun, asked: Structure) -> str | None:
    """Say why a static calculation holds no answer to what was asked, or None if it does.

    Whether the answer is good enough is the quality gate's to say, not this function's.

    Parameters
    ----------
    run
        Where VASP ran.
    asked
        What was written as POSCAR.
    """
    if (failure := run_failure(run)) or run.vasprun is None:
        return failure
    same = same_geometry(run.vasprun.initial_structure, asked)
    return None if same else "another geometry than asked"


def same_geometry(found: Structure, asked: Structure) -> bool:
    """Say whether two structures have the same cell and places of atoms, whatever their species."""
    if len(found) != len(asked):
        return False
    if not np.allclose(found.lattice.matrix, asked.lattice.matrix, atol=SAME_POSITION, rtol=0):
        return False
    step = found.frac_coords - asked.frac_coords
    step -= np.rint(step)
    return bool(np.abs(step @ asked.lattice.matrix).max() < SAME_POSITION)


def read_xdatcar(text: str, n_atoms: int) -> np.ndarray:
    """Read fractional positions of a run at constant volume.

    Parameters
    ----------
    text
        An XDATCAR; a last frame that was cut off is dropped.
    n_atoms
        Atoms a frame.

    Returns
    -------
    numpy.ndarray
        Fractional positions as VASP wraps them, shape [n_frames, n_atoms, 3].
    """
    blocks = re.split(r"^Direct configuration=.*\n", text, flags=re.MULTILINE)[1:]
    frames = []
    for block in blocks:
        rows = [line.split() for line in block.splitlines()[:n_atoms]]
        # A whole line ends with a line break, and each number has its decimals.
        if len(rows) < n_atoms or not block.endswith("\n") or any(len(r) != 3 for r in rows):
            break
        frames.append(rows)
    return np.array(frames, float).reshape(len(frames), n_atoms, 3)
