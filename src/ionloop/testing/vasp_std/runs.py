"""What the stand-in can do: static calculations, relaxations, dynamics, bands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units

from ionloop.testing.vasp_std.faults import Fault
from ionloop.testing.vasp_std.inputs import Inputs, read_poscar
from ionloop.testing.vasp_std.potential import Pairs
from ionloop.testing.vasp_std.refusals import refuse
from ionloop.testing.vasp_std.writer import Writer, stop_word

HERE = Path()
#: Faults of molecular dynamics that strike after half of its steps.
LATE = ("killed", "oom", "walltime", "hang")


def load(inputs: Inputs, path: Path) -> tuple[Atoms, np.ndarray | None]:
    """Read atoms with their calculator, and velocities (Å/fs) if there are any."""
    atoms, velocities = read_poscar(path)
    atoms = inputs.check_species(atoms)
    atoms.calc = Pairs()
    return atoms, velocities


def static(inputs: Inputs, fault: Fault) -> None:
    """Compute one structure."""
    atoms, _ = load(inputs, HERE / "POSCAR")
    out = Writer(HERE, inputs, atoms, fault)
    out.step(atoms)
    out.close()


def relax(inputs: Inputs, fault: Fault) -> None:
    """Relax positions, and with ISIF 3 the cell, by BFGS whatever IBRION prefers."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import BFGS

    if inputs.isif > 3:
        refuse(f"ERROR: the stand-in for VASP takes ISIF 0 to 3, got {inputs.isif}")
    atoms, _ = load(inputs, HERE / "POSCAR")
    out = Writer(HERE, inputs, atoms, fault)
    done, stop = False, ""
    moving: Any = FrechetCellFilter(atoms) if inputs.isif == 3 else atoms
    steps = BFGS(moving, logfile=None)
    for reached in steps.irun(fmax=force_limit(inputs), steps=max(inputs.nsw - 1, 0)):
        out.step(atoms)
        done = bool(reached)
        if stop := stop_word(HERE):
            break
    out.close(accurate=done, stop=stop)


def force_limit(inputs: Inputs) -> float:
    """Return the largest force at convergence, eV/Å; an EDIFFG > 0 would be an energy."""
    ediffg = inputs.number("EDIFFG", -0.05)
    return -ediffg if ediffg < 0 else 0.05


def dynamics(inputs: Inputs, fault: Fault) -> None:
    """Run velocity Verlet with a weak thermostat of Berendsen's kind."""
    from ase.md.velocitydistribution import thermalize_momenta

    atoms, velocities = load(inputs, HERE / "POSCAR")
    temperature, dt = inputs.number("TEBEG", 300), inputs.number("POTIM", 1.0) * units.fs
    rng = np.random.default_rng(int(float(inputs.tags.get("RANDOM_SEED", "0").split()[0])))
    if velocities is None:
        thermalize_momenta(atoms, temperature_K=temperature, rng=rng)
    else:
        atoms.set_velocities(velocities / units.fs)
    out = Writer(HERE, inputs, atoms, fault)
    stop = ""
    late = fault.has(*LATE)
    for k in range(inputs.nsw):
        out.fault = Fault() if late and k < inputs.nsw // 2 else fault
        half = atoms.get_momenta() + 0.5 * dt * atoms.get_forces()
        out.step(atoms, kinetic=float(atoms.get_kinetic_energy()))
        atoms.positions += dt * half / atoms.get_masses()[:, None]
        atoms.set_momenta(half + 0.5 * dt * atoms.get_forces())
        scale = np.sqrt(1 + 0.05 * (temperature / max(atoms.get_temperature(), 1) - 1))
        atoms.set_momenta(atoms.get_momenta() * scale)
        out.contcar(atoms)
        if stop := stop_word(HERE) or ("soft" if out.fault.has("walltime") else ""):
            break
    out.close(stop=stop)


def band(inputs: Inputs, fault: Fault) -> None:
    """Relax a nudged elastic band; climbs with LCLIMB if "built" with the VTST tools."""
    from ase.mep import NEB
    from ase.optimize import FIRE

    folders = [HERE / f"{i:02d}" for i in range(inputs.integer("IMAGES", 0) + 2)]
    if missing := [f.name for f in folders if not (f / "POSCAR").exists()]:
        refuse(f"ERROR: could not open POSCAR in {', '.join(missing)}; IMAGES needs them")
    images = [load(inputs, folder / "POSCAR")[0] for folder in folders]
    for previous, image in pairwise(images):  # nearest images
        step = image.get_scaled_positions(wrap=False) - previous.get_scaled_positions(wrap=False)
        image.positions -= np.rint(step) @ image.cell.array
    outs = [Writer(f, inputs, a, fault) for f, a in zip(folders, images, strict=True)][1:-1]
    climb = inputs.flag("LCLIMB") and not fault.has("no_vtst")
    neb = NEB(images, k=1.0, climb=climb, method="improvedtangent")
    optimizer = FIRE(neb, logfile=None, maxstep=0.1)
    done, stop = False, ""
    for reached in optimizer.irun(fmax=force_limit(inputs), steps=max(inputs.nsw - 1, 0)):
        done = bool(reached)
        for out, image in zip(outs, images[1:-1], strict=True):
            out.step(image)
        if stop := stop_word(HERE, *folders) or ("soft" if fault.has("walltime") else ""):
            break
    for out in outs:
        out.close(accurate=done, stop=stop)


def kind_of(inputs: Inputs) -> Callable[[Inputs, Fault], None]:
    """Return what an INCAR asks for."""
    if inputs.integer("IMAGES", 0):
        return band
    if inputs.nsw == 0 or inputs.ibrion == -1:
        return static
    return dynamics if inputs.ibrion == 0 else relax


def main() -> None:
    """Run in the working folder, as VASP does."""
    fault = Fault.planted()
    if fault.has("empty"):
        sys.stderr.write("vasp_std: error while loading shared libraries: libmkl.so\n")
        raise SystemExit(127)
    inputs = Inputs.read(HERE)
    if fault.has("refuse"):
        refuse("VERY BAD NEWS! internal error in subroutine SGRCON:  Found some non-integer")
    if fault.has("edited"):
        path = HERE / "INCAR"
        path.write_text(path.read_text().replace("ALGO = Normal", "ALGO = Fast"))
    sys.stdout.write(" running    1 mpi-ranks, on    1 nodes\n")
    sys.stdout.flush()
    kind_of(inputs)(inputs, fault)
