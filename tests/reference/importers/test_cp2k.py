"""CP2K's files: real CP2K on eight atoms of LiCl, and older and newer outputs' words.

A missing CP2K fails these tests, it never skips them: ``apt-get install cp2k``.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy import constants

from ionloop.errors import ImportLabelsError
from ionloop.frame import Frame, Origin
from ionloop.label.extxyz import write_extxyz
from ionloop.label.imports import Terms, judge_readings
from ionloop.profile import Profile
from ionloop.reference.base import hash_settings
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.cp2k.fixes import quiet_command
from ionloop.reference.cp2k.inputs import IonicMdSetGenerator, IonicSetGenerator
from ionloop.reference.cp2k.md import Cp2kMdMaker
from ionloop.reference.cp2k.settings import Cp2kSettings, MdSettings, Smearing
from ionloop.reference.importers.compare import Stated, compare, merge
from ionloop.reference.importers.cp2k import SMOOTHED, read_cp2k
from ionloop.reference.importers.cp2k_input import (
    Cp2kInputFile,
    cell_of,
    coordinates_of,
)
from ionloop.reference.importers.cp2k_output import evaluations
from ionloop.reference.importers.cp2k_settings import settings_of
from ionloop.reference.importers.sources import find_sources
from ionloop.settings import get_settings
from ionloop.units import HARTREE_EV, HARTREE_PER_BOHR_EV_PER_ANGSTROM

BAR = 1e5 * 1e-30 / constants.e

INPUT = """@SET A 4.9
&GLOBAL
  PROJECT salt
  RUN_TYPE {run_type}
  PRINT_LEVEL LOW
&END GLOBAL
&FORCE_EVAL
  METHOD QS
  STRESS_TENSOR ANALYTICAL
  &DFT
    BASIS_SET_FILE_NAME BASIS_MOLOPT
    POTENTIAL_FILE_NAME GTH_POTENTIALS
    CHARGE 0
    &QS
      EPS_DEFAULT 1e-08
    &END QS
    &MGRID
      CUTOFF 120
      REL_CUTOFF 30
    &END MGRID
    &SCF
      MAX_SCF {max_scf}
      EPS_SCF 1e-04
      &DIAGONALIZATION
      &END DIAGONALIZATION
      &MIXING
        METHOD BROYDEN_MIXING
        ALPHA 0.4
      &END MIXING
    &END SCF
    &XC
      &XC_FUNCTIONAL PBE
      &END XC_FUNCTIONAL
    &END XC
  &END DFT
  &PRINT
    &FORCES ON
    &END FORCES
    &STRESS_TENSOR ON
    &END STRESS_TENSOR
  &END PRINT
  &SUBSYS
    &CELL
      ABC $A ${{A}} $A
    &END CELL
    &COORD
{rows}    &END COORD
    &KIND Li
      BASIS_SET SZV-MOLOPT-SR-GTH
      POTENTIAL GTH-PBE-q3
    &END KIND
    &KIND Cl
      BASIS_SET ORB SZV-MOLOPT-SR-GTH-q7
      POTENTIAL GTH-PBE-q7
    &END KIND
  &END SUBSYS
&END FORCE_EVAL
"""
MOTION = """&MOTION
  &MD
    ENSEMBLE NVE
    STEPS 1
    TIMESTEP 2.0
    TEMPERATURE 600
  &END MD
  &PRINT
    &FORCES
    &END FORCES
    &STRESS
    &END STRESS
  &END PRINT
&END MOTION
"""


def salt():
    """Rattled LiCl, compressed, elements mixed in order."""
    atoms = bulk("LiCl", "rocksalt", a=4.9, cubic=True)
    atoms.rattle(0.05, seed=1)
    return atoms


def hydrogen() -> Atoms:
    """H2 in a small box: an element whose basis has several names."""
    return Atoms("H2", [[0.1, 0.2, 0.3], [1.0, 0.4, 0.35]], cell=(3.0, 3.2, 3.4), pbc=True)


def as_frame(atoms: Atoms) -> Frame:
    return Frame.from_atoms(atoms, origin=Origin.RATTLE, group="test")


def run(folder: Path, *, md: bool = True, max_scf: int = 50, xc: str = "") -> Path:
    rows = "".join(f"{a.symbol} {float(a.x)} {float(a.y)} {float(a.z)}\n" for a in salt())
    text = INPUT.format(run_type="MD" if md else "ENERGY_FORCE", max_scf=max_scf, rows=rows)
    text = text.replace("      &XC_FUNCTIONAL", f"{xc}\n      &XC_FUNCTIONAL")
    (folder / "salt.inp").write_text(text + MOTION * md)
    command = [*quiet_command(get_settings().cp2k_cmd).split(), "-i", "salt.inp", "-o", "salt.out"]
    subprocess.run(command, cwd=folder, check=False, capture_output=True)
    return folder / "salt.out"


@pytest.fixture(scope="module")
def dynamics(tmp_path_factory) -> Path:
    """A step of molecular dynamics."""
    return run(tmp_path_factory.mktemp("md"))


@pytest.fixture
def copied(dynamics, tmp_path) -> Path:
    """The run's folder, to break."""
    shutil.copytree(dynamics.parent, tmp_path / "run")
    return tmp_path / "run" / "salt.out"


