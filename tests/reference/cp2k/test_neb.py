"""A band with CP2K: one atom of H2 goes round the other, from one axis of the box to another."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from ionloop.frame import Frame, Origin
from ionloop.reference.cp2k import Cp2kReference
from ionloop.reference.cp2k import neb as cp2k_neb
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.schema import Band
from ionloop.seed.schema import Hop

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")


@pytest.fixture(scope="module")
def turn() -> Hop:
    """H2 along x, and along y; both are minima by symmetry once the bond length is right."""
    ends = []
    for direction in ([0.85, 0, 0], [0, 0.85, 0]):
        atoms = Atoms("H2", positions=[[0, 0, 0], direction], cell=[3, 3, 3], pbc=True)
        ends.append(Frame.from_atoms(atoms, origin=Origin.HOP, group="turn"))
    distance = float(np.linalg.norm(np.subtract(ends[1].positions[1], ends[0].positions[1])))
    return Hop(
        start=ends[0], end=ends[1], ion=1, distance=distance, path_class="turn", multiplicity=1
    )


def test_a_band_of_three_images(turn: Hop, run, round_trip, tmp_path: Path) -> None:
    reference = Cp2kReference()
    job = reference.neb(turn, n_images=1, fmax=0.3, max_steps=4)
    band: Band = run(round_trip(job), tmp_path)
    assert len(band.images) == 3
    assert band.energies[0] == pytest.approx(band.energies[2], abs=0.02)
    bond = np.subtract(*band.images[1][::-1])
    bond -= 3 * np.rint(bond / 3)
    assert np.linalg.norm(bond) == pytest.approx(0.85, abs=0.15)
    assert bond[0] == pytest.approx(bond[1], abs=0.05)  # half way
    assert (band.engine, band.settings_hash) == ("cp2k 2023.1", reference.settings_hash)
    assert band.n_force_calls >= 4


def test_a_band_survives_a_killed_shell(
    turn: Hop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    shells = []
    make = cp2k_neb.shell_calculator

    def watched(*args: object) -> object:
        shells.append(make(*args))
        return shells[-1]

    monkeypatch.setattr(cp2k_neb, "shell_calculator", watched)

    def kill_the_first() -> None:
        while not shells or not Path("image_00_00.out").exists():
            time.sleep(0.01)
        os.kill(shells[0]._shell._child.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    limits = {"n_images": 1, "fmax": 0.5, "max_steps": 2}
    band = cp2k_neb.cp2k_band.original(turn, Cp2kSettings(), **limits)
    killer.join()
    assert "killed by signal 9" in caplog.text
    assert len(band.images) == 3
