"""CP2K as the reference: static labels and MD by atomate2's Makers, bands by ASE's shell."""

from __future__ import annotations

import logging
import re
import shlex
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import SCFError, all_changes
from ase.calculators.cp2k import CP2K
from jobflow import Job, job
from pymatgen.core import Structure

from ionloop.document import DATA_FIELDS
from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame
from ionloop.reference.base import Reference, hash_settings
from ionloop.reference.cp2k_fixes import quiet_command
from ionloop.reference.cp2k_inputs import (
    IonicMdSetGenerator,
    IonicSetGenerator,
    shell_template,
)
from ionloop.reference.cp2k_makers import Cp2kMdMaker, Cp2kStaticMaker
from ionloop.reference.cp2k_settings import Cp2kSettings, MdSettings, describe, kind_of
from ionloop.reference.neb import relax_band
from ionloop.reference.schema import Band
from ionloop.seed.schema import Hop
from ionloop.settings import get_settings

logger = logging.getLogger(__name__)


class Cp2kShell(CP2K):
    """ASE's CP2K, which notices that the SCF didn't converge.

    ``cp2k_shell`` answers with the last energy whether or not it converged; only its
    output file says so.
    """

    def calculate(
        self,
        atoms: Any = None,  # noqa: ANN401
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute energy and forces.

        Raises
        ------
        ase.calculators.calculator.SCFError
            If the SCF didn't converge.
        """
        path = Path(f"{self.label}.out")
        before = path.stat().st_size if path.exists() else 0
        super().calculate(atoms, properties, system_changes)
        with path.open(encoding="utf-8") as stream:
            stream.seek(before)
            if "SCF run NOT converged" in stream.read():
                self.results = {}
                msg = f"SCF not converged, see {path.resolve()}; raise Cp2kSettings.max_scf"
                raise SCFError(msg)


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
    return Cp2kShell(
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


@job(data=DATA_FIELDS)
def cp2k_band(hop: Hop, dft: Cp2kSettings, *, n_images: int, fmax: float, max_steps: int) -> Band:
    """Relax a hop's ends and its climbing-image band with CP2K."""
    shells: list[Cp2kShell] = []

    def make_calculator(i: int) -> Cp2kShell:
        shells.append(shell_calculator(hop.start, dft, f"image_{i:02d}_{len(shells):02d}"))
        return shells[-1]

    try:
        return relax_band(
            hop,
            make_calculator,
            n_images=n_images,
            fmax=fmax,
            max_steps=max_steps,
            engine=f"cp2k {dft.version}",
            settings_hash=hash_settings(describe(dft)),
            checkpoint=Path("band.extxyz"),
        )
    finally:
        for shell in shells:
            shell.close()


@dataclass
class Cp2kReference(Reference):
    """CP2K with Gaussians and plane waves, as :mod:`~ionloop.reference.cp2k_settings` says.

    Parameters
    ----------
    dft
        The settings that decide the numbers.
    """

    name: str = "cp2k"
    dft: Cp2kSettings = field(default_factory=Cp2kSettings)  # type: ignore[arg-type]

    @property
    def settings(self) -> dict[str, Any]:
        """The settings, with hashes of the basis sets and potentials."""
        return describe(self.dft)

    @property
    def has_stress(self) -> bool:
        """False: the smoothed density's pressure is wrong by GPa."""
        return False

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
        return Cp2kStaticMaker(name=f"{self.name} static", input_set_generator=generator).make(
            frames
        )

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
