"""Which uncertainty ranks and covers errors best, and what it costs beside one model.

    python benchmarks/bench_uncertainty.py [--seeds 3] [--epochs 40] [--out DIR]

Committees of four learn labels of Li3OCl less a Li-Cl pair by the demo's teacher, MD at 600
and 900 K. Errors and uncertainties are then compared on MD of other runs at these temperatures
(interpolating), and on MD at 1500 K, strained cells and Li ions pushed towards a vacancy
(extrapolating). Every seed has labels, splits, weights and frames of its own. Each method is
calibrated on the validation labels alone, as in a campaign. All rank errors of the first model;
heads on its frozen trunk are those of ``shared_trunk.py``, which is checked on the way.

Ranks: Spearman's rho of a mobile ion's uncertainty with its force error, of a frame's largest
with its largest, and the area under the ROC curve of "largest error above twice the RMS of the
interpolating frames' largest". Coverage: share of errors below the conformal 90 % bound.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from bench_committee import structure
from rich.console import Console
from rich.table import Table
from shared_trunk import (
    Head,
    HeadsDriver,
    check_forces,
    copied,
    draw_heads,
    freeze,
    train_heads,
)

from ionloop.explore.driver import CommitteeDriver
from ionloop.frame import Origin
from ionloop.reference.forcefield import BuckinghamTeacher
from ionloop.train import mace
from ionloop.train.calibration import conformal_scale, ion_spread, mobile_ions
from ionloop.train.dataset import Sample, Tags
from ionloop.train.last_layer import (
    FeatureProbe,
    LastLayer,
    fit_last_layers,
    ion_values,
    spread_over_neighbours,
)
from ionloop.train.offline import Recipe, split, train_committee
from ionloop.train.ranking import auroc, spearman
from ionloop.train.schema import Hyperparameters

MOBILE = "Li"
LEVEL = 0.9
HYPER = Hyperparameters(
    hidden_irreps="16x0e", num_interactions=2, max_ell=2, correlation=2, radial_mlp=[32, 32],
    batch_size=2, lr=0.02, epochs=40, eval_interval=5, stress_weight=0, dtype="float32",
)  # fmt: skip
#: Runs, frames a run, and steps of 2 fs between two frames.
TRAINING, TEST, EVERY = (6, 14), (4, 12), 50


def teacher_run(
    start: Atoms, kelvin: float, n_frames: int, rng: np.random.Generator
) -> list[Atoms]:
    """Run Langevin MD on the teacher; return labelled frames, the first 0.4 ps left out."""
    atoms = start.copy()
    atoms.calc = BuckinghamTeacher().calculator()
    MaxwellBoltzmannDistribution(atoms, temperature_K=2 * kelvin, rng=rng)
    md = Langevin(
        atoms, 2 * units.fs, temperature_K=kelvin, friction=0.02 / units.fs, rng=rng, fixcm=False
    )
    md.run(200)
    found = []
    for _ in range(n_frames):
        md.run(EVERY)
        found.append(labelled(atoms))
    return found


def labelled(atoms: Atoms) -> Atoms:
    """Copy a frame with the teacher's answer."""
    copy = atoms.copy()
    if atoms.calc is None:
        copy.calc = BuckinghamTeacher().calculator()
    probe = copy if atoms.calc is None else atoms
    copy.info |= {
        "REF_energy": float(probe.get_potential_energy()),
        "config_weight": 1.0,
        "config_energy_weight": 1.0,
    }
    copy.arrays["REF_forces"] = np.array(probe.get_forces(), float)
    copy.calc = None
    return copy


def pushed(atoms: Atoms, rng: np.random.Generator) -> Atoms:
    """Push a Li ion 0.6 to 1.6 Å along a random direction that keeps 1.5 Å to all others."""
    ions = mobile_ions(atoms, MOBILE)
    while True:
        moved = Atoms(atoms)
        ion = int(rng.choice(ions))
        way = rng.normal(size=3)
        moved.positions[ion] += rng.uniform(0.6, 1.6) * way / np.linalg.norm(way)
        distances = moved.get_distances(ion, [i for i in range(len(moved)) if i != ion], mic=True)
        if distances.min() > 1.5:
            return moved


