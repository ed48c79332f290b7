"""Teachers of a user's own: a NEP file, and a function of a module."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read
from monty.json import MontyDecoder

from ionloop.engine.flows import campaign_of, load_flow
from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame
from ionloop.reference.forcefield import ForceFieldReference, single_point
from ionloop.reference.neb import relax_band
from ionloop.reference.nvt import NvtRun
from ionloop.reference.potentials import (
    FunctionTeacher,
    NepTeacher,
    import_function,
    teacher_by_name,
)

ROOT = Path(__file__).parents[2]
HEADER = "nep4 4 Li La Zr O \ncutoff 6 4 102 32\n"


# --- NEP: what the file says ---


def test_a_nep_file_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text(HEADER)
    teacher = teacher_by_name(str(file))
    assert isinstance(teacher, NepTeacher)
    assert teacher.elements == {"Li", "La", "Zr", "O"}
    assert teacher.settings["sha256"] == hashlib.sha256(HEADER.encode()).hexdigest()


def test_the_hash_is_of_the_content_wherever_it_is(tmp_path: Path) -> None:
    hashes = []
    for name, text in (("a.txt", HEADER), ("b.txt", HEADER), ("c.txt", HEADER + "1.0\n")):
        (tmp_path / name).write_text(text)
        teacher = NepTeacher(model_file=str(tmp_path / name))
        hashes.append(ForceFieldReference(teacher=teacher).settings_hash)
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    "text", ["", "x", "nep4 3 Li O\n", "nep4_dipole 2 Li O\n", "2 Li O\n", "\xff\xfe\n"]
)
def test_what_is_no_nep_potential_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "no.txt").write_text(text)
    with pytest.raises(ReferenceSetupError, match="expected a NEP potential, whose first line"):
        _ = NepTeacher(model_file=str(tmp_path / "no.txt")).elements


@pytest.mark.parametrize("header", ["nep3_zbl", "nep4_zbl", "nep4_charge2", "nep4_zbl_vdw"])
def test_kinds_of_nep_that_have_energies(tmp_path: Path, header: str) -> None:
    (tmp_path / "nep.txt").write_text(f"{header} 2 Li O\n")
    assert NepTeacher(model_file=str(tmp_path / "nep.txt")).elements == {"Li", "O"}


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReferenceSetupError, match=r"gone\.txt, got FileNotFoundError; give"):
        NepTeacher(model_file=str(tmp_path / "gone.txt")).calculator()


def test_without_calorine_it_says_what_to_install(tmp_path, monkeypatch) -> None:
    (tmp_path / "nep.txt").write_text(HEADER)
    monkeypatch.setitem(sys.modules, "calorine.calculators", None)
    with pytest.raises(ReferenceSetupError, match=r"pip install 'ionloop\[nep\]'"):
        NepTeacher(model_file=str(tmp_path / "nep.txt")).calculator()


# --- NEP: the potential of LLZO, where it is ---


@pytest.fixture(scope="module")
def llzo() -> Path:
    pytest.importorskip("calorine", reason="pip install 'ionloop[nep]'")
    data = Path(os.environ.get("IONLOOP_TEST_DATA", ROOT.parent / "shared" / "data"))
    folder = data / "llzo_teacher"
    if not (folder / "nep_std.txt").exists():
        pytest.skip(f"no {folder}; IONLOOP_TEST_DATA names the folder of real data")
    return folder


def test_labels_are_those_that_came_with_the_potential(llzo: Path) -> None:
    reference = ForceFieldReference(teacher=NepTeacher(model_file=str(llzo / "nep_std.txt")))
    calculator = reference.teacher.calculator()
    for atoms in read(llzo / "NEP25.xyz", ":3"):
        frame = Frame.from_atoms(atoms, origin="aimd", group="g")
        reference.check(frame.to_structure())
        point = single_point(frame, calculator, reference)
        assert point.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-3)
        np.testing.assert_allclose(point.forces, atoms.get_forces(), atol=1e-4)
        np.testing.assert_allclose(point.stress, atoms.get_stress(voigt=False), atol=1e-6)
        assert point.engine.startswith("calorine 4")


def test_elements_isolated_atoms_and_the_way_through_mongodb(llzo: Path) -> None:
    teacher = NepTeacher(model_file=str(llzo / "nep_std.txt"))
    assert MontyDecoder().process_decoded(teacher.as_dict()) == teacher
    reference = ForceFieldReference(teacher=teacher)
    energies = reference.isolated_atom_energies(["Li", "O"])
    calculator, (atoms,) = teacher.calculator(), read(llzo / "NEP25.xyz", ":1")
    # Cells of one atom that are still larger than the cut-off say the same.
    one = atoms[[0]]
    one.cell, one.pbc = np.diag([20.0, 25.0, 21.0]), True
    one.calc = calculator
    symbol = one.get_chemical_symbols()[0]
    assert reference.isolated_atom_energies([symbol])[symbol] == pytest.approx(
        one.get_potential_energy(), abs=1e-9
    )
    assert energies["Li"] != energies["O"]
    salt = Frame.from_atoms(bulk("LiCl", "rocksalt", a=5.14), origin="aimd", group="g")
    with pytest.raises(ReferenceSetupError, match=r"knows \['La', 'Li', 'O', 'Zr'\], got \['Cl'\]"):
        reference.check(salt.to_structure())


def test_hops_of_tetragonal_llzo(llzo: Path) -> None:
    """The flow's cell is the potential's minimum, with four classes of short hops."""
    flow = load_flow(ROOT / "flows" / "llzo_nep.py", teacher=str(llzo / "nep_std.txt"))
    campaign, material = campaign_of(flow)
    teacher = campaign.reference.teacher
    host = material.host.to_atoms()
    host.calc = teacher.calculator()
    assert np.abs(host.get_forces()).max() < 0.005
    assert np.abs(host.get_stress()).max() < 2e-4
    assert {hop.path_class: hop.multiplicity for hop in material.hops} == {
        "Li-Li 2.51 A #0": 16,
        "Li-Li 2.58 A #1": 16,
        "Li-Li 2.63 A #2": 16,
        "Li-Li 2.68 A #3": 8,
    }
    band = relax_band(
        material.hops[2],
        lambda _: teacher.calculator(),
        n_images=5,
        fmax=0.025,
        max_steps=200,
        end_fmax=0.01,
        end_steps=200,
        engine=teacher.engine,
        settings_hash=campaign.reference.settings_hash,
    )
    assert band.converged
    assert band.barrier == pytest.approx(0.103, abs=0.002)


# --- any function ---


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", [*sys.path])  # what is added is taken back
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "own_emt.py"
    file.write_text(
        "from ase.calculators.emt import EMT\nfrom ase.calculators.tip3p import TIP3P\n"
        "def make():\n    return EMT()\ndef stressless():\n    return TIP3P()\n"
        "def wrong():\n    return {}\nx = 1\n"
    )
    yield file
    sys.modules.pop("own_emt", None)


def test_a_function_is_a_teacher(
    module: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made in the module's folder, used by a worker that is elsewhere."""
    teacher = teacher_by_name("own_emt:make")
    monkeypatch.chdir(tmp_path_factory.mktemp("worker"))
    assert MontyDecoder().process_decoded(teacher.as_dict()) == teacher
    reference = ForceFieldReference(teacher=teacher)
    frame = Frame.from_atoms(bulk("Cu", cubic=True), origin="rattle", group="g")
    reference.check(frame.to_structure())
    point = single_point(frame, teacher.calculator(), reference)
    assert point.engine == "own_emt:make"
    assert reference.isolated_atom_energies(["Cu"])["Cu"] == pytest.approx(3.51, abs=1e-2)
    run = teacher.run_md(frame.to_atoms(), NvtRun(300, 4, 2.0, 2, 0))
    assert run.shape == (3, 4, 3)
    module.write_text(module.read_text() + "y = 2\n")
    assert reference.settings_hash != point.settings_hash


