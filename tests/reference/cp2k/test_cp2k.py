"""CP2K as the reference: real CP2K on eight atoms of LiCl, where a label costs seconds.

A missing CP2K fails these tests, it never skips them: ``apt-get install cp2k``.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import SCFError
from atomate2.cp2k.schemas.task import TaskDocument
from jobflow import Job, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize
from pymatgen.core import Lattice, Structure
from pymatgen.io.cp2k.outputs import Cp2kOutput

from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame, Origin
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.cp2k.fixes import quiet_command, readable_task_document
from ionloop.reference.cp2k.inputs import IonicSetGenerator
from ionloop.reference.cp2k.makers import Cp2kStaticMaker
from ionloop.reference.cp2k.output import failure_reason, read_xyz, total_time
from ionloop.reference.cp2k.settings import Cp2kSettings, kind_of
from ionloop.reference.cp2k.shell import shell_calculator
from ionloop.reference.schema import SinglePoint
from ionloop.seed.schema import Hop

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")


SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.14), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


@pytest.fixture(scope="module", autouse=True)
def _cp2k_is_there() -> None:
    """Fail with the reference's own words where CP2K is missing."""
    Cp2kReference().check(SALT)


@pytest.fixture(scope="module")
def frame() -> Frame:
    """Rattled LiCl, elements mixed in order, one atom outside of the cell."""
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.positions[1, 0] += 5.14
    return Frame.from_atoms(atoms, origin=Origin.RATTLE, group="test")


def run(job: Job, folder: Path) -> object:
    """Run a job as a user does, in a folder of its own."""
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    options = {"create_folders": True, "raise_immediately": True, "log": False}
    responses = run_locally(job, store=store, root_dir=folder, **options)
    return responses[job.uuid][1].output


def round_trip(job: Job) -> Job:
    """Send a job through JSON, as FireWorks does."""
    return MontyDecoder().process_decoded(json.loads(json.dumps(jsanitize(job.as_dict()))))


@pytest.fixture(scope="module")
def label(frame: Frame, tmp_path_factory: pytest.TempPathFactory) -> SinglePoint:
    """The label of the frame, by a job that went through JSON."""
    job = round_trip(Cp2kReference().static([frame]))
    points = run(job, tmp_path_factory.mktemp("static"))
    return points[0]


# --- settings and inputs ---


def test_settings_hash_follows_physics_not_names() -> None:
    reference = Cp2kReference()
    assert Cp2kReference(name="another").settings_hash == reference.settings_hash
    for change in ({"cutoff": 400}, {"smoothing": False}, {"version": "2024.1"}):
        assert Cp2kReference(dft=Cp2kSettings(**change)).settings_hash != reference.settings_hash


def test_settings_hash_follows_the_data_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Cp2kReference().settings_hash
    for name in ("BASIS_MOLOPT", "GTH_POTENTIALS"):
        (tmp_path / name).write_text("# another file\n")
    monkeypatch.setenv("IONLOOP_CP2K_DATA_DIR", str(tmp_path))
    assert Cp2kReference().settings_hash != before


def test_kinds_are_own_or_of_the_family() -> None:
    dft = Cp2kSettings()
    assert kind_of("Li", dft).basis == "DZVP-ION-GTH-q3"
    assert kind_of("O", dft).potential == "GTH-PBE-q6"
    with pytest.raises(ReferenceSetupError, match=r"DZVP-MOLOPT-SR-GTH basis for La"):
        kind_of("La", dft)


def test_input_holds_charge_order_and_no_stress(frame: Frame) -> None:
    charged = frame.model_copy(update={"charge": -1})
    text = str(IonicSetGenerator().get_input_set(charged.to_structure()).cp2k_input)
    assert "CHARGE -1" in text
    assert "STRESS_TENSOR NONE" in text
    assert "MAX_SCF 60" in text
    rows = text.split("&COORD")[1].split("&END", maxsplit=1)[0].split("\n")[1:-1]
    assert [row.split()[0].split("_")[0] for row in rows] == frame.symbols


