"""vasprun.xml and OUTCAR: the right energy, sign, order and settings; no step that isn't DFT."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from pymatgen.io.vasp.outputs import Vasprun
from scipy import constants

from ionloop.errors import ImportLabelsError
from ionloop.frame import Frame, Origin
from ionloop.label.imports import Terms, judge_readings
from ionloop.profile import Profile
from ionloop.reference.importers.compare import Stated, compare
from ionloop.reference.importers.outcar import NO_POSITIONS, STARS, read_outcar
from ionloop.reference.importers.sources import find_sources
from ionloop.reference.importers.vasp import MACHINE_LEARNED, read_vasprun
from ionloop.reference.importers.vasp_settings import mesh_settings, spacing_mesh
from ionloop.reference.vasp import VaspReference
from ionloop.reference.vasp.settings import VaspSettings

KBAR = 1e8 * 1e-30 / constants.e


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "vasprun.xml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_vasprun_is_exact(write, vasp_files):
    run = vasp_files.Run()
    reading = read_vasprun(write(run.xml()))
    assert [step.energy for step in reading.steps] == list(run.energies)
    for i, step in enumerate(reading.steps):
        assert step.symbols == ["Li", "Cl"]
        assert (step.forces == run.forces(i)).all()
        np.testing.assert_allclose(step.positions, run.fractions(i) @ run.cell, rtol=1e-15)
        np.testing.assert_allclose(step.stress, -KBAR * run.stress, rtol=4e-16)
        assert step.converged
        assert step.n_scf == run.n_scf[i]
    assert (reading.charge, reading.temperature, reading.engine) == (0, 600.0, "vasp 6.4.2")


def test_pymatgens_own_step_energy_is_the_entropy_term(write, vasp_files):
    """Fails once pymatgen mends ``ionic_steps``; then it may be used."""
    run = Vasprun(
        write(vasp_files.Run().xml()), parse_dos=False, parse_eigen=False, parse_potcar_file=False
    )
    assert run.ionic_steps[-1]["e_0_energy"] == pytest.approx(0.0312)


def test_gzip_and_a_cut_file_keep_what_is_whole(tmp_path, vasp_files):
    text = vasp_files.Run(energies=(-7.0, -7.1, -7.2), n_scf=(5, 5, 5)).xml(cut=900)
    assert text.count("<calculation>") == 3 > text.count("</calculation>")
    path = tmp_path / "vasprun.xml.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert [step.energy for step in read_vasprun(path).steps] == [-7.0, -7.1]


def test_a_file_cut_in_its_header_is_one_error(write, vasp_files):
    text = vasp_files.Run().xml()
    with pytest.raises(ImportLabelsError, match=r"can't be read as a vasprun\.xml"):
        read_vasprun(write(text[:600]))
    with pytest.raises(ImportLabelsError, match=r"can't be read as a vasprun\.xml"):
        read_vasprun(write(text[: text.index("<calculation>") + 300]))


def test_electronic_steps_at_the_limit_arent_converged(write, vasp_files):
    run = vasp_files.Run(energies=(-7.0, -7.1, -7.2), n_scf=(60, 59, 60))
    expected = [False, True, False]
    assert [s.converged for s in read_vasprun(write(run.xml())).steps] == expected
    # VASP 5 writes that EDIFF is reached when it gave up; VASP 6 says so.
    assert [s.converged for s in read_outcar(write(run.outcar(), "OUTCAR")).steps] == expected
    six = vasp_files.Run().outcar(scf_end="EDIFF was not reached (unconverged)")
    assert not any(s.converged for s in read_outcar(write(six, "OUTCAR")).steps)


def test_an_enthalpy_gives_its_energy_back(write, vasp_files):
    run = vasp_files.Run(tags={"PSTRESS": ("", "50.0")})
    volume = abs(np.linalg.det(run.cell))
    pv = 50.0 * 1e-22 / 1.60217733e-19 * volume  # VASP's own electron volt
    assert read_vasprun(write(run.xml())).steps[0].energy == pytest.approx(-7.0 - pv, abs=1e-12)


def test_steps_of_the_machine_learned_force_field_are_no_labels(write, vasp_files):
    text = vasp_files.Run(n_scf=(5, 0)).xml()
    reading = read_vasprun(write(text))
    assert ([s.energy for s in reading.steps], reading.skipped) == ([-7.0], {MACHINE_LEARNED: 1})
    outcar = vasp_files.Run().outcar()
    at = outcar.rindex("  FREE ENERGIE")
    learned = outcar[:at] + "  ML" + outcar[at + 1 :]
    reading = read_outcar(write(learned, "OUTCAR"))
    assert ([s.energy for s in reading.steps], reading.skipped) == ([-7.0], {MACHINE_LEARNED: 1})


def test_outcar_says_what_vasprun_says(write, vasp_files):
    run = vasp_files.Run(tags={"LREAL": ("string", "Auto"), "IVDW": ("int", "11")})
    xml = read_vasprun(write(run.xml()))
    out = read_outcar(write(run.outcar(), "OUTCAR"))
    assert out.settings == xml.settings
    assert xml.settings["incar"]["IVDW"] == 11
    assert out.unknown == []
    assert (out.charge, out.temperature, out.mesh) == (xml.charge, xml.temperature, xml.mesh)
    for one, other in zip(out.steps, xml.steps, strict=True):
        assert (one.energy, one.n_scf) == (other.energy, other.n_scf)
        assert (one.forces == other.forces).all()
        np.testing.assert_allclose(one.positions, other.positions, atol=1e-8)
        np.testing.assert_allclose(one.stress, other.stress, rtol=1e-15)


@pytest.mark.parametrize(
    ("words", "moment"), [("", None), ("  -2.0104", -2.0104), (" 0.3 0.0 -0.4", 0.5)]
)
def test_an_outcar_says_the_magnetization_of_each_step(write, vasp_files, words, moment):
    """The last electronic step's counts; without spin polarization the line ends early."""
    text = vasp_files.Run().outcar()
    line = " number of electron       8.0000000 magnetization"
    text = text.replace("  in kB ", f"{line}       9.0000000\n{line}{words}\n  in kB ")
    found = [step.magnetization for step in read_outcar(write(text, "OUTCAR")).steps]
    assert found == [pytest.approx(moment)] * len(found)
    assert read_outcar(write(vasp_files.Run().outcar(), "OUTCAR")).steps[0].magnetization is None


