"""Units and signs of what an evaluation gives, on made input whose answer is known in SI."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from hypothesis import given, settings
from hypothesis import strategies as st
from made_cards import card, scaling
from pymatgen.io.ase import AseAtomsAdaptor

from ionloop.evaluate.cost import cost_of
from ionloop.evaluate.cost_scaling import atoms_per_gb, cpu_speed_ups, speed_ups
from ionloop.evaluate.expansion import expansion_of
from ionloop.evaluate.held_out import judge_labels, predict
from ionloop.evaluate.schema import Estimate
from ionloop.evaluate.scorecard_schema import ExpansionPart, ExpansionPoint
from ionloop.evaluate.static import StaticSettings, static_properties
from ionloop.frame import Frame, Origin
from ionloop.label.extxyz import write_extxyz
from ionloop.label.schema import Label
from ionloop.report.scorecard_rows import quantities
from ionloop.train.labelled import read_whole_labels

#: 1 GPa is 1e9 J/m³; 1 eV is 1.602176634e-19 J (exact in SI), 1 Å³ is 1e-30 m³.
GPA = 1e9 * 1e-30 / 1.602176634e-19
IDENTITY = np.eye(3)


class Hooke(Calculator):
    r"""An isotropic elastic solid, St. Venant and Kirchhoff's: every answer is known.

    E = V0 (λ/2 tr(η)² + μ η:η) + k/2 Σ u² with Green's strain η = (FᵀF - 1)/2 and atoms' distance
    u from where the cell carries them; Cauchy's stress is F (λ tr(η) + 2μ η) Fᵀ / det F at u = 0.
    """

    implemented_properties = ("energy", "forces", "stress")

    def __init__(self, atoms: Atoms, bulk_gpa: float, shear_gpa: float) -> None:
        super().__init__()
        self.cell, self.sites = atoms.cell.array.copy(), atoms.get_scaled_positions()
        self.mu = shear_gpa * GPA
        self.lam = bulk_gpa * GPA - 2 * self.mu / 3

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        f = (np.linalg.inv(self.cell) @ atoms.cell.array).T
        strain = (f.T @ f - IDENTITY) / 2
        away = atoms.get_scaled_positions(wrap=False) - self.sites
        away = (away - np.rint(away)) @ atoms.cell.array
        density = self.lam / 2 * np.trace(strain) ** 2 + self.mu * (strain**2).sum()
        second = self.lam * np.trace(strain) * IDENTITY + 2 * self.mu * strain
        stress = f @ second @ f.T / np.linalg.det(f)
        self.results = {
            "energy": abs(np.linalg.det(self.cell)) * density + 2.5 * (away**2).sum(),
            "forces": -5.0 * away,
            "stress": full_3x3_to_voigt_6_stress(stress),
        }


COPPER = bulk("Cu", "fcc", a=3.6, cubic=True)
moduli = st.tuples(st.floats(10, 300), st.floats(5, 150))


@given(moduli, st.floats(-0.01, 0.01))
@settings(max_examples=6, deadline=None)
def test_moduli_are_in_gpa_and_a_stretched_crystal_pulls(known, stretch):
    solid = Hooke(COPPER, *known)
    start = COPPER.copy()
    start.set_cell(COPPER.cell * (1 + stretch), scale_atoms=True)
    found = static_properties(
        AseAtomsAdaptor.get_structure(start), solid, StaticSettings(fmax=1e-5, phonons=None)
    )
    bulk_modulus, shear = known
    assert found.lengths == pytest.approx((3.6,) * 3, rel=1e-4)
    assert found.bulk_modulus.unit == found.bulk_vrh.unit == found.shear_vrh.unit == "GPa"
    assert found.bulk_vrh.value == pytest.approx(bulk_modulus, rel=2e-3)
    assert found.shear_vrh.value == pytest.approx(shear, rel=2e-3)
    assert found.bulk_modulus.value == pytest.approx(bulk_modulus, rel=0.02)
    tensor = np.array(found.elastic)
    assert tensor[0, 0] == pytest.approx(bulk_modulus + 4 / 3 * shear, rel=2e-3)
    assert tensor[0, 1] == pytest.approx(bulk_modulus - 2 / 3 * shear, rel=2e-3, abs=0.05)
    assert tensor[3, 3] == pytest.approx(shear, rel=2e-3)


def strained(seed: int, size: float) -> Atoms:
    atoms = COPPER.copy()
    strain = np.random.default_rng(seed).normal(scale=size, size=(3, 3))
    atoms.set_cell(COPPER.cell.array @ (IDENTITY + strain), scale_atoms=True)
    return atoms


def work_of_strain(atoms: Atoms, calculator: Calculator) -> np.ndarray:
    """Stress as the energy's slope against strain over the volume, by central differences."""
    found, step = np.empty((3, 3)), 1e-5
    for i in range(3):
        for j in range(3):
            energies = []
            for sign in (1, -1):
                strain = np.zeros((3, 3))
                strain[i, j] += sign * step / 2
                strain[j, i] += sign * step / 2
                moved = atoms.copy()
                moved.set_cell(atoms.cell.array @ (IDENTITY + strain), scale_atoms=True)
                moved.calc = calculator
                energies.append(moved.get_potential_energy())
            found[i, j] = (energies[0] - energies[1]) / (2 * step) / atoms.get_volume()
    return found


def label_of(atoms: Atoms, calculator: Calculator, stress: np.ndarray, group: str) -> Label:
    atoms.calc = calculator
    frame = Frame.from_atoms(atoms, origin=Origin.STRAIN, group=group)
    return Label(
        frame=frame, frame_hash=frame.frame_hash, energy=atoms.get_potential_energy(),
        forces=atoms.get_forces().tolist(), stress=stress.tolist(), settings_hash="x",
        engine="made", wall_s=0.0, directory="",
    )  # fmt: skip


