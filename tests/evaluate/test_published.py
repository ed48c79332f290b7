"""Equation of state, elastic tensor and phonons against what is published of two teachers.

Rock salt of Born and Mayer: rigid ions, a repulsion λ exp(-r/ρ) of nearest neighbours alone, with
ρ = 0.321 Å and 6 λ = 1.05e-8 erg of Kittel, Introduction to Solid State Physics, table of alkali
halides with the NaCl structure; it has r0 = 2.820 Å and B = 24.0 GPa. In closed form at rest:

- With Madelung's constant α = 1.747565 and u the energy of a pair of ions, u'(r0) = 0 and
  B = u''(r0)/(18 r0) (Born and Huang, Dynamical Theory of Crystal Lattices, chapter I).
- C12 = C44 (Cauchy) = (2.556 - 2α/3) e²/(4 r0⁴): Coulomb's sum of Kellermann, Phil. Trans. R. Soc.
  A 238, 513 (1940), and the repulsion's slope that keeps the cell at rest.
- ω_LO² - ω_TO² = e²/(ε0 μ v) and ω_LO² + 2 ω_TO² = 18 r0 B/μ, with the reduced mass μ and the
  volume v of a pair: Lorentz' field, and Szigeti's first relation (Born and Huang, chapter II).

Springs k between nearest neighbours on fcc: D(q) = 2k Σ sin²(q·R/2) R̂R̂ over twelve R (Ashcroft
and Mermin, Solid State Physics, chapter 22, problems), so m ω² = 8k and 4k at X, 8k and 2k at L.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones
from pymatgen.io.ase import AseAtomsAdaptor
from scipy import constants
from scipy.optimize import brentq

from ionloop.evaluate.born import read_born
from ionloop.evaluate.models import resolve_model
from ionloop.evaluate.phonons import PhononSettings, phonons
from ionloop.evaluate.static import StaticSettings, static_properties
from ionloop.units import GPA_EV_PER_A3

RHO = 0.321
LAMBDA = 1.05e-15 / constants.e / 6
ALPHA = 1.747565
#: e²/(4π ε0), eV Å.
E2 = constants.e / (4 * np.pi * constants.epsilon_0) * 1e10
#: Nearest distance at rest, Å.
R0 = brentq(lambda r: ALPHA * E2 / r**2 - 6 * LAMBDA / RHO * np.exp(-r / RHO), 2.5, 3.2)
#: Bulk modulus there, GPa.
BULK = (-2 * ALPHA * E2 / R0**3 + 6 * LAMBDA / RHO**2 * np.exp(-R0 / RHO)) / (18 * R0)
BULK /= GPA_EV_PER_A3


@pytest.fixture(scope="module")
def salt(tmp_path_factory):
    path = tmp_path_factory.mktemp("salt") / "salt.json"
    potential = {
        "species": {"Na": 1.0, "Cl": -1.0},
        "commands": [
            "pair_style hybrid/overlay coul/long 8.0 buck 3.5",
            "pair_coeff * * coul/long",
            f"pair_coeff 1 2 buck {LAMBDA!r} {RHO} 0.0",
            "kspace_style ewald 1.0e-8",
        ],
    }
    path.write_text(json.dumps(potential))
    return resolve_model([str(path)]).calculator()


@pytest.fixture(scope="module")
def found(salt):
    start = AseAtomsAdaptor.get_structure(bulk("NaCl", "rocksalt", a=5.7, cubic=True))
    return static_properties(start, salt, StaticSettings(fmax=1e-5, phonons=None))


def test_closed_forms_are_the_published_numbers():
    assert pytest.approx(2.820, rel=3e-3) == R0
    assert pytest.approx(24.0, rel=0.01) == BULK


def test_the_equation_of_state_is_that_of_born_and_mayer(found):
    assert found.lengths == pytest.approx((2 * R0,) * 3, rel=2e-4)
    assert found.bulk_modulus.value == pytest.approx(BULK, rel=3e-3)
    assert all(check.passed for check in found.checks)


def test_the_elastic_tensor_is_that_of_kellermann(found):
    shear = (2.556 - 2 * ALPHA / 3) * E2 / (4 * R0**4) / GPA_EV_PER_A3
    tensor = np.array(found.elastic)
    assert np.diag(tensor)[3:] == pytest.approx([shear] * 3, rel=2e-3)
    assert [tensor[0, 1], tensor[0, 2], tensor[1, 2]] == pytest.approx([shear] * 3, rel=2e-3)
    assert np.diag(tensor)[:3] == pytest.approx([3 * BULK - 2 * shear] * 3, rel=3e-3)
    assert found.bulk_vrh.value == pytest.approx(BULK, abs=2 * found.bulk_vrh.error)


def test_optical_phonons_are_those_of_born_and_huang(salt, tmp_path):
    one = np.eye(3).ravel()
    lines = ["default", *(" ".join(f"{charge * x:g}" for x in one) for charge in (1, 1, -1))]
    (tmp_path / "BORN").write_text("\n".join(lines) + "\n")
    primitive = AseAtomsAdaptor.get_structure(bulk("NaCl", "rocksalt", a=2 * R0))
    born = read_born(tmp_path / "BORN", primitive)
    modes = phonons(primitive, salt, PhononSettings(min_length=8.0), born)
    sodium, chlorine = (site.specie.atomic_mass for site in primitive)
    mass = sodium * chlorine / (sodium + chlorine) * constants.atomic_mass
    lorentz = constants.e**2 / (constants.epsilon_0 * mass * 2 * (R0 * 1e-10) ** 3)
    szigeti = 18 * R0 * 1e-10 * BULK * 1e9 / mass
    transverse = np.sqrt((szigeti - lorentz) / 3) / (2e12 * np.pi)
    longitudinal = np.sqrt((szigeti + 2 * lorentz) / 3) / (2e12 * np.pi)
    assert modes.polar.without_field == pytest.approx(
        [0] * 3 + [transverse] * 3, rel=3e-3, abs=0.01
    )
    for along in modes.polar.with_field:
        expected = [0] * 3 + [transverse] * 2 + [longitudinal]
        assert along == pytest.approx(expected, rel=3e-3, abs=0.01)
    assert modes.n_imaginary == 0


def test_phonons_of_springs_on_fcc_are_the_textbooks_at_x_and_l():
    sigma, epsilon, rest = 3.0, 0.01, 2 ** (1 / 6)
    spring = 36 * 2 ** (2 / 3) * epsilon / sigma**2
    calculator = LennardJones(sigma=sigma, epsilon=epsilon, rc=1.35 * sigma)
    primitive = AseAtomsAdaptor.get_structure(bulk("Cu", "fcc", a=np.sqrt(2) * rest * sigma))
    # Two cells along each axis hold Γ, three X and four L.
    found = phonons(primitive, calculator, PhononSettings(min_length=1.5 * rest * sigma))
    assert (found.supercell, found.n_q) == ([2, 2, 2], 8)
    unit = np.sqrt(spring * constants.e * 1e20 / (63.546 * constants.atomic_mass)) / (2e12 * np.pi)
    expected = {0.0: 3, np.sqrt(2) * unit: 4 * 2, 2 * unit: 3 * 2, np.sqrt(8) * unit: 3 + 4}
    edges, counts = np.array(found.frequencies), np.array(found.counts)
    middles, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    for frequency, n in expected.items():
        assert counts[np.abs(middles - frequency) < 1.01 * width].sum() == n
    assert counts.sum() == 24
    assert found.highest == pytest.approx(np.sqrt(8) * unit, rel=2e-3)
