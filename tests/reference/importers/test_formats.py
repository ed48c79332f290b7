"""extxyz, DeePMD's npy, XDATCAR, and how files are found."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from ionloop.errors import ImportLabelsError
from ionloop.reference.importers.deepmd import read_deepmd
from ionloop.reference.importers.sources import find_sources
from ionloop.reference.importers.xdatcar import read_xdatcar
from ionloop.reference.importers.xyz import read_extxyz

STRESS = np.array([[0.01, 0.002, 0.003], [0.002, -0.02, 0.004], [0.003, 0.004, 0.03]])


def salt() -> Atoms:
    atoms = bulk("LiCl", "rocksalt", a=5.14)
    atoms.positions[1] += 0.1
    return atoms


def labelled(**results: object) -> Atoms:
    atoms = salt()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


FORCES = np.array([[0.5, -0.25, 1.0], [-0.5, 0.25, -1.0]])


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz", "a.extxyz.gz"])
def test_ases_own_extxyz(tmp_path, name):
    voigt = STRESS[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    write(tmp_path / name, [labelled(energy=-7.5, forces=FORCES, stress=voigt)], format="extxyz")
    (step,) = read_extxyz(tmp_path / name).steps
    assert step.energy == -7.5
    assert (step.forces == FORCES).all()
    assert (step.stress == STRESS).all()
    assert step.symbols == ["Li", "Cl"]


def test_ref_keys_win_and_the_free_energy_over_the_other(tmp_path):
    atoms = labelled(energy=-1.0, free_energy=-2.0, forces=FORCES)
    write(tmp_path / "a.xyz", atoms, format="extxyz")
    assert read_extxyz(tmp_path / "a.xyz").steps[0].energy == -2.0
    atoms.info["REF_energy"] = -3.0
    atoms.info["REF_stress"] = STRESS
    atoms.arrays["REF_forces"] = 2 * FORCES
    write(tmp_path / "a.xyz", atoms, format="extxyz")
    step = read_extxyz(tmp_path / "a.xyz").steps[0]
    assert step.energy == -3.0
    assert (step.forces == 2 * FORCES).all()
    assert (step.stress == STRESS).all()


def test_a_virial_is_minus_stress_times_volume(tmp_path):
    atoms = labelled(energy=-1.0, forces=FORCES)
    atoms.info["virial"] = -STRESS * atoms.get_volume()
    write(tmp_path / "a.xyz", atoms, format="extxyz")
    np.testing.assert_allclose(read_extxyz(tmp_path / "a.xyz").steps[0].stress, STRESS, rtol=1e-7)


def test_molecules_and_rubbish_are_refused(tmp_path):
    write(tmp_path / "a.xyz", Atoms("Li", positions=[[0, 0, 0]]), format="extxyz")
    with pytest.raises(ImportLabelsError, match="frame 0: expected a cell that is periodic"):
        read_extxyz(tmp_path / "a.xyz")
    (tmp_path / "b.xyz").write_text("rubbish\n")
    with pytest.raises(ImportLabelsError, match="can't be read as extended xyz"):
        read_extxyz(tmp_path / "b.xyz")


@pytest.fixture
def system(tmp_path):
    """Three frames of LiCl in two sets."""
    cell = np.array([[0.0, 2.57, 2.57], [2.57, 0.0, 2.57], [2.57, 2.57, 0.0]])
    folder = tmp_path / "system"
    for number, n in ((0, 2), (1, 1)):
        part = folder / f"set.{number:03d}"
        part.mkdir(parents=True)
        np.save(part / "coord.npy", np.tile(salt().positions.ravel(), (n, 1)) + number)
        np.save(part / "box.npy", np.tile(cell.ravel(), (n, 1)))
        np.save(part / "energy.npy", -7.0 - number - np.arange(n) / 4)
        np.save(part / "force.npy", np.tile(FORCES.ravel(), (n, 1)))
        np.save(part / "virial.npy", np.tile(STRESS.ravel(), (n, 1)))
    (folder / "type.raw").write_text("1\n0\n")
    (folder / "type_map.raw").write_text("Cl\nLi\n")
    return folder


def test_deepmd_in_order_with_the_virials_sign(system):
    steps = read_deepmd(system).steps
    assert [s.energy for s in steps] == [-7.0, -7.25, -8.0]
    assert steps[0].symbols == ["Li", "Cl"]
    assert (steps[2].forces == FORCES).all()
    assert (steps[2].positions == salt().positions + 1).all()
    # This cell is left-handed: a volume is never negative.
    assert np.linalg.det(steps[0].cell) * np.linalg.det(steps[0].cell[::-1]) < 0
    volume = 2 * 2.57**3
    np.testing.assert_allclose(steps[0].stress, -STRESS / volume, rtol=1e-15)


def test_deepmd_that_contradicts_itself_is_refused(system):
    (system / "type_map.raw").unlink()
    with pytest.raises(ImportLabelsError, match=r"expected type_map\.raw .*--type-map"):
        read_deepmd(system)
    assert read_deepmd(system, ["Cl", "Li"]).steps[0].symbols == ["Li", "Cl"]
    np.save(system / "set.000" / "energy.npy", np.zeros(1))
    with pytest.raises(ImportLabelsError, match="expected as many frames in every file"):
        read_deepmd(system, ["Cl", "Li"])
    (system / "nopbc").touch()
    with pytest.raises(ImportLabelsError, match="expected a periodic system"):
        read_deepmd(system, ["Cl", "Li"])


def test_deepmds_mixed_type(system):
    np.save(system / "set.000" / "real_atom_types.npy", np.array([[1, 0], [0, 1]]))
    assert [s.symbols for s in read_deepmd(system).steps] == [
        ["Li", "Cl"], ["Cl", "Li"], ["Li", "Cl"],
    ]  # fmt: skip


XDATCAR = """LiCl
1.0
0.0 2.57 2.57
2.57 0.0 2.57
2.57 2.57 0.0
Li Cl
1 1
Direct configuration=     1
0.0 0.0 0.0
0.5 0.5 0.5
Direct configuration=     2
0.01 0.0 0.0
0.5 0.5 0.5
"""
OSZICAR = """       N       E                     dE
DAV:   1    -0.7E+01
      1 T=   600. E= -.69E+01 F= -.70000000E+01 E0= -.69999E+01  EK= 0.7E-01 SP= 0.0 SK= 0.0
      2 T=   590. E= -.69E+01 F= -.71250000E+01 E0= -.71250E+01  EK= 0.7E-01 SP= 0.0 SK= 0.0