def test_molecular_dynamics_is_exact(dynamics):
    reading = read_cp2k(dynamics)
    output = dynamics.read_text()
    energies = re.findall(r"ENERGY\| Total.*\s(-\S+)\n", output)
    assert len(energies) == len(reading.steps) == 2
    assert [s.energy for s in reading.steps] == [float(e) * HARTREE_EV for e in energies]
    lines = (dynamics.parent / "salt-frc-1.xyz").read_text().splitlines()
    rows = np.array([line.split()[1:] for line in lines[12:20]], float)
    assert (reading.steps[1].forces == rows * HARTREE_PER_BOHR_EV_PER_ANGSTROM).all()
    atoms = salt()
    assert reading.steps[0].symbols == atoms.get_chemical_symbols()
    np.testing.assert_allclose(reading.steps[0].positions, atoms.positions, atol=1e-10)
    np.testing.assert_allclose(reading.steps[0].cell, 4.9 * np.eye(3), rtol=1e-15)
    assert all(s.converged and s.n_scf > 1 for s in reading.steps)
    assert (reading.charge, reading.temperature) == (0, 600.0)
    assert reading.engine == f"cp2k {Cp2kReference().dft.version}"


def test_stress_is_of_the_electrons_alone_and_negative_under_pressure(dynamics):
    """``*-1.stress`` has the moving atoms' part too: 8 atoms at 600 K in 118 Å³ add 0.5 GPa."""
    step = read_cp2k(dynamics).steps[0]
    gpa = re.search(r"STRESS\|      x\s+(\S+)", dynamics.read_text())[1]
    assert step.stress[0, 0] == -float(gpa) * 1e4 * BAR
    assert np.trace(step.stress) < 0
    words = (dynamics.parent / "salt-1.stress").read_text().splitlines()[1].split()[2:]
    with_atoms = -np.array(words, float).reshape(3, 3) * BAR
    kinetic = 7 * constants.k * 600 / constants.e / np.linalg.det(step.cell)  # 21 degrees
    assert np.trace(step.stress - with_atoms) / 3 == pytest.approx(kinetic, rel=1e-3)


def test_input_and_restart_state_the_same_settings(dynamics):
    given, restart = (
        Cp2kInputFile.read(dynamics.parent / name) for name in ("salt.inp", "salt-1.restart")
    )
    found = settings_of(given, "2023.1")
    assert found == settings_of(restart, "2023.1")
    assert (found["cutoff"], found["n_grids"], found["functional"]) == (120.0, 4, "PBE")
    assert found["kinds"]["Cl"] == {"basis": "SZV-MOLOPT-SR-GTH-q7", "potential": "GTH-PBE-q7"}
    np.testing.assert_allclose(cell_of(restart), cell_of(given), rtol=1e-15)
    symbols, positions = coordinates_of(given, cell_of(given))
    assert symbols == salt().get_chemical_symbols()
    np.testing.assert_allclose(positions, salt().positions, rtol=1e-15)


def test_a_single_calculation_takes_its_structure_from_the_input(copied):
    folder = copied.parent
    for file in folder.glob("salt-*"):
        file.unlink()
    with pytest.raises(ImportLabelsError, match=r"2 evaluations, and no \*-pos-1\.xyz"):
        read_cp2k(copied)
    text = copied.read_text()
    at = [m.start() for m in re.finditer("ENERGY. Total", text)]
    copied.write_text(text[: at[1]])
    step = read_cp2k(copied).steps[0]
    rows = re.search(r"ATOMIC FORCES in \[a\.u\.\].*?\n\n.*?\n((?:.*\n){8})", text)[1]
    printed = np.array([row.split()[3:] for row in rows.splitlines()], float)
    assert (step.forces == printed * HARTREE_PER_BOHR_EV_PER_ANGSTROM).all()
    assert step.stress is not None
    (folder / "salt.inp").unlink()
    with pytest.raises(ImportLabelsError, match=r"expected salt\.inp or salt-1\.restart beside it"):
        read_cp2k(copied)


