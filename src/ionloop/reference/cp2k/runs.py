"""How CP2K is started, watched and started again; nothing here edits a setting.

custodian runs every calculation. Its own handlers mend what failed by other settings (Fermi
smearing, mixing, another minimizer), so that a label no longer has the settings hash it
claims; they are off. On are ours: one starts a killed run again, one ends a run that has
gone silent. Wall time is CP2K's own affair: ``GLOBAL/WALLTIME`` stops it after an
electronic step.
"""

from __future__ import annotations

import logging
import re
import shlex
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atomate2.cp2k.jobs.base import BaseCp2kMaker
from atomate2.cp2k.schemas.task import TaskDocument
from atomate2.cp2k.sets.base import Cp2kInputGenerator, Cp2kInputSet
from custodian.custodian import CustodianError, ErrorHandler
from pymatgen.core import Molecule, Structure

from ionloop.files import whole
from ionloop.reference.cp2k.fixes import (
    OwnProcessJob,
    job_of_ours,
    quiet_command,
    readable_task_document,
)
from ionloop.reference.cp2k.output import END_MARK, failure_reason
from ionloop.reference.folders import read_text
from ionloop.reference.runs import (
    MAX_RESTARTS,
    OUT_OF_TIME,
    RESERVE_S,
    SilentHandler,
    StartAgain,
    is_out_of_time,
    put_aside,
    seconds_left,
    wait_out,
)
from ionloop.settings import get_settings

logger = logging.getLogger(__name__)

#: custodian looks this often whether CP2K ended, s; a label takes seconds.
POLL_S = 0.1
#: It asks the handlers at every n-th look.
CHECK_EVERY = 600
#: Orbitals that a calculation starts from; without the file CP2K starts from atoms.
PREVIOUS_ORBITALS = "previous.wfn"


class DiedHandler(StartAgain):
    """Start a calculation again that ended without a word of its own.

    The input stays as it is, but for the time that is left. Orbitals to start from are
    dropped: they may be what it died of.

    Parameters
    ----------
    job
        The calculation.
    """

    def __init__(self, job: OwnProcessJob) -> None:
        self.job = job

    def check(self, directory: str = "./") -> bool:
        """Say whether CP2K died: neither its end mark nor its own [ABORT]."""
        output = read_text(Path(directory) / "cp2k.out") or ""
        return self.job.ended_by_us or not (END_MARK in output or "[ABORT]" in output)

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Put the output aside, and tell CP2K the time that is left now."""
        folder, words = Path(directory), self.job.last_words(directory)
        logger.warning("CP2K in %s: %s; it is started again", folder.resolve(), words)
        put_aside(folder, ("cp2k.out", "std_err.txt"))
        (folder / PREVIOUS_ORBITALS).unlink(missing_ok=True)
        wait_out(get_settings().cp2k_wall_time_s)
        renew_wall_time(folder / "cp2k.inp")
        return {"errors": ["CP2K died"], "actions": [{"started again": words}]}


@dataclass
class InputWith(Cp2kInputGenerator):
    """Inputs with sections that steer a run and change no number.

    Parameters
    ----------
    inner
        Makes the input.
    sections
        What is set besides, as pymatgen's ``Cp2kInput.update`` takes it.
    """

    inner: Cp2kInputGenerator | None = None
    sections: dict | None = None

    def get_input_set(
        self,
        structure: Structure | Molecule = None,  # type: ignore[assignment]
        prev_dir: str | Path | None = None,
        optional_files: dict | None = None,
    ) -> Cp2kInputSet:
        """Make the inner input set and add the sections."""
        inputs = self.inner.get_input_set(structure, prev_dir, optional_files)  # type: ignore[union-attr]
        inputs.cp2k_input.update(self.sections or {})
        return inputs


@dataclass(frozen=True)
class Outcome:
    """How a run of CP2K ended.

    Parameters
    ----------
    document
        atomate2's; None if custodian or atomate2 couldn't use the output.
    failure
        Why it isn't what was asked; None if it is.
    died
        Whether CP2K was killed, in every attempt.
    """

    document: TaskDocument | None
    failure: str | None
    died: bool = False

    @property
    def out_of_time(self) -> bool:
        """Whether CP2K stopped near the end of the worker's wall time."""
        return is_out_of_time(self.failure)


