from __future__ import annotations

import numpy as np
import pytest

from ionloop.errors import ExplorationError
from ionloop.explore.driver import CommitteeDriver, stack
from ionloop.explore.uncertainty import CommitteeUncertainty, fingerprint
from ionloop.train.calibration import ion_spread
from ionloop.train.mace import committee_calculator, predict


@pytest.fixture
def mobile(cell):
    return np.flatnonzero(cell.symbols == "Li")


def test_it_is_the_scaled_spread_of_the_members_forces(committee, cell, mobile):
    _, (forces,) = predict(committee, [cell])
    assert forces.shape == (3, 39, 3)
    expected = 2.5 * ion_spread(forces, mobile)
    judge = CommitteeUncertainty(committee, mobile, 2.5)
    assert judge.per_ion(cell) == pytest.approx(expected, rel=1e-6)
    assert judge(cell) == pytest.approx(expected.max(), rel=1e-6)
    assert expected.min() > 1e-3


def test_it_is_blind_to_translation_wrapping_and_velocities(committee, cell, mobile):
    judge = CommitteeUncertainty(committee, mobile, 1.0)
    here = judge.per_ion(cell)
    moved = cell.copy()
    moved.translate([1.234, -0.5, 7.0])
    assert judge.per_ion(moved) == pytest.approx(here, rel=1e-6)
    moved.wrap()
    moved.set_momenta(np.ones((len(cell), 3)))
    assert judge.per_ion(moved) == pytest.approx(here, rel=1e-6)
    assert cell.calc is None


def test_members_that_are_one_agree(model_paths, cell, mobile):
    one = committee_calculator([model_paths[0]] * 2, dtype="float64")
    assert CommitteeUncertainty(one, mobile, 1.0)(cell) == 0.0


def test_only_the_cage_s_part_is_left_out(committee, cell, mobile):
    judge = CommitteeUncertainty(committee, mobile[:2], 1.0)
    everyone = CommitteeUncertainty(committee, mobile, 1.0)
    assert judge.per_ion(cell) == pytest.approx(everyone.per_ion(cell)[:2])


# ---------------------------------------------------------------- driver


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_the_driver_gives_mace_s_own_numbers_along_a_walk(model_paths, cell, dtype, tolerance):
    """Within the skin, beyond it, and where an atom crosses the cell's face."""
    calculator = committee_calculator(model_paths, dtype=dtype)
    driver = CommitteeDriver(calculator)
    rng = np.random.default_rng(1)
    for step in range(6):
        cell.positions += rng.normal(scale=0.06, size=cell.positions.shape)
        if step == 3:
            cell.wrap()
        cell.calc = driver
        cell.get_forces()
        own = driver.results
        energies, (forces,) = predict(calculator, [cell])
        assert own["forces_comm"] == pytest.approx(forces, abs=tolerance)
        assert own["forces"] == pytest.approx(forces.mean(axis=0), abs=tolerance)
        assert own["energy_comm"][:, 0] == pytest.approx(energies[0], abs=100 * tolerance)
        assert own["energy"] == pytest.approx(energies[0].mean(), abs=100 * tolerance)


def test_the_driver_of_one_member_is_that_member(committee, model_paths, cell):
    cell.calc = CommitteeDriver(committee, [2])
    mine = cell.get_forces()
    cell.calc = committee_calculator([model_paths[2]], dtype="float64")
    assert mine == pytest.approx(cell.get_forces(), abs=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
def test_replicas_in_one_batch_are_each_what_they_are_alone(model_paths, cell, dtype, tolerance):
    """Also where one walks out of its skin and another doesn't, and where one leaves."""
    calculator = committee_calculator(model_paths, dtype=dtype)
    driver = CommitteeDriver(calculator, n_atoms=len(cell))
    rng = np.random.default_rng(1)
    replicas = [cell.copy() for _ in range(3)]
    for step in range(5):
        for k, atoms in enumerate(replicas):
            atoms.positions += rng.normal(scale=0.02 + 0.06 * k, size=atoms.positions.shape)
        together = stack(replicas)
        together.calc = driver
        together.get_forces()
        own = driver.results
        energies, forces = predict(calculator, replicas)
        assert own["forces_comm"] == pytest.approx(np.concatenate(forces, axis=1), abs=tolerance)
        assert own["energy_comm"] == pytest.approx(energies.T, abs=100 * tolerance)
        assert own["replica_energies"] == pytest.approx(energies.mean(axis=1), abs=100 * tolerance)
        assert own["energy"] == pytest.approx(energies.mean(axis=1).sum(), abs=300 * tolerance)
        if step == 2:
            replicas.pop(1)


def test_half_a_replica_is_refused(committee, cell):
    atoms = cell[:-1]
    atoms.calc = CommitteeDriver(committee, n_atoms=len(cell))
    with pytest.raises(ExplorationError, match="expected replicas of 39 atoms, got 38 atoms"):
        atoms.get_forces()


def test_each_replica_has_its_uncertainty(committee, cell, mobile):
    judge = CommitteeUncertainty(committee, mobile, 2.0)
    other = cell.copy()
    other.rattle(0.1, seed=3)
    both = judge.per_replica([cell, other])
    assert both == pytest.approx([judge(cell), judge(other)], rel=1e-6)
    assert both[0] != pytest.approx(both[1], rel=0.05)


# ---------------------------------------------------------------- fingerprints


def test_a_fingerprint_has_a_block_a_species_and_one_for_the_ion(committee, cell):
    print_ = fingerprint(committee, cell, focus=0)
    features = committee.get_descriptors(cell.copy(), invariants_only=True)[0]
    assert len(print_) == 4 * features.shape[1]
    lithium = features[cell.symbols == "Li"].mean(axis=0)
    n = features.shape[1]
    assert print_[n : 2 * n] == pytest.approx(lithium)  # Cl, Li, O
    assert print_[3 * n :] == pytest.approx(features[0])


def test_a_fingerprint_is_blind_to_translation_and_order(committee, cell, mobile):
    ion = int(mobile[3])
    here = np.array(fingerprint(committee, cell, ion))
    moved = cell.copy()
    moved.translate([0.7, 3.3, -1.0])
    moved.wrap()
    assert fingerprint(committee, moved, ion) == pytest.approx(here, abs=1e-8)
    order = np.random.default_rng(2).permutation(len(cell))
    shuffled = cell[order]
    where = int(np.flatnonzero(order == ion)[0])
    assert fingerprint(committee, shuffled, where) == pytest.approx(here, abs=1e-8)


def test_a_fingerprint_sees_one_ion_hop(committee, cell, mobile):
    """The focus block tells it most: whole-cell means hide it."""
    ion = int(mobile[0])
    here = np.array(fingerprint(committee, cell, ion))
    hopped = cell.copy()
    hopped.positions[ion] += [0.9, 0.9, 0.0]
    change = np.abs(np.array(fingerprint(committee, hopped, ion)) - here)
    n = len(here) // 4
    assert change[3 * n :].max() > 5 * change[n : 2 * n].max() > 0
    assert change.max() > 1e-3