"""


def test_xdatcar_has_energies_of_an_oszicar_and_never_forces(tmp_path):
    path = tmp_path / "XDATCAR"
    path.write_text(XDATCAR)
    assert [s.energy for s in read_xdatcar(path).steps] == [None, None]
    (tmp_path / "OSZICAR").write_text(OSZICAR)
    steps = read_xdatcar(path).steps
    assert [s.energy for s in steps] == [-7.0, -7.125]
    assert steps[1].positions[0] == pytest.approx([0.0, 0.0257, 0.0257])
    assert all(s.forces is None and "no forces" in s.failure for s in steps)
    (tmp_path / "OSZICAR").write_text(OSZICAR.splitlines()[2] + "\n")  # another run's
    assert [s.energy for s in read_xdatcar(path).steps] == [None, None]


def test_folders_are_searched_and_a_run_counts_once(tmp_path, system, vasp_files):
    run = vasp_files.Run()
    a, b, c = (tmp_path / name for name in "abc")
    for folder in (a, b, c):
        folder.mkdir()
    (a / "vasprun.xml").write_text(run.xml())
    (a / "OUTCAR").write_text(run.outcar())
    (a / "XDATCAR").write_text(XDATCAR)
    (b / "OUTCAR").write_text(run.outcar())
    (b / "INCAR").write_text("ENCUT = 520\n")
    (c / "salt.out").write_text(" DBCSR| CPU driver\n CP2K| version string: CP2K version 2023.1\n")
    (c / "salt-pos-1.xyz").write_text("1\ni = 0, E = 1\nLi 0 0 0\n")
    (c / "more.extxyz").write_text("")
    found = find_sources([tmp_path])
    assert [(s.path.relative_to(tmp_path).as_posix(), s.kind) for s in found] == [
        ("a/vasprun.xml", "vasprun"), ("b/OUTCAR", "outcar"), ("c/more.extxyz", "extxyz"),
        ("c/salt.out", "cp2k"), ("system", "deepmd"),
    ]  # fmt: skip
    assert [s.kind for s in find_sources([a / "OUTCAR", a, system])] == [
        "outcar", "vasprun", "deepmd",
    ]  # fmt: skip


def test_paths_that_hold_nothing_are_named(tmp_path):
    with pytest.raises(ImportLabelsError, match=r"no file or folder .*/none; expected"):
        find_sources([tmp_path / "none"])
    with pytest.raises(ImportLabelsError, match="in it or below, got none"):
        find_sources([tmp_path])
    (tmp_path / "picture.png").write_bytes(bytes(range(256)))
    with pytest.raises(ImportLabelsError, match=r"picture\.png: expected vasprun\.xml"):
        find_sources([tmp_path / "picture.png"])
