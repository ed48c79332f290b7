from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from ionloop.explore.md import Guards, MDPlan, MDRun, load_checkpoint, run_md
from ionloop.units import KB_EV_PER_K

OPEN = Guards(min_distance_fraction=0.01, temperature_factor=1e9, energy_margin=1e9)


class Springs(Calculator):
    """Every atom on a spring to its rest position; exact, and cheap."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, rest: np.ndarray, k: float = 2.0) -> None:
        super().__init__()
        self.rest, self.k = rest, k
        self.calls = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        u = self.atoms.positions - self.rest
        self.results = {"energy": 0.5 * self.k * float((u**2).sum()), "forces": -self.k * u}


def crystal(n: int = 2) -> Atoms:
    return bulk("Cu", cubic=True) * (n, n, n)


def springs(atoms: Atoms, **fields: float) -> Springs:
    return Springs(atoms.positions.copy(), **fields)


def plan(**fields: float) -> MDPlan:
    own = {"temperature": 300.0, "n_steps": 100, "seed": 3, **fields}
    return MDPlan(**own)


# ---------------------------------------------------------------- physics


def test_springs_reach_equipartition():
    """<u²> = k_B T / k for every coordinate of a harmonic crystal under Langevin dynamics."""
    atoms, k, t = crystal(), 2.0, 400.0
    own = plan(temperature=t, n_steps=1200, store_every=20, friction=0.02)
    run = run_md(atoms, springs(atoms, k=k), own, OPEN)
    u = np.array(run.positions)[10:] - atoms.positions
    # 96 coordinates over some 25 correlation times: known to about 3 %.
    assert (u**2).mean() == pytest.approx(KB_EV_PER_K * t / k, rel=0.1)
    assert run.stopped is None


def test_emt_copper_stays_a_crystal():
    atoms = crystal()
    run = run_md(atoms, EMT(), plan(n_steps=50, time_step=5.0), Guards())
    assert run.stopped is None
    assert (run.step, len(run.positions)) == (50, 11)
    moved = np.linalg.norm(run.positions[-1] - atoms.positions, axis=1)
    assert 0.02 < moved.mean() < 0.5


def test_what_is_stored_and_what_is_left_alone():
    atoms = crystal()
    start = atoms.positions.copy()
    run = run_md(atoms, springs(atoms), plan(n_steps=60, store_every=5, check_every=20), OPEN,
                 uncertainty=lambda a: float(a.positions[0, 0]))  # fmt: skip
    assert np.array_equal(run.positions[0], start)
    assert np.array_equal(atoms.positions, start)
    assert atoms.calc is None
    assert [i for i, _ in run.checks] == [4, 8, 12]
    # A judgement stands beside the frame that was judged.
    assert [s for _, s in run.checks] == [run.positions[i][0, 0] for i in (4, 8, 12)]


def test_seeds_repeat_and_differ():
    atoms = crystal()
    runs = [run_md(atoms, springs(atoms), plan(seed=s), OPEN) for s in (1, 1, 2)]
    assert np.array_equal(runs[0].positions, runs[1].positions)
    assert not np.allclose(runs[0].positions[-1], runs[2].positions[-1], atol=0.01)


# ---------------------------------------------------------------- resumed


class Killed(Exception):  # noqa: N818
    """Stands for kill -9: nothing of the run is caught or cleaned up."""


@pytest.mark.parametrize("dies_at", [37, 95, 130])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, dies_at):
    atoms, judge = crystal(), lambda a: float(np.ptp(a.positions))
    own = plan(n_steps=160, checkpoint_every=40)
    whole = run_md(atoms, springs(atoms), own, OPEN, judge)
    calls = [0]

    class Dying(Springs):
        def calculate(self, *args, **kwargs) -> None:
            calls[0] += 1
            if calls[0] == dies_at:
                raise Killed
            super().calculate(*args, **kwargs)

    checkpoint = tmp_path / "md"
    with pytest.raises(Killed):
        run_md(atoms, Dying(atoms.positions.copy()), own, OPEN, judge, checkpoint)
    again = springs(atoms)
    run = run_md(atoms, again, own, OPEN, judge, checkpoint)
    assert np.array_equal(run.positions, whole.positions)
    assert run.checks == whole.checks
    assert run.energy_start == whole.energy_start
    done = dies_at // 40 * 40
    assert again.calls <= 160 - done + 2  # it didn't begin anew
    assert {f.name for f in tmp_path.iterdir()} == {"md.npz"}


def test_a_finished_run_is_not_run_again(tmp_path):
    atoms = crystal()
    own = plan(n_steps=80, checkpoint_every=40)
    whole = run_md(atoms, springs(atoms), own, OPEN, None, tmp_path / "md")
    again = springs(atoms)
    run = run_md(atoms, again, own, OPEN, None, tmp_path / "md")
    assert again.calls == 0
    assert np.array_equal(run.positions, whole.positions)


def test_a_run_that_stopped_stops_again_when_resumed(tmp_path):
    """No checkpoint holds the state that was refused; the run comes to it once more."""
    atoms = crystal()
    own = plan(n_steps=200, checkpoint_every=20)
    guards = Guards(sigma_ceiling=0.5)
    judge = lambda a: 1.0 if abs(a.positions - atoms.positions).max() > limit else 0.1  # noqa: E731
    limit = np.inf
    free = run_md(atoms, springs(atoms), own, guards, judge)
    largest = [abs(x - atoms.positions).max() for x in free.positions]
    limit = 0.999 * max(largest[4::4])
    first = run_md(atoms, springs(atoms), own, guards, judge, tmp_path / "md")
    second = run_md(atoms, springs(atoms), own, guards, judge, tmp_path / "md")
    assert first.stopped
    assert second.stopped == first.stopped
    assert np.array_equal(first.positions, second.positions)


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "none", crystal(), np.random.default_rng(0)) is None


# ---------------------------------------------------------------- guards


class Pushed(Springs):
    """Springs, with something wrong from the nth call on."""

    def __init__(self, rest: np.ndarray, wrong: dict[str, float], nth: int = 30) -> None:
        super().__init__(rest)
        self.wrong, self.nth = wrong, nth

    def calculate(self, *args, **kwargs) -> None:
        super().calculate(*args, **kwargs)
        if self.calls >= self.nth:
            self.results["energy"] += self.wrong.get("energy", 0.0)
            self.results["forces"][0] += self.wrong.get("force", 0.0)


def stops(wrong: dict[str, float], guards: Guards, **fields: float) -> MDRun:
    atoms = crystal()
    run = run_md(atoms, Pushed(atoms.positions.copy(), wrong), plan(**fields), guards)
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
    assert run_md(atoms, small, plan(), Guards()).stopped is None


def test_contact_stops_a_run():
    """Two atoms whose springs lead to one place."""
    atoms = crystal()
    rest = atoms.positions.copy()
    rest[1] = 0.7 * rest[0] + 0.3 * rest[1]
    guards = Guards(temperature_factor=1e9, energy_margin=1e9)
    run = run_md(atoms, Springs(rest), plan(n_steps=400, friction=0.1), guards)
    assert run.stopped is not None
    contact = float(run.stopped.split()[2])
    assert run.stopped == f"atoms at {contact:.2f} of their covalent radii's sum"
    assert contact <= 0.6


def test_the_uncertainty_ceiling_stops_a_run():
    atoms, asked = crystal(), []

    def judge(a: Atoms) -> float:
        asked.append(a)
        return 0.2 if len(asked) < 3 else 0.9

    run = run_md(atoms, springs(atoms), plan(), Guards(sigma_ceiling=0.5), judge)
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

    run = run_md(atoms, Nan(atoms.positions.copy()), plan(), Guards())
    assert run.stopped == "positions are not numbers"


def test_quiet_runs_pass_all_guards():
    atoms = crystal()
    judge = lambda _: 0.4  # noqa: E731
    assert run_md(atoms, springs(atoms), plan(), Guards(sigma_ceiling=0.5), judge).stopped is None


def test_velocities_start_at_twice_the_set_temperature():
    """Half of it turns into potential energy: the start stands at its minimum."""
    atoms = crystal(4)
    seen = []

    class Watch(Springs):
        def calculate(self, *args, **kwargs) -> None:
            super().calculate(*args, **kwargs)
            if not seen:
                seen.append(self.atoms.get_kinetic_energy() / len(self.atoms))

    run_md(atoms, Watch(atoms.positions.copy()), plan(temperature=900.0, n_steps=5), OPEN)
    assert seen[0] == pytest.approx(3.0 * units.kB * 900.0, rel=0.2)
