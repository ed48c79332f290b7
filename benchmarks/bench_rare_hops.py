"""Which bias shows rare hops best: none, the members' disagreement, or a tilt, by force calls.

    python benchmarks/bench_rare_hops.py [--seeds 3] [--steps 1500] [--out DIR]

A committee a seed learns labels of Li3OCl less a Li-Cl pair by the demo's teacher, MD at 500
and 700 K and rattled cells. Then each arm runs replicas at 400 K, where the teacher's barrier of
0.24 eV is 7 kT and a cell hops once in 10 ps or so, for as many steps as any other; a force call
is one model at one configuration, so a step that asks all members costs as many as there are.
The judgements of every 20th step, and all guards, are as in a campaign; the wall time has them.

At the hops' transition states (|s - 1/2| < 0.15) the teacher is asked for energy and forces.
``excess``: energy there over the mean of six frames of the same replica before and after the
hop, whose basins they are. ``physical``: share of these whose excess is below the teacher's own
highest barrier of an enumerated hop, plus twice the thermal scatter of that difference.
``heat``: mean energy of the frames before and after over that of the teacher's own MD.
``error``: the steering model's force error on the ion that hops there, beside that on mobile
ions of plain frames.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from bench_committee import structure
from bench_uncertainty import labelled, teacher_run
from pymatgen.core import Lattice, Structure
from rich.console import Console
from rich.table import Table

from ionloop.explore.detector import hop_detector
from ionloop.explore.driver import CommitteeDriver
from ionloop.explore.guards import Framework
from ionloop.explore.hops import HopAnalysis, HopDetector
from ionloop.explore.judged import driver_of, guards_of, plan_of
from ionloop.explore.md import run_md
from ionloop.explore.replicas import MDRun
from ionloop.explore.schema import ExploreSettings
from ionloop.explore.tilt import Tilt
from ionloop.explore.uncertainty import CommitteeUncertainty
from ionloop.frame import Frame, Origin
from ionloop.profile import Profile
from ionloop.reference.forcefield import BuckinghamTeacher
from ionloop.reference.neb import relax_band
from ionloop.seed.displace import rattle
from ionloop.seed.paths import vacancy_hops
from ionloop.train import mace
from ionloop.train.calibration import mobile_ions
from ionloop.train.dataset import Sample, Tags
from ionloop.train.offline import Recipe, checked_models, train_committee
from ionloop.train.schema import Calibration, Hyperparameters

KELVIN = 400.0
#: Name, bias, strength: tau, dimensionless, or eV/Å.
ARMS: tuple[tuple[str, str, float | None], ...] = (
    ("plain", "none", None),
    ("uncertainty 1", "uncertainty", 1.0),
    ("uncertainty 4", "uncertainty", 4.0),
    ("tilt 0.10", "tilt", 0.10),
    ("tilt 0.20", "tilt", 0.20),
    ("tilt 0.30", "tilt", 0.30),
)
HYPER = Hyperparameters(
    hidden_irreps="16x0e", num_interactions=1, max_ell=2, correlation=3, radial_mlp=[32, 32],
    batch_size=2, lr=0.03, epochs=14, eval_interval=2, stress_weight=0, dtype="float32",
)  # fmt: skip
PROFILE = Profile(
    name="Li3OCl", mobile_ion="Li", formal_charges={"Li": 1, "O": -2, "Cl": -1},
    r_max=4.5, small_cell_reason="a benchmark", hop_distance_max=3.0, temperatures=[KELVIN],
)  # fmt: skip
MEMBERS, RUNS, FRAMES, RATTLED = 3, 6, 12, 20
#: Hops of a run that the teacher looks at, and frames around each, in stored frames.
EVENTS_MAX, AROUND = 12, (10, 30, 50)
#: Half the width of the transition state in s.
WINDOW = 0.15


@dataclass(frozen=True)
class Truth:
    """What the teacher says of this cell: mean energy and scatter at 400 K, and barriers, eV."""

    mean: float
    scatter: float
    barriers: dict[str, float]


def host() -> Structure:
    """Li3OCl 2x2x2 without vacancies."""
    sites = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]]
    return Structure(Lattice.cubic(3.9), ["Li", "Li", "Li", "O", "Cl"], sites).make_supercell(2)


def truth() -> Truth:
    """Ask the teacher."""
    frames = teacher_run(structure(1), KELVIN, 40, np.random.default_rng(99))
    energies = [a.info["REF_energy"] for a in frames]
    start = Frame.from_atoms(structure(1), origin=Origin.RANDOM, group="bench").to_structure()
    barriers = {}
    for hop in vacancy_hops(host(), start, "Li", PROFILE.hop_distance_max).hops:
        band = relax_band(
            hop, lambda _: BuckinghamTeacher().calculator(), n_images=5, fmax=0.05, max_steps=80,
            engine="teacher", settings_hash="",
        )  # fmt: skip
        barriers[hop.path_class] = float(band.barrier)
    return Truth(float(np.mean(energies)), float(np.std(energies, ddof=1)), barriers)


def committee_of(seed: int, folder: Path, epochs: int) -> tuple[list[bytes], Calibration]:
    """Train a seed's committee, or take the one that is there."""
    rng = np.random.default_rng([seed, 71])
    samples = [
        Sample(Tags(Origin.AIMD, 0, f"run {run}"), f"{run} {k}", None, frame)
        for run in range(RUNS)
        for k, frame in enumerate(teacher_run(structure(1), (500.0, 700.0)[run % 2], FRAMES, rng))
    ]
    for k in range(RATTLED):
        still = Frame.from_atoms(structure(1), origin=Origin.RATTLE, group="rattle")
        frame = labelled(rattle(still, 0.05 + 0.1 * k / RATTLED, rng, group="").to_atoms())
        samples.append(Sample(Tags(Origin.RATTLE, 0, f"rattle {k % 4}"), f"r {k}", None, frame))
    hyper = HYPER.model_copy(update={"epochs": epochs})
    made = train_committee(samples, Recipe("Li", 4.5, hyper, MEMBERS, seed), folder)
    return checked_models(folder, made.members), made.calibration