def test_jobs_survive_json(frame: Frame) -> None:
    reference = Cp2kReference(dft=Cp2kSettings(cutoff=310))
    hop = Hop(start=frame, end=frame, ion=0, distance=1.0, path_class="x", multiplicity=1)
    run_length = {"n_steps": 3, "time_step": 2.0, "store_every": 1}
    jobs = [
        reference.static([frame]),
        reference.md(frame, temperature=600, seed=1, group="a", **run_length),
        reference.neb(hop, n_images=1, fmax=0.1, max_steps=5),
    ]
    for job in jobs:
        again = round_trip(job)
        assert list(again.function_args) == list(job.function_args)
        assert len(job.to_json()) < 20_000
        if job.maker is not None:
            assert again.maker.as_dict() == job.maker.as_dict()
            assert again.maker.input_set_generator.dft.cutoff == 310


def test_skewed_cells_are_warned_of(frame: Frame, caplog: pytest.LogCaptureFixture) -> None:
    cell = np.array(frame.cell)
    cell[1, 0] = 1.0
    with caplog.at_level(logging.WARNING):
        Cp2kReference().static([frame])
        assert not caplog.records
        Cp2kReference().static([frame.model_copy(update={"cell": cell.tolist()})])
    assert "isn't orthorhombic" in caplog.text


# --- labels ---


def test_label_is_complete(label: SinglePoint) -> None:
    assert label.converged
    assert label.failure is None
    assert label.stress is None
    assert label.engine == "cp2k 2023.1"
    assert label.settings_hash == Cp2kReference().settings_hash
    assert label.n_scf > 3
    assert label.wall_s > 0.5
    assert np.shape(label.forces) == (8, 3)
    assert np.linalg.norm(np.sum(label.forces, axis=0)) < 0.02


