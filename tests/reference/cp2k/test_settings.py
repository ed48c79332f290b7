"""What decides a CP2K label: what fits together, what the hash takes, and that CP2K does it.

The physics of each setting is shown by real CP2K on H2 in a box: forces and stress are the
derivatives of the energy, and each number says what was asked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from tiny_cp2k import COARSE, FINE, as_frame, compute, energies, h2, strained

from ionloop.reference.base import hash_settings
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.cp2k.inputs import IonicSetGenerator, shell_template
from ionloop.reference.cp2k.settings import Cp2kSettings, describe, kind_of
from ionloop.reference.cp2k.shell import shell_calculator

HOT = {"temperature": 20000.0, "added_mos": 6}


# --- what fits together ---


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stress": True}, "expected stress or smoothing, got both"),
        ({"multiplicity": 3}, "expected spin_polarized=True with multiplicity 3"),
        ({"k_mesh": (2, 0, 1)}, "expected a k_mesh of three positive numbers"),
        ({"k_mesh": (2, 1, 1), "spin_polarized": True}, "holds no moment at k-points"),
        (
            {"k_mesh": (2, 1, 1), "spin_polarized": True, "multiplicity": 2, "smearing": HOT},
            "holds no moment at k-points",
        ),
        ({"smearing": {"temperature": 300.0}}, "added_mos"),
        ({"functional": "HSE06"}, "PBEsol"),
    ],
)
def test_what_cannot_be_had_is_refused(wrong: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Cp2kSettings(**wrong)


def test_every_setting_is_in_the_hash() -> None:
    hashes = {
        hash_settings(describe(Cp2kSettings(**change)))
        for change in (
            {},
            {"smoothing": False},
            {"smoothing": False, "stress": True},
            {"functional": "PBEsol"},
            {"functional": "r2SCAN"},
            {"spin_polarized": True},
            {"spin_polarized": True, "multiplicity": 3},
            {"smearing": HOT},
            {"smearing": {**HOT, "added_mos": 7}},
            {"k_mesh": (2, 2, 2)},
            {"potential_family": "GTH-SCAN", "potential_file": "POTENTIAL_UZH"},
        )
    }
    assert len(hashes) == 11
    assert describe(Cp2kSettings(k_mesh=(1, 1, 1))) == describe(Cp2kSettings())


def test_stress_is_trained_on_where_it_is_computed() -> None:
    assert not Cp2kReference().has_stress
    assert Cp2kReference(dft=Cp2kSettings(stress=True, smoothing=False)).has_stress


def test_potentials_are_of_the_family() -> None:
    """CP2K has none of PBEsol but boron's; those of SCAN stand in another file."""
    assert kind_of("O", Cp2kSettings(functional="PBEsol")).potential == "GTH-PBE-q6"
    scan = Cp2kSettings(potential_family="GTH-SCAN", potential_file="POTENTIAL_UZH")
    assert kind_of("Cl", scan).potential == "GTH-SCAN-q7"


# --- derivatives of the energy ---

CHAIN = {"k_mesh": (2, 1, 1), "smearing": HOT, "spin_polarized": True}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"functional": "PBEsol"}, id="PBEsol"),
        pytest.param({"functional": "r2SCAN"}, id="r2SCAN", marks=pytest.mark.slow),
        pytest.param(
            {"spin_polarized": True, "multiplicity": 3}, id="triplet", marks=pytest.mark.slow
        ),
        pytest.param(CHAIN, id="k-points, smearing, spin"),
    ],
)
def test_forces_and_stress_are_the_energy_s_derivatives(change: dict, tmp_path: Path) -> None:
    """Central difference along a move of the atoms and a strain of all three edges.

    Sheared cells cost five times more: the shear is left to ASE's own reading below.
    """
    dft = Cp2kSettings(**FINE, **change, stress=True)
    way = np.array([[1.0, 0.3, 0.2], [-0.8, 0.1, -0.4]])
    strain = np.diag([0.08, 0.05, -0.03])
    geometries = []
    for sign in (1, -1):
        moved = h2()
        moved.positions += sign * 0.01 * way
        geometries.append(strained(moved, sign * 0.02 * strain))
    point = compute(h2(), tmp_path, dft)
    found = energies(geometries, tmp_path, dft.model_copy(update={"stress": False}))
    assert point.failure is None
    by_move = -0.01 * np.sum(np.array(point.forces) * way)
    by_strain = 0.02 * h2().get_volume() * np.sum(np.array(point.stress) * strain)
    assert min(abs(by_move), abs(by_strain)) > 3e-3
    assert by_move + by_strain == pytest.approx((found[0] - found[1]) / 2, rel=0, abs=5e-4)


