"""CP2K as an ASE calculator of any atoms, with the settings and the program of labels."""

from __future__ import annotations

import tempfile
import weakref
from contextlib import chdir
from dataclasses import dataclass
from typing import ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ionloop.frame import Frame, Origin
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.cp2k.shell import Cp2kShell, shell_calculator


class Cp2kCalculator(Calculator):
    """Energy and forces of neutral cells by a ``cp2k_shell`` that runs on between geometries.

    Each step starts from the wave function of the last, as molecular dynamics does. The shell is
    started at the first step, and again where the atoms are others; it works in a scratch folder.

    Parameters
    ----------
    dft
        The settings.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]  # type: ignore[misc]

    def __init__(self, dft: Cp2kSettings | None = None) -> None:
        super().__init__()
        self.dft = dft or Cp2kSettings()
        self._place = _Place(tempfile.TemporaryDirectory(prefix="ionloop-cp2k-"))
        self._symbols: list[str] = []
        #: Ends the shell and removes its folder, at the latest when the interpreter ends.
        self.close = weakref.finalize(self, self._place.leave)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute energy and forces.

        Raises
        ------
        ase.calculators.calculator.SCFError
            If the SCF didn't converge.
        ExplorationError
            If CP2K refused the calculation, or was killed every time.
        ReferenceSetupError
            If the program or its data can't be found.
        """
        super().calculate(atoms, properties, system_changes)
        asked: Atoms = self.atoms.copy()  # type: ignore[union-attr]  # they were just set
        with chdir(self._place.folder.name):
            asked.calc = self._shell_of(asked)
            self.results = {
                "energy": float(asked.get_potential_energy()),
                "forces": asked.get_forces(),
            }

    def _shell_of(self, atoms: Atoms) -> Cp2kShell:
        """Return the shell of these elements in this order."""
        symbols = atoms.get_chemical_symbols()
        if self._place.shell is None or symbols != self._symbols:
            self._place.end_shell()
            frame = Frame.from_atoms(atoms, origin=Origin.RANDOM, group="cp2k")
            self._place.shell = shell_calculator(frame, self.dft, f"shell_{self._place.n_shells}")
            self._place.n_shells += 1
            self._symbols = symbols
        return self._place.shell


@dataclass
class _Place:
    """A scratch folder, and the shell that runs in it."""

    folder: tempfile.TemporaryDirectory[str]
    shell: Cp2kShell | None = None
    n_shells: int = 0

    def end_shell(self) -> None:
        if self.shell is not None:
            self.shell.close()
            self.shell = None

    def leave(self) -> None:
        self.end_shell()
        self.folder.cleanup()
