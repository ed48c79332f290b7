"""What watching each stored frame by the last layer finds, and what it costs in MD.

    python benchmarks/bench_steering.py MODELS [--seeds 3] [--steps 3000] [--repeats 12]

MODELS is the folder that ``bench_uncertainty.py --out MODELS`` made: committees of four on
Li3OCl less a Li-Cl pair, a folder a seed. Each seed runs MD on its first model, at 900 and
1250 K. Frames are then chosen out of the same runs in three ways: those of which the committee
is least sure among every 20th step; those that the watch (every 5th step) points at, judged
again by the committee; both together, as exploration does. The teacher says what the forces on
mobile ions really were: a way is worth the errors that it finds. Costs are of one run, ways
interleaved: 60 steps of MD at 38 and at 190 atoms, nobody judging, each way of judging, and the
committee at every step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms
from bench_committee import structure
from bench_uncertainty import HYPER, MOBILE, pools
from rich.console import Console
from rich.table import Table

from ionloop.explore.driver import CommitteeDriver
from ionloop.explore.guards import Guards
from ionloop.explore.md import run_md
from ionloop.explore.monitor import Monitor
from ionloop.explore.replicas import MDPlan, MDRun
from ionloop.explore.uncertainty import CommitteeUncertainty
from ionloop.reference.forcefield import BuckinghamTeacher
from ionloop.train import mace
from ionloop.train.calibration import mobile_ions
from ionloop.train.last_layer import LastLayer, describe, read_last_layer
from ionloop.train.offline import Recipe, split
from ionloop.train.schema import TrainedCommittee

CHOSEN = 8
TEMPERATURES = (900.0, 1250.0)


def committee_of(folder: Path) -> tuple[CommitteeUncertainty, Atoms]:
    """Load a seed's committee; return its judge, and the structure."""
    found = TrainedCommittee.model_validate_json((folder / "committee.json").read_text())
    calculator = mace.committee_calculator([folder / m.file for m in found.members])
    atoms = structure(1)
    return CommitteeUncertainty(
        calculator, mobile_ions(atoms, MOBILE), found.calibration.scale
    ), atoms


def watched(judge: CommitteeUncertainty, seed: int) -> tuple[LastLayer, float, float]:
    """Fit the first model's last layer to its training labels; return it, scale and rho."""
    recipe = Recipe(MOBILE, 4.5, HYPER, 4, seed)
    training, valid = split(pools(seed).training, recipe)
    found = describe(
        judge.calculator, [x.atoms for x in training], [x.atoms for x in valid], MOBILE, 0
    )
    return read_last_layer(found, 0), found.scales[0], found.rank_correlations[0]


def explore(
    judge: CommitteeUncertainty,
    layer: tuple[LastLayer, float] | None,
    atoms: Atoms,
    plan: MDPlan,
    *,
    asked: bool = True,
) -> MDRun:
    """Run MD on the first model, with or without a watch and the committee."""
    driver = CommitteeDriver(judge.calculator, [0], n_atoms=len(atoms))
    ions = mobile_ions(atoms, MOBILE)
    watch = None if layer is None else Monitor(driver, *layer, ions)
    own = CommitteeUncertainty(judge.calculator, ions, judge.scale)
    try:
        return run_md(
            [atoms], driver, plan, Guards(), own.per_replica if asked else None, watch=watch
        )[0]
    finally:
        if watch is not None:
            watch.probe.close()


def true_errors(judge: CommitteeUncertainty, frames: list[Atoms]) -> np.ndarray:
    """Largest force error of a mobile ion by the committee's mean, eV/Å."""
    teacher = BuckinghamTeacher().calculator()
    _, forces = mace.predict(judge.calculator, frames)
    found = []
    for atoms, f in zip(frames, forces, strict=True):
        copy = atoms.copy()
        copy.calc = teacher
        wrong = (f.mean(axis=0) - copy.get_forces())[judge.mobile]
        found.append(np.linalg.norm(wrong, axis=1).max())
    return np.array(found)


