"""A framework that melts ends a run; one that drifts, vibrates or lets one atom hop doesn't."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes

from ionloop.explore.guards import Framework, Guards
from ionloop.explore.md import run_md
from ionloop.explore.replicas import MDPlan


def salt() -> Atoms:
    """NaCl 2x2x2: 32 Cl make the framework, 32 Na are mobile."""
    return bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (2, 2, 2)


def framework(atoms: Atoms) -> Framework:
    own = np.flatnonzero(atoms.symbols == "Cl")
    return Framework(own, atoms.positions[own], atoms.cell.array)


def test_the_distance_is_that_of_the_framework_s_nearest_neighbours():
    assert framework(salt()).neighbour_distance == pytest.approx(5.64 / np.sqrt(2))


@pytest.mark.parametrize("drift", [0.0, 1.7, 40.0])
def test_a_crystal_about_to_melt_hasn_t_wherever_it_is(drift):
    atoms = salt()
    known = framework(atoms)
    rng = np.random.default_rng(0)
    stdev = 0.15 * known.neighbour_distance / np.sqrt(3)  # Lindemann's ratio is 0.15
    for _ in range(200):
        hot = atoms.positions + rng.normal(scale=stdev, size=(64, 3)) + [drift, -drift, 0.3 * drift]
        assert known.off_site(hot) == 0


def test_mobile_ions_may_go_where_they_like():
    atoms = salt()
    known = framework(atoms)
    away = atoms.positions.copy()
    away[atoms.symbols == "Na"] += np.random.default_rng(0).normal(scale=3.0, size=(32, 3))
    assert not known.melted(away)


@pytest.mark.parametrize(("n", "melted"), [(1, False), (3, False), (4, True), (12, True)])
def test_a_tenth_off_their_sites_is_melted(n, melted):
    atoms = salt()
    known = framework(atoms)
    moved = atoms.positions.copy()
    moved[known.atoms[:n:2]] += np.array([0.0, 2.3, 0.0])  # beyond half of 3.99 Å
    moved[known.atoms[1:n:2]] -= np.array([0.0, 2.3, 0.0])
    assert known.off_site(moved) == n / 32
    assert known.melted(moved) is melted


def test_of_a_small_framework_one_atom_is_none():
    atoms = Atoms("LiOCl", [[0, 0, 0], [2, 0, 0], [6, 0, 0]], cell=[9.0] * 3, pbc=True)
    two = Framework(np.array([1, 2]), atoms.positions[1:], atoms.cell.array)
    alone = Framework(np.array([1]), atoms.positions[1:2], atoms.cell.array)
    moved = atoms.positions + [[0, 0, 0], [0, 3, 0], [0, 0, 0]]  # noqa: RUF005
    assert not two.melted(moved)
    assert not alone.melted(moved)


class Crystal(Calculator):
    """Springs of strength k between each atom and its place in a crystal that drifts freely."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, rest: np.ndarray, k: float, push: float) -> None:
        super().__init__()
        self.rest, self.k, self.push = rest, k, push

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        u = self.atoms.positions - self.rest
        u -= u.mean(axis=0)
        forces = -self.k * u
        forces[:, 0] += self.push
        self.results = {"energy": 0.5 * self.k * (u**2).sum(), "forces": forces}


@pytest.mark.parametrize(("k", "push", "ends"), [(2.0, 0.3, False), (0.0, 0.0, True)])
def test_a_run_ends_where_its_framework_melts_and_not_where_it_drifts(k, push, ends):
    atoms = salt()
    known = framework(atoms)
    guards = Guards(
        min_distance_fraction=0.001, temperature_factor=1e9, energy_margin=1e9, framework=known
    )
    plan = MDPlan(temperature=900.0, n_steps=1000, equilibration_steps=50, seed=1, friction=1e-4)
    (run,) = run_md([atoms], Crystal(atoms.positions.copy(), k, push), plan, guards)
    moved = np.array(run.positions)[:, known.atoms] - known.rest
    if ends:
        assert run.stopped is not None
        assert run.stopped.endswith("of the framework's atoms are off their sites")
        assert 0 < run.step < 1000
        # The melted frame isn't kept, and the one before was none.
        assert not any(known.melted(x) for x in run.positions)
    else:
        assert run.stopped is None
        assert moved[-1, :, 0].mean() > 3.99  # farther than to the next site
        spread = np.sqrt(((moved - moved.mean(axis=1, keepdims=True)) ** 2).sum(axis=2).mean())
        assert spread > 0.15  # and it's a hot crystal, not a rigid one