def run_here(
    maker: BaseCp2kMaker,
    structure: Structure,
    folder: Path,
    sections: dict[str, Any],
    *,
    start_again: bool,
) -> Outcome:
    """Run a Maker's own ``make`` in a folder, unless the worker is about to end.

    Parameters
    ----------
    maker
        One of atomate2's, with our input set generator.
    structure
        The cell.
    folder
        Where; it exists.
    sections
        Set in the input besides; they must change no number.
    start_again
        Whether a killed calculation is started again unchanged.

    Raises
    ------
    ReferenceSetupError
        If CP2K or its data can't be found.
    """
    wait_out(get_settings().cp2k_wall_time_s)
    job = OwnProcessJob(shlex.split(quiet_command(get_settings().cp2k_cmd)))
    died = DiedHandler(job)
    version = maker.input_set_generator.dft.version
    document = None
    with chdir(folder), readable_task_document(), job_of_ours(job):
        ready = with_ladder(maker, sections, died if start_again else None)
        try:
            document = BaseCp2kMaker.make.original(ready, structure).output
        except CustodianError as error:
            logger.warning("CP2K failed in %s: %s", folder, error)
        except Exception:
            if (failure := failure_in(folder, version)) is None:
                raise
            logger.warning("atomate2 couldn't read %s: %s", folder, failure, exc_info=True)
        if job.status is not None and died.check():
            n_attempts = died.n_applied_corrections + 1
            attempts = f", {n_attempts} attempts" if n_attempts > 1 else ""
            return Outcome(None, f"CP2K died: {job.last_words()}{attempts}", died=True)
    failure = failure_in(folder, version)
    if document is None and failure is None:
        failure = "custodian refused the output"
    return Outcome(document, failure)


def with_ladder(
    maker: BaseCp2kMaker, sections: dict[str, Any], died: DiedHandler | None
) -> BaseCp2kMaker:
    """Return the Maker with our handlers and sections; without ``died`` it runs once."""
    watch: list[ErrorHandler] = [SilentHandler("cp2k.out", get_settings().cp2k_frozen_s)]
    inner = maker.input_set_generator
    return replace(
        maker,
        input_set_generator=InputWith(inner=inner, sections=with_wall_time(sections)),
        run_cp2k_kwargs={
            "handlers": [*watch, died] if died else watch,
            # Silence, and the death that ends it, count as two.
            "max_errors": 2 * (1 + MAX_RESTARTS) if died else 1,
            "custodian_kwargs": {"polling_time_step": POLL_S, "monitor_freq": CHECK_EVERY},
        },
    )


def with_wall_time(sections: dict[str, Any]) -> dict[str, Any]:
    """Let CP2K stop itself in time, if this worker's time is limited."""
    seconds = time_for_cp2k()
    return sections if seconds is None else sections | {"GLOBAL": {"WALLTIME": seconds}}


def time_for_cp2k() -> int | None:
    """Say after how many seconds CP2K has to stop; None if nobody set a limit.

    A worker that outlived its limit has none; see :func:`~ionloop.reference.runs.wait_out`.
    """
    left = seconds_left(get_settings().cp2k_wall_time_s)
    return None if left is None or left <= 0 else max(1, int(left - RESERVE_S))


def renew_wall_time(path: Path) -> None:
    """Write into an input that was begun earlier how much time is left now."""
    seconds = time_for_cp2k()
    line = "" if seconds is None else rf"\g<1>{seconds}\n"
    text = re.sub(r"(?mi)^([ \t]*WALLTIME[ \t]+)\S+[^\n]*\n", line, path.read_text())
    with whole(path) as scratch:
        scratch.write_text(text)


def failure_in(folder: Path, version: str) -> str | None:
    """Say why a folder's output is not what was asked, or None if it is."""
    output = read_text(folder / "cp2k.out") or ""
    if "exceeded requested execution time" in output:
        return f"{OUT_OF_TIME}; it is computed when its job runs again"
    return failure_reason(output, version)