def test_forces_are_the_gradient_and_the_shell_agrees(
    frame: Frame, label: SinglePoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Central difference over ±0.02 Å; 0.0005 eV/Å apart when written, far below a wrong unit.

    The energies agree to 1e-7 only: CP2K converts with CODATA 2006, pymatgen with 2018.
    """
    monkeypatch.chdir(tmp_path)
    atoms = frame.to_atoms()
    atom, axis = np.unravel_index(np.argmax(np.abs(label.forces)), (8, 3))
    with shell_calculator(frame, Cp2kSettings(), "shell") as shell:
        atoms.calc = shell
        assert atoms.get_potential_energy() == pytest.approx(label.energy, rel=2e-7, abs=0)
        np.testing.assert_allclose(atoms.get_forces(), label.forces, atol=1e-4)
        energies = []
        for shift in (0.02, -0.02):
            moved = frame.to_atoms()
            moved.positions[atom, axis] += shift
            atoms.positions = moved.positions
            energies.append(atoms.get_potential_energy())
    slope = (energies[0] - energies[1]) / 0.04
    assert abs(label.forces[atom][axis]) > 0.2
    assert -slope == pytest.approx(label.forces[atom][axis], abs=0.003)


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
    assert "SCF not converged" in point.failure
    assert point.wall_s > 0.1


def test_abort_becomes_a_failed_label(frame: Frame, tmp_path: Path) -> None:
    """One electron less than even: CP2K refuses a restricted calculation."""
    point = Cp2kStaticMaker().compute(frame.model_copy(update={"charge": 1}), tmp_path)
    assert not point.converged
    assert "odd number of electrons" in point.failure


def test_shell_notices_an_unconverged_scf(
    frame: Frame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    atoms = frame.to_atoms()
    with shell_calculator(frame, Cp2kSettings(max_scf=2), "shell") as shell:
        atoms.calc = shell
        with pytest.raises(SCFError, match="not converged"):
            atoms.get_forces()


def test_md_keeps_positions_unwrapped(frame: Frame, tmp_path: Path) -> None:
    job = Cp2kReference().md(
        frame, temperature=600, n_steps=3, time_step=2.0, store_every=1, seed=7, group="a"
    )
    trajectory = run(round_trip(job), tmp_path)
    assert trajectory.n_frames == 4
    assert trajectory.n_steps == 3
    assert trajectory.frame_interval_fs == 2.0
    assert trajectory.group == "a"
    np.testing.assert_allclose(trajectory.positions[0], frame.positions, atol=1e-5)
    steps = np.linalg.norm(np.diff(trajectory.positions, axis=0), axis=-1)
    assert 1e-3 < steps.max() < 0.2


# --- what is missing ---


@pytest.mark.parametrize("name", ["IONLOOP_CP2K_CMD", "IONLOOP_CP2K_SHELL_CMD"])
def test_missing_program_says_what_to_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "no-such-cp2k.psmp")
    with pytest.raises(ReferenceSetupError, match=r"apt-get install cp2k.*IONLOOP_CP2K_CMD"):
        Cp2kReference().check(SALT)


def test_missing_program_stops_a_label(
    frame: Frame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IONLOOP_CP2K_CMD", "no-such-cp2k.psmp")
    with pytest.raises(ReferenceSetupError, match=r"no-such-cp2k\.psmp"):
        Cp2kStaticMaker().compute(frame, tmp_path)


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReferenceSetupError, match=r"expected CP2K 2024\.1, got 2023\.1"):
        Cp2kReference(dft=Cp2kSettings(version="2024.1")).check(SALT)
    monkeypatch.setenv("IONLOOP_CP2K_CMD", "true")
    with pytest.raises(ReferenceSetupError, match=r"expected CP2K 2023\.1, got true .GNU"):
        Cp2kReference().check(SALT)


def test_missing_data_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONLOOP_CP2K_DATA_DIR", str(tmp_path))
    with pytest.raises(ReferenceSetupError, match="IONLOOP_CP2K_DATA_DIR"):
        Cp2kReference().check(SALT)


# --- texts ---

XYZ = """ 2
 i = 0, time = 0.000, E = -1.0
Li_1 0.0 0.0 -0.5
Cl_1 9.0 2.5 2.5
 2
 i = 5, time = 10.000, E = -1.0
Li_1 0.1 0.0 -0.5
Cl_1 9.0 2.5 2.5
"""


def test_read_xyz_drops_a_frame_that_was_cut_off() -> None:
    positions, steps = read_xyz(XYZ, 2)
    assert steps == [0, 5]
    np.testing.assert_allclose(positions[1], [[0.1, 0, -0.5], [9, 2.5, 2.5]])
    assert read_xyz(XYZ[: XYZ.rindex(" 2.5")], 2)[1] == [0]
    assert len(read_xyz("", 2)[0]) == 0


def test_failure_reason_reads_outputs() -> None:
    good = " CP2K| version string:   CP2K version 2023.1\n  SCF run converged in 9 steps\n"
    assert "ends without" in failure_reason(good, "2023.1")
    assert failure_reason(f"{good} PROGRAM ENDED AT now", "2023.1") is None
    assert "expected CP2K 2024.1, got 2023.1" in failure_reason(good, "2024.1")


def test_total_time_is_the_last_column() -> None:
    assert total_time(" CP2K        1  1.0    0.010    0.011    3.330    3.339\n") == 3.339
    assert total_time("no table") == 0.0


# --- the ways around ---


def test_restricted_fix_is_needed_and_taken_back(label: SinglePoint) -> None:
    original = Cp2kOutput.parse_dft_params
    with readable_task_document():
        assert Cp2kOutput.parse_dft_params is not original
    assert Cp2kOutput.parse_dft_params is original
    with pytest.raises(AttributeError, match="upper"):
        TaskDocument.from_directory(label.directory)


def test_calculation_dies_with_its_worker(tmp_path: Path) -> None:
    """A worker killed with -9 leaves no CP2K behind."""
    command = quiet_command("sleep 60")
    assert "OMP_NUM_THREADS=1" in command
    script = (
        "import shlex, subprocess, sys, time\n"
        f"child = subprocess.Popen(shlex.split({command!r}))\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(f'{{child.pid}}\\n')\n"
        "time.sleep(60)\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", script])
    pid = _wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    _wait_for(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()[:6])
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    _wait_for(lambda: not _is_running(int(pid)))


def _is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] not in "ZX"


def _wait_for(condition: Callable[[], object], seconds: float = 10.0) -> object:
    """Poll a condition; return its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail("the condition didn't come true in time")