def test_stress_of_an_outcar_by_ase(write, vasp_files):
    """ASE's order of six numbers; its electron volt is of 2014, 1e-8 away."""
    path = write(vasp_files.Run().outcar(), "OUTCAR")
    theirs = read(path, index=-1, format="vasp-out").get_stress(voigt=False)
    np.testing.assert_allclose(read_outcar(path).steps[-1].stress, theirs, rtol=2e-8)


def test_vasp_5_keeps_silent_and_an_incar_beside_it_speaks(write, vasp_files):
    text = vasp_files.Run(version="5.4.4").outcar(echo=False)
    path = write(text, "OUTCAR")
    assert read_outcar(path).unknown == [
        "incar.ADDGRID", "incar.IVDW", "incar.LUSE_VDW", "incar.*",
    ]  # fmt: skip
    write("IVDW = 12 ! D3\nADDGRID = .TRUE.; LWAVE = F\n", "INCAR")
    reading = read_outcar(path)
    assert reading.unknown == []
    assert (reading.settings["incar"]["IVDW"], reading.settings["incar"]["ADDGRID"]) == (12, True)


def test_steps_without_numbers_are_passed_over(write, vasp_files):
    text = vasp_files.Run().outcar()
    stars = text.replace("     1.12500000", " **************")
    assert stars != text
    assert read_outcar(write(stars, "OUTCAR")).skipped == {STARS: 1}
    at = text.rindex(" POSITION")
    silent = text[:at] + text[text.rindex("  FREE ENERGIE") :]
    assert read_outcar(write(silent, "OUTCAR")).skipped == {NO_POSITIONS: 1}
    with pytest.raises(ImportLabelsError, match="can't be read as an OUTCAR: ParseError"):
        read_outcar(write("nothing", "OUTCAR"))


