"""A force field as reference: settings, jobs, and a journal that a killed job goes on from."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import jobflow
import numpy as np
import pytest
from ase.build import bulk
from jobflow import Flow, Job, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize

from ionloop.engine import submit
from ionloop.engine.launchpad import launchpad
from ionloop.engine.local.recover import recover
from ionloop.engine.worker import Worker
from ionloop.frame import Frame, Origin
from ionloop.reference import buckingham_md, forcefield
from ionloop.reference.buckingham import LI3OCL, PairParameters
from ionloop.reference.checkpoint import Checkpoint
from ionloop.reference.forcefield import (
    ForceFieldReference,
    read_journal,
    teacher_labels,
    teacher_md,
)
from ionloop.reference.nvt import NvtRun
from ionloop.reference.schema import SinglePoint, Trajectory
from ionloop.reference.teachers import BuckinghamTeacher, ChgnetTeacher
from ionloop.store.connection import job_store

SUPPORT = Path(__file__).parents[1] / "support"

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")


def rattled(seed: int, charge: int = 0) -> Frame:
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.rattle(0.1, seed=seed)
    return Frame.from_atoms(atoms, origin=Origin.RATTLE, group=f"g{seed}", charge=charge)


@pytest.fixture
def reference() -> ForceFieldReference:
    return ForceFieldReference()


def round_trip(job: Job) -> Job:
    """Send a job through JSON, as FireWorks does."""
    return MontyDecoder().process_decoded(json.loads(json.dumps(jsanitize(job.as_dict()))))


def run(job: Job, folder: Path) -> object:
    """Run a job that went through JSON; its output is read back from the store."""
    job = round_trip(job)
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(
        job, store=store, root_dir=folder, create_folders=True, raise_immediately=True, log=False
    )
    return MontyDecoder().process_decoded(store.get_output(job.uuid, load=True))


# --- settings ---


def test_settings_hash_follows_parameters_not_names(reference: ForceFieldReference) -> None:
    same = ForceFieldReference(name="another", frames_per_job=3)
    assert same.settings_hash == reference.settings_hash
    pairs = {**LI3OCL.pairs, "Li-O": PairParameters(a=433.2628, rho=0.31384, c=0.0)}
    others = [
        ForceFieldReference(teacher=BuckinghamTeacher(model=LI3OCL.model_copy(update=change)))
        for change in ({"cutoff": 7.5}, {"ewald_accuracy": 1e-6}, {"pairs": pairs})
    ]
    others.append(ForceFieldReference(teacher=ChgnetTeacher()))
    assert len({reference.settings_hash, *(r.settings_hash for r in others)}) == 5


def test_it_survives_json_with_its_parameters() -> None:
    model = LI3OCL.model_copy(update={"cutoff": 8.25})
    reference = ForceFieldReference(teacher=BuckinghamTeacher(model=model), frames_per_job=7)
    again = round_trip(reference.static([rattled(1)]))
    frames, back = again.function_args
    assert frames == [rattled(1)]
    assert isinstance(back, ForceFieldReference)
    assert (back.teacher.model, back.frames_per_job) == (model, 7)
    assert back.settings_hash == reference.settings_hash


def test_teachers_load_from_where_they_stood_at_first() -> None:
    """Jobs that were submitted before teachers had a module of their own."""
    stored = json.dumps(jsanitize(ForceFieldReference().static([]).as_dict()))
    assert "ionloop.reference.teachers" in stored
    stored = stored.replace("ionloop.reference.teachers", "ionloop.reference.forcefield")
    _, back = MontyDecoder().process_decoded(json.loads(stored)).function_args
    assert back == ForceFieldReference()
    assert {teacher.__name__ for teacher in forcefield.TEACHERS.values()} <= set(forcefield.__all__)


def test_a_pair_potential_has_no_one_body_energies(reference: ForceFieldReference) -> None:
    assert reference.isolated_atom_energies(["Li", "O"]) == {"Li": 0.0, "O": 0.0}


# --- jobs ---


def test_labels_are_the_calculators(reference: ForceFieldReference, tmp_path: Path) -> None:
    frames = [rattled(1), rattled(2)]
    points = run(reference.static(frames), tmp_path)
    assert len(points) == 2
    for frame, point in zip(frames, points, strict=True):
        atoms = frame.to_atoms()
        atoms.calc = BuckinghamTeacher().calculator()
        assert point.energy == pytest.approx(atoms.get_potential_energy(), rel=1e-10)
        np.testing.assert_allclose(point.forces, atoms.get_forces(), atol=1e-10)
        np.testing.assert_allclose(point.stress, atoms.get_stress(voigt=False), atol=1e-10)
        assert point.converged
        assert point.failure is None
        assert point.settings_hash == reference.settings_hash
        assert point.engine.startswith("lammps 20")
        assert Path(point.directory).parent == tmp_path
        assert point.wall_s > 0


def test_a_run_says_what_it_is(reference: ForceFieldReference, tmp_path: Path) -> None:
    job = reference.md(
        rattled(1), temperature=700, n_steps=30, time_step=2.0, store_every=5, seed=3, group="m"
    )
    run_ = run(job, tmp_path)
    assert run_.positions.shape == (7, 8, 3)
    assert (run_.n_frames, run_.n_steps, run_.frame_interval_fs) == (7, 30, 10.0)
    assert (run_.temperature, run_.group, run_.symbols) == (700, "m", rattled(1).symbols)
    np.testing.assert_allclose(run_.cell, rattled(1).cell)


# --- the journal ---


def label(frames: list[Frame], reference: ForceFieldReference) -> list[SinglePoint]:
    return teacher_labels.original(frames, reference)


def numbers(points: list[SinglePoint]) -> np.ndarray:
    return np.array([[p.energy, *np.ravel(p.forces), *np.ravel(p.stress)] for p in points])


@pytest.mark.parametrize("cut", [0.5, 0.98])
def test_a_killed_job_computes_only_what_is_missing(
    reference: ForceFieldReference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: float
) -> None:
    monkeypatch.chdir(tmp_path)
    frames = [rattled(seed) for seed in range(4)]
    whole = label(frames, reference)
    journal = tmp_path / "labels.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert len(lines) == 4
    marked = [json.dumps({**json.loads(line), "wall_s": 1234.0}) + "\n" for line in lines[:2]]
    journal.write_text("".join(marked) + lines[2][: int(cut * len(lines[2]))])
    again = label(frames, reference)
    assert [point.wall_s == 1234.0 for point in again] == [True, True, False, False]
    np.testing.assert_allclose(numbers(again), numbers(whole), rtol=0, atol=1e-10)
    assert read_journal(journal) == again
    assert label(frames, reference) == again


def test_a_journal_without_any_whole_line(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none.jsonl") == []
    (tmp_path / "labels.jsonl").write_text('{"energy": -1')
    assert read_journal(tmp_path / "labels.jsonl") == []
    assert (tmp_path / "labels.jsonl").read_text() == ""


def test_what_a_lost_power_left_of_a_journal_is_cut_off(tmp_path, reference, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = label([rattled(seed) for seed in range(3)], reference)
    journal = tmp_path / "labels.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    for rubbish in (bytes(len(lines[1]) - 1) + b"\n", b'{"energy": 1}\n', b"\xff\xfe\n"):
        journal.write_bytes(lines[0] + rubbish + lines[2])
        assert read_journal(journal) == whole[:1]
        assert journal.read_bytes() == lines[0]


def test_numbers_that_are_none_come_back_as_such(
    reference: ForceFieldReference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two ions on one place: LAMMPS gives NaN, which the quality gate must see after a kill too."""
    monkeypatch.chdir(tmp_path)
    frame = rattled(1)
    frame.positions[1] = frame.positions[0]
    for _ in range(2):
        (point,) = label([frame], reference)
        assert np.isnan(point.energy)
        assert np.isnan(point.forces).any()


