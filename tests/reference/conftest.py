"""Li3OCl with a Li and a Cl vacancy, its hop, VASP's stand-in, and a CP2K that is killed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from ionloop.frame import Frame, Origin
from ionloop.seed.defects import remove_neutral_set
from ionloop.seed.paths import vacancy_hops
from ionloop.seed.schema import Hop
from ionloop.testing.potcars import write_potcars


@pytest.fixture(scope="session")
def li3ocl() -> Structure:
    """Perfect 2x2x2 cell near the teacher's own lattice constant."""
    cell = Structure(
        Lattice.cubic(3.90),
        ["Li", "Li", "Li", "O", "Cl"],
        [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]],
    )
    return cell.make_supercell(2)


@pytest.fixture(scope="session")
def li3ocl_vacancies(li3ocl: Structure) -> Structure:
    """The cell without one Li and one Cl."""
    return remove_neutral_set(li3ocl, {"Li": 1, "Cl": 1})


@pytest.fixture(scope="session")
def li3ocl_frame(li3ocl_vacancies: Structure) -> Frame:
    return Frame.from_structure(li3ocl_vacancies, origin=Origin.AIMD, group="start")


@pytest.fixture(scope="session")
def li3ocl_hop(li3ocl: Structure, li3ocl_vacancies: Structure) -> Hop:
    return vacancy_hops(li3ocl, li3ocl_vacancies, "Li", 3.0).hops[0]


# --- VASP's stand-in ---


@dataclass
class StandIn:
    """VASP as this machine seems to have it."""

    log: Path
    patch: pytest.MonkeyPatch

    @property
    def n_runs(self) -> int:
        """How often VASP was started."""
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def fail(self, mode: str) -> None:
        """Let it fail from now on, or with ``mode:n`` in its first n runs."""
        self.patch.setenv("VASP_STAND_IN_FAIL", mode)


@pytest.fixture
def vasp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A machine with VASP, made-up POTCARs, and a custodian that looks often."""
    from pymatgen.core import SETTINGS

    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(write_potcars(tmp_path / "psp")))
    monkeypatch.setenv("IONLOOP_VASP_CMD", f"{sys.executable} -m ionloop.testing.vasp_std")
    monkeypatch.setenv("VASP_STAND_IN_LOG", str(tmp_path / "runs.log"))
    monkeypatch.setattr("ionloop.reference.vasp.runs.POLL_S", 0.1)
    return StandIn(tmp_path / "runs.log", monkeypatch)


# --- CP2K, killed on demand ---

KILLED = Path(__file__).parents[1] / "support" / "cp2k_killed.sh"


@dataclass
class Machine:
    """A machine that counts its runs of CP2K, and kills as many as it is told."""

    log: Path
    patch: pytest.MonkeyPatch

    @property
    def n_runs(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def kill(self, runs: int, file: str, word: str) -> None:
        """Kill the next runs as soon as a file holds a word."""
        self.patch.setenv("KILLS", str(self.n_runs + runs))
        self.patch.setenv("KILL_FILE", file)
        self.patch.setenv("KILL_WORD", word)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that runs CP2K, and kills none so far."""
    monkeypatch.setenv("IONLOOP_CP2K_CMD", f"sh {KILLED}")
    monkeypatch.setenv("KILL_LOG", str(tmp_path / "runs.log"))
    machine = Machine(tmp_path / "runs.log", monkeypatch)
    machine.kill(0, "none", "none")
    return machine
