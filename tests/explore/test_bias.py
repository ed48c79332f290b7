"""Biases: their forces, on a real committee; what they do to hops, on exact potentials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ionloop.errors import ExplorationError
from ionloop.explore.bias import Biased, UncertaintyBias, capped
from ionloop.explore.detector import hop_detector
from ionloop.explore.driver import CommitteeDriver, stack
from ionloop.explore.guards import Guards
from ionloop.explore.hops import HopDetector
from ionloop.explore.md import run_md
from ionloop.explore.replicas import MDPlan, MDRun
from ionloop.explore.tilt import CLEARANCE, Pull, Tilt, open_pairs
from ionloop.frame import Frame, Origin
from ionloop.profile import Profile
from ionloop.reference.checkpoint import Checkpoint
from ionloop.seed.paths import vacancy_hops
from ionloop.units import KB_EV_PER_K

OPEN = Guards(min_distance_fraction=0.01, temperature_factor=1e9, energy_margin=1e9)
PROFILE = Profile(
    name="Li3OCl", mobile_ion="Li", formal_charges={"Li": 1, "O": -2, "Cl": -1}, charge=-1,
    hop_distance_max=4.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def still(one_cell) -> Atoms:
    """The cell on its crystal sites."""
    atoms = one_cell.copy()
    atoms.positions = np.rint(atoms.positions / 1.95) * 1.95
    return atoms


@pytest.fixture(scope="module")
def host(still) -> Frame:
    atoms = still.copy()
    atoms.append("Li")
    atoms.positions[-1] = [0.0, 1.95, 1.95]
    return Frame.from_atoms(atoms, origin=Origin.AIMD, group="host")


@pytest.fixture(scope="module")
def detector(still, host) -> HopDetector:
    start = Frame.from_atoms(still, origin=Origin.AIMD, group="start", charge=-1)
    return hop_detector(start, host, PROFILE, 10.0)


@pytest.fixture(scope="module")
def mobile(one_cell) -> np.ndarray:
    return np.flatnonzero(one_cell.symbols == "Li")


def uncertain(committee, mobile: np.ndarray, cap: float = 1e9, **fields: float) -> UncertaintyBias:
    driver = CommitteeDriver(committee, n_atoms=39)
    return UncertaintyBias(driver, 39, mobile, cap, **{"tau": 50.0, **fields})


def tilted(committee, detector: HopDetector, **fields: float) -> Tilt:
    pull = {"force": 0.2, "patience_steps": 100, "rest_steps": 40, **fields}
    return Tilt(CommitteeDriver(committee, [0], n_atoms=39), detector, Pull(**pull), 0.3)


def seen(calculator: Biased, replicas: list[Atoms], alive: list[int] | None = None) -> dict:
    """Switch the bias on at step 0, and evaluate."""
    calculator.follow(replicas, alive or list(range(len(replicas))), 0)
    return evaluated(calculator, replicas)


def evaluated(calculator: Biased, replicas: list[Atoms]) -> dict:
    together = stack(replicas)
    together.calc = calculator
    together.get_forces()
    return calculator.results


def slope(calculator: Biased, atoms: Atoms, ion: int, axis: int, h: float = 1e-4) -> float:
    """Minus the numerical derivative of the bias energy, eV/Å."""
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[ion, axis] += sign * h
        energies.append(evaluated(calculator, [moved])["bias_energies"][0])
    return -(energies[0] - energies[1]) / (2 * h)


# ---------------------------------------------------------------- forces


def test_the_uncertainty_s_force_is_minus_the_gradient_on_mobile_ions(committee, mobile, cell):
    calculator = uncertain(committee, mobile)
    found = seen(calculator, [cell])
    energies = found["energy_comm"][:, 0]
    assert found["bias_energies"][0] == pytest.approx(-50.0 * energies.std(ddof=1))
    forces = found["bias_forces"].copy()
    for ion, axis in ((mobile[0], 0), (mobile[7], 1), (mobile[-1], 2)):
        assert abs(forces[ion, axis]) > 1e-3
        assert forces[ion, axis] == pytest.approx(slope(calculator, cell, ion, axis), rel=1e-3)


def test_the_tilt_s_force_is_minus_the_gradient_on_mobile_ions(committee, detector, still):
    calculator = tilted(committee, detector)
    forces = seen(calculator, [still])["bias_forces"].copy()
    pulled = int(np.linalg.norm(forces, axis=1).argmax())
    assert np.linalg.norm(forces[pulled]) == pytest.approx(0.2)
    axis = int(abs(forces[pulled]).argmax())
    other = int(next(i for i in detector.mobile if i != pulled))
    for ion in (pulled, other):
        own = slope(calculator, still, ion, axis)
        assert forces[ion, axis] == pytest.approx(own, rel=1e-6)
    # It doesn't accelerate the cell.
    assert forces.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)


@pytest.mark.parametrize("kind", ["uncertainty", "tilt"])
def test_a_bias_leaves_framework_and_the_model_s_own_energy_alone(
    committee, mobile, detector, cell, kind
):
    made = uncertain(committee, mobile) if kind == "uncertainty" else tilted(committee, detector)
    found = dict(seen(made, [cell]))
    if kind == "tilt":  # V is 0 where the pull began
        moved = cell.copy()
        moved.positions[mobile] += np.random.default_rng(0).normal(scale=0.1, size=(23, 3))
        cell = moved
        found = dict(evaluated(made, [cell]))
    plain = dict(evaluated_plain(made.driver, cell))
    framework = np.setdiff1d(np.arange(39), mobile)
    assert abs(found["bias_forces"][framework]).max() == 0
    assert found["replica_energies"] == pytest.approx(plain["replica_energies"], abs=1e-9)
    assert found["forces"] == pytest.approx(plain["forces"] + found["bias_forces"], abs=1e-9)
    assert found["energy"] == pytest.approx(plain["energy"] + found["bias_energies"][0])
    assert abs(found["bias_energies"][0]) > 1e-4


def evaluated_plain(driver: Calculator, atoms: Atoms) -> dict:
    copy = atoms.copy()
    copy.calc = driver
    copy.get_forces()
    return driver.results


def test_no_bias_force_exceeds_the_cap(committee, mobile, cell):
    free = seen(uncertain(committee, mobile), [cell])["bias_forces"][mobile]
    cap = float(np.median(np.linalg.norm(free, axis=1)))
    held = seen(uncertain(committee, mobile, cap), [cell])["bias_forces"][mobile]
    lengths = np.linalg.norm(held, axis=1)
    assert lengths.max() <= cap * (1 + 1e-12)
    assert (lengths > 0.999 * cap).sum() >= 11
    # Only lengths change: directions stay, and short ones stay as they are.
    assert capped(free, cap) == pytest.approx(held)
    dots = (free * held).sum(axis=1)
    assert dots == pytest.approx(np.linalg.norm(free, axis=1) * lengths)


@pytest.mark.parametrize("kind", ["uncertainty", "tilt"])
def test_a_batch_of_two_is_each_by_itself(committee, mobile, detector, cell, kind):
    other = cell.copy()
    other.rattle(0.05, rng=np.random.default_rng(7))

    def made() -> Biased:
        return (
            uncertain(committee, mobile) if kind == "uncertainty" else tilted(committee, detector)
        )

    both = seen(made(), [cell, other])
    energies, forces = both["bias_energies"].copy(), both["bias_forces"].reshape(2, 39, 3).copy()
    total = both["forces"].reshape(2, 39, 3).copy()
    assert not np.allclose(forces[0], forces[1], atol=1e-3)
    for k, atoms in enumerate((cell, other)):
        alone = seen(made(), [atoms], [k])
        assert alone["bias_energies"][0] == pytest.approx(energies[k], abs=1e-9)
        assert alone["bias_forces"] == pytest.approx(forces[k], abs=1e-9)
        assert alone["forces"] == pytest.approx(total[k], abs=1e-9)


def test_a_bias_is_off_before_a_run_and_rises_along_its_ramp(committee, mobile, cell):
    calculator = uncertain(committee, mobile, ramp_steps=100)
    assert abs(evaluated(calculator, [cell])["bias_forces"]).max() == 0
    lengths = []
    for step in (0, 50, 100, 500):
        calculator.follow([cell], [0], step)
        lengths.append(abs(calculator.results["bias_forces"]).max())
    assert lengths[1:] == pytest.approx([lengths[2] / 2, lengths[2], lengths[2]])
    assert (lengths[0], lengths[2] > 0.01) == (0, True)


def test_what_can_t_be_biased_is_refused(committee, mobile, detector, cell):
    driver = CommitteeDriver(committee, [0], n_atoms=39)
    alone = UncertaintyBias(driver, 39, mobile, 1.0, tau=1.0)
    with pytest.raises(ExplorationError, match="2 members or more, got 1"):
        seen(alone, [cell])
    with pytest.raises(ExplorationError, match="cap above 0"):
        uncertain(committee, mobile, 0.0)
    with pytest.raises(ExplorationError, match=r"up to the cap 0.3 eV/Å, got 0.4"):
        tilted(committee, detector, force=0.4)


# ---------------------------------------------------------------- who is pulled where


def test_blocked_paths_are_left_out_as_they_are_among_enumerated_hops(detector, still, host):
    start = Frame.from_atoms(still, origin=Origin.AIMD, group="start").to_structure()
    found = vacancy_hops(host.to_structure(), start, "Li", 4.0, clearance=CLEARANCE)
    kept = {detector.path_classes[pair] for pair in open_pairs(detector)}
    assert kept == {hop.path_class for hop in found.hops}
    assert kept < set(detector.path_classes.values())
    assert found.left_out


def pulled(calculator: Tilt, k: int = 0) -> dict:
    return calculator.state()["replicas"][str(k)]


def test_an_ion_is_pulled_to_the_vacancy_and_let_go_when_it_arrives(committee, detector, still):
    calculator = tilted(committee, detector, force=0.2)
    along = seen(calculator, [still])["bias_forces"]
    own = pulled(calculator)
    vacancy = detector.sites[own["pair"][1]]
    assert vacancy == pytest.approx([0.0, 1.95, 1.95])
    vector = open_pairs(detector)[own["pair"]]
    assert along[own["ion"]] == pytest.approx(0.2 * vector / np.linalg.norm(vector))
    near = still.copy()
    near.positions += [0.4, -0.3, 8.0]  # drift, and a lattice vector
    near.positions[own["ion"]] += 0.8 * vector
    calculator.follow([near], [0], 20)
    assert pulled(calculator)["ion"] == own["ion"]
    near.positions[own["ion"]] += 0.2 * vector
    calculator.follow([near], [0], 40)
    assert pulled(calculator)["ion"] is None
    assert calculator.counts() == ({own["path_class"]: 1}, {own["path_class"]: 1})
    calculator.follow([near], [0], 75)
    assert pulled(calculator)["ion"] is None  # its hop settles
    calculator.follow([near], [0], 80)
    assert pulled(calculator)["ion"] is not None


def test_who_never_arrives_is_let_go_and_rare_classes_get_their_turn(committee, detector, still):
    calculator = tilted(committee, detector)
    steps = range(0, 1200, 20)
    for step in steps:
        calculator.follow([still], [0], step)
    drawn, arrived = calculator.counts()
    # Patience is 100 steps: twelve pulls, shared evenly by the two classes, though one
    # has eight neighbours of the vacancy and the other fewer.
    assert list(drawn.values()) == [6, 6]
    assert set(drawn) == {detector.path_classes[pair] for pair in open_pairs(detector)}
    assert not arrived


# ---------------------------------------------------------------- hops on an exact potential

D, BARRIER, KELVIN = 2.0, 0.3, 400.0


class Channel(Calculator):
    """One ion in a row of three equal wells along x, and a framework on springs beside it.

    Two members, whose barriers differ: the second one's is a tenth higher.
    """

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, rest: np.ndarray, dies_at: int | None = None) -> None:
        super().__init__()
        self.rest, self.calls, self.dies_at = rest, 0, dies_at

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls == self.dies_at:
            raise KilledError
        n = len(self.rest)
        u = self.atoms.positions.reshape(-1, n, 3) - self.rest
        x = 2 * np.pi * u[:, 0, 0] / D
        u[:, 0, 0] = 0
        energies, forces = [], []
        for height in (BARRIER, 1.1 * BARRIER):
            well = 0.5 * height * (1 - np.cos(x))
            energies.append(well + (u**2).sum(axis=(1, 2)))
            force = -2.0 * u
            force[:, 0, 0] = -height * np.pi / D * np.sin(x)
            forces.append(force.reshape(-1, 3))
        self.results = {
            "energy": float(energies[0].sum()), "replica_energies": energies[0],
            "forces": forces[0], "energy_comm": np.array(energies), "forces_comm": np.array(forces),
        }  # fmt: skip


class KilledError(Exception):
    """Stands for kill -9."""


def channel() -> Atoms:
    """One Li in the first of three wells; eight O far beside it."""
    beside = [[x, y, 5.0] for x in (0.0, 1.5, 3.0, 4.5) for y in (2.0, 7.0)]
    return Atoms("LiO8", [[0, 0, 0], *beside], cell=[3 * D, 10.0, 10.0], pbc=True)


def channel_detector(interval: float = 10.0) -> HopDetector:
    sites = np.array([[k * D, 0, 0] for k in range(3)])
    return HopDetector(
        cell=np.diag([3 * D, 10.0, 10.0]), sites=sites, mobile=np.array([0]),
        framework=np.arange(1, 9), frame_interval_fs=interval,
        path_classes={(i, j): "a" for i in range(3) for j in range(3) if i != j},
        framework_sites=channel().positions[1:],
    )  # fmt: skip


def channel_tilt(force: float, dies_at: int | None = None, seed: int = 0) -> Tilt:
    pull = Pull(force, patience_steps=1000, rest_steps=100, ramp_steps=20, seed=seed)
    return Tilt(Channel(channel().positions, dies_at), channel_detector(), pull, 0.3)


def md(calculator: Calculator, n_steps: int, n: int = 1, path: Path | None = None) -> list[MDRun]:
    plan = MDPlan(temperature=KELVIN, n_steps=n_steps, friction=0.005, equilibration_steps=50,
                  seed=5)  # fmt: skip
    checkpoint = Checkpoint(path / "md.npz", "run", every_s=0.0) if path else None
    return run_md([channel()] * n, calculator, plan, OPEN, None, checkpoint)


def test_a_tilt_lowers_the_barrier_by_half_force_times_distance():
    calculator = channel_tilt(0.2)
    calculator.follow([channel()], [0], 0)
    calculator.follow([channel()], [0], 20)  # the ramp's end
    sign = np.sign(pulled(calculator)["along"][0])
    energies = []
    for s in np.linspace(-0.2, 1.2, 281):
        atoms = channel()
        atoms.positions[0, 0] = sign * s * D
        energies.append(evaluated(calculator, [atoms])["energy"])
    curve = np.array(energies)
    left, top, right = curve[:140].min(), curve[40:240].max(), curve[140:].min()
    # To first order; the minimum and the saddle move together, so second orders add up.
    assert top - left == pytest.approx(BARRIER - 0.2 * D / 2, abs=0.03)
    assert right - left == pytest.approx(-0.2 * D, abs=1e-6)


def test_a_tilt_makes_hops_frequent_and_leads_them():
    """The barrier of 8.7 kT becomes one of 2.2: ions hop, and go where they're pulled."""
    height = BARRIER / (KB_EV_PER_K * KELVIN)
    f = 0.28 * D / (np.pi * BARRIER)  # of a tilted cosine the barrier is known exactly
    assert height > 8
    assert height * (np.sqrt(1 - f**2) - f * np.arccos(f)) < 2.5
    detector, n = channel_detector(), 12
    plain = md(Channel(channel().positions), 3000, n)
    calculator = channel_tilt(0.28)
    biased = md(calculator, 3000, n)
    count = [
        sum(len(detector.detect(np.array(run.positions))) for run in runs)
        for runs in (plain, biased)
    ]
    drawn, arrived = (sum(one.values()) for one in calculator.counts())
    assert all(run.stopped is None for run in [*plain, *biased])
    assert count[1] >= 4 * count[0] + 8
    assert arrived >= 0.7 * (drawn - n)  # the last pull of each replica may be under way


