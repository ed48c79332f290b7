"""Real files, where IONLOOP_TEST_DATA has them: every number to the last bit."""

from __future__ import annotations

import gzip
import xml.etree.ElementTree as ET
from io import StringIO
from itertools import pairwise

import numpy as np
import pytest
from ase.io import read
from ase.units import GPa
from scipy import constants

from ionloop.label.imports import Terms, judge_readings
from ionloop.profile import Profile
from ionloop.reference.importers.deepmd import read_deepmd
from ionloop.reference.importers.vasp import read_vasprun
from ionloop.reference.importers.xdatcar import read_xdatcar
from ionloop.reference.importers.xyz import read_extxyz

VASP = ["na3ocl_vasp/vasprun0.xml.gz", "na3ocl_vasp/small.xml.gz"]


def table(element: ET.Element) -> np.ndarray:
    return np.array([row.text.split() for row in element], float)


@pytest.mark.parametrize("name", VASP)
def test_vasprun_to_the_last_bit(real, name):
    """Against the file's text, by another parser."""
    path = real(name)
    with gzip.open(path) as stream:
        calculations = ET.parse(stream).getroot().findall("calculation")
    steps = read_vasprun(path).steps
    assert len(steps) == len(calculations)
    kbar = 1e8 * 1e-30 / constants.e
    for step, calculation in zip(steps, calculations, strict=True):
        assert step.energy == float(calculation.find("energy/i[@name='e_fr_energy']").text)
        assert (step.forces == table(calculation.find("varray[@name='forces']"))).all()
        stress = table(calculation.find("varray[@name='stress']"))
        np.testing.assert_allclose(step.stress, -kbar * stress, rtol=3e-16)
        cell = table(calculation.find("structure/crystal/varray[@name='basis']"))
        assert (step.cell == cell).all()
        fractions = table(calculation.find("structure/varray[@name='positions']"))
        np.testing.assert_allclose(step.positions, fractions @ cell, atol=4e-15)


@pytest.mark.parametrize("name", VASP)
def test_vasprun_by_ase(real, name):
    """Forces and free energies alike; stress but for ASE's electron volt of 2014."""
    path = real(name)
    frames = read(path, index=":", format="vasp-xml")
    for step, atoms in zip(read_vasprun(path).steps, frames, strict=True):
        assert step.energy == pytest.approx(atoms.calc.results["free_energy"], abs=1e-9)
        np.testing.assert_array_equal(step.forces, atoms.calc.results["forces"])
        theirs = atoms.get_stress(voigt=False) / GPa * 1e9 * 1e-30 / constants.e
        upper = np.triu_indices(3)  # VASP's stress isn't quite symmetric, ASE's is
        np.testing.assert_allclose(step.stress[upper], theirs[upper], rtol=1e-12)


def test_forces_are_minus_the_energys_gradient(real):
    """Along a relaxation energies fall by force times way, but for the steps' curvature."""
    steps = read_vasprun(real(VASP[1])).steps
    changes, works = [], []
    for one, other in pairwise(steps):
        way = (other.positions - one.positions) @ np.linalg.inv(one.cell)
        way = (way - np.rint(way)) @ one.cell
        changes.append(other.energy - one.energy)
        works.append(-np.sum((one.forces + other.forces) / 2 * way))
    assert np.corrcoef(works, changes)[0, 1] > 0.98
    assert np.polyfit(changes, works, 1)[0] == pytest.approx(1.0, abs=0.15)


def test_settings_of_real_runs(real):
    settings = read_vasprun(real(VASP[0])).settings
    assert settings["functional"] == "PBEsol"
    assert settings["incar"]["ENCUT"] == 700
    assert settings["k_points"] == {"spacing": 0.22, "mesh": None, "shift": "none"}
    assert settings["potcars"]["Na"]["title"] == "PAW_PBE Na 08Apr2002"
    hubbard = read_vasprun(real(VASP[1])).settings
    assert (hubbard["hubbard"], hubbard["incar"]["LREAL"]) == ({"Ni": [2.0, 6.5, 0.0]}, "auto")


def test_one_of_two_real_runs_is_refused_by_its_keys(real):
    readings = [read_vasprun(real(name)) for name in reversed(VASP)]
    symbols = sorted({s for r in readings for step in r.steps for s in step.symbols})
    profile = Profile(name="x", mobile_ion="Na", formal_charges=dict.fromkeys(symbols, 0))
    imported = judge_readings(readings, Terms(profile))
    assert [bool(label.reasons) for label in imported.labels] == [False] * 95 + [True]
    (differing,) = imported.differing.values()
    assert [line.partition(":")[0] for line in differing] == [
        "k_points", "incar.ISPIN", "incar.LREAL", "incar.NUPDOWN", "incar.ROPT",
    ]  # fmt: skip


def test_lgps_to_the_last_bit_and_its_stress_is_minus_the_virial(real, tmp_path):
    """As ASE reads it, and the same through DeePMD's npy, which it came from."""
    path = real("lgps_pbe/lgps_50atom.extxyz.gz")
    steps = read_extxyz(path).steps
    with gzip.open(path, "rt") as stream:
        frames = read(StringIO(stream.read()), index=":", format="extxyz")
    assert len(steps) == len(frames) == 2060
    assert sum(step.stress is None for step in steps) == 590
    for step, atoms in zip(steps, frames, strict=True):
        assert step.energy == atoms.get_potential_energy()
        assert (step.forces == atoms.get_forces()).all()
        if step.stress is not None:
            assert (step.stress == atoms.get_stress(voigt=False)).all()
    kept = [step for step in steps if step.stress is not None][::50]
    names = sorted(set(kept[0].symbols))
    part = tmp_path / "set.000"
    part.mkdir()
    arrays = {
        "coord": [s.positions.ravel() for s in kept],
        "box": [s.cell.ravel() for s in kept],
        "energy": [s.energy for s in kept],
        "force": [s.forces.ravel() for s in kept],
        "virial": [-(s.stress * abs(np.linalg.det(s.cell))).ravel() for s in kept],
    }
    for name, array in arrays.items():
        np.save(part / f"{name}.npy", np.array(array))
    (tmp_path / "type.raw").write_text("\n".join(str(names.index(s)) for s in kept[0].symbols))
    (tmp_path / "type_map.raw").write_text("\n".join(names))
    for one, other in zip(read_deepmd(tmp_path).steps, kept, strict=True):
        assert (one.symbols, one.energy) == (other.symbols, other.energy)
        assert (one.forces == other.forces).all()
        np.testing.assert_allclose(one.stress, other.stress, rtol=4e-16)


def test_xdatcar_has_positions_only(real):
    steps = read_xdatcar(real("argyrodite_aimd/Li6PS5Cl_0p_run1.XDATCAR.gz")).steps
    assert len(steps) == 140
    assert all(len(s.symbols) == 416 and s.forces is None for s in steps)
