"""How VASP is started, watched and started again; nothing here edits a setting.

custodian runs every calculation. Its own handlers mend what failed by other settings
(ALGO, ISMEAR, SIGMA, symmetry, mesh, POTIM), so that a label no longer has the settings hash
it claims; they are off. On are those that stop a run near its wall time or when it hangs,
and one of ours that starts a killed run again.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import shlex
import shutil
from pathlib import Path
from typing import Any, Literal

from custodian.custodian import ErrorHandler
from custodian.vasp.handlers import WalltimeHandler
from pymatgen.io.vasp.inputs import Poscar

from ionloop.reference.folders import read_text
from ionloop.reference.runs import (
    MAX_RESTARTS,
    SilentHandler,
    StartAgain,
    on_a_leash,
    program_words,
    put_aside,
    seconds_left,
)
from ionloop.reference.vasp.output import VaspRun
from ionloop.settings import get_settings

logger = logging.getLogger(__name__)

#: custodian looks this often whether VASP ended, s.
POLL_S = 0.5
#: It asks the handlers at every n-th look: each reads files.
CHECK_EVERY = 60

Kind = Literal["static", "md", "relax", "neb"]


class DiedHandler(StartAgain):
    """Start a calculation again that was killed: out of memory, a lost node, a signal.

    The input stays as it is, but for positions: a relaxation or band goes on from where it
    stood. What VASP refused with words of its own isn't repeated.

    Parameters
    ----------
    kind
        Static calculations have nothing to go on from.
    """

    def __init__(self, kind: Kind = "static") -> None:
        self.kind = kind

    def check(self, directory: str = "./") -> bool:
        """Say whether VASP died without a word of its own."""
        folder = Path(directory)
        runs = [VaspRun(f) for f in (sorted(folder.glob("[0-9][0-9]"))[1:-1] or [folder])]
        return not (VaspRun(folder).refused or all(run.ended for run in runs))

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Put the outputs aside, and the last positions in place."""
        folder = Path(directory)
        outputs = ("OUTCAR", "OSZICAR", "vasprun.xml", "vasp.out", "std_err.txt", "CONTCAR")
        actions: list[dict[str, Any]] = [{"started again": VaspRun(folder).last_words()}]
        for place in [folder, *sorted(folder.glob("[0-9][0-9]"))]:
            if self.kind in {"relax", "neb"} and go_on_from_contcar(place):
                actions.append({"positions": f"{place.name}/CONTCAR"})
            put_aside(place, outputs)
        return {"errors": ["VASP died"], "actions": actions}


class BandWalltimeHandler(WalltimeHandler):
    """Stop a band before the wall time ends: custodian's own handler doesn't see images.

    VASP looks into the folder that it was started in, as custodian's own ending of bands
    counts on; the images get a STOPCAR too.
    """

    def check(self, directory: str = "./") -> bool:
        """Say whether less time is left than three steps of the slowest image take."""
        if not self.wall_time:
            return False
        images = sorted(Path(directory).glob("[0-9][0-9]"))[1:-1]
        steps = [t for image in images for t in VaspRun(image).step_times]
        # custodian's start has no time zone.
        passed = (dt.datetime.now() - self.start_time).total_seconds()  # noqa: DTZ005
        needed = max(3 * max(steps, default=0.0), self.buffer_time)
        return bool(steps) and self.wall_time - passed < needed

    def correct(self, directory: str = "./") -> dict[str, Any]:
        """Write the STOPCARs."""
        folder = Path(directory)
        for place in (folder, *sorted(folder.glob("[0-9][0-9]"))[1:-1]):
            (place / "STOPCAR").write_text("LSTOP = .TRUE.\n")
        return {"errors": ["Walltime reached"], "actions": None}


def go_on_from_contcar(folder: Path) -> bool:
    """Copy a whole CONTCAR over the POSCAR; say whether there was one."""
    if not (folder / "POSCAR").exists() or read_contcar(folder) is None:
        return False
    shutil.copy(folder / "CONTCAR", folder / "POSCAR")
    return True


def read_contcar(folder: Path) -> Poscar | None:
    """Read a CONTCAR with all that dynamics go on from; None if it is missing or cut off."""
    try:
        text = read_text(folder / "CONTCAR") or ""
        # A number that was cut off would pass for a shorter one.
        return Poscar.from_str(text) if text.endswith("\n") else None
    except (ValueError, IndexError, EOFError) as error:
        logger.warning("the CONTCAR in %s is cut off: %s", folder, error)
        return None


def vasp_command(command: str, variable: str) -> str:
    """Check a command, and put it on a leash: VASP must not outlive a worker killed with -9.

    Raises
    ------
    ReferenceSetupError
        If the program isn't there.
    """
    words = program_words(
        command,
        f"expected the VASP command {command!r}, got no such program; set {variable} to what "
        "runs VASP here, as 'mpirun -n 16 /path/to/vasp_std'",
    )
    return shlex.join(on_a_leash(words))


def handlers(kind: Kind) -> list[ErrorHandler]:
    """Return custodian's handlers of a kind of run; see the module's text."""
    settings = get_settings()
    silent = SilentHandler("vasp.out", settings.vasp_frozen_s)
    stop = wall_time_handler(kind, seconds_left(settings.vasp_wall_time_s))
    return [silent, stop] if kind == "md" else [silent, stop, DiedHandler(kind)]


def wall_time_handler(kind: Kind, left: float | None) -> WalltimeHandler:
    """Return what stops a run in time.

    Parameters
    ----------
    kind
        A label is one ionic step: only an electronic step is short enough to stop at.
    left
        What the worker has left, s; None if nobody set a limit.
    """
    limit = None if left is None else max(int(left), 1)  # 0 would be none
    if kind == "neb":
        handler: WalltimeHandler = BandWalltimeHandler(limit)
    elif kind == "static":
        handler = WalltimeHandler(limit, 60, electronic_step_stop=True)
    else:
        handler = WalltimeHandler(limit)
    # custodian's clock begins with the worker's first VASP; it has no time zone.
    handler.start_time = dt.datetime.now()  # noqa: DTZ005
    return handler


def run_arguments(kind: Kind) -> dict[str, Any]:
    """Return the arguments of atomate2's ``run_vasp``, made where it runs.

    Raises
    ------
    ReferenceSetupError
        If VASP's command isn't there.
    """
    settings = get_settings()
    command, variable = settings.vasp_cmd, "IONLOOP_VASP_CMD"
    if kind == "neb" and settings.vasp_neb_cmd:
        command, variable = settings.vasp_neb_cmd, "IONLOOP_VASP_NEB_CMD"
    arguments: dict[str, Any] = {
        "vasp_cmd": vasp_command(command, variable),
        # custodian takes it for a mesh of Gamma alone, where it finds the program.
        "vasp_gamma_cmd": shlex.join(
            on_a_leash(shlex.split(os.path.expandvars(settings.vasp_gamma_cmd)))
        ),
        "handlers": handlers(kind),
        "max_errors": 2 * (1 + MAX_RESTARTS),  # silence and the death that ends it are two
        "custodian_kwargs": {"polling_time_step": POLL_S, "monitor_freq": CHECK_EVERY},
    }
    if kind == "neb":
        output = {"output_file": "vasp.out", "stderr_file": "std_err.txt"}
        # The gamma-only build would need as many processes as the other command has.
        return arguments | {"job_type": "neb", "vasp_job_kwargs": {**output, "auto_gamma": False}}
    return arguments
