"""Who relaxes a band with CP2K at least cost: ASE over ``cp2k_shell``, or CP2K's own BAND run.

    python benchmarks/bench_cp2k_band.py [--images 3] [--fmax 0.1] [--max-steps 40]

The hop of a Li vacancy in Li2S (11 atoms, charge -1). Both start from the same relaxed ends
and the same IDPP images, with climbing image and the same settings and threshold; the ends are
relaxed once, by ASE, and counted for neither. One process each, one after the other; the
ratio is of CPU times, which other work on the machine changes least.
"""

from __future__ import annotations

import argparse
import re
import resource
import shlex
import subprocess
import tempfile
import time
from contextlib import chdir
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.mep import NEB
from ase.optimize import BFGS
from ase.units import Bohr, Hartree
from pymatgen.core import Lattice, Structure
from pymatgen.io.cp2k.inputs import Cp2kInput, Keyword
from rich.console import Console
from rich.table import Table

from ionloop.frame import Origin
from ionloop.reference.cp2k.fixes import quiet_command
from ionloop.reference.cp2k.inputs import IonicSetGenerator
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.cp2k.shell import Cp2kShell, shell_calculator
from ionloop.reference.neb import relax_band
from ionloop.seed.paths import vacancy_hops
from ionloop.seed.schema import Hop
from ionloop.settings import get_settings

BAND = """
&MOTION
  &BAND
    BAND_TYPE CI-NEB
    NUMBER_OF_REPLICA {n_replicas}
    NPROC_REP 1
    K_SPRING 0.05
    ALIGN_FRAMES F
    ROTATE_FRAMES F
    &CI_NEB
      NSTEPS_IT 2
    &END CI_NEB
    &CONVERGENCE_CONTROL
      MAX_FORCE {force:.8f}
      RMS_FORCE {force:.8f}
      MAX_DR 0.1
      RMS_DR 0.1
    &END CONVERGENCE_CONTROL
    &OPTIMIZE_BAND
      OPT_TYPE DIIS
      OPTIMIZE_END_POINTS F
      &DIIS
        MAX_STEPS {max_steps}
      &END DIIS
    &END OPTIMIZE_BAND
    &CONVERGENCE_INFO
    &END CONVERGENCE_INFO
    &REPLICA_INFO
    &END REPLICA_INFO
{replicas}
  &END BAND
&END MOTION
"""


@dataclass(frozen=True)
class Result:
    """One way's band."""

    barrier: float
    converged: bool
    force_calls: int
    scf_steps: int
    wall_s: float
    cpu_s: float


def children_s() -> float:
    """Return CPU time of the programs that were started and have ended, s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def hop() -> Hop:
    """Return the vacancy's hop between neighbouring tetrahedral sites."""
    host = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.71), ["Li", "S"], [[0.25, 0.25, 0.25], [0, 0, 0]]
    )
    defective = host.copy()
    defective.remove_sites([next(i for i, s in enumerate(host) if s.specie.symbol == "Li")])
    return vacancy_hops(host, defective, "Li", 3.0, charge=-1).hops[0]


def relaxed_ends(found: Hop, dft: Cp2kSettings, fmax: float) -> Hop:
    """Return the same hop between relaxed ends."""
    frames = []
    for name, frame in (("a", found.start), ("b", found.end)):
        atoms = frame.to_atoms()
        atoms.calc = shell_calculator(frame, dft, name)
        BFGS(atoms, logfile=None).run(fmax=min(0.05, fmax), steps=60)
        atoms.calc.close()
        frames.append(
            frame.model_copy(update={"positions": atoms.positions.tolist(), "origin": Origin.NEB})
        )
    return found.model_copy(update={"start": frames[0], "end": frames[1]})


def scf_steps(folder: Path) -> int:
    """Electronic steps in all outputs of a folder."""
    texts = (path.read_text(errors="replace") for path in folder.glob("*.out"))
    return sum(
        int(n) for text in texts for n in re.findall(r"SCF run converged in\s+(\d+) steps", text)
    )


def by_ase(ends: Hop, dft: Cp2kSettings, args: argparse.Namespace) -> Result:
    """Relax the band as ionloop's CP2K reference does."""
    shells: list[Cp2kShell] = []

    def calculator(i: int) -> Cp2kShell:
        shells.append(shell_calculator(ends.start, dft, f"image_{i}_{len(shells)}"))
        return shells[-1]

    begin, before = time.perf_counter(), children_s()
    band = relax_band(
        ends, calculator, n_images=args.images, fmax=args.fmax, max_steps=args.max_steps,
        engine="cp2k", settings_hash="",
    )  # fmt: skip
    wall = time.perf_counter() - begin
    for shell in shells:
        shell.close()
    steps = scf_steps(Path.cwd())
    cpu = children_s() - before
    return Result(band.barrier, band.converged, band.n_force_calls, steps, wall, cpu)


