"""Unphysical molecular dynamics is told from physical one, against closed forms."""

from __future__ import annotations

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import covalent_radii

from ionloop.errors import EvaluationError
from ionloop.evaluate.dynamics import repeats_for
from ionloop.evaluate.models import resolve_model
from ionloop.evaluate.solid import closest_contacts, energy_drift, lindemann
from ionloop.evaluate.stability import StabilitySettings, drift_limit, run_stability
from ionloop.profile import Profile
from ionloop.units import KB_EV_PER_K

PROFILE = Profile(
    name="LiF",
    mobile_ion="Li",
    formal_charges={"Li": 1, "F": -1},
    transport_temperatures=[300, 400, 500],
)
STIFFNESS, GAIN = 5.0, 2e-4
SOURCE = f"""
import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.calculator import Calculator

CALLS = []
SITES = (bulk("LiF", "rocksalt", a=4.03, cubic=True) * (2, 2, 2)).positions

class Springs(Calculator):
    '''Each atom on its own spring, which may push it on: forces of no potential.'''

    implemented_properties = ("energy", "forces")
    gain, ends_after, meets_after, n = 0.0, None, None, 0

    def calculate(self, atoms=None, properties=None, system_changes=None):
        away = atoms.positions - SITES
        if self.meets_after is not None and self.n > self.meets_after:
            away[0] += SITES[0] - SITES[1]  # the spring of the first atom pulls to the second
        push = self.gain / units.fs * atoms.get_momenta()
        self.n += 1
        forces = -{STIFFNESS} * away + push
        if self.ends_after is not None and self.n > self.ends_after:
            forces[0] += 100.0
        self.results = {{"energy": 0.5 * {STIFFNESS} * (away**2).sum(), "forces": forces}}

def springs():
    return Springs()

def gaining():
    found = Springs()
    found.gain = {GAIN}
    return found

def bursting_after_the_bath():
    found = Springs()
    CALLS.append(1)
    if len(CALLS) > 1:
        found.ends_after = 800
    return found

def meeting():
    found = Springs()
    found.meets_after = 1000
    return found

def bursting_at_once():
    found = Springs()
    found.ends_after = 180
    return found

def bursting():
    found = Springs()
    found.ends_after = 1000
    return found
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    (tmp_path / "springs_to_try.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name: resolve_model([f"springs_to_try:{name}"])


def lif() -> Atoms:
    return bulk("LiF", "rocksalt", a=4.03, cubic=True)


def settings(**fields: float) -> StabilitySettings:
    common = {"picoseconds": 16.0, "nve_ps": 4.0, "store_every": 20, "min_height": 8.0}
    return StabilitySettings(**{**common, **fields})


def verdicts(found) -> list[bool]:
    return [check.passed for check in found.checks]


# ---------------------------------------------------------------- closed forms


def test_the_lindemann_ratio_of_gaussian_vibrations():
    rng = np.random.default_rng(0)
    cell = lif() * (2, 2, 2)
    framework = np.flatnonzero(cell.numbers == 9)
    drift = np.cumsum(rng.normal(scale=0.1, size=(3000, 1, 3)), axis=0)
    paths = cell.positions + rng.normal(scale=0.1, size=(3000, len(cell), 3)) + drift
    # The frame's own drift is estimated from 32 atoms, and takes 1/32 of their variance.
    expected = np.sqrt(3 * 0.01 * (1 - 1 / 32)) / (4.03 / np.sqrt(2))
    found = lindemann(paths, framework, cell)
    assert found.shape == (32,)
    assert found == pytest.approx(expected, rel=0.05)
    assert found.mean() == pytest.approx(expected, rel=0.01)


def test_the_lindemann_ratio_needs_a_framework():
    with pytest.raises(EvaluationError, match="two atoms or more, got 1"):
        lindemann(np.zeros((3, 2, 3)), np.array([0]), Atoms("LiF", cell=[4] * 3, pbc=True))


def test_a_hop_of_one_atom_is_that_atom_s_alone():
    cell = lif() * (2, 2, 2)
    framework = np.flatnonzero(cell.numbers == 9)
    paths = np.repeat(cell.positions[None], 100, axis=0)
    paths[50:, framework[3]] += [2.0, 2.0, 0.0]
    found = lindemann(paths, framework, cell)
    assert (found > 0.15).sum() == 1
    assert np.median(found) < 0.02


def test_the_nearest_of_each_pair_ever():
    dimer = Atoms("LiF", positions=[[0, 0, 0], [1.6, 0, 0]], cell=[2.5, 9, 9], pbc=True)
    apart = Atoms("LiF", positions=[[0, 0, 0], [4.5, 0, 0]], cell=[9, 9, 9], pbc=True)
    found = closest_contacts([apart, dimer, apart])
    # The image of F is nearer to Li than F itself; each is its own neighbour at 2.5 Å.
    assert [(c.pair, round(c.distance, 9)) for c in found] == [
        (("F", "Li"), 0.9), (("F", "F"), 2.5), (("Li", "Li"), 2.5),
    ]  # fmt: skip


def test_the_drift_of_an_energy_that_rises_and_swings():
    rng = np.random.default_rng(1)
    times = np.linspace(0, 10, 2000)
    energies = 3.0 + 0.2 * times + np.sin(40 * times) + rng.normal(scale=0.1, size=2000)
    slope, error, scatter = energy_drift(times, energies)
    assert slope == pytest.approx(0.2, abs=0.02)
    assert 0 < error < 0.2
    assert scatter == pytest.approx(np.sqrt(0.5 + 0.01), rel=0.05)
    with pytest.raises(EvaluationError, match="15 energies or more, got 14"):
        energy_drift(times[:14], energies[:14])


def test_the_limit_of_the_drift():
    """3 k T γ an atom is what heats by as much as the temperature itself."""
    assert drift_limit(1000.0, 0.001) == pytest.approx(0.03 * 86.17333, rel=1e-5)


# ---------------------------------------------------------------- whole runs


def test_springs_are_stable(model, tmp_path):
    found = run_stability(lif(), model("springs"), PROFILE, settings(), tmp_path)
    assert (found.temperature, found.n_atoms, found.stopped) == (600.0, 64, None)
    assert found.survived_ps == pytest.approx(16.0)
    equipartition = np.sqrt(3 * KB_EV_PER_K * 600 / STIFFNESS) / (4.03 / np.sqrt(2))
    assert found.lindemann == pytest.approx(equipartition, rel=0.2)
    assert abs(found.drift.value) < 3 * found.drift.error + 0.01
    assert verdicts(found) == [True, True, True]
    assert found.wandering == 0.0
    assert found.contacts[0].pair == ("F", "Li")


def test_forces_of_no_potential_do_not_conserve_energy(model, tmp_path):
    """Momenta grow by the gain g, so that 2 g (3/2 kT) comes in an atom and time at first."""
    short = settings(picoseconds=4.0, nve_ps=0.6)
    found = run_stability(lif(), model("gaining"), PROFILE, short, tmp_path)
    first = 3e6 * KB_EV_PER_K * found.temperature * GAIN
    assert found.drift.value == pytest.approx(first, rel=0.3)
    assert verdicts(found)[2] is False


def test_a_run_that_bursts_is_told_and_has_no_drift(model, tmp_path):
    found = run_stability(lif(), model("bursting"), PROFILE, settings(), tmp_path)
    assert 0 < found.survived_ps < 4.0
    assert found.stopped is not None
    assert (found.drift, found.nve_ps) == (None, 0.0)
    assert verdicts(found)[0] is False
    assert "ended after" in found.checks[0].detail


def test_the_frame_that_ended_a_run_counts_for_contacts(model):
    found = run_stability(lif(), model("meeting"), PROFILE, settings(), None)
    share = float(re.match(r"atoms at ([\d.]+) of their covalent radii's sum", found.stopped)[1])
    assert share < PROFILE.min_distance_fraction
    radii = {"Li": covalent_radii[3], "F": covalent_radii[9]}
    nearest = min(c.distance / sum(radii[x] for x in c.pair) for c in found.contacts)
    assert nearest == pytest.approx(share, abs=0.006)


def test_how_near_atoms_may_come_is_the_profile_s(model, tmp_path):
    short = settings(picoseconds=1.0, nve_ps=0.5)
    strict = PROFILE.model_copy(update={"min_distance_fraction": 0.99})
    assert run_stability(lif(), model("springs"), PROFILE, short, tmp_path).stopped is None
    # The same folder has the run before, which isn't taken for this one.
    found = run_stability(lif(), model("springs"), strict, short, tmp_path)
    assert "of their covalent radii's sum" in found.stopped


def test_a_finished_run_is_not_run_again(model, tmp_path):
    short = settings(picoseconds=1.0, nve_ps=0.5)
    first = run_stability(lif(), model("springs"), PROFILE, short, tmp_path)
    (kept,) = (tmp_path / "md").glob("stability-*.npz")
    before = kept.stat().st_mtime_ns
    assert run_stability(lif(), model("springs"), PROFILE, short, tmp_path) == first
    assert kept.stat().st_mtime_ns == before


def test_a_burst_without_a_bath_is_told_too(model):
    """Each run makes a calculator of its own: the second one bursts."""
    found = run_stability(lif(), model("bursting_after_the_bath"), PROFILE, settings(), None)
    assert found.stopped is None
    assert 0 < found.nve_ps < 4.0
    assert (found.drift, found.scatter) == (None, None)
    assert verdicts(found) == [True, True, False]
    assert "without a bath it ended after" in found.checks[2].detail
    assert [check.name for check in found.failures] == ["energy is conserved"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"picoseconds": 0.1}, "picoseconds of 0.4 ps or more, got 0.1"),
        ({"nve_ps": 0.1}, "nve_ps of 0.15 ps or more, got 0.1"),
        ({"picoseconds": float("nan")}, "got nan"),
    ],
)
def test_runs_too_short_to_be_judged_are_refused_before(fields, expected):
    with pytest.raises(EvaluationError, match=expected):
        settings(**fields)


def test_a_run_that_bursts_at_once_says_nothing_of_the_framework(model):
    found = run_stability(lif(), model("bursting_at_once"), PROFILE, settings(), None)
    assert found.survived_ps < 0.4
    assert verdicts(found) == [False]


def test_the_cell_may_stay_as_it_is(model):
    assert repeats_for(lif(), 0.0) == (1, 1, 1)
    assert repeats_for(lif(), 4.03) == (1, 1, 1)
    assert repeats_for(lif(), 8.0) == (2, 2, 2)
