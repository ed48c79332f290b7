"""What CP2K's own output says of a label, and that no edit of its input goes unseen.

Every output is real: CP2K runs again on each edited input.
"""

from __future__ import annotations

import gzip
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from atomate2.cp2k import files
from tiny_cp2k import COARSE, as_frame, compute, h2, mixed

from ionloop.frame import Frame
from ionloop.profile import Profile
from ionloop.reference.base import differing_settings, hash_settings
from ionloop.reference.cp2k.facts import (
    atom_table,
    charge_of,
    facts_of,
    geometry_failure,
    magnetization_of,
    stated_settings,
)
from ionloop.reference.cp2k.fixes import quiet_command
from ionloop.reference.cp2k.found import found_settings
from ionloop.reference.cp2k.inputs import IonicSetGenerator
from ionloop.reference.cp2k.makers import Cp2kStaticMaker
from ionloop.reference.cp2k.settings import Cp2kSettings, describe
from ionloop.reference.folders import read_text
from ionloop.reference.quality import judge_point
from ionloop.settings import get_settings

# pymatgen misses helium's electronegativity.
pytestmark = pytest.mark.filterwarnings("ignore:No Pauling electronegativity")

DFT = Cp2kSettings(**COARSE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a real label."""
    point = compute(mixed(), tmp_path_factory.mktemp("label"), DFT)
    assert point.failure is None
    return Path(point.directory)


@pytest.fixture
def folder(run: Path, tmp_path: Path) -> Path:
    """The label's folder, unzipped, to edit."""
    for zipped in run.glob("*.gz"):
        (tmp_path / zipped.stem).write_bytes(gzip.decompress(zipped.read_bytes()))
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text, count = re.subn(old, new, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)


def run_again(folder: Path) -> str:
    """Run CP2K on the input as it stands; return its output."""
    command = [*shlex.split(quiet_command(get_settings().cp2k_cmd)), "-i", "cp2k.inp"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    (folder / "cp2k.out").write_text(done.stdout)
    return done.stdout


# --- facts ---


def test_a_label_says_what_was_computed(run: Path) -> None:
    output = read_text(run / "cp2k.out")
    facts = facts_of(output)
    steps = re.findall(r"SCF run converged in +(\d+) steps", output)
    assert facts == {
        "symbols": ["H", "He", "H", "He"],
        "charge": 0.0,
        "magnetization": None,
        "n_scf": int(steps[0]),
        "scf_limit": 60,
    }
    np.testing.assert_allclose(atom_table(output).positions, mixed().positions, atol=1e-6)
    assert stated_settings(output) == {
        "functional": "PBE", "spin_polarized": False, "multiplicity": 1, "smoothing": False,
        "k_mesh": None, "smearing": None, "version": "2023.1", "cutoff": 120.0,
        "rel_cutoff": 30.0, "n_grids": 4, "eps_default": 1e-8, "eps_scf": 1e-5, "max_scf": 60,
        "kinds": {"H": ["DZVP-MOLOPT-SR-GTH", "GTH-PBE-q1"],
                  "He": ["DZVP-MOLOPT-SR-GTH", "GTH-PBE-q2"]},
    }  # fmt: skip


def test_steps_of_an_scf_that_gave_up_are_counted(tmp_path: Path) -> None:
    point = compute(h2(), tmp_path, Cp2kSettings(**COARSE, max_scf=3))
    assert (point.converged, point.n_scf, point.scf_limit) == (False, 3, 3)
    assert point.symbols == ["H", "H"]
    assert point.settings_hash == hash_settings(describe(Cp2kSettings(**COARSE, max_scf=3)))


def test_atoms_elsewhere_than_asked_are_told(run: Path) -> None:
    """Swapped, moved, strained; but atoms in another cell are the same crystal."""
    output = read_text(run / "cp2k.out")
    frame = as_frame(mixed())
    assert geometry_failure(output, frame) is None
    wrapped = mixed()
    wrapped.positions += [3.0, -3.3, 0.0]
    assert geometry_failure(output, as_frame(wrapped)) is None

    def failure(**changes: object) -> str | None:
        return geometry_failure(output, Frame(**{**frame.model_dump(), **changes}))

    places = frame.positions
    assert "atom 0" in failure(positions=[places[2], places[1], places[0], places[3]])
    moved = [places[0], [x + 1e-4 for x in places[1]], *places[2:]]
    assert "another geometry than asked: atom 1" in failure(positions=moved)
    assert failure(cell=np.diag([3.0, 3.3, 3.61]).tolist()) == "another cell than asked"
    # Other species are the gate's to judge, by SinglePoint.symbols.
    assert failure(symbols=["He", "H", "H", "He"]) is None


def test_charge_and_spin_without_populations(tmp_path: Path) -> None:
    """Electrons are counted where Mulliken's table isn't printed; else it is the truth."""
    dft = Cp2kSettings(**COARSE, spin_polarized=True, multiplicity=2)
    point = compute(h2(), tmp_path, dft, charge=-1)
    assert (point.charge, point.magnetization) == (-1.0, 1.0)
    output = read_text(Path(point.directory) / "cp2k.out")
    without = output.replace("# Total charge and spin", "# something else")
    assert magnetization_of(without) == 1.0
    assert magnetization_of(re.sub("Number of electrons", "Number", without)) is None


def test_charge_lost_on_the_grid_is_no_whole_number(folder: Path) -> None:
    """At 10 Ry the cores don't fit on the grid."""
    edit(folder / "cp2k.inp", r"CUTOFF 120\.0", "CUTOFF 10")
    charge = charge_of(run_again(folder))
    assert abs(charge - round(charge)) > 0.01


def test_nothing_is_guessed_where_nothing_is_printed(folder: Path) -> None:
    edit(folder / "cp2k.inp", "PROJECT_NAME CP2K", "PROJECT_NAME CP2K\n PRINT_LEVEL SILENT")
    output = run_again(folder)
    assert "PROGRAM ENDED AT" not in output or facts_of(output)["symbols"] is None
    assert facts_of(output) == dict.fromkeys(facts_of(output))
    assert stated_settings(output) == {}
    assert differing_settings(describe(DFT), found_settings(output, folder, DFT)) == []
    assert facts_of("") == dict.fromkeys(facts_of(output))


# --- settings ---

#: Edits that one run takes together, and the keys that each must show.
EDITS = {
    "numbers": [
        (r"\bCUTOFF 120\.0", "CUTOFF 140.0", "cutoff: expected 120.0, got 140.0"),
        (r"REL_CUTOFF 30\.0", "REL_CUTOFF 40.0", "rel_cutoff: expected 30.0, got 40.0"),
        ("NGRIDS 4", "NGRIDS 3", "n_grids: expected 4, got 3"),
        ("EPS_SCF 1e-05", "EPS_SCF 1e-04", "eps_scf: expected 1e-05, got 0.0001"),
        ("EPS_DEFAULT 1e-08", "EPS_DEFAULT 1e-07", "eps_default: expected 1e-08, got 1e-07"),
        ("MAX_SCF 60", "MAX_SCF 50", "max_scf: expected 60, got 50"),
    ],
    "spin": [
        ("UKS False", "UKS True", "spin_polarized: expected False, got True"),
        ("MULTIPLICITY 0", "MULTIPLICITY 3", "multiplicity: expected None, got 3"),
        ("&END PBE", "PARAMETRIZATION REVPBE\n &END PBE", "functional: expected PBE, got revPBE"),
    ],
    "k-points and smearing": [
        (
            "&END XC_FUNCTIONAL",
            "&END\n &XC_GRID\n XC_SMOOTH_RHO NN10\n XC_DERIV SPLINE2_SMOOTH\n &END",
            "smoothing: expected False, got True",
        ),
        (
            "&MGRID",
            "&KPOINTS\n SCHEME MONKHORST-PACK 2 1 1\n &END\n &MGRID",
            "k_mesh: expected None, got [2, 1, 1]",
        ),
        (
            "MAX_SCF 60",
            "MAX_SCF 60\n ADDED_MOS 4\n &SMEAR\n METHOD FERMI_DIRAC\n ELEC_TEMP 500\n &END SMEAR",
            "smearing.temperature: expected nothing, got 500.0",
        ),
    ],
}


@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS)
def test_an_edited_input_has_another_hash(folder: Path, edits: list[tuple[str, str, str]]) -> None:
    """By what CP2K says it took, even if the input was put back afterwards."""
    before = (folder / "cp2k.inp").read_text()
    for old, new, _ in edits:
        edit(folder / "cp2k.inp", old, new)
    output = run_again(folder)
    assert "SCF run converged" in output
    keys = {key for *_, key in edits}
    found = differing_settings(describe(DFT), found_settings(output, folder, DFT))
    assert keys <= set(found)
    assert sum(line.startswith("input.") for line in found) >= len(edits)
    (folder / "cp2k.inp").write_text(before)
    found = differing_settings(describe(DFT), found_settings(output, folder, DFT))
    assert keys <= set(found)
    assert not any(line.startswith("input.") for line in found)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("ALPHA 0.4", "ALPHA 0.3", "input.FORCE_EVAL/DFT/SCF/MIXING/ALPHA"),
        ("&PBE", "&PBE\n SCALE_X 0.9", "input.FORCE_EVAL/DFT/XC/XC_FUNCTIONAL/PBE/SCALE_X"),
        ("&MGRID", "&POISSON\n PERIODIC XY\n &END\n &MGRID", "input.FORCE_EVAL/DFT/POISSON"),
        ("STRESS_TENSOR NONE", "STRESS_TENSOR NUMERICAL", "input.FORCE_EVAL/STRESS_TENSOR"),
        ("&CELL", "&CELL\n PERIODIC XY", "input.FORCE_EVAL/SUBSYS/CELL/PERIODIC"),
        ("METHOD GPW", "METHOD GAPW", "input.FORCE_EVAL/DFT/QS/METHOD"),
        ("EXTRAPOLATION ASPC", "", "input.FORCE_EVAL/DFT/QS/EXTRAPOLATION"),
        ("&GLOBAL", "@SET A 1\n&GLOBAL\n @INCLUDE more.inc", "input"),
        ("&END FORCE_EVAL", "&END FORCE_EVAL\n&END\n&END\n&END\nX 1", "input"),
    ],
)
def test_an_input_of_another_line_has_another_hash(
    folder: Path, old: str, new: str, key: str
) -> None:
    edit(folder / "cp2k.inp", old, new)
    output = (folder / "cp2k.out").read_text()
    found = differing_settings(describe(DFT), found_settings(output, folder, DFT))
    assert found[0].split(":")[0] == key