@given(moduli, st.floats(0.05, 20), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_errors_of_stress_have_the_sign_of_ase_and_are_shown_in_gpa(
    tmp_path_factory, known, pressure, seed
):
    truth, path = Hooke(COPPER, *known), tmp_path_factory.mktemp("labels") / "labels.extxyz"
    frames = [strained(seed + i, 0.02) for i in range(3)]
    stresses = [work_of_strain(atoms, truth) for atoms in frames]
    labels = [
        label_of(atoms, truth, stress, f"g{i}")
        for i, (atoms, stress) in enumerate(zip(frames, stresses, strict=True))
    ]
    write_extxyz(labels, path)
    read = read_whole_labels([path])
    told = predict(truth, [label.frame.to_atoms() for label in read])
    right = judge_labels(read, told, np.random.default_rng(0), mobile_ion="Cu").stress
    assert right.rmse < 1e-3 * right.rms_reference
    # A model that is under a pressure of its own errs by it on three of nine components.
    told = replace(told, stresses=[x - pressure * GPA * IDENTITY for x in told.stresses])
    wrong = judge_labels(read, told, np.random.default_rng(0), mobile_ion="Cu")
    assert wrong.stress.rmse == pytest.approx(pressure * GPA / np.sqrt(3), rel=1e-2)
    made = card("x", 1.0)
    made.accuracy.result = wrong
    (row,) = [one for one in quantities(made, "accuracy") if one.name == "stress RMSE"]
    assert row.unit == "GPa"
    assert float(row.value) == pytest.approx(pressure / np.sqrt(3), rel=0.05)


def estimate(value: float, unit: str) -> Estimate:
    return Estimate(value=value, error=1e-6 * value, unit=unit, estimator="made", admissible=True)


@given(
    st.tuples(*[st.floats(-2e-5, 6e-5)] * 3),
    st.lists(st.integers(2, 18).map(lambda n: 50.0 * n), min_size=3, max_size=6, unique=True),
)
@settings(max_examples=50, deadline=None)
def test_expansion_is_in_millionths_a_kelvin(alphas, temperatures):
    def point(t):
        lengths = [10.0 * np.exp(alpha * (t - 300)) for alpha in alphas]
        return ExpansionPoint(
            temperature=t, picoseconds=20.0, stopped=None, lindemann=0.05,
            volume=estimate(float(np.prod(lengths)) / 80, "Å³/atom"),
            lengths=[estimate(x, "Å") for x in lengths], bulk_modulus=estimate(50.0, "GPa"),
        )  # fmt: skip

    found = expansion_of([point(t) for t in sorted(temperatures)], [2, 2, 2], 80, 20.0)
    assert found.alpha_volume.unit == "1e-6/K"
    assert found.alpha_volume.value == pytest.approx(1e6 * sum(alphas), rel=1e-6, abs=1e-3)
    assert [one.value for one in found.alpha_axes] == pytest.approx(
        [1e6 * alpha for alpha in alphas], rel=1e-6, abs=1e-3
    )
    made = card("x", 1.0).model_copy(
        update={"expansion": ExpansionPart(status="done", result=found)}
    )
    units = {row.name: row.unit for row in quantities(made, "expansion")}
    assert units["thermal expansion of the volume"] == "1e-6/K"
    assert units["thermal expansion along axis 1"] == "1e-6/K"


@given(
    st.tuples(st.floats(1e-6, 1e-3), st.floats(1e-6, 1e-3)),
    st.tuples(st.integers(1, 64), st.integers(1, 64)),
    st.floats(100, 1e6),
)
@settings(max_examples=50, deadline=None)
def test_cost_is_in_seconds_core_seconds_and_atoms_a_gb(law, cores, bytes_an_atom):
    costs = [
        cost_of([s * n] * 5, n_atoms=n, name=name).model_copy(
            update={
                "peak_mb": (bytes_an_atom * n + 3e8) / 2**20,
                "cpu_seconds": s * n * c,
                "cpu_quartiles": (0.5 * s * n * c, 2 * s * n * c),
            }
        )
        for n in (1000, 2000, 4000)
        for name, s, c in zip(("model", "reference"), law, cores, strict=True)
    ]
    assert costs[0].seconds_per_step == pytest.approx(1000 * law[0])
    assert atoms_per_gb(costs)["model"] == pytest.approx(2**30 / bytes_an_atom)
    found = cpu_speed_ups(costs, ["model", "reference"])
    ratio = law[1] * cores[1] / (law[0] * cores[0])
    assert [one.ratio for one in found] == pytest.approx([ratio] * 3)
    assert found[0].quartiles == pytest.approx((ratio / 4, ratio * 4))
    assert [ratio for _, ratio in speed_ups(costs, ["model", "reference"])] == pytest.approx(
        [law[1] / law[0]] * 3
    )
    made = card("x", 1.0)
    made.cost.result = scaling(1.0).model_copy(update={"costs": costs, "speed_ups": found})
    rows = {row.name: row for row in quantities(made, "cost")}
    step = rows["step and atom, 4000 atoms"]
    assert (step.unit, float(step.value)) == ("µs", pytest.approx(1e6 * law[0], rel=0.05))
    peak = rows["peak memory, 4000 atoms"]
    assert (peak.unit, float(peak.value)) == ("MB", pytest.approx(costs[-1].peak_mb, rel=0.01))