@dataclass(frozen=True)
class Pools:
    """Labelled frames by use."""

    training: list[Sample]
    interpolating: list[Atoms]
    extrapolating: list[Atoms]


def pools(seed: int) -> Pools:
    """Make the frames of one seed."""
    rng = np.random.default_rng([seed, 5])
    start = structure(1)
    samples = []
    for run in range(TRAINING[0]):
        kelvin = (600.0, 900.0)[run % 2]
        for frame in teacher_run(start, kelvin, TRAINING[1], rng):
            tags = Tags(Origin.AIMD, 0, f"run {run}")
            samples.append(Sample(tags, f"{seed} {len(samples)}", None, frame))
    inside = [
        f
        for run in range(TEST[0])
        for f in teacher_run(start, (600.0, 900.0)[run % 2], TEST[1], rng)
    ]
    outside = teacher_run(start, 1500.0, TEST[1], rng)
    for frame in inside[:: len(inside) // TEST[1]]:
        strained = Atoms(frame)
        strained.set_cell(frame.cell * rng.uniform(0.96, 1.04), scale_atoms=True)
        outside += [labelled(strained), labelled(pushed(frame, rng))]
    return Pools(samples, inside, outside)


#: Methods whose values come from features that a step has anyway.
LAST_LAYER = ("last layer", "last layer, neighbours too")

Method = Callable[[Atoms, np.ndarray], np.ndarray]


def heads_on_trunk(committee: Any, training: list[Atoms], seed: int) -> dict[str, list[Head]]:  # noqa: ANN401
    """Fit heads on the first model's trunk, both kinds."""
    frozen = freeze(committee, training)
    trained = train_heads(committee, frozen, 8, HYPER, seed)
    drawn = {k: draw_heads(committee, frozen, k, HYPER, seed) for k in (8, 16)}
    return {
        "shared trunk, 4 heads": trained[:4],
        "shared trunk, 8 heads": trained,
        **{f"last-layer ensemble of {k}": heads for k, heads in drawn.items()},
    }


def methods(
    committee: Any,  # noqa: ANN401
    training: list[Atoms],
    heads: dict[str, list[Head]],
) -> dict[str, Method]:
    """Return what gives each mobile ion an uncertainty, shape [m]."""
    driver = CommitteeDriver(committee)
    single = CommitteeDriver(committee, members=[0])
    layer = fit_last_layers(committee, training)[0]
    described = LastLayer.fit(
        [a.numbers for a in training], [descriptors(committee, a) for a in training]
    )
    probe = FeatureProbe(single.models[0])

    def spread(of: Calculator, n: int | None = None) -> Method:
        return lambda atoms, ions: ion_spread(forces_of(of, atoms)[:n], ions)

    def last_layer(atoms: Atoms, ions: np.ndarray) -> np.ndarray:
        forces_of(single, atoms)
        return layer.per_atom(atoms.numbers, probe.features)[ions]

    def with_neighbours(atoms: Atoms, ions: np.ndarray) -> np.ndarray:
        forces_of(single, atoms)
        return ion_values(layer, atoms, probe.features, single.r_max)[ions]

    def distance(atoms: Atoms, ions: np.ndarray) -> np.ndarray:
        return described.per_atom(atoms.numbers, descriptors(committee, atoms))[ions]

    return {
        "committee of 4": spread(driver),
        "committee of 2": spread(driver, 2),
        **{name: spread(HeadsDriver(committee, own)) for name, own in heads.items()},
        LAST_LAYER[0]: last_layer,
        LAST_LAYER[1]: with_neighbours,
        "descriptor distance": distance,
    }


def forces_of(driver: Calculator, atoms: Atoms) -> np.ndarray:
    """Evaluate; return each member's forces, shape [k, n, 3], eV/Å."""
    copy = atoms.copy()
    copy.calc = driver
    copy.get_forces()
    return np.asarray(driver.results["forces_comm"])


def descriptors(calculator: Any, atoms: Atoms) -> np.ndarray:  # noqa: ANN401
    """Invariant descriptors by the first model, shape [n, d]."""
    found = calculator.get_descriptors(atoms.copy(), invariants_only=True)
    return np.asarray(found[0] if isinstance(found, list) else found, float)


def errors(committee: Any, frames: list[Atoms]) -> list[np.ndarray]:  # noqa: ANN401
    """Force error of each mobile ion by the steering model, shape [m] a frame, eV/Å."""
    driver = CommitteeDriver(committee, members=[0])
    found = []
    for atoms in frames:
        ions = mobile_ions(atoms, MOBILE)
        wrong = forces_of(driver, atoms)[0] - atoms.arrays["REF_forces"]
        found.append(np.linalg.norm(wrong[ions], axis=1))
    return found


def check_heads(
    models: list[Path],
    committee: Any,  # noqa: ANN401
    heads: dict[str, list[Head]],
    frames: list[Atoms],
) -> list[dict[str, Any]]:
    """Hold heads' forces to finite differences and compare their mean with the model.

    RMS over force components of ``frames``, eV/Å.
    """
    single, rows = CommitteeDriver(committee, members=[0]), []
    model = np.array([forces_of(single, a)[0] for a in frames])
    true = np.array([a.arrays["REF_forces"] for a in frames])
    for name, own in heads.items():
        driver = HeadsDriver(committee, own)
        each = np.array([forces_of(driver, a) for a in frames])
        mean = each.mean(axis=1)
        differences = {
            "error_of_model": model - true,
            "error_of_mean": mean - true,
            "mean_less_model": mean - model,
            "spread": np.sqrt(each.var(axis=1, ddof=1)),
        }
        rows.append({
            "heads": name, "finite_differences": check_forces(models, own, frames[0]),
            **{k: float(np.sqrt(np.mean(d**2))) for k, d in differences.items()},
        })  # fmt: skip
    return rows


def judge(
    sigma: list[np.ndarray], error: list[np.ndarray], scale: float, limit: float
) -> dict[str, float]:
    """Compare one method with errors on one pool."""
    s, e = np.concatenate(sigma), np.concatenate(error)
    s_max, e_max = (np.array([x.max() for x in part]) for part in (sigma, error))
    return {
        "rho_ion": spearman(s, e),
        "rho_frame": spearman(s_max, e_max),
        "auroc": auroc(s_max, e_max > limit),
        "coverage": float((e <= scale * s).mean()),
    }


def run_seed(
    seed: int, folder: Path, epochs: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Train and compare; a row a method and pool, and the checks of heads."""
    made = pools(seed)
    recipe = Recipe(MOBILE, 4.5, HYPER.model_copy(update={"epochs": epochs}), 4, seed)
    trained = train_committee(made.training, recipe, folder / str(seed), workers=2)
    models = [folder / str(seed) / m.file for m in trained.members]
    training, valid = ([x.atoms for x in side] for side in split(made.training, recipe))
    calculator = mace.committee_calculator(models)
    begin = time.perf_counter()
    heads = heads_on_trunk(calculator, training, seed)
    fitted_s = time.perf_counter() - begin
    found = methods(calculator, training, heads)
    pool_errors = {
        name: errors(calculator, frames)
        for name, frames in (
            ("valid", valid),
            ("interpolating", made.interpolating),
            ("extrapolating", made.extrapolating),
        )
    }
    frames = {"interpolating": made.interpolating, "extrapolating": made.extrapolating}
    limit = 2 * float(np.sqrt(np.mean([e.max() ** 2 for e in pool_errors["interpolating"]])))
    rows = []
    for name, method in found.items():

        def sigmas(of: list[Atoms], method: Method = method) -> list[np.ndarray]:
            return [np.maximum(method(a, mobile_ions(a, MOBILE)), 1e-9) for a in of]

        ratios = np.concatenate(pool_errors["valid"]) / np.concatenate(sigmas(valid))
        scale = conformal_scale(ratios, LEVEL)
        kinds = {**frames, "both": [*frames["interpolating"], *frames["extrapolating"]]}
        both = [*pool_errors["interpolating"], *pool_errors["extrapolating"]]
        for kind, pool in kinds.items():
            error = both if kind == "both" else pool_errors[kind]
            scores = judge(sigmas(pool), error, scale, limit)
            rms = float(np.sqrt(np.mean(np.concatenate(error) ** 2)))
            rows.append({"seed": seed, "method": name, "pool": kind, "rms": rms, **scores})
    members_s = [m.wall_s for m in trained.members]
    checks = check_heads(models, calculator, heads, made.interpolating)
    known = {"seed": seed, "fitted_s": fitted_s, "members_s": members_s}
    return rows, [{**known, **check} for check in checks]


def cost(models: list[Path], repeats: int) -> list[dict[str, Any]]:
    """Time one MD step, forces and the uncertainty that steers it, interleaved."""
    rng, rows = np.random.default_rng(0), []
    committee = mace.committee_calculator(models)
    for copies in (1, 5):
        atoms = structure(copies)
        layer = fit_last_layers(committee, [atoms])[0]
        drivers: dict[str, CommitteeDriver] = {
            **{name: CommitteeDriver(committee, [0]) for name in ("one model", *LAST_LAYER)},
            "committee of 2": CommitteeDriver(committee, [0, 1]),
            "committee of 4": CommitteeDriver(committee),
            **{
                f"{k} heads on one trunk": HeadsDriver(committee, [copied(committee)] * k)
                for k in (4, 8, 16)
            },
        }
        times: dict[str, list[float]] = {name: [] for name in drivers}
        for _ in range(repeats + 5):
            atoms.positions += rng.normal(0, 0.01, atoms.positions.shape)
            for name in rng.permutation(list(drivers)):  # none always follows the longest
                times[name].append(timed_step(name, drivers[name], atoms, layer))
        kept = {name: found[5:] for name, found in times.items()}
        first = statistics.median(kept["one model"])
        for name, found in kept.items():
            middle = statistics.median(found)
            paired = statistics.median(a / b for a, b in zip(found, kept["one model"], strict=True))
            rows.append({
                "atoms": len(atoms), "steered by": name, "ms": 1e3 * middle,
                "ratio": middle / first, "paired ratio": paired,
            })  # fmt: skip
    return rows


def timed_step(name: str, driver: CommitteeDriver, atoms: Atoms, layer: LastLayer) -> float:
    """Time forces and the largest uncertainty of a mobile ion, s."""
    # All share the first model, so that it is probed for those alone that need it.
    probe = FeatureProbe(driver.models[0]) if name in LAST_LAYER else None
    copy = atoms.copy()
    copy.calc = driver
    begin = time.perf_counter()
    copy.get_forces()
    ions = mobile_ions(copy, MOBILE)
    if probe is not None:
        values = layer.per_atom(copy.numbers, probe.features)
        if name == LAST_LAYER[1]:
            values = spread_over_neighbours(values, *driver.pairs(), driver.r_max)
        values[ions].max()
    elif name != "one model":
        ion_spread(driver.results["forces_comm"], ions).max()
    spent = time.perf_counter() - begin
    if probe is not None:
        probe.close()
    return spent


def show(rows: list[dict[str, Any]], costs: list[dict[str, Any]]) -> None:
    """Print means over seeds and their range."""
    console = Console(width=140)
    table = Table(title="mean over seeds (least to most)")
    names = ("rms", "rho_ion", "rho_frame", "auroc", "coverage")
    for name in ("pool", "method", *names):
        table.add_column(name, justify="right")
    for pool in ("interpolating", "extrapolating", "both"):
        for method in dict.fromkeys(row["method"] for row in rows):
            here = [r for r in rows if (r["pool"], r["method"]) == (pool, method)]
            cells = []
            for name in names:
                values = [r[name] for r in here if not np.isnan(r[name])]
                cells.append(
                    f"{np.mean(values):.3f} ({min(values):.2f}-{max(values):.2f})" if values else ""
                )
            table.add_row(pool, method, *cells)
    console.print(table)
    show_table("one MD step, float32, one thread", costs)


def show_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows of figures; lists are for the file."""
    table = Table(title=title)
    names = [name for name, value in rows[0].items() if not isinstance(value, list)]
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        values = (row[name] for name in names)
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values))
    Console(width=140).print(table)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--out", type=Path, help="folder of models and uncertainty.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.out or Path(scratch)
        seeds = [run_seed(s, folder, args.epochs) for s in range(args.seeds)]
        rows, checks = ([row for seed in seeds for row in seed[k]] for k in (0, 1))
        models = sorted((folder / "0").glob("member-*.model"))
        costs = cost(models, args.repeats)
        show(rows, costs)
        show_table("heads on one trunk, RMS of force components (interpolating)", checks)
        if args.out:
            found = {"rows": rows, "costs": costs, "checks": checks}
            (args.out / "uncertainty.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