def test_charge_is_of_the_electrons(write, vasp_files):
    run = vasp_files.Run(tags={"NELECT": ("", "9.0")})
    assert read_vasprun(write(run.xml())).charge == -1
    run = vasp_files.Run(tags={"NELECT": ("", "8.5")})
    with pytest.raises(ImportLabelsError, match=r"expected a whole charge, got -0\.5000 e"):
        read_vasprun(write(run.xml()))


@pytest.mark.parametrize(
    ("tags", "key", "value"),
    [
        ({"GGA": ("string", "PS")}, "functional", "PBEsol"),
        ({"METAGGA": ("string", "R2SCAN")}, "functional", "r2SCAN"),
        ({"LREAL": ("string", "Auto")}, "incar.LREAL", "auto"),
        ({"ISPIN": ("int", "2")}, "incar.ISPIN", 2),
        ({"IVDW": ("int", "11")}, "incar.IVDW", 11),
    ],
)
def test_settings_follow_the_physics(write, vasp_files, tags, key, value):
    plain = read_vasprun(write(vasp_files.Run().xml())).settings
    found = read_vasprun(write(vasp_files.Run(tags=tags).xml())).settings
    assert found != plain
    part, _, rest = key.partition(".")
    assert (found[part][rest] if rest else found[part]) == value


def test_how_a_run_went_about_it_isnt_a_setting(write, vasp_files):
    plain = read_vasprun(write(vasp_files.Run().xml())).settings
    tags = {"NSW": ("int", "500"), "NELM": ("int", "99"), "IBRION": ("int", "2")}
    assert read_vasprun(write(vasp_files.Run(tags=tags).xml())).settings == plain


#: Tags that no key names, as vasprun.xml and an INCAR have them, and what the settings say.
OTHERS = [
    (("NUPDOWN", "", "4.0"), 4),
    (("NUPDOWN", "", "0.0"), 0),
    (("LDIPOL", "logical", "T"), True),
    (("LSOL", "logical", " T  "), True),
    (("EFIELD", "", "0.05"), 0.05),
    (("VDW_S8", "", "0.0"), 0),
    (("VDW_S8", "", "0.7220"), 0.722),
    (("ENAUG", "", "645.0"), 645),
    (("SCALEE", "", "0.5"), 0.5),
    (("IMAGES", "int", "5"), 5),
    (("PRECFOCK", "string", " Fast ! of hybrids"), "fast"),
    (("ROPT", "string", "2*-0.0001"), [-0.0001, -0.0001]),
    (("NEWTAG", "string", "1 T x"), "1 True x"),
]


@pytest.mark.parametrize(("tag", "value"), OTHERS)
def test_a_tag_that_nobody_knows_is_a_setting(write, vasp_files, tag, value):
    name, kind, text = tag
    plain = read_vasprun(write(vasp_files.Run().xml())).settings
    run = vasp_files.Run(tags={name: (kind, text)})
    found = read_vasprun(write(run.xml())).settings
    assert found["incar"] == {**plain["incar"], name: value}
    said, unsaid = (Stated(settings, mesh=[4, 4, 4]) for settings in (found, plain))
    assert compare(plain, said).differing == [f"incar.{name}: expected nothing, got {value}"]
    assert compare(found, unsaid).differing == [f"incar.{name}: expected {value}, got nothing"]
    assert (compare(found, said).differing, compare(found, said).unproven) == ([], [])
    # The same of an OUTCAR, by its own INCAR and by the one beside it.
    assert read_outcar(write(run.outcar(), "OUTCAR")).settings["incar"] == found["incar"]
    silent = write(run.outcar(echo=False), "OUTCAR")
    assert "incar.*" in read_outcar(silent).unknown
    write(f"{name} = {text}\n", "INCAR")
    assert read_outcar(silent).settings["incar"] == found["incar"]


