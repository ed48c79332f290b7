"""Time and memory of the analysis of a long trajectory: ionloop, kinisi, GEMDAT, pymatgen.

    python benchmarks/bench_transport_size.py [--frames 10000,100000] [--atoms 1000]

The others are cross-checks and no dependencies: run this in an environment of its own, ``pip
install kinisi gemdat pymatgen-analysis-diffusion`` beside ionloop. A walk on a lattice whose D is
known is written once, as wrapped fractional positions in float32. Each library then analyses the
same file in a process of its own, in turns, and gets it in the form that suits it best: ionloop
a stream of frames, kinisi ASE atoms made when they are asked for and 100 lags, GEMDAT an array of
fractional positions, and pymatgen one of displacements, which are unwrapped for it. CPU time
includes this; memory is the process's peak. GEMDAT's D has no error, and comes from the ends alone.
A process is ended at ``--memory-gb`` of address space beyond its imports' or ``--minutes`` of CPU.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms
from rich.console import Console
from rich.table import Table

#: Å: a hop, the rattle about a site, an edge of the cell.
HOP, RATTLE, EDGE = 2.5, 0.1, 25.0
#: Probability of a hop a frame; fs between frames; K.
P_HOP, INTERVAL, TEMPERATURE = 0.002, 10.0, 500.0
#: Share of mobile ions.
MOBILE = 0.3
WRITTEN = 1000
#: cm²/s.
TRUTH = 0.1 * HOP**2 * P_HOP / (6 * INTERVAL)


def symbols(n_atoms: int) -> list[str]:
    """Return the elements, mobile ions first."""
    n = round(MOBILE * n_atoms)
    return ["Li"] * n + ["O"] * (n_atoms - n)


def write_walk(file: Path, n_frames: int, n_atoms: int) -> None:
    """Write wrapped fractional positions, [n_frames, n_atoms, 3], float32."""
    rng = np.random.default_rng(0)
    n = round(MOBILE * n_atoms)
    sites = rng.random((n_atoms, 3)) * EDGE
    with file.open("wb") as stream:
        for first in range(0, n_frames, WRITTEN):
            count = min(WRITTEN, n_frames - first)
            hops = rng.choice([-HOP, HOP], (count, n)) * (rng.random((count, n)) < P_HOP)
            moved = np.cumsum(np.eye(3)[rng.integers(3, size=(count, n))] * hops[..., None], axis=0)
            positions = np.repeat(sites[None], count, axis=0)
            positions[:, :n] += moved
            sites[:n] += moved[-1]
            positions += rng.normal(scale=RATTLE, size=positions.shape)
            stream.write((positions / EDGE % 1).astype(np.float32).tobytes())


class Frames(Sequence[Atoms]):
    """ASE atoms made from the file when they are asked for."""

    def __init__(self, file: Path, n_atoms: int) -> None:
        self.file, self.n_atoms = file, n_atoms
        self.symbols = symbols(n_atoms)

    def __len__(self) -> int:
        return self.file.stat().st_size // (12 * self.n_atoms)

    def __getitem__(self, i: int) -> Atoms:  # type: ignore[override]
        if not 0 <= i < len(self):
            raise IndexError(i)
        scaled = np.fromfile(
            self.file, np.float32, 3 * self.n_atoms, offset=12 * self.n_atoms * i
        ).reshape(-1, 3)
        box = [EDGE] * 3
        return Atoms(self.symbols, scaled_positions=scaled.astype(float), cell=box, pbc=True)


def by_ionloop(file: Path, n_atoms: int) -> str:
    """Ours, from a stream."""
    from ionloop.evaluate.displacements import paths_of_stream
    from ionloop.evaluate.transport import diffusivity
    from ionloop.trajectory import TrajectoryStream
    from ionloop.trajectory_files import RawFrame

    names, box = tuple(symbols(n_atoms)), EDGE * np.eye(3)

    def frames() -> Iterator[RawFrame]:
        with file.open("rb") as stream:
            while piece := stream.read(12 * n_atoms):
                scaled = np.frombuffer(piece, np.float32).reshape(-1, 3).astype(float)
                yield RawFrame(names, box, scaled)

    stream = TrajectoryStream("walk", names, box, None, frames)
    with paths_of_stream(stream, "Li") as paths:
        d = diffusivity(
            [paths], temperature=TEMPERATURE, frame_interval_fs=INTERVAL, hop_distance=HOP
        ).d
    if d.interval is None:
        return d.reason or "no number"
    return f"{d.value:.3e} ({d.interval[0]:.3e} to {d.interval[1]:.3e})"


def by_kinisi(file: Path, n_atoms: int) -> str:
    """Show kinisi's, at 100 lags (it takes all by default), fitted from a tenth of the run on."""
    import scipp as sc
    from kinisi.analyze import DiffusionAnalyzer

    frames = Frames(file, n_atoms)
    lags = np.unique(np.geomspace(1, len(frames) - 1, 100).round())
    analyzer = DiffusionAnalyzer.from_ase(
        frames,
        specie="Li",
        time_step=INTERVAL * sc.Unit("fs"),
        step_skip=1 * sc.Unit("dimensionless"),
        dt=sc.array(dims=["time interval"], values=INTERVAL * lags, unit="fs"),
        progress=False,
    )
    analyzer.diffusion(0.1 * len(frames) * INTERVAL * sc.Unit("fs"), progress=False)
    samples = analyzer.D.to(unit="cm^2/s").values
    return f"{samples.mean():.3e} ± {samples.std():.1e}"