def test_an_scf_that_gave_up_isnt_converged(tmp_path):
    step = read_cp2k(run(tmp_path, md=False, max_scf=2)).steps[0]
    assert not step.converged
    assert step.energy is not None


def test_a_frame_of_another_run_is_no_label(copied):
    path = copied.parent / "salt-pos-1.xyz"
    path.write_text(re.sub(r"E = +(-\d+\.\d{6})", r"E = \g<1>9", path.read_text(), count=1))
    first, second = read_cp2k(copied).steps
    assert first.failure == "no evaluation of this energy in the output"
    assert (second.failure, second.converged) == (None, True)


def test_a_cell_that_moves_must_be_written_down(copied):
    given = copied.parent / "salt.inp"
    given.write_text(given.read_text().replace("ENSEMBLE NVE", "ENSEMBLE NPT_I"))
    with pytest.raises(ImportLabelsError, match=r"expected salt-1\.cell beside it"):
        read_cp2k(copied)
    rows = "".join(f"{i} 0.0 {5.0 + i} 0 0 0 5 0 0 0 5 125\n" for i in range(2))
    (copied.parent / "salt-1.cell").write_text(f"# Step\n{rows}")
    assert [s.cell[0, 0] for s in read_cp2k(copied).steps] == [5.0, 6.0]


def test_a_label_of_our_own_reference_has_its_settings(tmp_path):
    """All that an input states; what it can't state is unproven, and nothing differs."""
    expected = Cp2kReference().settings
    stated = {
        **{k: expected[k] for k in ("code", "version", "functional", "cutoff", "rel_cutoff")},
        **{k: expected[k] for k in ("n_grids", "eps_default", "eps_scf", "smoothing")},
        "spin_polarized": False,
        "solver": "diagonalization",
        "kinds": {
            "Li": {"basis": "DZVP-ION-GTH-q3", "potential": "GTH-PBE-q3"},
            "Cl": {"basis": "DZVP-MOLOPT-SR-GTH-q7", "potential": "GTH-PBE-q7"},
        },
    }
    found = compare(expected, Stated(stated))
    assert found.differing == []
    assert all(key.startswith(("data_files", "potential_file")) for key in found.unproven)
    assert compare(expected, Stated({**stated, "cutoff": 400.0})).differing == [
        "cutoff: expected 300.0, got 400.0"
    ]
    stated["kinds"]["Cl"]["basis"] = "TZVP-MOLOPT-SR-GTH-q7"
    assert "kinds.Cl.basis" in compare(expected, Stated(stated)).differing[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stress": True, "smoothing": False, "functional": "r2SCAN"},
        {"smearing": Smearing(temperature=300, added_mos=4), "k_mesh": (2, 2, 2)},
        {
            "smearing": Smearing(temperature=300, added_mos=4),
            "spin_polarized": True,
            "multiplicity": 3,
            "functional": "PBEsol",
        },
    ],
)
@pytest.mark.parametrize("atoms", [salt(), hydrogen()])
def test_our_own_inputs_have_our_own_settings_and_hash(tmp_path, changes, atoms):
    reference = Cp2kReference(dft=Cp2kSettings(**changes))
    structure = as_frame(atoms).to_structure()
    asked = IonicSetGenerator(dft=reference.dft).get_input_set(structure)
    (tmp_path / "cp2k.inp").write_text(str(asked.cp2k_input))
    stated = settings_of(Cp2kInputFile.read(tmp_path / "cp2k.inp"), "2023.1")
    found = compare(reference.settings, Stated(stated))
    assert (found.differing, "input" in stated) == ([], False)
    assert all(key.startswith(("data_files", "potential_file")) for key in found.unproven)
    assert hash_settings(merge(reference.settings, stated)) == reference.settings_hash


DFT, SUBSYS = "FORCE_EVAL/DFT", "FORCE_EVAL/SUBSYS"


def changed(folder: Path, before: str, lines: str) -> dict:
    """Settings of the input with lines put in before one."""
    text = INPUT.format(run_type="MD", max_scf=9, rows="Li 0 0 0\nCl 2 2 2\n") + MOTION
    assert before in text
    (folder / "salt.inp").write_text(text.replace(before, f"{lines}\n{before}", 1))
    return settings_of(Cp2kInputFile.read(folder / "salt.inp"), "2023.1")