@pytest.mark.parametrize("kind", ["tilt", "uncertainty"])
@pytest.mark.parametrize("dies_at", [57, 301, 480])
def test_a_killed_biased_run_goes_on_bit_for_bit(tmp_path, kind, dies_at):
    """In the ramp, in a pull, after a hop; each pull and its share of force are as if it lived."""

    def made(dies_at: int | None = None) -> Biased:
        if kind == "tilt":
            return channel_tilt(0.25, dies_at)
        own = Channel(channel().positions, dies_at)
        return UncertaintyBias(own, 9, np.array([0]), 0.3, tau=3.0, ramp_steps=50)

    untouched = made()
    whole = md(untouched, 600, 2)
    with pytest.raises(KilledError):
        md(made(dies_at), 600, 2, tmp_path)
    again = made()
    runs = md(again, 600, 2, tmp_path)
    for run, other in zip(runs, whole, strict=True):
        assert np.array_equal(run.positions, other.positions)
    assert again.state() == untouched.state()
    assert again.driver.calls < 600 - (dies_at - 60)  # it didn't begin anew
    plain = md(Channel(channel().positions), 600, 2)
    assert not np.array_equal(plain[0].positions, whole[0].positions)


def test_a_replica_that_ends_leaves_the_others_their_pulls():
    """The one that ends is the first: those after it keep their numbers."""
    calculator = channel_tilt(0.2)
    frames = [channel() for _ in range(3)]
    seen(calculator, frames)
    calculator.follow(frames, [0, 1, 2], 20)
    before = evaluated(calculator, frames)["bias_forces"].reshape(3, 9, 3).copy()
    calculator.follow(frames[1:], [1, 2], 40)
    after = evaluated(calculator, frames[1:])["bias_forces"].reshape(2, 9, 3)
    assert np.array_equal(after, before[1:])
    assert abs(after).max() == pytest.approx(0.2)