def by_gemdat(file: Path, n_atoms: int) -> str:
    """Show GEMDAT's end-to-end tracer diffusivity."""
    from gemdat import Trajectory
    from pymatgen.core import Element, Lattice

    run = Trajectory(
        species=[Element(symbol) for symbol in symbols(n_atoms)],
        coords=np.fromfile(file, np.float32).reshape(-1, n_atoms, 3).astype(float),
        lattice=Lattice.cubic(EDGE),
        time_step=INTERVAL * 1e-15,
        metadata={"temperature": TEMPERATURE},
    )
    d = run.filter("Li").metrics().tracer_diffusivity(dimensions=3)
    return f"{1e4 * float(d):.3e}"


def by_pymatgen(file: Path, n_atoms: int) -> str:
    """Show pymatgen-analysis-diffusion's, from displacements."""
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.core import Lattice, Structure

    scaled = np.fromfile(file, np.float32).reshape(-1, n_atoms, 3)
    steps = np.diff(scaled, axis=0, prepend=scaled[:1])
    steps -= np.rint(steps)
    paths = np.cumsum(steps, axis=0, dtype=float).transpose(1, 0, 2) * EDGE
    cell = Structure(Lattice.cubic(EDGE), symbols(n_atoms), scaled[0])
    del scaled, steps
    analyzer = DiffusionAnalyzer(cell, paths, "Li", TEMPERATURE, INTERVAL, 1, smoothed="max")
    return f"{analyzer.diffusivity:.3e} ± {analyzer.diffusivity_std_dev:.1e}"


WAYS: dict[str, Callable[[Path, int], str]] = {
    "ionloop": by_ionloop,
    "kinisi": by_kinisi,
    "GEMDAT": by_gemdat,
    "pymatgen": by_pymatgen,
}


def alone(name: str, file: Path, n_atoms: int, memory_gb: float, minutes: float) -> None:
    """Run one library in this process, within limits, and print CPU, s, peak, MB, and D."""
    np.seterr(all="ignore")
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_DATA, (int(memory_gb * 2**30),) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (int(60 * minutes),) * 2)
    begun = time.process_time()
    try:
        words = WAYS[name](file, n_atoms)
    except Exception as error:  # noqa: BLE001 - a library that fails is a result
        words = f"failed: {type(error).__name__}: {str(error)[:80]}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{time.process_time() - begun:.1f}\t{peak:.0f}\t{words}", flush=True)


def measure(name: str, file: Path, options: argparse.Namespace) -> list[str]:
    """Run one library in a process of its own; return its row of the table."""
    command = [
        sys.executable, __file__, "--alone", name, "--file", str(file),
        "--atoms", str(options.atoms), "--memory-gb", str(options.memory_gb),
        "--minutes", str(options.minutes),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        why = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        return ["-", "-", f"ended by status {done.returncode}: {why[:80]}"]
    return lines[-1].split("\t")


def main() -> None:
    """Print a table a length."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", default="10000,100000")
    parser.add_argument("--atoms", type=int, default=1000)
    parser.add_argument("--only", default=",".join(WAYS))
    parser.add_argument("--memory-gb", type=float, default=18.0)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        alone(options.alone, options.file, options.atoms, options.memory_gb, options.minutes)
        return
    console = Console()
    for n_frames in (int(n) for n in options.frames.split(",")):
        with TemporaryDirectory() as folder:
            file = Path(folder) / "walk.f32"
            write_walk(file, n_frames, options.atoms)
            size = file.stat().st_size / 2**20
            table = Table(
                "library", "CPU, s", "peak, MB", "D, cm²/s",
                title=f"{n_frames} frames of {options.atoms} atoms, {size:.0f} MB in float32; "
                f"exact D {TRUTH:.3e} cm²/s",
            )  # fmt: skip
            for name in options.only.split(","):
                table.add_row(name, *measure(name, file, options))
            console.print(table)


if __name__ == "__main__":
    main()
