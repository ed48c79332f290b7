"""Labels: eight atoms of LiCl, where one costs seconds."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from atomate2.cp2k.schemas.task import TaskDocument
from pymatgen.io.cp2k.outputs import Cp2kOutput

from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.cp2k.fixes import readable_task_document
from ionloop.reference.cp2k.inputs import IonicSetGenerator
from ionloop.reference.cp2k.makers import Cp2kStaticMaker
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.folders import read_text
from ionloop.reference.schema import SinglePoint

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")


def test_label_is_complete(label: SinglePoint) -> None:
    assert label.converged
    assert label.failure is None
    assert label.stress is None
    assert label.engine == "cp2k 2023.1"
    assert label.settings_hash == Cp2kReference().settings_hash
    assert label.n_scf > 3
    assert label.wall_s > 0.5
    assert label.cores == 1
    assert np.shape(label.forces) == (8, 3)
    assert np.linalg.norm(np.sum(label.forces, axis=0)) < 0.02


def test_finished_calculation_is_read_again(frame: Frame, label: SinglePoint) -> None:
    output = Path(label.directory) / "cp2k.out.gz"
    before = output.stat().st_mtime_ns
    assert Cp2kStaticMaker().compute(frame, output.parents[1]) == label
    assert output.stat().st_mtime_ns == before


def test_half_zipped_folder_is_read(frame: Frame, label: SinglePoint, tmp_path: Path) -> None:
    folder = tmp_path / Path(label.directory).name
    shutil.copytree(label.directory, folder)
    whole = gzip.decompress((folder / "cp2k.out.gz").read_bytes())
    (folder / "cp2k.out").write_bytes(whole)
    (folder / "cp2k.out.gz").write_bytes(b"cut off")
    point = Cp2kStaticMaker().compute(frame, tmp_path)
    assert point.model_copy(update={"directory": label.directory}) == label


@pytest.mark.parametrize(
    ("file", "pattern", "other"),
    [("cp2k.inp", r"EPS_DEFAULT .*", "EPS_DEFAULT 1e-6"),
     ("cp2k.out", r"stress tensor", "no such tensor"),
     ("cp2k.out", r"^ +1 +1 H +1 +0\.1", "      1    1 H     1      0.2"),
     ("cp2k.out", r"(?<=charge density g-space grids:) +0\.00", "  1.00"),
     ("cp2k.out", r"(?<=Total FORCE_EVAL \( QS \) energy \[a\.u\.\]:).*", "   NaN"),
     ("cp2k.out", r"(?<=ATOMIC FORCES in \[a\.u\.\])(.*\n){3}", "\n\n 1 1 H **** 0.0 0.0\n")],
    ids=["settings", "stress", "geometry", "charge", "nan", "stars"],
)  # fmt: skip
def test_what_ended_without_a_good_label_is_computed_again(
    machine, hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path,
    file: str, pattern: str, other: str,
) -> None:  # fmt: skip
    dft = coarse.model_copy(update={"stress": True, "smoothing": False})
    maker = Cp2kStaticMaker(input_set_generator=IonicSetGenerator(dft=dft))
    good = maker.compute(hydrogen[0], tmp_path)
    assert (good.failure, np.shape(good.stress)) == (None, (3, 3))
    folder = Path(good.directory)
    text = read_text(folder / file)
    changed = re.sub(pattern, other, text, flags=re.MULTILINE)
    assert changed != text
    (folder / f"{file}.gz").unlink()
    (folder / file).write_text(changed)
    again = maker.compute(hydrogen[0], tmp_path)
    assert machine.n_runs == 2
    assert (again.energy, again.forces, again.stress) == (good.energy, good.forces, good.stress)
    assert again.settings_hash == good.settings_hash
    assert read_text(folder / "failed.1" / file) == changed
    assert maker.compute(hydrogen[0], tmp_path) == again
    assert machine.n_runs == 2


def test_the_unit_of_forces_is_ours(
    hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """atomate2 leaves hartree/bohr; were it to convert them one day, labels stay as they are."""
    maker = Cp2kStaticMaker(input_set_generator=IonicSetGenerator(dft=coarse))
    label = maker.compute(hydrogen[0], tmp_path / "now")
    parse = Cp2kOutput.parse_forces

    def converted(self: Cp2kOutput) -> None:
        parse(self)
        self.data["forces"] = (np.array(self.data["forces"]) * 51.42).tolist()

    monkeypatch.setattr(Cp2kOutput, "parse_forces", converted)
    assert maker.compute(hydrogen[0], tmp_path / "then").forces == label.forces


def test_unfinished_calculation_starts_afresh(
    frame: Frame, label: SinglePoint, tmp_path: Path
) -> None:
    """Other settings in the same folder are another request."""
    folder = tmp_path / Path(label.directory).name
    folder.mkdir()
    (folder / "request.json").write_text("{}")
    (folder / "cp2k.out").write_text("PROGRAM ENDED AT")
    maker = Cp2kStaticMaker(input_set_generator=IonicSetGenerator(dft=Cp2kSettings(max_scf=2)))
    point = maker.compute(frame, tmp_path)
    assert not point.converged
    assert point.energy is None
    assert point.failure is None  # the gate tells, from these:
    assert (point.n_scf, point.scf_limit) == (2, 2)
    assert point.wall_s > 0.1


def test_abort_becomes_a_failed_label(frame: Frame, tmp_path: Path) -> None:
    """One electron less than even: CP2K refuses a restricted calculation."""
    point = Cp2kStaticMaker().compute(frame.model_copy(update={"charge": 1}), tmp_path)
    assert not point.converged
    assert "odd number of electrons" in point.failure


def test_missing_program_stops_a_label(
    frame: Frame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IONLOOP_CP2K_CMD", "no-such-cp2k.psmp")
    with pytest.raises(ReferenceSetupError, match=r"no-such-cp2k\.psmp"):
        Cp2kStaticMaker().compute(frame, tmp_path)


def test_restricted_fix_is_needed_and_taken_back(label: SinglePoint) -> None:
    original = Cp2kOutput.parse_dft_params
    with readable_task_document():
        assert Cp2kOutput.parse_dft_params is not original
    assert Cp2kOutput.parse_dft_params is original
    with pytest.raises(AttributeError, match="upper"):
        TaskDocument.from_directory(label.directory)