def test_what_steers_a_run_is_no_setting(folder: Path) -> None:
    """Names, wall time, printing, the wave function to start from; and the spelling."""
    text = (folder / "cp2k.inp").read_text()
    text = text.replace("PROJECT_NAME CP2K", "PROJECT_NAME OTHER\n WALLTIME 100")
    text = text.replace("SCF_GUESS RESTART", "SCF_GUESS ATOMIC")
    text = text.replace("&RESTART OFF", "&RESTART ON\n BACKUP_COPIES 0")
    text = text.replace("UKS False", "uks .false.\n WFN_RESTART_FILE_NAME previous.wfn")
    text = text.replace("CUTOFF 120.0", "CUTOFF 1.2e2 ! Ry")
    (folder / "cp2k.inp").write_text(text)
    output = (folder / "cp2k.out").read_text()
    assert found_settings(output, folder, DFT) == describe(DFT)


@pytest.mark.parametrize("name", ["BASIS", "POTENTIAL"])
def test_another_basis_of_the_same_name_has_another_hash(folder: Path, name: str) -> None:
    edit(folder / name, r"(\d\.\d{6})\d", r"\g<1>9")
    output = (folder / "cp2k.out").read_text()
    found = differing_settings(describe(DFT), found_settings(output, folder, DFT))
    assert [line.split(":")[0] for line in found] == [f"data_files.{name}"]