def worth(folder: Path, seed: int, steps: int) -> list[dict[str, float | str]]:
    """Compare the ways on the same runs."""
    judge, start = committee_of(folder / str(seed))
    layer, scale, rho = watched(judge, seed)
    rows: list[dict[str, float | str]] = []
    for kelvin in TEMPERATURES:
        run = explore(judge, (layer, scale), start, MDPlan(kelvin, steps, seed=seed))

        def frame(i: int, run: MDRun = run) -> Atoms:
            return Atoms(start.numbers, run.positions[i], cell=start.cell, pbc=True)

        def best(scored: list[tuple[int, float]]) -> list[int]:
            return [i for i, _ in sorted(scored, key=lambda x: -x[1])[:CHOSEN]]

        pointed = [i for i, _ in sorted(run.peaks, key=lambda x: -x[1])[: 2 * CHOSEN]]
        again = [(i, judge(frame(i))) for i in pointed]
        rng = np.random.default_rng(seed)
        ways = {
            "random": rng.choice(len(run.positions), CHOSEN, replace=False).tolist(),
            "committee, every 20th step": best(run.checks),
            "watch, then committee": best(again),
            "both": best(list(dict([*run.checks, *again]).items())),
        }
        for name, chosen in ways.items():
            errors = true_errors(judge, [frame(i) for i in chosen])
            rows.append({"seed": seed, "K": kelvin, "way": name, "ps": run.step * 2e-3,
                         "mean": errors.mean(), "max": errors.max(), "rho": rho})  # fmt: skip
    return rows


def cost(folder: Path, repeats: int) -> list[dict[str, float | str]]:
    """Time 60 steps each way, interleaved."""
    judge, _ = committee_of(folder / "0")
    layer, scale, _ = watched(judge, 0)
    rows: list[dict[str, float | str]] = []
    for copies in (1, 5):
        atoms = structure(copies)

        def plan(every: int, store: int = 5) -> MDPlan:
            return MDPlan(900.0, 60, store_every=store, check_every=every, equilibration_steps=0)

        def run(
            plan: MDPlan, *, watch: bool, asked: bool, atoms: Atoms = atoms
        ) -> Callable[[], MDRun]:
            return lambda: explore(
                judge, (layer, scale) if watch else None, atoms, plan, asked=asked
            )

        ways = {
            "one model, nobody judges": run(plan(20), watch=False, asked=False),
            "watch every 5th step": run(plan(20), watch=True, asked=False),
            "watch every step": run(plan(20, 1), watch=True, asked=False),
            "committee every 20th": run(plan(20), watch=False, asked=True),
            "both": run(plan(20), watch=True, asked=True),
            "committee every step": run(plan(1, 1), watch=False, asked=True),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(repeats + 1):
            for name, way in ways.items():
                begin = time.perf_counter()
                way()
                if repeat:
                    times[name].append(time.perf_counter() - begin)
        plain = times["one model, nobody judges"]
        for name, found in times.items():
            ratio = statistics.median(a / b for a, b in zip(found, plain, strict=True))
            ms = 1e3 * statistics.median(found) / 60
            rows.append({"atoms": len(atoms), "way": name, "ms a step": ms, "ratio": ratio})
    return rows


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=12)
    args = parser.parse_args()
    console = Console(width=120)
    rows = [row for seed in range(args.seeds) for row in worth(args.models, seed, args.steps)]
    table = Table(
        title=f"largest true error of {MOBILE} in {CHOSEN} frames, eV/Å: mean over seeds (range)"
    )
    for name in ("K", "way", "mean of frames", "worst frame", "ps"):
        table.add_column(name)
    for kelvin in TEMPERATURES:
        for way in dict.fromkeys(row["way"] for row in rows):
            here = [r for r in rows if (r["K"], r["way"]) == (kelvin, way)]
            table.add_row(
                f"{kelvin:g}",
                str(way),
                _range(here, "mean"),
                _range(here, "max"),
                _range(here, "ps"),
            )
    console.print(table)
    table = Table(title="MD, float32, one thread; medians of paired ratios")
    costs = cost(args.models, args.repeats)
    for name in costs[0]:
        table.add_column(name, justify="right")
    for row in costs:
        table.add_row(*(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values()))
    console.print(table)


def _range(rows: list[dict[str, float | str]], name: str) -> str:
    values = [float(row[name]) for row in rows]
    return f"{np.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


if __name__ == "__main__":
    main()
