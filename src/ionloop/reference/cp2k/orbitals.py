"""The wave function on its way from one frame of a batch to the next.

Frames of a batch are often neighbours on a trajectory, or images of a band. The next SCF then
needs fewer steps; what it converges to is the same within its threshold. With k-points, whose
file is another one, each frame starts from atoms. So it does with spin or smearing: there
the SCF can end in more than one electronic state, and a frame would inherit its neighbour's.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from monty.io import zopen
from pymatgen.io.cp2k.inputs import Keyword, Section

from ionloop.frame import Frame
from ionloop.reference.cp2k.runs import PREVIOUS_ORBITALS
from ionloop.reference.cp2k.settings import Cp2kSettings

logger = logging.getLogger(__name__)


def one_state(dft: Cp2kSettings) -> bool:
    """Say whether what a frame starts from can't decide the electronic state it ends in."""
    return not dft.spin_polarized and dft.smearing is None


class Orbitals:
    """The last wave function of a batch, in a file that lives as long as the batch.

    Parameters
    ----------
    folder
        The job's folder.
    used
        Whether wave functions are handed on at all.
    """

    def __init__(self, folder: Path, *, used: bool) -> None:
        self.path = folder / "orbitals.wfn"
        self.used = used
        self._of: tuple[list[str], int] | None = None

    def __enter__(self) -> Self:
        self.path.unlink(missing_ok=True)  # a killed batch's
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.path.unlink(missing_ok=True)

    def sections(self) -> dict[str, Any]:
        """Return what an input needs to read and write wave functions."""
        if not self.used:
            return {}
        at_the_end = Section("EACH", keywords={"QS_SCF": Keyword("QS_SCF", 0)}, subsections={})
        write = Section(
            "RESTART",
            keywords={"BACKUP_COPIES": Keyword("BACKUP_COPIES", 0)},
            subsections={"EACH": at_the_end},
        )
        dft = {"WFN_RESTART_FILE_NAME": PREVIOUS_ORBITALS, "SCF": {"PRINT": {"RESTART": write}}}
        return {"FORCE_EVAL": {"DFT": dft}}

    def give(self, frame: Frame, folder: Path) -> bool:
        """Lay the last wave function into a calculation's folder; say whether there was one.

        Without the file CP2K starts from atoms, as it does for another composition or charge.
        """
        if not self.used or self._of is None:
            return False
        if self._of != (frame.symbols, frame.charge):
            logger.info("%s starts from atoms: another composition or charge", folder)
            return False
        shutil.copy(self.path, folder / PREVIOUS_ORBITALS)
        return True

    def take(self, frame: Frame, folder: Path, *, good: bool) -> None:
        """Take a calculation's wave function out of its folder, if it converged."""
        # atomate2 zips what a good calculation leaves.
        left = [*folder.glob("CP2K-RESTART.*"), *folder.glob(f"{PREVIOUS_ORBITALS}*")]
        for written in left:
            if good and written.name.removesuffix(".gz") == "CP2K-RESTART.wfn":
                with zopen(written, "rb") as source, self.path.open("wb") as target:
                    shutil.copyfileobj(source, target)
                self._of = (frame.symbols, frame.charge)
            written.unlink()
