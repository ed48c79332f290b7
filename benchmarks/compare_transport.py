"""Diffusivity of trajectory files by ionloop, kinisi, GEMDAT and pymatgen, side by side.

The others are cross-checks and no dependencies: run this in an environment of its own,
``pip install kinisi gemdat pymatgen-analysis-diffusion`` beside ionloop, as
``python benchmarks/compare_transport.py T TIMESTEP_FS FILE... [--mobile Li]``. What isn't
installed or fails is a line that says so.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms
from ase.io import write

from ionloop.evaluate.analysis import Sample, Source, analyse
from ionloop.trajectory import open_trajectory


def atoms_of(path: Path) -> list[Atoms]:
    """Read a file's frames, unwrapped and freed of nothing, wrapped again for the others."""
    stream = open_trajectory(path)
    found = []
    for chunk in stream.chunks():
        for positions, cell in zip(chunk.positions, chunk.cells, strict=True):
            found.append(Atoms(stream.symbols, positions=positions, cell=cell, pbc=True))
            found[-1].wrap()
    return found


def by_ionloop(files: Sequence[Path], mobile: str, temperature: float, step: float) -> str:
    """Ours, with its 90 % interval."""
    sources = [Source(file, temperature) for file in files]
    d = analyse(sources, Sample(mobile, step)).transport.points[0].d
    if d.value is None or d.interval is None:
        return d.reason or "no number"
    low, high = d.interval
    verdict = "admissible" if d.admissible else f"not admissible: {d.reason}"
    return f"{d.value:.2e} ({low:.2e} to {high:.2e}), {verdict}"


def by_kinisi(files: Sequence[Path], mobile: str, temperature: float, step: float) -> str:
    """Show kinisi's pooled replicas, from the start of the MSD and from 2 ps on."""
    del temperature
    import scipp as sc
    from kinisi.analyze import DiffusionAnalyzer

    runs = [atoms_of(file) for file in files]
    found = []
    for start_fs in (step, 2000.0):
        analyzer = DiffusionAnalyzer.from_ase(
            runs if len(runs) > 1 else runs[0],
            specie=mobile,
            time_step=step * sc.Unit("fs"),
            step_skip=1 * sc.Unit("dimensionless"),
            dtype="identical" if len(runs) > 1 else None,
        )
        analyzer.diffusion(start_fs * sc.Unit("fs"))
        samples = analyzer.D.to(unit="cm^2/s").values
        found.append(f"from {start_fs / 1000:g} ps {samples.mean():.2e} ± {samples.std():.1e}")
    return "; ".join(found)


def by_gemdat(files: Sequence[Path], mobile: str, temperature: float, step: float) -> str:
    """Show GEMDAT's end-to-end tracer diffusivity of each run."""
    from gemdat import Trajectory

    found = []
    for file in files:
        with TemporaryDirectory() as folder:
            scratch = Path(folder) / "run.traj"
            write(scratch, atoms_of(file))
            run = Trajectory.from_ase_trajectory(
                scratch, temperature=temperature, time_step_ps=step / 1000
            )
        d = run.filter(mobile).metrics().tracer_diffusivity(dimensions=3)
        found.append(f"{1e4 * float(d):.2e}")
    return ", ".join(found)


def by_pymatgen(files: Sequence[Path], mobile: str, temperature: float, step: float) -> str:
    """Show pymatgen-analysis-diffusion's, with the error that it states, of each run."""
    from pymatgen.analysis.diffusion.analyzer import DiffusionAnalyzer
    from pymatgen.io.ase import AseAtomsAdaptor

    found = []
    for file in files:
        structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in atoms_of(file)]
        analyzer = DiffusionAnalyzer.from_structures(
            structures, mobile, temperature, step, 1, smoothed="max", min_obs=30
        )
        found.append(f"{analyzer.diffusivity:.2e} ± {analyzer.diffusivity_std_dev:.1e}")
    return ", ".join(found)


def main() -> None:
    """Print a line a library."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("temperature", type=float)
    parser.add_argument("timestep_fs", type=float)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--mobile", default="Li")
    options = parser.parse_args()
    ways: dict[str, Callable[..., str]] = {
        "ionloop": by_ionloop,
        "kinisi": by_kinisi,
        "GEMDAT": by_gemdat,
        "pymatgen": by_pymatgen,
    }
    np.seterr(all="ignore")
    warnings.simplefilter("ignore")
    for name, way in ways.items():
        begun = time.process_time()
        try:
            words = way(options.files, options.mobile, options.temperature, options.timestep_fs)
        except Exception as error:  # noqa: BLE001 - a cross-check that fails is a result
            words = f"failed: {type(error).__name__}: {error}"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cpu = time.process_time() - begun
        print(f"{name:9s} {words} [{cpu:.0f} s of CPU, peak so far {peak:.0f} MB]", flush=True)


if __name__ == "__main__":
    main()