class Teacher:
    """One LAMMPS for all frames."""

    def __init__(self) -> None:
        self.calculator: Calculator = BuckinghamTeacher().calculator()

    def __call__(self, like: Atoms, positions: np.ndarray) -> tuple[float, np.ndarray]:
        """Energy, eV, and forces, eV/Å."""
        atoms = Atoms(like.symbols, positions, cell=like.cell, pbc=True)
        atoms.wrap()
        atoms.calc = self.calculator
        return float(atoms.get_potential_energy()), np.array(atoms.get_forces())


@dataclass(frozen=True)
class Looker:
    """The teacher and the steering model, side by side at frames of a run."""

    start: Atoms
    teacher: Teacher
    driver: CommitteeDriver

    def error(self, positions: np.ndarray, forces: np.ndarray) -> np.ndarray:
        """Force error of each atom, shape [n], eV/Å."""
        atoms = Atoms(self.start.symbols, positions, cell=self.start.cell, pbc=True)
        atoms.calc = self.driver
        return np.asarray(np.linalg.norm(atoms.get_forces() - forces, axis=1))

    def hop(self, run: MDRun, analysis: HopAnalysis, n: int) -> dict[str, Any] | None:
        """Look at one hop; None if no frame was stored at its transition state."""
        event, dt = analysis.events[n], analysis.frame_interval_fs
        leave, arrive = round(event.t_leave_fs / dt), round(event.t_arrive_fs / dt)
        s = analysis.progress(n)
        inside = [k for k in range(leave, arrive + 1) if abs(s[k] - 0.5) < WINDOW]
        last = len(run.positions) - 1
        around = [k for gap in AROUND for k in (leave - gap, arrive + gap) if 0 <= k <= last]
        if not inside or not around:
            return None
        calm = float(np.mean([self.teacher(self.start, run.positions[k])[0] for k in around]))
        excess, error = [], []
        for k in inside[:3]:
            energy, forces = self.teacher(self.start, run.positions[k])
            excess.append(energy - calm)
            error.append(float(self.error(run.positions[k], forces)[event.ion]))
        return {"calm": calm, "excess": excess, "error": error}