def band_input(ends: Hop, dft: Cp2kSettings, args: argparse.Namespace) -> str:
    """CP2K's own input, with the static labels' FORCE_EVAL."""
    inputs = IonicSetGenerator(dft=dft).get_input_set(ends.start.to_structure())
    for name in ("basis", "potential"):
        entry = inputs.optional_files[name]
        Path(entry["filename"]).write_text(str(entry["object"]))
    whole = Cp2kInput.from_str(str(inputs.cp2k_input))
    whole["GLOBAL"]["RUN_TYPE"] = Keyword("RUN_TYPE", "BAND")
    first, last = ends.start.to_atoms(), ends.end.to_atoms()
    images = [first, *(first.copy() for _ in range(args.images)), last]
    NEB(images, method="improvedtangent").interpolate("idpp", mic=True)
    for before, after in pairwise(images):  # BAND measures distances as they stand
        step = (after.positions - before.positions) @ np.linalg.inv(first.cell.array)
        after.positions = before.positions + (step - np.rint(step)) @ first.cell.array
    replicas = "\n".join(_replica(image) for image in images)
    force = args.fmax * Bohr / Hartree
    return str(whole) + BAND.format(
        n_replicas=len(images), force=force, max_steps=args.max_steps, replicas=replicas
    )


def _replica(image: Atoms) -> str:
    rows = "\n".join(f"        {x:.10f} {y:.10f} {z:.10f}" for x, y, z in image.positions)
    return f"    &REPLICA\n      &COORD\n{rows}\n      &END COORD\n    &END REPLICA"


def by_cp2k(ends: Hop, dft: Cp2kSettings, args: argparse.Namespace) -> Result:
    """Relax the band by CP2K's RUN_TYPE BAND."""
    Path("band.inp").write_text(band_input(ends, dft, args))
    command = shlex.split(quiet_command(get_settings().cp2k_cmd))
    begin, before = time.perf_counter(), children_s()
    subprocess.run([*command, "-i", "band.inp", "-o", "band.out"], check=True)
    wall = time.perf_counter() - begin
    text = Path("band.out").read_text()
    blocks = re.findall(r"ENERGIES \[au\]\s*=((?:\s+-?\d+\.\d+)+)", text)
    energies = np.array(blocks[-1].split(), float) * Hartree
    calls = sum(
        len(re.findall(r"SCF run converged", path.read_text(errors="replace")))
        for path in Path.cwd().glob("*.out")
    )
    return Result(
        float(energies.max() - energies[0]),
        int(re.findall(r"STEP NUMBER\s*=\s*(\d+)", text)[-1]) < args.max_steps,
        calls,
        scf_steps(Path.cwd()),
        wall,
        children_s() - before,
    )


def main() -> None:
    """Run both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--fmax", type=float, default=0.1)
    parser.add_argument("--max-steps", type=int, default=40)
    args = parser.parse_args()
    dft = Cp2kSettings()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for name in ("ends", "ase", "band"):
            Path(name).mkdir()
        with chdir("ends"):
            ends = relaxed_ends(hop(), dft, args.fmax)
        results = {}
        with chdir("ase"):
            results["ASE NEB over cp2k_shell"] = by_ase(ends, dft, args)
        with chdir("band"):
            results["CP2K RUN_TYPE BAND"] = by_cp2k(ends, dft, args)
    table = Table(title=f"Li2S 11 atoms, {args.images} images, fmax {args.fmax} eV/Å")
    for column in (
        "way",
        "barrier, eV",
        "converged",
        "forces",
        "SCF steps",
        "wall, s",
        "CPU, s",
        "ratio",
    ):
        table.add_column(column, justify="right")
    base = next(iter(results.values())).cpu_s
    for name, r in results.items():
        table.add_row(
            name, f"{r.barrier:.3f}", str(r.converged), str(r.force_calls), str(r.scf_steps),
            f"{r.wall_s:.0f}", f"{r.cpu_s:.0f}", f"{r.cpu_s / base:.2f}",
        )  # fmt: skip
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