def test_another_basis_set_is_named_by_element(folder: Path) -> None:
    """As where a whole folder was taken from other settings."""
    other = DFT.model_copy(update={"basis_family": "SZV-MOLOPT-SR-GTH"})
    output = (folder / "cp2k.out").read_text()
    found = differing_settings(describe(other), found_settings(output, folder, other))
    assert any(line.startswith("kinds.He: expected nothing, got ['DZVP") for line in found)


def test_a_folder_without_input_proves_nothing(folder: Path) -> None:
    output = (folder / "cp2k.out").read_text()
    (folder / "cp2k.inp").unlink()
    assert found_settings(output, folder, DFT)["input"] == "none"
    assert found_settings("", folder, DFT) == describe(DFT)  # it never started


def test_a_user_s_configuration_is_ignored_or_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``CP2K_INPUT_UPDATES`` of ``~/.atomate2.yaml``, with our Maker and with one that takes it."""
    updates = {"FORCE_EVAL": {"DFT": {"MGRID": {"CUTOFF": 140.0}}}}
    monkeypatch.setattr(files.SETTINGS, "CP2K_INPUT_UPDATES", updates)
    frame = as_frame(h2())
    profile = Profile.model_construct(force_ceiling=50.0, min_distance_fraction=0.1)
    asked = describe(DFT)
    for takes, reasons in ((False, []), (True, ["cutoff: expected 120.0, got 140.0"])):
        maker = Cp2kStaticMaker(input_set_generator=IonicSetGenerator(dft=DFT))
        maker.write_input_set_kwargs = {"apply_input_updates": takes}
        point = maker.compute(frame, tmp_path / str(takes))
        label = judge_point(frame, point, hash_settings(asked), profile, asked)
        assert len(label.reasons) == len(reasons)
        assert all(reason in label.reasons[0] for reason in reasons)