def run_arm(
    arm: tuple[str, str, float | None],
    seed: int,
    models: list[bytes],
    calibration: Calibration,
    steps: int,
    replicas: int,
) -> dict[str, Any]:
    """Run one arm of one seed, and look at its hops."""
    name, bias, strength = arm
    settings = ExploreSettings(bias=bias, bias_strength=strength)
    calculator = mace.committee_calculator(models, dtype="float32")
    start = Frame.from_atoms(structure(1), origin=Origin.RANDOM, group="bench")
    perfect = Frame.from_structure(host(), origin=Origin.RANDOM, group="bench")
    interval = settings.time_step * settings.store_every
    detector = hop_detector(start, perfect, PROFILE, interval)
    judge = CommitteeUncertainty(calculator, detector.mobile, calibration.scale)
    driver = driver_of(settings, calculator, 0, detector, seed)
    begin = time.perf_counter()
    runs = run_md(
        [structure(1)] * replicas, driver, plan_of(settings, KELVIN, steps, seed),
        guards_of(settings, PROFILE, calibration, detector), judge.per_replica,
    )  # fmt: skip
    wall = time.perf_counter() - begin
    look = Looker(structure(1), Teacher(), CommitteeDriver(calculator, [0]))
    found = measured(runs, detector, look, np.random.default_rng([seed, 3]))
    n_steps = sum(run.step for run in runs)
    pulls = driver.counts() if isinstance(driver, Tilt) else ({}, {})
    return {
        "arm": name, "seed": seed, "steps": n_steps, "wall_s": wall,
        "calls": n_steps * (MEMBERS if bias == "uncertainty" else 1),
        "ended": Counter(" ".join((r.stopped or "").split()[:1]) for r in runs if r.stopped),
        "pulls": dict(pulls[0]), "arrived": dict(pulls[1]), **found,
    }  # fmt: skip