def test_stress_has_ase_s_sign_and_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ASE's calculator takes the stress from ``cp2k_shell`` by itself."""
    dft = Cp2kSettings(**COARSE, stress=True)
    point = compute(h2(), tmp_path, dft)
    monkeypatch.chdir(tmp_path)
    template = shell_template(
        IonicSetGenerator(dft=dft).get_input_set(as_frame(h2()).to_structure()).cp2k_input
    )
    with shell_calculator(as_frame(h2()), dft, "shell") as shell:
        shell.parameters["inp"] = template.replace("STRESS_TENSOR ANALYTICAL", "")
        shell.parameters["stress_tensor"] = True
        stress = shell.get_stress(h2())
        assert shell.get_potential_energy(h2()) == pytest.approx(point.energy, rel=2e-7, abs=0)
    found = np.array(point.stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    np.testing.assert_allclose(found, stress, rtol=2e-5, atol=1e-8)
    assert np.abs(found).max() > 0.05


# --- each says what was asked ---


def test_no_stress_unless_asked(tmp_path: Path) -> None:
    assert compute(h2(), tmp_path, Cp2kSettings(**COARSE)).stress is None


def test_functionals_differ(tmp_path: Path) -> None:
    names = ("PBE", "PBEsol", "r2SCAN")
    found = [compute(h2(), tmp_path, Cp2kSettings(**COARSE, functional=f)).energy for f in names]
    assert np.diff(found)[0] > 0.3  # PBEsol binds H less
    assert np.diff(found)[1] < -0.3


def test_multiplicity_and_charge_are_the_cell_s(tmp_path: Path) -> None:
    """The triplet lies above the singlet; H2+ is a doublet without being told so."""
    spins = {"spin_polarized": True}
    singlet, triplet, cation = (
        compute(h2(), tmp_path, Cp2kSettings(**COARSE, **spins, **more), charge)
        for more, charge in (({}, 0), ({"multiplicity": 3}, 0), ({}, 1))
    )
    assert (singlet.magnetization, triplet.magnetization, cation.magnetization) == (0.0, 2.0, 1.0)
    assert (singlet.charge, triplet.charge, cation.charge) == (0.0, 0.0, 1.0)
    assert triplet.energy > singlet.energy + 5


def test_smearing_adds_the_electrons_entropy(tmp_path: Path) -> None:
    """A free moment decays where a fixed one stays."""
    cold, hot = (
        compute(h2(), tmp_path, Cp2kSettings(**COARSE, smearing={**HOT, "temperature": kelvin}))
        for kelvin in (1000.0, 40000.0)
    )
    assert hot.energy < cold.energy - 1
    spins = {"smearing": HOT, "spin_polarized": True}
    free, fixed = (
        compute(h2(), tmp_path, Cp2kSettings(**COARSE, **spins, multiplicity=m)) for m in (None, 3)
    )
    assert free.magnetization == pytest.approx(0.0, abs=0.1)
    assert fixed.magnetization == pytest.approx(2.0, abs=1e-3)


def test_k_points_of_a_cell_are_its_supercell_s_gamma_point(tmp_path: Path) -> None:
    """Three k-points along x are the three-fold cell, whose grid along x is another one."""
    small = h2()
    large = small.repeat((3, 1, 1))
    fine = {**COARSE, "cutoff": 200.0}
    gamma = compute(small, tmp_path, Cp2kSettings(**fine))
    mesh = compute(small, tmp_path, Cp2kSettings(**fine, k_mesh=(3, 1, 1)))
    threefold = compute(large, tmp_path, Cp2kSettings(**fine))
    assert mesh.energy == pytest.approx(threefold.energy / 3, rel=0, abs=5e-3)
    across = np.array(mesh.forces)[:, 1:] - np.array(threefold.forces)[:2, 1:]
    assert np.abs(across).max() < 2e-3
    assert abs(gamma.energy - mesh.energy) > 0.1


def test_molecular_dynamics_keeps_spin_smearing_and_k_points(tmp_path: Path, monkeypatch) -> None:
    """They are diagonalized: orbital transformation can't."""
    monkeypatch.chdir(tmp_path)
    reference = Cp2kReference(dft=Cp2kSettings(**COARSE, **CHAIN))
    options = {"temperature": 300, "n_steps": 2, "time_step": 0.5, "store_every": 1, "seed": 1}
    job = reference.md(as_frame(h2()), **options, group="a")
    trajectory = type(job.maker).make.original(job.maker, as_frame(h2()), "a")
    assert trajectory.stopped is None
    assert trajectory.n_frames == 3
