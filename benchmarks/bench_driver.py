"""What the lean driver saves: one MD step by MACE's own calculator, by ours, and in batches.

    python benchmarks/bench_driver.py [--repeats 30]

One throw-away model of the demo's size steers. Each round times every variant in turn on
the same displaced cells, so that the ratios are of one run. A batch's time is given a replica.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from bench_committee import structure, train
from rich.console import Console
from rich.table import Table

from ionloop.explore.driver import CommitteeDriver, stack
from ionloop.train import mace

BATCHES = (1, 2, 4, 8)
WARM_UP = 5


def step_seconds(
    replicas: list[Atoms], variants: dict[str, tuple[Calculator, int]], repeats: int
) -> dict[str, float]:
    """Median seconds of forces a replica by variant, in turns."""
    rng = np.random.default_rng(1)
    times: dict[str, list[float]] = {name: [] for name in variants}
    for repeat in range(repeats + WARM_UP):
        for atoms in replicas:  # a step of MD: the neighbour list mostly lasts
            atoms.positions += rng.normal(0, 0.01, atoms.positions.shape)
        for name, (calculator, n) in variants.items():
            together = stack(replicas[:n])
            together.calc = calculator
            begin = time.perf_counter()
            together.get_forces()
            if repeat >= WARM_UP:  # TorchScript compiles during the first calls
                times[name].append((time.perf_counter() - begin) / n)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    table = Table(title=f"median of {args.repeats} steps, float32, one thread")
    for name in ("atoms", "calculator", "ms a step and replica", "ratio to MACECalculator"):
        table.add_column(name, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        (path, *_) = train(Path(folder), 1)
        model = mace.committee_calculator([path])
        for copies in (1, 5):
            atoms = structure(copies)
            variants: dict[str, tuple[Calculator, int]] = {"MACECalculator": (model, 1)}
            for n in BATCHES:
                driver = CommitteeDriver(model, n_atoms=len(atoms))
                variants[f"driver, batch of {n}"] = (driver, n)
            found = step_seconds(
                [atoms.copy() for _ in range(max(BATCHES))], variants, args.repeats
            )
            for name, seconds in found.items():
                ratio = seconds / found["MACECalculator"]
                table.add_row(str(len(atoms)), name, f"{1e3 * seconds:.1f}", f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
