"""Each way around a fault of somebody else's code, in one place and applied by name.

Nothing here acts at import. Versions: atomate2 0.1.5, pymatgen 2026.10.24, custodian
2026.10.21, CP2K 2023.1 of Debian 12.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import atomate2.cp2k.run as atomate2_run
from custodian.cp2k.jobs import Cp2kJob
from pymatgen.io.cp2k.inputs import Keyword
from pymatgen.io.cp2k.outputs import Cp2kOutput

from ionloop.reference.runs import exit_words, on_a_leash, program_words

#: Where Debian keeps the OpenBLAS without threads of its own.
DEBIAN_SERIAL_BLAS = Path("/usr/lib/x86_64-linux-gnu/openblas-serial")


def quiet_command(command: str) -> str:
    """Prefix a CP2K command with the environment and the leash that it needs.

    - ``OMP_NUM_THREADS=1``: unset, CP2K's psmp build takes every core and two
      calculations side by side run twenty times slower.
    - Debian's serial OpenBLAS, where it's installed: the threaded one starts threads too.
    - OpenMPI refuses root unless told twice; said only to root.
    - The leash ends CP2K with its worker; see :func:`~ionloop.reference.runs.on_a_leash`.

    Raises
    ------
    ReferenceSetupError
        If the program isn't there.
    """
    words = program_words(
        command,
        f"expected the CP2K program {command!r}, got none on PATH; install Debian's cp2k "
        "(apt-get install cp2k), or set IONLOOP_CP2K_CMD and IONLOOP_CP2K_SHELL_CMD",
    )
    variables = {"OMP_NUM_THREADS": "1"}
    if DEBIAN_SERIAL_BLAS.is_dir():
        paths = [str(DEBIAN_SERIAL_BLAS), os.environ.get("LD_LIBRARY_PATH", "")]
        variables["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))
    if os.geteuid() == 0:
        variables |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    environment = [f"{k}={v}" for k, v in variables.items()]
    return shlex.join(["env", *environment, *on_a_leash(words)])


class OwnProcessJob(Cp2kJob):
    """custodian's job, ending its own process alone, and telling how that one ended.

    ``Cp2kJob.terminate`` calls ``killall cp2k.psmp``, which ends the calculations of all other
    workers as well, and spares the one it is meant for where the command has another name.
    """

    #: Patience between SIGTERM and SIGKILL, s.
    patience_s = 10.0
    process: subprocess.Popen | None = None
    ended_by_us = False

    def run(self, directory: str = "./") -> subprocess.Popen:
        """Start CP2K."""
        self.ended_by_us = False
        self.process = super().run(directory)
        return self.process

    def terminate(self, directory: str = "./") -> None:  # noqa: ARG002
        """End CP2K; ``mpirun`` passes SIGTERM on to its processes."""
        if self.process is None:
            return
        self.ended_by_us = True
        self.process.terminate()
        try:
            self.process.wait(self.patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def status(self) -> int | None:
        """Exit status of the last attempt; None if it never started."""
        return None if self.process is None else self.process.poll()

    def last_words(self, directory: str = "./") -> str:
        """Say how the last attempt ended, with its own words where it left any."""
        if self.ended_by_us:
            return "silent for too long, ended"
        errors = Path(directory, self.stderr_file)
        return exit_words(self.status, errors.read_text() if errors.exists() else "")


@contextmanager
def job_of_ours(cp2k_job: OwnProcessJob) -> Iterator[None]:
    """Let atomate2 run this job: its ``run_cp2k`` makes a ``Cp2kJob`` and takes no other."""
    original = atomate2_run.Cp2kJob
    atomate2_run.Cp2kJob = lambda *_args, **_kwargs: cp2k_job
    try:
        yield
    finally:
        atomate2_run.Cp2kJob = original


def thermostat_keyword(name: str) -> Keyword:
    """Return a thermostat that pymatgen can print.

    ``DftSet.activate_motion`` puts the bare string among the keywords, and writing the
    input fails: 'str' object has no attribute 'get_str'.
    """
    return Keyword("TYPE", name)


def electronic_steps(limit: int) -> dict[str, int]:
    """Return what the SCF section needs for a limit of electronic steps.

    ``DftSet`` ignores its ``max_scf`` without orbital transformation, and writes 400.
    """
    return {"MAX_SCF": limit}


def kinds_by_element(cp2k_input: str) -> str:
    """Name the kinds of an input as ASE names them in its coordinates.

    pymatgen numbers its kinds (Li_1); ASE's calculator writes elements.
    """
    return re.sub(r"(&KIND [A-Z][a-z]?)_1\b", r"\1", cp2k_input)


class _TextValues(dict):
    """A dictionary whose ``values()`` shows texts only."""

    def values(self) -> list[str]:  # type: ignore[override]
        return [value for value in super().values() if isinstance(value, str)]


@contextmanager
def known_warnings() -> Iterator[None]:
    """Silence warnings of pymatgen, atomate2 and spglib that tell the user nothing.

    A charged cell is charged on purpose; an SCF that didn't converge is a failed label;
    and atomate2 0.1.5 calls deprecated names of pydantic, monty and spglib.
    """
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        for message in ("Structure charge", "There is at least one unconverged SCF"):
            warnings.filterwarnings("ignore", message=message)
        yield


@contextmanager
def readable_task_document() -> Iterator[None]:
    """Let atomate2 read a restricted calculation.

    ``CalculationInput.cleanup_dft`` calls ``.upper()`` on every DFT parameter until it
    meets "UKS"; without UKS it meets numbers and dictionaries: 'int' object has no
    attribute 'upper'.
    """
    original = Cp2kOutput.parse_dft_params

    def parse_dft_params(self: Cp2kOutput) -> None:
        original(self)
        self.data["dft"] = _TextValues(self.data["dft"])

    Cp2kOutput.parse_dft_params = parse_dft_params  # type: ignore[method-assign]
    try:
        with known_warnings():
            yield
    finally:
        Cp2kOutput.parse_dft_params = original  # type: ignore[method-assign]
