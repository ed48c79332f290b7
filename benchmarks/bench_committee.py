"""What a committee costs: one MD step of 1, 2 and 4 models, at 40 and 200 atoms.

    python benchmarks/bench_committee.py [--epochs 1] [--repeats 30]

Trains four throw-away models of the demo's size on teacher labels, then times energy and
forces of each committee in turn, interleaved, so that the ratios are of one run. What is
timed is the driver that exploration runs, with one replica (``bench_driver.py`` times
batches); MACE's own calculator stands beside it. The inner loop of exploration steers by one
model and judges every 20th step; its cost is computed from the driver's figures.
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
from pymatgen.core import Lattice, Structure
from rich.console import Console
from rich.table import Table

from ionloop.explore.driver import CommitteeDriver
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


def step_seconds(
    atoms: Atoms, calculators: dict[tuple[str, int], Calculator], repeats: int
) -> dict[tuple[str, int], float]:
    """Median seconds of energy and forces by calculator and committee size, in turns."""
    rng = np.random.default_rng(1)
    times: dict[tuple[str, int], list[float]] = {key: [] for key in calculators}
    for repeat in range(repeats + 5):
        moved = atoms.copy()
        moved.positions += rng.normal(0, 0.01, moved.positions.shape)
        for key, calculator in calculators.items():
            probe = moved.copy()
            probe.calc = calculator
            begin = time.perf_counter()
            probe.get_forces()
            if repeat >= 5:  # TorchScript compiles during the first calls
                times[key].append(time.perf_counter() - begin)
    return {key: statistics.median(found) for key, found in times.items()}


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    table = Table(title=f"median of {args.repeats} steps, float32, one thread")
    for name in ("atoms", "models", "ms a step", "ratio to one model", "ms by MACECalculator"):
        table.add_column(name, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        paths = train(Path(folder), args.epochs)
        for copies in (1, 5):
            atoms = structure(copies)
            own = {n: mace.committee_calculator(paths[:n]) for n in SIZES}
            calculators: dict[tuple[str, int], Calculator] = {}
            for n in SIZES:
                calculators["driver", n] = CommitteeDriver(own[n])
                calculators["own", n] = own[n]
            found = step_seconds(atoms, calculators, args.repeats)
            one = found["driver", 1]
            rows = [(str(n), found["driver", n], f"{1e3 * found['own', n]:.1f}") for n in SIZES]
            for n in SIZES[1:]:
                mixed = one + found["driver", n] / CHECK_EVERY
                rows.append((f"1, {n} each {CHECK_EVERY}th", mixed, ""))
            for name, seconds, beside in rows:
                table.add_row(
                    str(len(atoms)), name, f"{1e3 * seconds:.1f}", f"{seconds / one:.2f}", beside
                )
    Console().print(table)


if __name__ == "__main__":
    main()
