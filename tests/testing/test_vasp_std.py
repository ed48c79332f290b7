"""VASP's stand-in: what it computes, and the input errors that it refuses as VASP does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from pymatgen.io.vasp import Oszicar, Outcar, Poscar, Vasprun, Xdatcar

from ionloop.testing.vasp_std import Pairs, total_energy
from ionloop.testing.vasp_std.faults import MODES
from ionloop.testing.vasp_std.runs import main
from ionloop.testing.vasp_std.vasprun import VERSION

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is an unconverged VASP run"),
    # pymatgen's Xdatcar leaves its file to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def vasprun(folder: Path) -> Vasprun:
    return Vasprun(
        folder / "vasprun.xml", parse_dos=False, parse_eigen=False, parse_potcar_file=False
    )


@pytest.fixture
def ran(folder: Path, write_input) -> Path:
    """A folder with a static calculation."""
    write_input(folder)
    main()
    return folder


# --- the potential ---


@pytest.mark.parametrize(
    ("symbols", "a"), [("LiCl", 5.14), ("NaCl", 5.6), ("MgO", 4.2), ("XeKr", 6.0)]
)
def test_forces_and_stress_are_the_energys_derivatives(symbols: str, a: float) -> None:
    atoms = bulk(symbols, "rocksalt", a=a, cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.calc = Pairs()
    forces = calculate_numerical_forces(atoms, eps=1e-4)
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-6)
    stress = calculate_numerical_stress(atoms, eps=1e-5)
    np.testing.assert_allclose(atoms.get_stress(), stress, atol=1e-7)


def test_settings_and_charge_change_the_energy(licl) -> None:
    atoms = licl.copy()
    atoms.calc = Pairs()
    energy = total_energy(atoms, 520.0)
    assert total_energy(atoms, 400.0) - energy == pytest.approx(8 * (0.5 - 200 / 520))
    assert total_energy(atoms, 520.0, -1.0) - energy == pytest.approx(-2.0)


# --- what it writes ---


def test_pymatgen_reads_all_files_of_a_static(ran: Path, licl) -> None:
    atoms = licl.copy()
    atoms.calc = Pairs()
    run, outcar, oszicar = vasprun(ran), Outcar(ran / "OUTCAR"), Oszicar(ran / "OSZICAR")
    energy = total_energy(atoms, 520.0)
    assert float(run.final_energy) == pytest.approx(energy, abs=6e-9)
    assert outcar.final_fr_energy == pytest.approx(energy, abs=6e-9)
    assert oszicar.final_energy == pytest.approx(energy, abs=1e-7)
    forces, last = atoms.get_forces(), run.ionic_steps[-1]
    np.testing.assert_allclose(last["forces"], forces, rtol=0, atol=6e-9)
    table = outcar.read_table_pattern(
        r"TOTAL-FORCE \(eV/Angst\)\n\s*-+\n", r"\s+".join([r"([-.\d]+)"] * 6), r"\s*-+"
    )
    np.testing.assert_allclose(np.array(table, float)[:, 3:], forces, rtol=0, atol=6e-7)
    stress = -1602.1766208 * atoms.get_stress(voigt=False)
    np.testing.assert_allclose(last["stress"], stress, rtol=0, atol=6e-9)
    outcar.read_pattern({"kb": r"in kB" + r"\s+([-.\d]+)" * 6}, terminate_on_match=True)
    xx, yy, zz, xy, yz, zx = np.array(outcar.data["kb"][0], float)
    np.testing.assert_allclose(
        [[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]], stress, rtol=0, atol=6e-6
    )
    assert (run.converged, outcar.nelect, run.parameters["NELECT"]) == (True, 40.0, 40.0)
    assert run.kpoints.kpts == [(2, 2, 2)]
    for found in (
        Poscar.from_file(ran / "CONTCAR").structure,
        Xdatcar(ran / "XDATCAR").structures[0],
        run.final_structure,
    ):
        step = found.frac_coords - licl.copy().get_scaled_positions()
        assert np.abs(step - np.rint(step)).max() < 1e-8


def test_nobody_takes_its_numbers_for_vasps(ran: Path) -> None:
    run = vasprun(ran)
    assert run.vasp_version.strip() == VERSION == "6.4.2 stand-in"
    assert "no VASP, made-up numbers" in run.generator["subversion"].replace("vasp", "VASP")
    assert "no VASP, made-up numbers" in (ran / "OUTCAR").read_text().splitlines()[0]


def test_real_potcars_are_refused(folder: Path, refused, write_input) -> None:
    write_input(folder)
    text = (folder / "POTCAR").read_text()
    (folder / "POTCAR").write_text(text.replace("made up by ionloop", "Copyright VASP", 1))
    assert "takes made-up POTCARs alone" in refused()
    assert not (folder / "vasprun.xml").exists()


def test_relaxations_lower_the_energy_isif_3_moves_the_cell(
    folder: Path, write_input, licl
) -> None:
    start = licl.copy()
    start.set_cell(start.cell * 1.02, scale_atoms=True)
    cells = {}
    for isif in (2, 3):
        write_input(folder, start, NSW=60, IBRION=2, ISIF=isif, EDIFFG=-0.02)
        main()
        run = vasprun(folder)
        energies = [float(step["e_fr_energy"]) for step in run.ionic_steps]
        assert energies[-1] < energies[0]
        assert run.converged_ionic
        assert "reached required accuracy" in (folder / "OUTCAR").read_text()
        found = Xdatcar(folder / "XDATCAR").structures
        assert len(found) == len(run.ionic_steps)
        cells[isif] = Poscar.from_file(folder / "CONTCAR").structure.volume
        assert found[-1].volume == pytest.approx(cells[isif], rel=1e-5)
    assert cells[2] == pytest.approx(start.get_volume())
    assert abs(cells[3] - start.get_volume()) > 1


def test_dynamics_conserve_nothing_by_chance(folder: Path, write_input) -> None:
    """A quarter of the time step: the same path, seen four times as often."""
    paths = {}
    for split in (1, 4):
        tags = {"IBRION": 0, "NSW": 5 * split, "TEBEG": 600, "RANDOM_SEED": "5 0 0"}
        write_input(folder, None, POTIM=2.0 / split, ISIF=0, **tags)
        main()
        run = vasprun(folder)
        assert len(run.ionic_steps) == 5 * split
        assert "stress" not in run.ionic_steps[-1]
        total = [step["e_fr_energy"] + step["kinetic"] for step in run.ionic_steps]
        assert total == pytest.approx([step["total"] for step in run.ionic_steps], abs=1e-6)
        paths[split] = np.array([s["structure"].frac_coords for s in run.ionic_steps])[::split]
    step = paths[4] - paths[1]
    assert np.abs(step - np.rint(step)).max() < 0.02


# --- input errors ---

ERRORS = {
    "ENCUT = high": "Error reading item ENCUT from file INCAR. Error code was IERR= 5",
    "ENCUT = eV": "Error reading item ENCUT from file INCAR",
    "ENCUT =": "Error reading item ENCUT from file INCAR",
    "ISMEAR = gaussian": "Error reading item ISMEAR",
    "NELM = 60.5": "Error reading item NELM",
    "LWAVE = 0": "Error reading item LWAVE",
    "ALGO = Quick": "Error reading item ALGO",
    "PREC = Exact": "Error reading item PREC",
    "ISPIN = 3": "Error reading item ISPIN",
    "NELECT = forty": "Error reading item NELECT",
    "IBRION = 0\nNSW = 5": "IBRION=0, but no entry for POTIM on file INCAR",
    "ISPIN = 2\nMAGMOM = 7*0.6": "Error reading item MAGMOM from file INCAR. "
    "Error code was IERR= 0 ... . Found N= 7 data",
    "IMAGES = 3": "could not open POSCAR in 00, 01, 02, 03, 04",
}


@pytest.mark.parametrize("lines", ERRORS)
def test_a_planted_error_in_the_incar_is_refused(
    folder: Path, refused, lines: str, write_input
) -> None:
    write_input(folder)
    names = {line.split("=")[0].strip() for line in lines.splitlines()}
    kept = (folder / "INCAR").read_text().splitlines(keepends=True)
    text = "".join(line for line in kept if line.split("=")[0].strip() not in names)
    (folder / "INCAR").write_text(f"{text}{lines}\n")
    said = refused()
    assert ERRORS[lines] in said
    assert "I REFUSE TO CONTINUE WITH THIS SICK JOB" in said
    assert not (folder / "vasprun.xml").exists()


@pytest.mark.parametrize(
    "value", ["520 eV", "5.2E2", "520.", "5.2d2", "520 # eV", "520; ISYM = 0", "520 ! comment"]
)
def test_what_vasp_reads_is_read(folder: Path, value: str, write_input) -> None:
    write_input(folder, ENCUT=value)
    main()
    assert vasprun(folder).parameters["ENMAX"] == 520


@pytest.mark.parametrize("name", ["INCAR", "POSCAR", "POTCAR"])
def test_a_missing_file_is_refused(folder: Path, refused, name: str, write_input) -> None:
    write_input(folder)
    (folder / name).unlink()
    assert name in refused()
    assert not (folder / "OUTCAR").exists()


def test_without_kpoints_vasp_makes_its_own_mesh(folder: Path, write_input) -> None:
    write_input(folder)
    (folder / "KPOINTS").unlink()
    main()
    assert vasprun(folder).kpoints.kpts == [(3, 3, 3)]  # KSPACING 0.5: 2 pi / 5.14 / 0.5 = 2.4


def test_more_types_than_potcars_are_refused(folder: Path, refused, write_input, licl) -> None:
    atoms = licl.copy()
    write_input(folder, atoms[[0, 4, 1, 5, 2, 6, 3, 7]])
    text = (folder / "POTCAR").read_text()
    (folder / "POTCAR").write_text(text[: text.index("End of Dataset")] + "End of Dataset\n")
    said = refused()
    assert "number of potentials on File POTCAR incompatible with number of species" in said
    assert "POTCAR: 1" in said


def test_a_left_handed_cell_is_refused(folder: Path, refused, write_input) -> None:
    write_input(folder)
    lines = (folder / "POSCAR").read_text().splitlines()  # pymatgen would turn it round
    lines[2], lines[3] = lines[3], lines[2]
    (folder / "POSCAR").write_text("\n".join(lines))
    assert "the triple product of the basis vectors is negative" in refused()


def test_potcars_in_another_order_overrule_the_poscar(folder: Path, capsys, write_input) -> None:
    """As in VASP, which warns and goes on: the output tells it, for whoever looks."""
    write_input(folder)
    first, second, _ = (folder / "POTCAR").read_text().split(" End of Dataset\n")
    (folder / "POTCAR").write_text(f"{second} End of Dataset\n{first} End of Dataset\n")
    main()
    assert "type information on POSCAR and POTCAR are incompatible" in capsys.readouterr().out
    assert vasprun(folder).atomic_symbols == ["Li"] * 4 + ["Cl"] * 4
    assert Poscar.from_file(folder / "POSCAR").site_symbols == ["Cl", "Li"]


def test_a_wrong_nelect_is_a_charge_in_the_output(folder: Path, write_input, licl) -> None:
    write_input(folder, NELECT=41)
    main()
    run = vasprun(folder)
    assert run.parameters["NELECT"] == 41
    atoms = licl.copy()
    atoms.calc = Pairs()
    assert float(run.final_energy) == pytest.approx(total_energy(atoms, 520, -1.0), abs=1e-7)


# --- STOPCAR, kills, environment ---


def start(folder: Path, **environment: str) -> subprocess.Popen:
    """Run it as a program."""
    command = [sys.executable, "-m", "ionloop.testing.vasp_std"]
    return subprocess.Popen(command, cwd=folder, env={**os.environ, **environment})


@pytest.mark.parametrize(
    ("word", "nsw", "mark"),
    [
        ("LSTOP", 50, "soft stop encountered!"),
        ("LABORT", 0, "aborting loop because hard stop was set"),
    ],
)
def test_a_stopcar_ends_it_early(folder: Path, word: str, nsw: int, mark: str, write_input) -> None:
    write_input(folder, NSW=nsw, IBRION=0 if nsw else -1, POTIM=1, TEBEG=300)
    (folder / "STOPCAR").write_text(f" {word} = .TRUE.\n")
    main()
    assert mark in (folder / "OUTCAR").read_text()
    assert not (folder / "STOPCAR").exists()
    assert len(vasprun(folder).ionic_steps) == 1


def test_a_kill_leaves_the_steps_so_far(folder: Path, write_input) -> None:
    write_input(folder, NSW=400, IBRION=0, POTIM=1, TEBEG=300)
    process = start(folder, VASP_STAND_IN_SLEEP="0.05")
    while not (folder / "XDATCAR").exists() or (folder / "XDATCAR").read_text().count("=") < 3:
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 2 <= len(Xdatcar(folder / "XDATCAR").structures) < 400
    assert (folder / "CONTCAR").exists()  # maybe cut off, as VASP's can be
    assert "General timing" not in (folder / "OUTCAR").read_text()


def test_runs_are_counted_and_failures_bounded(folder: Path, monkeypatch, write_input) -> None:
    monkeypatch.setenv("VASP_STAND_IN_LOG", str(folder / "log"))
    monkeypatch.setenv("VASP_STAND_IN_FAIL", "unconverged:1")
    write_input(folder)
    for reached in (False, True):
        main()
        assert vasprun(folder).converged_electronic is reached
    assert (folder / "log").read_text().splitlines() == [str(folder)] * 2


def test_an_unknown_failure_is_told(folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("VASP_STAND_IN_FAIL", "explode")
    with pytest.raises(SystemExit, match="expected VASP_STAND_IN_FAIL to be one of"):
        main()


def test_each_failure_is_documented() -> None:
    guide = Path(__file__).parents[2] / "docs" / "howto" / "dry-run.md"
    missing = [mode for mode in MODES if f"`{mode}`" not in guide.read_text()]
    assert not missing
