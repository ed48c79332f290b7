"""Static properties against closed forms, and against published labels of Li3N."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from ionloop.errors import EvaluationError
from ionloop.evaluate.elastic import combine
from ionloop.evaluate.models import resolve_model
from ionloop.evaluate.phonons import PhononSettings
from ionloop.evaluate.static import StaticSettings, static_properties
from ionloop.units import GPA_EV_PER_A3

ROOT = Path(__file__).resolve().parents[2]
SIGMA, EPSILON = 3.0, 0.01
#: Between the first and the second shell: nearest neighbours alone.
NEAREST = LennardJones(sigma=SIGMA, epsilon=EPSILON, rc=1.35 * SIGMA)


def crystal(symbol, lattice, a, *, cubic=True):
    return AseAtomsAdaptor.get_structure(bulk(symbol, lattice, a=a, cubic=cubic))


@pytest.fixture(scope="module")
def fcc():
    start = crystal("Cu", "fcc", 4.80)
    settings = StaticSettings(fmax=1e-5, phonons=PhononSettings(min_length=9.0))
    return static_properties(start, NEAREST, settings)


def test_nearest_neighbours_on_fcc_have_closed_forms(fcc):
    # Central forces between nearest neighbours, spring k = 36 · 2^(2/3) ε/σ² (Born and Huang,
    # Dynamical Theory of Crystal Lattices): C11 = 2k/a, C12 = C44 = k/a, B = 4k/3a.
    a = np.sqrt(2) * 2 ** (1 / 6) * SIGMA
    k = 36 * 2 ** (2 / 3) * EPSILON / SIGMA**2
    unit = k / a / GPA_EV_PER_A3
    assert fcc.lengths == pytest.approx((a, a, a), rel=1e-3)
    tensor = np.array(fcc.elastic)
    assert np.diag(tensor) == pytest.approx(np.array([2, 2, 2, 1, 1, 1]) * unit, rel=0.01)
    assert tensor[0, 1:3] == pytest.approx([unit, unit], rel=5e-3)
    assert fcc.bulk_modulus.value == pytest.approx(4 / 3 * unit, rel=5e-3)
    assert fcc.bulk_vrh.value == pytest.approx(4 / 3 * unit, rel=5e-3)
    assert fcc.bulk_modulus.admissible
    assert fcc.bulk_vrh.admissible
    assert all(check.passed for check in fcc.checks)
    assert fcc.density == pytest.approx(63.546 / (a**3 / 4) / 0.602214, rel=3e-3)


def test_errors_of_moduli_hold_the_closed_form_and_are_small(fcc):
    a = np.sqrt(2) * 2 ** (1 / 6) * SIGMA
    k = 36 * 2 ** (2 / 3) * EPSILON / SIGMA**2
    truth = 4 / 3 * k / a / GPA_EV_PER_A3
    low, high = fcc.bulk_modulus.interval
    assert low < truth < high
    assert 0 < fcc.bulk_modulus.error < 0.02 * truth
    # The two halves of the strains differ by what is anharmonic, which the fit through all has too.
    assert 0 < fcc.bulk_vrh.error < 0.02 * truth
    assert fcc.bulk_vrh.value == pytest.approx(truth, abs=3 * fcc.bulk_vrh.error)


def test_two_strains_of_a_kind_have_no_error_and_are_refused():
    with pytest.raises(EvaluationError, match="4 or more strains of each kind, got 2 and 4"):
        StaticSettings(normal_strains=(-0.005, 0.005))


@pytest.mark.parametrize("strains", [(-0.005, 0.0025, 0.005, 0.0075), (0.005, -0.005) * 2])
def test_strains_without_their_opposites_or_of_one_size_are_refused(strains):
    with pytest.raises(EvaluationError, match="unlike strains, each with its opposite"):
        StaticSettings(shear_strains=strains)


def slopes(tensor, cubic, strains):
    """What a least-squares line through these strains finds of σ = C ε + c ε³, [6, 6]."""
    e = np.array([0.0, *strains])
    return np.array([[np.polyfit(e, c * e + d * e**3, 1)[0] for c, d in zip(*rows, strict=True)]
                     for rows in zip(tensor, cubic, strict=True)])  # fmt: skip


sizes = st.lists(st.floats(1e-3, 3e-2), min_size=2, max_size=4, unique_by=lambda e: round(e, 4))


@given(normal=sizes, shear=sizes, seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_fit_through_all_strains_and_its_limit_hold_for_any_ratio_of_strains(
    normal, shear, seed
):
    rng = np.random.default_rng(seed)
    tensor, cubic = rng.normal(scale=50, size=(6, 6)), rng.normal(scale=1e4, size=(6, 6))
    kinds = [sorted([-e for e in half] + half, key=abs) for half in (normal, shear)]

    def fitted(pick):
        return np.concatenate([
            slopes(tensor[rows], cubic[rows], pick(kind))
            for rows, kind in zip((slice(3), slice(3, 6)), kinds, strict=True)
        ])  # fmt: skip

    n = [2 * (len(kind) // 4) for kind in kinds]
    cut = dict(zip(map(tuple, kinds), n, strict=True))
    inner, outer = (fitted(lambda k, i=i: (k[: cut[tuple(k)]], k[cut[tuple(k)] :])[i])
                    for i in (0, 1))  # fmt: skip
    fit, limit = combine(inner, outer, *kinds)
    assert fit == pytest.approx(fitted(lambda kind: kind), rel=1e-6, abs=1e-6)
    assert limit == pytest.approx(tensor, rel=1e-5, abs=1e-4)


def test_strains_of_unlike_ratios_have_errors_that_hold_the_closed_form():
    a = np.sqrt(2) * 2 ** (1 / 6) * SIGMA
    unit = 36 * 2 ** (2 / 3) * EPSILON / SIGMA**2 / a / GPA_EV_PER_A3
    start = crystal("Cu", "fcc", a)
    unlike = StaticSettings(
        fmax=1e-5, phonons=None, normal_strains=(-0.01, -0.002, 0.002, 0.01),
        shear_strains=(-0.0125, -0.01, 0.01, 0.0125),
    )  # fmt: skip
    found = static_properties(start, NEAREST, unlike)
    # Hill's means of C11 = 2k/a, C12 = C44 = k/a.
    bulk_modulus, shear = 4 / 3 * unit, (4 / 5 + 5 / 7) / 2 * unit
    assert found.bulk_vrh.error == pytest.approx(abs(found.bulk_vrh.value - bulk_modulus), rel=0.1)
    assert found.shear_vrh.error == pytest.approx(abs(found.shear_vrh.value - shear), rel=0.1)


def test_the_highest_phonon_is_the_closed_form_at_x(fcc):
    # Longitudinal at X: m ω² = 8 k; 1 eV/Å²/u = 9648.53 (rad/ps)².
    k = 36 * 2 ** (2 / 3) * EPSILON / SIGMA**2
    highest = np.sqrt(8 * k / 63.546 * 9648.53) / (2 * np.pi)
    assert fcc.phonons.supercell == [2, 2, 2]
    assert fcc.phonons.n_q == 8
    assert fcc.phonons.highest == pytest.approx(highest, rel=5e-3)
    assert fcc.phonons.lowest == pytest.approx(0, abs=1e-3)
    assert fcc.phonons.n_imaginary == 0
    assert sum(fcc.phonons.counts) == fcc.phonons.n_modes == 8 * 4 * 3


def test_copper_of_effective_medium_theory():
    # B0 = -E0 λ²/(12 π s0) and a = (16 π/3)^(1/3) s0 follow from its reference system (Jacobsen,
    # Stoltze and Norskov, Surf. Sci. 366, 394 (1996)); ASE's cut-off moves both by per cents.
    bohr, e0, s0, eta = 0.529177, -3.51, 2.67, 1.906
    found = static_properties(crystal("Cu", "fcc", 3.6), EMT(), StaticSettings(phonons=None))
    assert found.lengths[0] == pytest.approx((16 * np.pi / 3) ** (1 / 3) * s0 * bohr, rel=0.02)
    bulk_modulus = -e0 * eta**2 / (12 * np.pi * s0) / bohr**3 / GPA_EV_PER_A3
    assert found.bulk_modulus.value == pytest.approx(bulk_modulus, rel=0.05)
    assert found.phonons is None


def test_an_unstable_crystal_is_told():
    # Simple cubic of a pair potential has no shear strength.
    calculator = LennardJones(sigma=SIGMA, epsilon=EPSILON, rc=2.5 * SIGMA)
    start = crystal("Cu", "sc", 3.1)
    settings = StaticSettings(phonons=PhononSettings(min_length=6.0, tolerance=0.05))
    found = static_properties(start, calculator, settings)
    checks = {check.name: check.passed for check in found.checks}
    assert not checks["elastically stable"]
    assert not found.shear_vrh.admissible
    assert "lowest eigenvalue" in found.shear_vrh.reason
    assert found.phonons.n_imaginary > 0
    assert found.phonons.lowest < -0.05
    assert "no minimum of the model" in found.phonons.meaning


class Forceful(Calculator):
    """Forces without a stress."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=None):
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def test_what_cannot_be_relaxed_is_refused_in_words():
    start = crystal("Cu", "fcc", 4.5)
    with pytest.raises(EvaluationError, match="calculator with stress"):
        static_properties(start, Forceful(), StaticSettings())
    with pytest.raises(EvaluationError, match=r"didn't relax in 1 steps: .* stress"):
        static_properties(start, NEAREST, StaticSettings(steps_max=1))


