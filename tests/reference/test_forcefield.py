"""A force field as reference: settings, jobs, and a journal that a killed job goes on from."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from jobflow import Job, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize

from ionloop.errors import ReferenceSetupError
from ionloop.frame import Frame, Origin
from ionloop.reference.buckingham import LI3OCL, PairParameters
from ionloop.reference.forcefield import (
    BuckinghamTeacher,
    ChgnetTeacher,
    ForceFieldReference,
    Teacher,
    read_journal,
    single_point,
    teacher_by_name,
    teacher_labels,
)
from ionloop.reference.schema import SinglePoint

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


def test_teachers_by_name() -> None:
    assert isinstance(teacher_by_name("buckingham"), BuckinghamTeacher)
    assert isinstance(teacher_by_name("chgnet"), ChgnetTeacher)
    with pytest.raises(ReferenceSetupError, match=r"\['buckingham', 'chgnet'\], got 'vasp'"):
        teacher_by_name("vasp")


def test_unknown_elements_are_refused_before_launch(reference: ForceFieldReference) -> None:
    reference.check(["Li", "O", "Cl"])
    with pytest.raises(ReferenceSetupError, match=r"knows \['Cl', 'Li', 'O'\], got \['Na', 'S'\]"):
        reference.check(["S", "Li", "Na"])


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


# --- teachers without MD of their own ---


@dataclass
class EmtTeacher(Teacher):
    """ASE's effective-medium theory: a real teacher that says nothing about MD."""

    name: str = "emt"

    @property
    def settings(self) -> dict[str, str]:
        return {"model": "emt"}

    @property
    def engine(self) -> str:
        return "ase emt"

    def calculator(self) -> Calculator:
        return EMT()

    def isolated_atom_energy(self, symbol: str) -> float:
        atoms = Atoms([symbol], calculator=EMT())
        return float(atoms.get_potential_energy())


def test_md_by_ase_is_unwrapped_and_seeded() -> None:
    atoms = bulk("Cu", cubic=True)
    options = {"temperature": 900, "n_steps": 60, "time_step": 2.0, "store_every": 2}
    run_, again, other = (EmtTeacher().run_md(atoms, seed=s, **options) for s in (1, 1, 2))
    assert run_.shape == (31, 4, 3)
    assert np.array_equal(run_, again)
    assert not np.allclose(run_[1:], other[1:], atol=1e-3)
    assert (run_ < 0).any()
    assert np.abs(np.diff(run_, axis=0)).max() < 0.5
    assert np.array_equal(atoms.positions, bulk("Cu", cubic=True).positions)


def test_another_teacher_needs_no_more(caplog: pytest.LogCaptureFixture) -> None:
    reference = ForceFieldReference(teacher=EmtTeacher())
    frame = Frame.from_atoms(bulk("Cu", cubic=True), origin="rattle", group="g")
    with caplog.at_level(logging.WARNING):
        reference.check(["Xe"])  # knows all elements, as far as it says
    point = single_point(frame, EMT(), reference)
    assert point.energy == pytest.approx(bulk_energy(), abs=1e-9)
    assert (point.engine, point.settings_hash) == ("ase emt", reference.settings_hash)
    assert reference.isolated_atom_energies(["Cu"])["Cu"] == pytest.approx(3.51, abs=1e-2)


def bulk_energy() -> float:
    return float(Atoms(bulk("Cu", cubic=True), calculator=EMT()).get_potential_energy())
