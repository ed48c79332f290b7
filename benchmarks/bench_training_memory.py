"""Memory of MACE's own process against the number of labels.

    python benchmarks/bench_training_memory.py [1000 10000]

One epoch on rattled Li3OCl cells of 40 atoms with made-up forces; the most memory that the
training process ever had, and its CPU time. The model is a tiny one: what grows with the labels
is their graphs, and what a model takes beside them doesn't depend on their number.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from ase.io import read

from ionloop.train.mace import TrainingTask, train_model
from ionloop.train.schema import Hyperparameters

LI3OCL = Path(__file__).resolve().parents[1] / "flows" / "structures" / "Li3OCl.cif"
TINY = Hyperparameters(
    hidden_irreps="4x0e", num_interactions=1, max_ell=1, correlation=1, radial_mlp=[8],
    mlp_irreps="4x0e", batch_size=32, epochs=1, eval_interval=1, stress_weight=0.0,
)  # fmt: skip


def measure(n: int) -> tuple[float, float]:
    """Train on n labels; return the most memory, MB, and the CPU time, s."""
    start = read(LI3OCL) * (2, 2, 2)
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(n + 50):
        atoms = start.copy()
        atoms.positions += rng.normal(scale=0.03, size=atoms.positions.shape)
        atoms.info |= {"REF_energy": -4.0 * len(atoms), "config_weight": 1.0}
        atoms.arrays["REF_forces"] = rng.normal(scale=0.1, size=atoms.positions.shape)
        frames.append(atoms)
    task = TrainingTask(
        train=frames[50:],
        valid=frames[:50],
        hyperparameters=TINY,
        r_max=4.5,
        e0s={"Li": -1.0, "O": -4.0, "Cl": -3.0},
        seed=1,
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with tempfile.TemporaryDirectory() as folder:
        train_model(task, Path(folder) / "mace")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_maxrss / 1e3, used.ru_utime - before


def main() -> None:
    """Measure and print; sizes in rising order, since a process's children share one maximum."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", type=int, nargs="*", default=[1000, 10_000])
    for n in sorted(parser.parse_args().labels):
        begin = time.perf_counter()
        mb, cpu_s = measure(n)
        print(f"{n} labels: {mb:.0f} MB, {cpu_s:.0f} s of CPU, {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