@pytest.mark.parametrize(
    ("before", "lines", "key"),
    [
        ("    &QS", "&EFIELD\nINTENSITY 1e9\n&END", f"{DFT}/EFIELD"),
        ("    &QS", "&POISSON\nPERIODIC XY\n&END", f"{DFT}/POISSON/PERIODIC"),
        ("    &QS", "&PERIODIC_EFIELD\n&END", f"{DFT}/PERIODIC_EFIELD"),
        ("    &QS", "SURFACE_DIPOLE_CORRECTION T", f"{DFT}/SURFACE_DIPOLE_CORRECTION"),
        ("    &QS", "ROKS", f"{DFT}/ROKS"),
        ("    &QS", "&NEW_THING\n&END", f"{DFT}/NEW_THING"),
        ("      EPS_DEFAULT", "LS_SCF", f"{DFT}/QS/LS_SCF"),
        ("      CUTOFF", "MULTIGRID_SET", f"{DFT}/MGRID/MULTIGRID_SET"),
        ("      MAX_SCF", "&MOM\n&END", f"{DFT}/SCF/MOM"),
        ("      MAX_SCF", "&OUTER_SCF\nTYPE CDFT\n&END", f"{DFT}/SCF/OUTER_SCF/TYPE"),
        ("      &XC_FUNCTIONAL", "DENSITY_CUTOFF 1e-6", f"{DFT}/XC/DENSITY_CUTOFF"),
        ("      BASIS_SET S", "&DFT_PLUS_U\nL 2\n&END", f"{SUBSYS}/KIND Li/DFT_PLUS_U/L"),
        ("      BASIS_SET S", "BASIS_SET AUX_FIT x", f"{SUBSYS}/KIND Li/BASIS_SET"),
        ("      BASIS_SET S", "GHOST", f"{SUBSYS}/KIND Li/GHOST"),
        ("      BASIS_SET S", "&POTENTIAL\n1 2\n&END", f"{SUBSYS}/KIND Li/POTENTIAL/1"),
        ("      ABC", "PERIODIC XY", f"{SUBSYS}/CELL/PERIODIC"),
        ("  &SUBSYS", "&RESCALE_FORCES\n&END", "FORCE_EVAL/RESCALE_FORCES"),
        ("  &MD", "&CONSTRAINT\n&FIXED_ATOMS\n&END\n&END", "MOTION/CONSTRAINT/FIXED_ATOMS"),
    ],
)
def test_a_line_of_the_input_that_nobody_knows_is_a_setting(tmp_path, before, lines, key):
    plain, found = (changed(tmp_path, before, text) for text in ("", lines))
    assert key in found["input"]
    assert "input" not in plain
    told = compare(plain, Stated(found)).differing
    assert any(line.startswith(f"input.{key}: expected nothing, got ") for line in told)


@pytest.mark.parametrize(
    ("before", "lines", "key"),
    [
        ("      &XC_FUNCTIONAL", "&VDW_POTENTIAL\n&END", "vdw"),
        ("      &XC_FUNCTIONAL", "&HF\n&END", "hybrid"),
        ("      MAX_SCF", "&OT\n&END", "solver"),
    ],
)
def test_a_section_that_has_a_key_of_its_own_differs(tmp_path, before, lines, key):
    plain, found = (changed(tmp_path, before, text) for text in ("", lines))
    assert found[key] != plain.get(key)
    assert [line.partition(":")[0] for line in compare(plain, Stated(found)).differing] == [key]


@pytest.mark.parametrize(
    ("before", "lines"),
    [
        ("      MAX_SCF", "MAX_DIIS 9\n&OT OFF\n&END\n&OUTER_SCF\nMAX_SCF 9\n&END"),
        ("      EPS_DEFAULT", "METHOD GPW\nEXTRAPOLATION ASPC"),
        ("    &QS", "&POISSON\nPERIODIC XYZ\n&END\n&PRINT\n&MO\n&END\n&END"),
        ("      ABC", "PERIODIC xyz"),
        ("      BASIS_SET S", "MASS 6.0\nMAGNETIZATION 1"),
        ("  &MD", "&GEO_OPT\n&END"),
    ],
)
def test_a_line_of_the_input_that_decides_no_label_is_none(tmp_path, before, lines):
    plain, found = (changed(tmp_path, before, text) for text in ("", lines))
    assert found == plain