# What VASP's stand-in and jobflow warn of, as in the tests of the VASP reference.
@pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:POTCAR data with symbol")
@pytest.mark.parametrize("tags", [{}, {"IVDW": 12, "VDW_S8": 0.722, "LDIPOL": False, "NSIM": 4}])
def test_a_file_of_our_own_reference_has_its_campaigns_settings(vasp, tmp_path, tags):
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.rattle(0.05, seed=1)
    frame = Frame.from_atoms(atoms, origin=Origin.RATTLE, group="test")
    reference = VaspReference(dft=VaspSettings(incar=tags)).bind(frame.to_structure())
    run_locally(
        reference.static([frame]), root_dir=tmp_path, create_folders=True,
        store=JobStore(MemoryStore(), additional_stores={"data": MemoryStore()}), log=False,
    )  # fmt: skip
    profile = Profile(name="LiCl", mobile_ion="Li", formal_charges={"Li": 1, "Cl": -1})
    found = [source.read() for source in find_sources([tmp_path])]
    imported = judge_readings(found, Terms(profile, reference.settings, trust=True))
    assert [label.reasons for label in imported.labels] == [[]]
    assert imported.settings_hash == reference.settings_hash
    other = VaspReference(dft=VaspSettings(incar={**tags, "VDW_S8": 0.5}))
    other = other.bind(frame.to_structure())
    imported = judge_readings(found, Terms(profile, other.settings, trust=True))
    assert "incar.VDW_S8: expected 0.5" in imported.labels[0].reasons[0]


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("NSIM", "int", "4"), ("SYSTEM", "string", "LiCl"), ("LORBIT", "int", "11"),
        ("AMIX", "", "0.2"), ("LANGEVIN_GAMMA", "", "10.0"), ("ML_LMLFF", "logical", "T"),
        ("SYMPREC", "", "0.00001"), ("LVHAR", "logical", "T"), ("NUPDOWN", "", "-1.0"),
        ("LSOL", "logical", "F"), ("IDIPOL", "int", "0"),
    ],
)  # fmt: skip
def test_a_tag_that_decides_no_label_is_none(write, vasp_files, name, kind, text):
    plain = read_vasprun(write(vasp_files.Run().xml())).settings
    run = vasp_files.Run(tags={name: (kind, text)})
    assert read_vasprun(write(run.xml())).settings == plain
    assert read_outcar(write(run.outcar(), "OUTCAR")).settings == plain


def test_a_mesh_of_kspacing_is_told_from_a_stated_one(write, vasp_files):
    run = vasp_files.Run(tags={"KSPACING": ("", "0.5")})
    mesh = tuple(spacing_mesh(run.cell, 0.5))
    run = vasp_files.Run(tags=run.tags, mesh=mesh)
    made = {"spacing": 0.5, "mesh": None, "shift": "none"}
    assert read_vasprun(write(run.xml())).settings["k_points"] == made
    assert read_outcar(write(run.outcar(), "OUTCAR")).settings["k_points"] == made
    other = vasp_files.Run(tags=run.tags, mesh=(2, 2, 2))  # a KPOINTS file overrode it
    stated = {"spacing": None, "mesh": [2, 2, 2], "shift": [0.0, 0.0, 0.0]}
    assert read_vasprun(write(other.xml())).settings["k_points"] == stated


def test_meshes_off_gamma_and_gamma_alone():
    shifted = np.array([[0.125, 0.125, 0.5]])
    found, used = mesh_settings([4, 4, 1], shifted, None, gamma=True)
    assert (found["shift"], used) == ([0.5, 0.5, 0.5], [4, 4, 1])
    assert mesh_settings(None, np.zeros((1, 3)), None, gamma=True)[1] == [1, 1, 1]
    listed = np.array([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0]])
    assert mesh_settings(None, listed, None, gamma=True) == ({"points": listed.tolist()}, None)