# --- MD that is killed ---

MD = {"temperature": 700, "n_steps": 60, "time_step": 2.0, "store_every": 5, "seed": 3}


def run_md(reference: ForceFieldReference, **changes: float) -> Trajectory:
    return teacher_md.original(rattled(1), reference, {**MD, "group": "m", **changes})


def test_a_checkpoint_of_another_run_is_left_unread(
    reference: ForceFieldReference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = run_md(reference)
    saved = Path("teacher_md.npz").stat().st_mtime_ns
    assert np.array_equal(run_md(reference).positions, first.positions)
    assert Path("teacher_md.npz").stat().st_mtime_ns == saved  # read, not run
    longer, other = run_md(reference, n_steps=80), run_md(reference, seed=4)
    assert (longer.n_frames, other.n_frames) == (17, 13)
    assert not np.allclose(other.positions[1:], first.positions[1:], atol=1e-3)


def test_a_killed_worker_s_md_goes_on_in_its_old_folder(
    ionloop_db: str,
    ionloop_home: Path,
    reference: ForceFieldReference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The real engine: kill -9 right after a checkpoint, recovery, and the second launch."""
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setattr(jobflow.SETTINGS, "JOB_STORE", job_store())
    monkeypatch.setattr(buckingham_md, "LEG_STEPS", 20)
    monkeypatch.setattr(Checkpoint, "due", True)
    import crash

    monkeypatch.setitem(crash.POINTS, "saved", (Checkpoint, "save", True, crash.always))
    monkeypatch.chdir(Path.cwd())
    folder = ionloop_home / "runs" / "c"
    folder.mkdir(parents=True)
    job = reference.md(rattled(1), **MD, group="m")
    submit(Flow([job]), "c")
    assert crash.crash("c", folder, "saved", 2) == signal.SIGKILL
    (file,) = folder.glob("*/teacher_md.npz")
    with np.load(file) as npz:
        assert len(npz["frames"]) == 9  # two legs of 20 steps, of three
    assert len(recover(launchpad(), "c", rerun_failed=False).rerun) == 1
    legs = []
    original = buckingham_md._run_leg
    monkeypatch.setattr(
        buckingham_md, "_run_leg", lambda *args: (legs.append(args[2]), original(*args))
    )
    Worker(launchpad(), "c", folder).run()
    assert legs == [2]
    assert list(folder.glob("*/teacher_md.npz")) == [file]
    store = job_store()
    store.connect()
    found = MontyDecoder().process_decoded(store.get_output(job.uuid, load=True))
    whole = reference.teacher.run_md(rattled(1).to_atoms(), NvtRun(**MD))
    assert np.array_equal(found.positions, whole.astype(np.float32))