def test_molecular_dynamics_of_a_campaign_is_refused_by_its_solver(tmp_path, monkeypatch):
    """It runs with other electronics than labels, also where somebody vouches for it."""
    monkeypatch.chdir(tmp_path)
    reference = Cp2kReference(dft=Cp2kSettings(cutoff=120, rel_cutoff=30, smoothing=False))
    frame = as_frame(hydrogen())
    run = MdSettings(temperature=300.0, n_steps=2, time_step=0.5, store_every=1, seed=1)
    generator = IonicMdSetGenerator(dft=reference.dft, md=asdict(run))
    Cp2kMdMaker.make.original(Cp2kMdMaker(input_set_generator=generator), frame, "run")
    found = [source.read() for source in find_sources(list(tmp_path.glob("cp2k_md_*")))]
    assert sum(len(reading.steps) for reading in found) >= 2
    profile = Profile(name="H", mobile_ion="H", formal_charges={"H": 0})
    terms = Terms(profile, reference.settings, trust=True)
    told = "solver: expected diagonalization, Broyden mixing, got orbital transformation"
    for label in judge_readings(found, terms).labels:
        assert f"other settings: {told}" in label.reasons


def test_a_smoothed_densitys_stress_is_dropped_and_said(tmp_path):
    """Analytical, and wrong by GPa; the default reference's settings are the same."""
    smooth = "&XC_GRID\nXC_SMOOTH_RHO NN10\nXC_DERIV SPLINE2_SMOOTH\n&END"
    reading = read_cp2k(run(tmp_path, md=False, xc=smooth))
    assert "STRESS| Analytical stress tensor" in (tmp_path / "salt.out").read_text()
    assert [step.stress for step in reading.steps] == [None]
    assert reading.steps[0].forces is not None
    assert reading.skipped == {SMOOTHED: 1}
    profile = Profile(name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1})
    imported = judge_readings([reading], Terms(profile))
    assert imported.skipped == {SMOOTHED: 1}
    assert write_extxyz(imported.labels, tmp_path / "labels.extxyz") == 1
    assert "stress" not in (tmp_path / "labels.extxyz").read_text().replace("stress_weight", "")


NEW = """ ENERGY| Total FORCE_EVAL ( QS ) energy [hartree]        -7.364190264587725

 FORCES| Atomic forces [hartree/bohr]
 FORCES|   Atom     x               y               z               |f|
 FORCES|      1 -5.73440344E-02  2.95274914E-02 -1.50988167E-02  6.62433792E-02
 FORCES|      2  7.92269287E-02  3.84670665E-02 -3.41478833E-02  9.44600412E-02
 FORCES| Sum     2.1E-02  6.7E-02 -4.9E-02  8.6E-02

 STRESS| Analytical stress tensor [bar]
 STRESS|                        x                   y                   z
 STRESS|      x        1.00000000000E+03   2.00000000000E+02   0.00000000000E+00
 STRESS|      y        2.00000000000E+02   3.00000000000E+03   0.00000000000E+00
 STRESS|      z        0.00000000000E+00   0.00000000000E+00   4.00000000000E+03
"""
OLD = """ *** SCF run converged in    47 steps ***
 ENERGY| Total FORCE_EVAL ( QS ) energy (a.u.):            -1766.225653832774242

 ATOMIC FORCES in [a.u.]

 # Atom   Kind   Element          X              Y              Z
      1      1      O           0.00012345    -0.00054321     0.00100000
 SUM OF ATOMIC FORCES           0.00000000     0.00000000    -0.00000000     0.00000000

 STRESS TENSOR [GPa]
            X               Y               Z
  X       -7.95739434     -0.07686510      0.00049141
  Y       -0.07686510     -8.05688290     -0.01863865
  Z        0.00049141     -0.01863865     -8.18452893
"""


def test_the_words_of_new_and_old_versions():
    new, old = evaluations("  *** SCF run converged in 1 steps ***\n" + NEW), evaluations(OLD)
    assert new[0].energy == -7.364190264587725
    assert new[0].forces[1, 2] == -3.41478833e-02 * HARTREE_PER_BOHR_EV_PER_ANGSTROM
    assert new[0].stress[0, 1] == -200.0 * BAR
    assert old[0].forces.shape == (1, 3)
    assert old[0].stress[2, 2] == pytest.approx(8.18452893 * 1e4 * BAR, rel=1e-15)
    with pytest.raises(ImportLabelsError, match="expected stress in gpa, kbar, bar, got furlong"):
        evaluations(NEW.replace("[bar]", "[furlong]"))
