"""CP2K as the reference: static labels and MD by atomate2's Makers, bands by ASE's shell."""

from __future__ import annotations

import logging
import re
import shlex
import subprocess
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jobflow import Job
from pymatgen.core import Structure

from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame
from ionloop.reference.base import Reference
from ionloop.reference.cp2k.fixes import quiet_command
from ionloop.reference.cp2k.inputs import (
    IonicMdSetGenerator,
    IonicSetGenerator,
)
from ionloop.reference.cp2k.makers import Cp2kStaticMaker
from ionloop.reference.cp2k.md import Cp2kMdMaker
from ionloop.reference.cp2k.neb import cp2k_band
from ionloop.reference.cp2k.settings import Cp2kSettings, MdSettings, describe, kind_of
from ionloop.seed.schema import Hop
from ionloop.settings import get_settings

logger = logging.getLogger(__name__)


@dataclass
class Cp2kReference(Reference):
    """CP2K with Gaussians and plane waves, as :mod:`~ionloop.reference.cp2k.settings` says.

    Parameters
    ----------
    dft
        The settings that decide the numbers.
    restart_orbitals
        Whether a frame starts from the wave function of the one before it in its job: with
        ``frames_per_job`` above 1, and frames that resemble each other. No part of the
        settings hash: both ways end within the SCF's threshold.
    """

    name: str = "cp2k"
    dft: Cp2kSettings = field(default_factory=Cp2kSettings)  # type: ignore[arg-type]
    restart_orbitals: bool = True

    @property
    def settings(self) -> dict[str, Any]:
        """The settings, with hashes of the basis sets and potentials."""
        return describe(self.dft)

    @property
    def has_stress(self) -> bool:
        """As the settings say: the smoothed density's pressure is wrong by GPa."""
        return self.dft.stress

    @property
    def cheap(self) -> bool:
        """False: seconds a step."""
        return False

    def isolated_atom_energies(self, symbols: list[str]) -> None:  # noqa: ARG002
        """Return None: state them in the profile (restricted, periodic atoms mislead)."""
        return

    def static(self, frames: list[Frame]) -> Job:
        """Make a job of static calculations; see :class:`Cp2kStaticMaker`."""
        warn_if_skewed(frames[0])
        generator = IonicSetGenerator(dft=self.dft)
        maker = Cp2kStaticMaker(
            name=f"{self.name} static",
            input_set_generator=generator,
            restart_orbitals=self.restart_orbitals,
        )
        return maker.make(frames)

    def md(
        self,
        frame: Frame,
        *,
        temperature: float,
        n_steps: int,
        time_step: float,
        store_every: int,
        seed: int,
        group: str,
    ) -> Job:
        """Make a job of molecular dynamics; see :class:`Cp2kMdMaker`."""
        warn_if_skewed(frame)
        run = MdSettings(temperature, n_steps, time_step, store_every, seed)
        generator = IonicMdSetGenerator(dft=self.dft, md=asdict(run))
        return Cp2kMdMaker(name=f"{self.name} md", input_set_generator=generator).make(frame, group)

    def neb(self, hop: Hop, *, n_images: int, fmax: float, max_steps: int) -> Job:
        """Make a job that relaxes a band; see :func:`cp2k_band`."""
        warn_if_skewed(hop.start)
        band = cp2k_band(hop, self.dft, n_images=n_images, fmax=fmax, max_steps=max_steps)
        band.name = f"{self.name} neb"
        return band

    def check(self, structure: Structure) -> None:
        """Check programs, data files and basis sets.

        Raises
        ------
        ReferenceSetupError
            If one is missing, or CP2K has another version than the settings name.
        """
        settings = get_settings()
        command = quiet_command(settings.cp2k_cmd)
        quiet_command(settings.cp2k_shell_cmd)
        if len(settings.cp2k_cmd.split()) == 1:  # mpirun or srun may not run here
            check_version(command, self.dft.version)
        for symbol in sorted({site.specie.symbol for site in structure}):
            kind_of(symbol, self.dft)


def check_version(command: str, version: str) -> None:
    """Ask CP2K for its version.

    Raises
    ------
    ReferenceSetupError
        If it's another one.
    """
    answer = subprocess.run(
        [*shlex.split(command), "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"CP2K version (\S+)", answer.stdout)
    if found is None or found[1] != version:
        first = (answer.stdout or answer.stderr or "no answer").strip().splitlines()[0]
        got = found[1] if found else first
        msg = (
            f"expected CP2K {version}, got {got} from {shlex.split(command)[-1]!r}; set "
            "Cp2kSettings.version, which is part of the settings hash, or IONLOOP_CP2K_CMD"
        )
        raise ReferenceSetupError(msg)


def warn_if_skewed(frame: Frame) -> None:
    """Warn of a cell that isn't orthorhombic: CP2K's grids cost 2 to 2.6 times more there."""
    cell = np.array(frame.cell)
    if np.abs(cell - np.diag(np.diag(cell))).max() > 1e-6:
        logger.warning(
            "cell %s isn't orthorhombic along x, y, z: CP2K will take 2 to 2.6 times longer",
            cell.round(3).tolist(),
        )
