"""CP2K kept running between geometries: ASE's calculator over ``cp2k_shell``."""

from __future__ import annotations

import logging
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from ase.calculators.calculator import SCFError, all_changes
from ase.calculators.cp2k import CP2K
from ase.calculators.cp2k import Cp2kShell as AseShell

from ionloop.errors import ExplorationError
from ionloop.frame import Frame
from ionloop.reference.cp2k.fixes import quiet_command
from ionloop.reference.cp2k.inputs import IonicSetGenerator, shell_template
from ionloop.reference.cp2k.output import failure_reason
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.runs import MAX_RESTARTS, exit_words
from ionloop.settings import get_settings

logger = logging.getLogger(__name__)


class Cp2kShell(CP2K):
    """ASE's CP2K, which notices that the SCF didn't converge, and survives a killed shell.

    ``cp2k_shell`` answers with the last energy whether or not it converged; only its
    output file says so. Where the process is gone, ASE fails by an ``assert``, or by a
    ``RuntimeError`` if it went before it was ready.
    """

    #: CP2K version that the settings name.
    version = ""

    def calculate(
        self,
        atoms: Any = None,  # noqa: ANN401
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute energy and forces; a shell that was killed is started again, twice at most.

        Raises
        ------
        ase.calculators.calculator.SCFError
            If the SCF didn't converge.
        ExplorationError
            If CP2K refused the calculation, or was killed every time.
        """
        path = Path(f"{self.label}.out")
        for attempt in range(1, MAX_RESTARTS + 2):
            before = path.stat().st_size if path.exists() else 0
            try:
                if self._shell is None:
                    self._start()
                super().calculate(atoms, properties, system_changes)
            except (AssertionError, OSError, ValueError, RuntimeError) as error:
                self._bury(path, attempt, error)
                continue
            if "SCF run NOT converged" in read_from(path, before):
                self.results = {}
                msg = f"SCF not converged, see {path.resolve()}; raise Cp2kSettings.max_scf"
                raise SCFError(msg)
            return

    def _start(self) -> None:
        """Start the shell; one that dies on its way is at hand all the same."""
        self._shell = AseShell.__new__(AseShell)
        self._shell.__init__(self.command, self._debug)  # type: ignore[misc]

    def _bury(self, path: Path, attempt: int, error: Exception) -> None:
        """Drop a shell that is gone, so that the next calculation starts another.

        Raises
        ------
        ExplorationError
            If it ended with words of its own, or this was the last attempt.
        """
        child = None if self._shell is None else self._shell._child  # noqa: SLF001
        if self._shell is None or child is None:
            raise error
        try:
            status = child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            raise error from None  # it lives: the error is another one
        for pipe in (child.stdin, child.stdout):
            with suppress(BrokenPipeError):  # what wasn't sent
                pipe.close()  # type: ignore[union-attr]
        # ASE would ask it to exit, and warn that it doesn't answer.
        self._shell.isready = False
        self._shell._child = None  # type: ignore[assignment]  # noqa: SLF001
        self._shell = self._force_env_id = None
        output = path.read_text() if path.exists() else ""
        why = failure_reason(output, self.version) if "[ABORT]" in output else None
        if why or attempt > MAX_RESTARTS:
            words = why or f"CP2K died: {exit_words(status)}, {attempt} attempts"
            msg = f"expected forces from cp2k_shell, got none: {words}; see {path.resolve()}"
            raise ExplorationError(msg) from error
        logger.warning("cp2k_shell: %s; it is started again", exit_words(status))


def read_from(path: Path, position: int) -> str:
    """Read a text from a position on, or all of it where it was written anew."""
    with path.open(encoding="utf-8") as stream:
        stream.seek(position if path.stat().st_size >= position else 0)
        return stream.read()


def shell_calculator(frame: Frame, dft: Cp2kSettings, label: str) -> Cp2kShell:
    """Start a ``cp2k_shell`` in the working folder, with the static labels' input.

    Parameters
    ----------
    frame
        Gives the elements and the charge.
    dft
        The settings.
    label
        Name of its files, unique in the folder.

    Raises
    ------
    ReferenceSetupError
        If the program or its data can't be found.
    """
    inputs = IonicSetGenerator(dft=dft).get_input_set(frame.to_structure())
    for name in ("basis", "potential"):
        entry = inputs.optional_files[name]
        Path(entry["filename"]).write_text(str(entry["object"]))
    unused = dict.fromkeys(
        ("basis_set", "basis_set_file", "pseudo_potential", "potential_file", "xc", "cutoff")
    )
    shell = Cp2kShell(
        command=quiet_command(get_settings().cp2k_shell_cmd),
        label=label,
        inp=shell_template(inputs.cp2k_input),
        max_scf=None,
        force_eval_method=None,
        poisson_solver=None,
        print_level=None,
        stress_tensor=False,
        **unused,
    )
    shell.version = dft.version
    return shell
