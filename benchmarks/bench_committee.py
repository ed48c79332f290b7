"""What a committee costs: one MD step of 1, 2 and 4 models, at 40 and 200 atoms.

    python benchmarks/bench_committee.py [--epochs 1] [--repeats 30]

Trains four throw-away models of the demo's size on teacher labels, then times energy and
forces of each committee in turn, interleaved, so that the ratios are of one run. The
inner loop of exploration steers by one model and judges every 20th step; its cost is
computed from the same figures.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from pymatgen.core import Lattice, Structure
from rich.console import Console
from rich.table import Table

from ionloop.frame import Frame, Origin
from ionloop.label.schema import Label
from ionloop.reference.forcefield import ForceFieldReference, single_point
from ionloop.seed.defects import remove_neutral_set
from ionloop.seed.displace import rattle
from ionloop.train import mace
from ionloop.train.dataset import to_training_atoms
from ionloop.train.schema import Hyperparameters

SIZES = (1, 2, 4)
CHECK_EVERY = 20
SMALL = Hyperparameters(
    hidden_irreps="16x0e", num_interactions=1, max_ell=2, correlation=3, radial_mlp=[32, 32],
    batch_size=2, lr=0.02, epochs=1, warm_epochs=1, eval_interval=1, stress_weight=0,
    dtype="float32",
)  # fmt: skip


def structure(copies: int) -> Atoms:
    """Li3OCl 2x2x2 less a Li-Cl pair, repeated along c: 38 atoms a copy."""
    sites = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]]
    host = Structure(Lattice.cubic(3.9), ["Li", "Li", "Li", "O", "Cl"], sites).make_supercell(2)
    start = remove_neutral_set(host, {"Li": 1, "Cl": 1})
    return Frame.from_structure(start, origin=Origin.RANDOM, group="bench").to_atoms() * (
        1, 1, copies,
    )  # fmt: skip


def train(folder: Path, epochs: int) -> list[Path]:
    """Train four models of the demo's size."""
    reference = ForceFieldReference()
    calculator = reference.teacher.calculator()
    rng = np.random.default_rng(0)
    labels = []
    for i in range(16):
        frame = rattle(structure(1), 0.08, rng, group=f"bench-{i}")
        point = single_point(frame, calculator, reference)
        labels.append(
            Label(
                frame=frame,
                frame_hash=frame.frame_hash,
                energy=point.energy,
                forces=point.forces,
                settings_hash="",
                engine="",
                wall_s=0,
                directory="",
            )
        )
    atoms = [to_training_atoms(label) for label in labels]
    paths = []
    for seed in range(max(SIZES)):
        task = mace.TrainingTask(
            train=atoms[:12], valid=atoms[12:],
            hyperparameters=SMALL.model_copy(update={"epochs": epochs}),
            r_max=5.0, e0s={"Li": 0.0, "O": 0.0, "Cl": 0.0}, seed=seed,
        )  # fmt: skip
        paths.append(mace.train_model(task, folder / f"m{seed}")[0])
    return paths


def step_seconds(atoms: Atoms, calculators: dict[int, object], repeats: int) -> dict[int, float]:
    """Median seconds of energy and forces by committee size, in turns."""
    rng = np.random.default_rng(1)
    times: dict[int, list[float]] = {size: [] for size in calculators}
    for repeat in range(repeats + 5):
        moved = atoms.copy()
        moved.positions += rng.normal(0, 0.01, moved.positions.shape)
        for size, calculator in calculators.items():
            probe = moved.copy()
            probe.calc = calculator
            begin = time.perf_counter()
            probe.get_forces()
            if repeat >= 5:  # TorchScript compiles during the first calls
                times[size].append(time.perf_counter() - begin)
    return {size: statistics.median(found) for size, found in times.items()}


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    table = Table(title=f"median of {args.repeats} steps, float32, one thread")
    for name in ("atoms", "models", "ms a step", "ratio to one model"):
        table.add_column(name, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        paths = train(Path(folder), args.epochs)
        for copies in (1, 5):
            atoms = structure(copies)
            calculators = {n: mace.committee_calculator(paths[:n]) for n in SIZES}
            found = step_seconds(atoms, calculators, args.repeats)
            for size, seconds in found.items():
                ratio = f"{seconds / found[1]:.2f}"
                table.add_row(str(len(atoms)), str(size), f"{1e3 * seconds:.1f}", ratio)
            for size in SIZES[1:]:
                mixed = found[1] + found[size] / CHECK_EVERY
                name = f"1, {size} each {CHECK_EVERY}th"
                table.add_row(
                    str(len(atoms)), name, f"{1e3 * mixed:.1f}", f"{mixed / found[1]:.2f}"
                )
    Console().print(table)


if __name__ == "__main__":
    main()
