"""Real CP2K on cells where a calculation costs seconds: LiCl, and H2 in a box with a coarse grid.

A missing CP2K fails these tests, it never skips them: ``apt-get install cp2k``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk
from jobflow import Job, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize
from pymatgen.core import Lattice, Structure

from ionloop.frame import Frame, Origin
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.schema import SinglePoint


@pytest.fixture(scope="session")
def salt() -> Structure:
    """Perfect LiCl."""
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.14), ["Li", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


@pytest.fixture(scope="session", autouse=True)
def _cp2k_is_there(salt: Structure) -> None:
    """Fail with the reference's own words where CP2K is missing."""
    Cp2kReference().check(salt)


@pytest.fixture(scope="session")
def frame() -> Frame:
    """Rattled LiCl, elements mixed in order, one atom outside of the cell."""
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.positions[1, 0] += 5.14
    return Frame.from_atoms(atoms, origin=Origin.RATTLE, group="test")


@pytest.fixture(scope="session")
def coarse() -> Cp2kSettings:
    """A grid that is wrong, and fast."""
    return Cp2kSettings(cutoff=100, rel_cutoff=30, n_grids=3)


@pytest.fixture(scope="session")
def hydrogen() -> list[Frame]:
    """Neighbouring geometries of H2 in a box."""
    frames = []
    for seed in range(3):
        atoms = Atoms("H2", positions=[[0.1, 0, 0], [0.9, 0.05, 0]], cell=[4, 4, 4], pbc=True)
        atoms.rattle(0.02, seed=seed)
        frames.append(Frame.from_atoms(atoms, origin=Origin.RATTLE, group="test"))
    return frames


@pytest.fixture(scope="session")
def run() -> Callable[[Job, Path], object]:
    """Run a job as a user does, in a folder of its own; returns its output."""

    def run_job(job: Job, folder: Path) -> object:
        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        options = {"create_folders": True, "raise_immediately": True, "log": False}
        responses = run_locally(job, store=store, root_dir=folder, **options)
        return responses[job.uuid][1].output

    return run_job


@pytest.fixture(scope="session")
def round_trip() -> Callable[[Job], Job]:
    """Send a job through JSON, as FireWorks does."""

    def send(job: Job) -> Job:
        return MontyDecoder().process_decoded(json.loads(json.dumps(jsanitize(job.as_dict()))))

    return send


@pytest.fixture(scope="session")
def label(frame: Frame, run, round_trip, tmp_path_factory: pytest.TempPathFactory) -> SinglePoint:
    """The label of the frame, by a job that went through JSON."""
    job = round_trip(Cp2kReference().static([frame]))
    points = run(job, tmp_path_factory.mktemp("static"))
    return points[0]


@pytest.fixture
def ends_soon(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let this worker's wall time end so that CP2K has a number of seconds.

    A slow machine would begin late, and sit out its last minutes: it doesn't wait here.
    """
    import psutil

    from ionloop.reference.runs import RESERVE_S

    monkeypatch.setattr("ionloop.reference.cp2k.runs.wait_out", lambda _limit: None)

    def end(seconds: int) -> None:
        import time

        age = time.time() - psutil.Process().create_time()
        monkeypatch.setenv("IONLOOP_CP2K_WALL_TIME_S", str(round(age + RESERVE_S + seconds + 0.5)))

    return end
