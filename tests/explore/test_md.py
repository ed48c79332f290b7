from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from ionloop.explore.guards import Guards
from ionloop.explore.md import run_md
from ionloop.explore.replicas import MDPlan, MDRun
from ionloop.reference.checkpoint import Checkpoint
from ionloop.units import KB_EV_PER_K

OPEN = Guards(min_distance_fraction=0.01, temperature_factor=1e9, energy_margin=1e9)


class Springs(Calculator):
    """Every atom on a spring to its rest position; exact, and cheap."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, rest: np.ndarray, k: float = 2.0) -> None:
        super().__init__()
        self.rest, self.k = rest, k
        self.calls = 0
        self.n_replicas = 1

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        self.n_replicas = len(self.atoms) // len(self.rest)
        u = self.atoms.positions - np.tile(self.rest, (self.n_replicas, 1))
        energies = 0.5 * self.k * (u**2).reshape(self.n_replicas, -1).sum(axis=1)
        self.results = {
            "energy": energies.sum(),
            "replica_energies": energies,
            "forces": -self.k * u,
        }


def crystal(n: int = 2) -> Atoms:
    return bulk("Cu", cubic=True) * (n, n, n)


def springs(atoms: Atoms, **fields: float) -> Springs:
    return Springs(atoms.positions.copy(), **fields)


def plan(**fields: float) -> MDPlan:
    own = {"temperature": 300.0, "n_steps": 100, "seed": 3, "equilibration_steps": 0, **fields}
    return MDPlan(**own)


def at(folder: Path) -> Checkpoint:
    """Make a checkpoint that is written at each stored frame."""
    return Checkpoint(folder / "md.npz", "this run", every_s=0.0)


def run_one(atoms: Atoms, calculator, own: MDPlan, guards: Guards, judge=None, path=None) -> MDRun:
    """Run a single replica; ``judge`` sees one frame."""
    several = None if judge is None else lambda frames: [judge(a) for a in frames]
    (run,) = run_md([atoms], calculator, own, guards, several, path)
    return run


# ---------------------------------------------------------------- physics


def test_springs_reach_equipartition():
    """<u²> = k_B T / k for every coordinate of a harmonic crystal under Langevin dynamics."""
    atoms, k, t = crystal(), 2.0, 400.0
    own = plan(temperature=t, n_steps=1200, store_every=20, friction=0.02)
    run = run_one(atoms, springs(atoms, k=k), own, OPEN)
    u = np.array(run.positions)[10:] - atoms.positions
    # 96 coordinates over some 25 correlation times: known to about 3 %.
    assert (u**2).mean() == pytest.approx(KB_EV_PER_K * t / k, rel=0.1)
    assert run.stopped is None


def test_emt_copper_stays_a_crystal():
    atoms = crystal()
    run = run_one(atoms, EMT(), plan(n_steps=50, time_step=5.0), Guards())
    assert run.stopped is None
    assert (run.step, len(run.positions)) == (50, 11)
    moved = np.linalg.norm(run.positions[-1] - atoms.positions, axis=1)
    assert 0.02 < moved.mean() < 0.5


def test_what_is_stored_and_what_is_left_alone():
    atoms = crystal()
    start = atoms.positions.copy()
    run = run_one(atoms, springs(atoms), plan(n_steps=60, store_every=5, check_every=20), OPEN,
                 judge=lambda a: float(a.positions[0, 0]))  # fmt: skip
    assert np.array_equal(run.positions[0], start)
    assert np.array_equal(atoms.positions, start)
    assert atoms.calc is None
    assert [i for i, _ in run.checks] == [4, 8, 12]
    # A judgement stands beside the frame that was judged.
    assert [s for _, s in run.checks] == [run.positions[i][0, 0] for i in (4, 8, 12)]


def test_seeds_repeat_and_differ():
    atoms = crystal()
    runs = [run_one(atoms, springs(atoms), plan(seed=s), OPEN) for s in (1, 1, 2)]
    assert np.array_equal(runs[0].positions, runs[1].positions)
    assert not np.allclose(runs[0].positions[-1], runs[2].positions[-1], atol=0.01)


# ---------------------------------------------------------------- resumed


class Killed(Exception):  # noqa: N818
    """Stands for kill -9: nothing of the run is caught or cleaned up."""


@pytest.mark.parametrize("dies_at", [37, 95, 130])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, dies_at):
    atoms, judge = crystal(), lambda a: float(np.ptp(a.positions))
    own = plan(n_steps=160)
    whole = run_one(atoms, springs(atoms), own, OPEN, judge)
    calls = [0]

    class Dying(Springs):
        def calculate(self, *args, **kwargs) -> None:
            calls[0] += 1
            if calls[0] == dies_at:
                raise Killed
            super().calculate(*args, **kwargs)

    with pytest.raises(Killed):
        run_one(atoms, Dying(atoms.positions.copy()), own, OPEN, judge, at(tmp_path))
    again = springs(atoms)
    run = run_one(atoms, again, own, OPEN, judge, at(tmp_path))
    assert np.array_equal(run.positions, whole.positions)
    assert run.checks == whole.checks
    assert run.energy_start == whole.energy_start
    done = (dies_at - 2) // 5 * 5
    assert again.calls <= 160 - done + 2  # it didn't begin anew
    assert {f.name for f in tmp_path.iterdir()} == {"md.npz"}


def test_a_finished_run_is_not_run_again(tmp_path):
    atoms = crystal()
    own = plan(n_steps=80)
    whole = run_one(atoms, springs(atoms), own, OPEN, None, at(tmp_path))
    again = springs(atoms)
    run = run_one(atoms, again, own, OPEN, None, at(tmp_path))
    assert again.calls == 0
    assert np.array_equal(run.positions, whole.positions)


def test_a_run_that_stopped_stays_stopped_when_resumed(tmp_path):
    atoms = crystal()
    own = plan(n_steps=200)
    guards = Guards(sigma_ceiling=0.5)
    judge = lambda a: 1.0 if abs(a.positions - atoms.positions).max() > limit else 0.1  # noqa: E731
    limit = np.inf
    free = run_one(atoms, springs(atoms), own, guards, judge)
    largest = [abs(x - atoms.positions).max() for x in free.positions]
    limit = 0.999 * max(largest[4::4])
    first = run_one(atoms, springs(atoms), own, guards, judge, at(tmp_path))
    second = run_one(atoms, springs(atoms), own, guards, judge, at(tmp_path))
    assert first.stopped
    assert second.stopped == first.stopped
    assert np.array_equal(first.positions, second.positions)


# ---------------------------------------------------------------- guards


class Pushed(Springs):
    """Springs, with something wrong from the nth call on."""

    def __init__(self, rest: np.ndarray, wrong: dict[str, float], nth: int = 30) -> None:
        super().__init__(rest)
        self.wrong, self.nth = wrong, nth

    def calculate(self, *args, **kwargs) -> None:
        super().calculate(*args, **kwargs)
        if self.calls >= self.nth:
            self.results["replica_energies"] += self.wrong.get("energy", 0.0)
            self.results["forces"][0] += self.wrong.get("force", 0.0)


def stops(wrong: dict[str, float], guards: Guards, **fields: float) -> MDRun:
    atoms = crystal()
    run = run_one(atoms, Pushed(atoms.positions.copy(), wrong), plan(**fields), guards)
    assert run.stopped is not None
    # It keeps what it has: the start and every stored frame but the one that stopped it.
    assert len(run.positions) == run.step // 5
    assert 25 <= run.step < 100
    return run


def test_heat_stops_a_run():
    run = stops({"force": 1e3}, Guards(min_distance_fraction=0.01, energy_margin=1e9))
    assert run.stopped.startswith("temperature ")
    assert run.stopped.endswith("K at a set 300 K")


@pytest.mark.parametrize("sign", [1, -1])
def test_a_jump_of_energy_stops_a_run(sign):
    run = stops({"energy": sign * 32 * 1.0}, Guards())
    assert f"potential energy changed by {'+' if sign > 0 else '-'}" in run.stopped
    assert run.stopped.endswith("more than 0.42")  # 4.5 x 0.0259 eV + 0.3
    atoms = crystal()
    small = Pushed(atoms.positions.copy(), {"energy": sign * 32 * 0.2})
    assert run_one(atoms, small, plan(), Guards()).stopped is None


def test_contact_stops_a_run():
    """Two atoms whose springs lead to one place."""
    atoms = crystal()
    rest = atoms.positions.copy()
    rest[1] = 0.7 * rest[0] + 0.3 * rest[1]
    guards = Guards(temperature_factor=1e9, energy_margin=1e9)
    run = run_one(atoms, Springs(rest), plan(n_steps=400, friction=0.1), guards)
    assert run.stopped is not None
    contact = float(run.stopped.split()[2])
    assert run.stopped == f"atoms at {contact:.2f} of their covalent radii's sum"
    assert contact <= 0.6


def test_the_uncertainty_ceiling_stops_a_run():
    atoms, asked = crystal(), []

    def judge(a: Atoms) -> float:
        asked.append(a)
        return 0.2 if len(asked) < 3 else 0.9

    run = run_one(atoms, springs(atoms), plan(), Guards(sigma_ceiling=0.5), judge)
    assert run.stopped == "uncertainty 0.90 eV/Å above the ceiling 0.50"
    assert (run.step, run.checks[-1]) == (60, (12, 0.9))
    assert len(run.positions) == 12


def test_lost_atoms_stop_a_run():
    atoms = crystal()

    class Nan(Springs):
        def calculate(self, *args, **kwargs) -> None:
            super().calculate(*args, **kwargs)
            if self.calls > 20:
                self.results["forces"][:] = np.nan

    run = run_one(atoms, Nan(atoms.positions.copy()), plan(), Guards())
    assert run.stopped == "positions are not numbers"


def test_quiet_runs_pass_all_guards():
    atoms = crystal()
    judge = lambda _: 0.4  # noqa: E731
    assert run_one(atoms, springs(atoms), plan(), Guards(sigma_ceiling=0.5), judge).stopped is None


# ---------------------------------------------------------------- warming up


def test_a_run_begins_warm_and_never_hotter_than_its_bath():
    """At once <u²> = k_B T / k and <mv²>/2 = kT/2: no surge, no cold start."""
    atoms, k, t = crystal(), 2.0, 900.0
    hottest = []

    class Watch(Springs):
        def calculate(self, *args, **kwargs) -> None:
            super().calculate(*args, **kwargs)
            hottest.append(self.atoms.get_temperature())

    own = plan(temperature=t, n_steps=5, equilibration_steps=150)
    runs = run_md([atoms] * 12, Watch(atoms.positions.copy(), k), own, OPEN)
    u = np.array([run.positions[0] for run in runs]) - atoms.positions
    # 12 x 96 independent coordinates: known to 4 %.
    assert (u**2).mean() == pytest.approx(KB_EV_PER_K * t / k, rel=0.15)
    assert max(hottest) < 1.2 * t
    assert hottest[-1] == pytest.approx(t, rel=0.15)


def test_who_breaks_down_while_warming_up_says_so():
    atoms = crystal()
    own = plan(equilibration_steps=100)
    guards = Guards(min_distance_fraction=0.01, energy_margin=1e9)
    run = run_one(atoms, Pushed(atoms.positions.copy(), {"force": 1e3}), own, guards)
    assert run.stopped.startswith("while it warmed up: temperature ")
    assert (run.step, len(run.positions)) == (0, 1)


# ---------------------------------------------------------------- replicas


class Odd(Springs):
    """Springs that throw one replica out from the nth call on."""

    def calculate(self, *args, **kwargs) -> None:
        super().calculate(*args, **kwargs)
        if self.calls >= 30 and self.n_replicas == 3:
            self.results["replica_energies"][1] += 32 * 1.0


def test_replicas_are_independent_of_each_other():
    atoms = crystal()
    runs = run_md([atoms] * 3, springs(atoms), plan(), OPEN)
    assert [run.step for run in runs] == [100] * 3
    ends = [run.positions[-1] - atoms.positions for run in runs]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(ends[i].ravel(), ends[j].ravel())[0, 1]) < 0.4


def test_a_replica_that_ends_leaves_the_others():
    atoms, seen = crystal(), []

    def judge(frames) -> list[float]:
        seen.append(len(frames))
        return [0.1 * k for k in range(len(frames))]

    guards = Guards(sigma_ceiling=10.0)
    runs = run_md([atoms] * 3, Odd(atoms.positions.copy()), plan(), guards, judge)
    assert [run.stopped is None for run in runs] == [True, False, True]
    assert "potential energy changed by +1" in runs[1].stopped
    assert [run.step for run in runs] == [100, 30, 100]
    assert [len(run.positions) for run in runs] == [21, 6, 21]
    assert seen == [3, 2, 2, 2, 2]
    assert [s for _, s in runs[2].checks] == [0.2, 0.1, 0.1, 0.1, 0.1]


@pytest.mark.parametrize("dies_at", [15, 75])
def test_killed_replicas_go_on_bit_for_bit(tmp_path, dies_at):
    """Before one of them ended, and after."""
    atoms, judge = crystal(), lambda frames: [float(np.ptp(a.positions)) for a in frames]
    own = plan()
    guards = Guards()
    whole = run_md([atoms] * 3, Odd(atoms.positions.copy()), own, guards, judge)

    class Dying(Odd):
        def calculate(self, *args, **kwargs) -> None:
            if self.calls == dies_at:
                raise Killed
            super().calculate(*args, **kwargs)

    with pytest.raises(Killed):
        run_md([atoms] * 3, Dying(atoms.positions.copy()), own, guards, judge, at(tmp_path))
    again = Odd(atoms.positions.copy())
    again.calls = (dies_at - 1) // 5 * 5  # as if it had lived on
    runs = run_md([atoms] * 3, again, own, guards, judge, at(tmp_path))
    for run, other in zip(runs, whole, strict=True):
        assert np.array_equal(run.positions, other.positions)
        assert (run.checks, run.stopped, run.step) == (other.checks, other.stopped, other.step)


def test_when_all_replicas_have_ended_the_run_is_over(tmp_path):
    atoms = crystal()
    calculator = Pushed(atoms.positions.copy(), {"energy": 32.0})
    runs = run_md([atoms] * 2, calculator, plan(), Guards(), None, at(tmp_path))
    assert all(run.stopped for run in runs)
    calls = calculator.calls
    again = run_md([atoms] * 2, calculator, plan(), Guards(), None, at(tmp_path))
    assert [r.stopped for r in again] == [r.stopped for r in runs]
    assert calculator.calls <= calls + 1