def test_the_function_that_runs_is_that_of_the_folder_and_of_the_file_as_it_is_now(
    tmp_path: Path,
) -> None:
    """One warm process serves many folders: modules of one name mustn't answer for each other."""
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "pots.py").write_text(f"def make():\n    return {name!r}\n")
    first, second = (import_function("pots:make", tmp_path / name)[0] for name in ("a", "b"))
    assert (first(), second()) == ("a", "b")
    (tmp_path / "a" / "pots.py").write_text("def make():\n    return 'edited'\n")
    assert import_function("pots:make", tmp_path / "a")[0]() == "edited"
    assert import_function("pots:make", tmp_path / "b")[0]() == "b"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_emt:x", "expected a function, got int"),
        ("own_emt:nothing", "has no attribute 'nothing'"),
        ("nowhere_at_all:f", "No module named 'nowhere_at_all'"),
        ("own_emt:wrong", "expected an ASE calculator, got dict"),
        ("own_emt:stressless", r"got one without \['stress'\]; labels need"),
    ],
)
@pytest.mark.usefixtures("module")
def test_what_makes_no_labels_is_refused_before_launch(name: str, said: str) -> None:
    structure = Frame.from_atoms(bulk("Cu"), origin="rattle", group="g").to_structure()
    with pytest.raises(ReferenceSetupError, match=said):
        FunctionTeacher(function=name).check(structure)