class Sloping(LennardJones):
    """Energies that forces and stress don't belong to: no minimum among the volumes."""

    def calculate(self, atoms=None, properties=None, system_changes=()):
        super().calculate(atoms, properties or ["energy"], system_changes)
        self.results["energy"] += 10 * atoms.get_volume()


def test_energies_without_a_minimum_give_no_bulk_modulus_and_leave_the_rest():
    calculator = Sloping(sigma=SIGMA, epsilon=EPSILON, rc=1.35 * SIGMA)
    settings = StaticSettings(phonons=None)
    found = static_properties(crystal("Cu", "fcc", 4.762), calculator, settings)
    assert found.bulk_modulus.value is None
    assert "minimum volume" in found.bulk_modulus.reason
    assert found.bulk_vrh.value > 0


def test_esnap_of_li3n_has_its_published_lattice_and_stiffness(tmp_path):
    folder = Path(os.environ.get("IONLOOP_TEST_DATA", ROOT.parent / "shared" / "data"))
    folder = folder / "li3n_esnap"
    if not (folder / "p.snapparam").exists():
        pytest.skip(f"no eSNAP in {folder}; IONLOOP_TEST_DATA names the folder of real data")
    for name in ("p.snapparam", "Li3N.snapcoeff"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    potential = {
        "species": {"Li": 0.239, "N": -0.717},
        "commands": [
            "pair_style hybrid/overlay coul/long 10.0 snap",
            "pair_coeff * * coul/long",
            "pair_coeff * * snap Li3N.snapcoeff p.snapparam Li N",
            "kspace_style ewald 1.0e-5",
        ],
        "files": ["Li3N.snapcoeff", "p.snapparam"],
    }
    (tmp_path / "esnap.json").write_text(json.dumps(potential))
    labels = json.loads((folder / "Elastic.json").read_text())
    start = Structure.from_dict(labels[4]["structure"])
    calculator = resolve_model([str(tmp_path / "esnap.json")]).calculator()
    found = static_properties(start, calculator, StaticSettings(phonons=None))
    # Deng et al., npj Comput. Mater. 5, 75 (2019), fitted to a = 3.64, c = 3.87 Å.
    assert found.lengths == pytest.approx((3.641, 3.641, 3.872), abs=0.003)
    # C33 of the published DFT labels: no ion moves when c does.
    along_c = [x for x in labels if "mode3" in x["tags"]]
    strain = [x["notes"]["strain"] for x in along_c]
    stress = [-0.1 * x["outputs"]["stress"][2] for x in along_c]
    c33 = np.polyfit(strain, stress, 1)[0]
    assert found.elastic[2][2] == pytest.approx(c33, rel=0.05)