def measured(
    runs: list[MDRun], detector: HopDetector, look: Looker, rng: np.random.Generator
) -> dict[str, Any]:
    """Count a batch's hops, and ask the teacher about them and about plain frames."""
    rest = detector.framework_sites
    framework = Framework(detector.framework, np.asarray(rest), detector.cell)
    classes: Counter[str] = Counter()
    n_inside, looked, plain = 0, [], []
    for run in runs:
        if len(run.positions) < 2:
            continue
        analysis = detector.analyse(np.array(run.positions), KELVIN)
        classes.update(event.path_class for event in analysis.events)
        for n, event in enumerate(analysis.events):
            dt = analysis.frame_interval_fs
            first, last = round(event.t_leave_fs / dt), round(event.t_arrive_fs / dt)
            s = analysis.progress(n)[first : last + 1]
            n_inside += int((abs(s - 0.5) < WINDOW).sum())
        chosen = rng.permutation(len(analysis.events))[: EVENTS_MAX // len(runs)]
        looked += [seen for n in chosen if (seen := look.hop(run, analysis, int(n))) is not None]
        for k in rng.choice(len(run.positions), min(6, len(run.positions)), replace=False):
            _, forces = look.teacher(look.start, run.positions[k])
            ions = mobile_ions(look.start, "Li")
            plain += look.error(run.positions[k], forces)[ions].tolist()
    shares = [framework.off_site(x) for run in runs for x in run.positions[::5]]
    return {
        "classes": dict(classes), "inside": n_inside, "looked": looked, "plain": plain,
        "off site": max(shares),
    }  # fmt: skip


def summary(rows: list[dict[str, Any]], known: Truth, base: float) -> dict[str, str]:
    """Pool an arm's seeds."""
    calls, steps = (sum(r[key] for r in rows) for key in ("calls", "steps"))
    hops = [sum(r["classes"].values()) for r in rows]
    looked = [seen for r in rows for seen in r["looked"]]
    excess = np.array([e for seen in looked for e in seen["excess"]])
    error = np.array([e for seen in looked for e in seen["error"]])
    limit = max(known.barriers.values()) + 2 * known.scatter * np.sqrt(1 + 1 / 6)
    per_step = sum(r["wall_s"] for r in rows) / max(steps, 1)
    ended: Counter[str] = Counter()
    for row in rows:
        ended.update(row["ended"])
    pulls, arrived = (sum(sum(r[key].values()) for r in rows) for key in ("pulls", "arrived"))
    return {
        "steps": str(steps),
        "hops (seeds)": f"{sum(hops)} ({', '.join(map(str, hops))})",
        "hops / 1000 calls": f"{1e3 * sum(hops) / max(calls, 1):.2f}",
        "TS frames / 1000 calls": f"{1e3 * sum(r['inside'] for r in rows) / max(calls, 1):.2f}",
        "excess median, 90 %": _two(excess),
        "physical": f"{100 * (excess < limit).mean():.0f} % of {len(excess)}"
        if len(excess)
        else "",
        "heat": f"{np.mean([s['calm'] for s in looked]) - known.mean:+.2f}" if looked else "",
        "error TS / plain": f"{np.median(error):.2f} / " * bool(len(error))
        + f"{np.median([e for r in rows for e in r['plain']]):.2f}",
        "classes": str(len({c for r in rows for c in r["classes"]})),
        "arrived": f"{arrived} of {pulls}" if pulls else "",
        "ended": ", ".join(f"{n} {why}" for why, n in ended.items()),
        "off site": f"{100 * max(r['off site'] for r in rows):.0f} %",
        "cost": f"{per_step / base:.2f}",
    }


def _two(values: np.ndarray) -> str:
    if not len(values):
        return ""
    return f"{np.median(values):.2f}, {np.quantile(values, 0.9):.2f}"


def show(rows: list[dict[str, Any]], known: Truth) -> None:
    """Print one column an arm."""
    plain = [r for r in rows if r["arm"] == "plain"]
    base = sum(r["wall_s"] for r in plain) / sum(r["steps"] for r in plain)
    names = [arm[0] for arm in ARMS if any(r["arm"] == arm[0] for r in rows)]
    pooled = [summary([r for r in rows if r["arm"] == name], known, base) for name in names]
    table = Table(title=f"{KELVIN:g} K; teacher's barriers {known.barriers} eV")
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for key in pooled[0]:
        table.add_row(key, *(one[key] for one in pooled))
    console = Console(width=200)
    console.print(table)
    console.print(f"thermal scatter of the energy {known.scatter:.2f} eV")


def main() -> None:
    """Run and print; what --out already holds isn't run again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--steps", type=int, default=1500, help="of each replica")
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--out", type=Path, help="folder of models and rare-hops.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder: Path = args.out or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "rare-hops.json"
        rows = json.loads(path.read_text()) if path.exists() else []
        for seed in range(args.seeds):
            done = {r["arm"] for r in rows if r["seed"] == seed}
            left = [arm for arm in ARMS if arm[0] not in done]
            if not left:
                continue
            models, calibration = committee_of(seed, folder / str(seed), args.epochs)
            for arm in left:
                rows.append(run_arm(arm, seed, models, calibration, args.steps, args.replicas))
                path.write_text(json.dumps(rows))
        show(rows, truth())


if __name__ == "__main__":
    main()
