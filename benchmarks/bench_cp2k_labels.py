"""CP2K labels an hour, with and without handing wave functions on, and what a label costs besides.

    python benchmarks/bench_cp2k_labels.py [--cell lioc] [--frames 16] [--batch 4] [--stdev 0.08]

The same frames are labelled both ways, in batches that alternate, two processes side by side.
`lioc` is the demo's Li3OCl with a Li vacancy (39 atoms), `salt` is LiCl (8 atoms). Frames are
independent rattles: neighbours on a trajectory would profit more. A batch's first frame always
starts from atoms. The overhead is a job's wall time less CP2K's own total: atomate2, custodian,
and the start of CP2K's processes, which its own clock doesn't see.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from rich.console import Console
from rich.table import Table

from ionloop.frame import Frame, Origin
from ionloop.profile import read_structure
from ionloop.reference.schema import SinglePoint
from ionloop.seed.defects import remove_neutral_set

PROCESSES = 2
STRUCTURES = Path(__file__).resolve().parents[1] / "flows" / "structures"
WAYS = {False: "from atoms", True: "handed on"}


@dataclass
class Sums:
    """What one way of labelling took."""

    wall_s: float = 0.0
    job_s: float = 0.0
    cp2k_s: float = 0.0
    n_scf: int = 0
    n_labels: int = 0


def start(cell: str) -> tuple[Atoms, int]:
    """Return a cell and its charge."""
    if cell == "salt":
        return bulk("LiCl", "rocksalt", a=5.14, cubic=True), 0
    host = read_structure(STRUCTURES / "Li3OCl.cif").make_supercell(2)
    return remove_neutral_set(host, {"Li": 1}).to_ase_atoms(), -1


def rattled(cell: str, n_frames: int, stdev: float) -> list[Frame]:
    """Make frames, displaced by ``stdev`` Å an axis."""
    frames = []
    for seed in range(n_frames):
        atoms, charge = start(cell)
        atoms.rattle(stdev, seed=seed)
        frames.append(Frame.from_atoms(atoms, origin=Origin.RATTLE, group="bench", charge=charge))
    return frames


def label(
    folder: str,
    frames: list[Frame],
    restart_orbitals: bool,  # noqa: FBT001
) -> tuple[float, list[SinglePoint]]:
    """Run one job here, as a worker does; returns its wall time, s, and labels."""
    from ionloop.reference.cp2k import Cp2kReference

    reference = Cp2kReference(frames_per_job=len(frames), restart_orbitals=restart_orbitals)
    job = reference.static(frames)
    Path(folder).mkdir(parents=True)
    os.chdir(folder)
    begin = time.perf_counter()
    points = job.function.original(job.maker, frames)
    return time.perf_counter() - begin, points


def warm_up() -> int:
    """Import what a running worker has imported."""
    import ionloop.reference.cp2k

    return len(ionloop.reference.cp2k.__all__)


def main() -> None:
    """Run both ways and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cell", choices=["lioc", "salt"], default="lioc")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4, help="frames a job")
    parser.add_argument("--stdev", type=float, default=0.08, help="displacement, Å an axis")
    args = parser.parse_args()
    frames = rattled(args.cell, args.frames, args.stdev)
    jobs = [frames[i : i + args.batch] for i in range(0, len(frames), args.batch)]
    rounds = [jobs[i : i + PROCESSES] for i in range(0, len(jobs), PROCESSES)]
    sums: dict[bool, Sums] = defaultdict(Sums)
    points: dict[bool, list[SinglePoint]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory() as root,
        ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool,
    ):
        for future in [pool.submit(warm_up) for _ in range(PROCESSES)]:
            future.result()
        for number, jobs_now in enumerate(rounds):
            for way in sorted(WAYS, reverse=bool(number % 2)):
                begin = time.perf_counter()
                folder = f"{root}/{number}-{way}"
                asked = [
                    pool.submit(label, f"{folder}-{i}", job, way) for i, job in enumerate(jobs_now)
                ]
                answers = [future.result() for future in asked]
                add(sums[way], time.perf_counter() - begin, answers)
                points[way] += [point for _, found in answers for point in found]
    Console().print(table(args.cell, sums))
    print(agreement(points[False], points[True]))


def add(sums: Sums, wall_s: float, answers: list[tuple[float, list[SinglePoint]]]) -> None:
    """Add a round's jobs.

    Raises
    ------
    RuntimeError
        If a label failed: its time would count for nothing.
    """
    sums.wall_s += wall_s
    for job_s, points in answers:
        failures = [point.failure for point in points if point.failure]
        if failures:
            msg = f"expected labels, got {failures}"
            raise RuntimeError(msg)
        sums.job_s += job_s
        sums.cp2k_s += sum(point.wall_s for point in points)
        sums.n_scf += sum(point.n_scf or 0 for point in points)
        sums.n_labels += len(points)


def table(cell: str, sums: dict[bool, Sums]) -> Table:
    """Show both ways, a row each."""
    result = Table(title=f"{cell}: {sums[False].n_labels} labels, {PROCESSES} processes")
    for name in ("wave functions", "labels an hour", "SCF steps a label", "CP2K s a label",
                 "overhead s a label"):  # fmt: skip
        result.add_column(name, justify="left" if name == "wave functions" else "right")
    for way, name in WAYS.items():
        s = sums[way]
        result.add_row(
            name,
            f"{3600 * s.n_labels / s.wall_s:.0f}",
            f"{s.n_scf / s.n_labels:.1f}",
            f"{s.cp2k_s / s.n_labels:.2f}",
            f"{(s.job_s - s.cp2k_s) / s.n_labels:.2f}",
        )
    return result


def agreement(cold: list[SinglePoint], warm: list[SinglePoint]) -> str:
    """Say how far the two ways' labels are apart."""
    energies = [abs(a.energy - b.energy) for a, b in zip(cold, warm, strict=True)]  # type: ignore[operator]
    forces = [
        np.abs(np.subtract(a.forces, b.forces)).max()  # type: ignore[arg-type]
        for a, b in zip(cold, warm, strict=True)
    ]
    return (
        f"largest differences: {max(energies):.1e} eV in energy, {max(forces):.1e} eV/Å in forces"
    )


if __name__ == "__main__":
    main()
