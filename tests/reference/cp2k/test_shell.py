"""``cp2k_shell`` kept running: forces, and a shell that was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from ase.calculators.calculator import SCFError

from ionloop.errors import ExplorationError
from ionloop.frame import Frame
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.cp2k.shell import shell_calculator
from ionloop.reference.schema import SinglePoint

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")


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


def test_shell_notices_an_unconverged_scf(
    frame: Frame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    atoms = frame.to_atoms()
    with shell_calculator(frame, Cp2kSettings(max_scf=2), "shell") as shell:
        atoms.calc = shell
        with pytest.raises(SCFError, match="not converged"):
            atoms.get_forces()


def test_a_killed_shell_is_started_again(
    hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    atoms = hydrogen[0].to_atoms()
    with shell_calculator(hydrogen[0], coarse, "killed") as shell:
        atoms.calc = shell
        atoms.get_forces()
        os.kill(shell._shell._child.pid, signal.SIGKILL)
        atoms.positions = hydrogen[1].positions
        forces = atoms.get_forces()
    with shell_calculator(hydrogen[1], coarse, "alive") as shell:
        again = hydrogen[1].to_atoms()
        again.calc = shell
        np.testing.assert_allclose(forces, again.get_forces(), atol=1e-3)


def test_a_shell_that_is_always_killed_is_told(
    machine, hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IONLOOP_CP2K_SHELL_CMD", os.environ["IONLOOP_CP2K_CMD"])
    monkeypatch.setenv("KILL_PROGRAM", "cp2k_shell.psmp")
    machine.kill(99, "shell.out", "SCF WAVEFUNCTION")
    atoms = hydrogen[0].to_atoms()
    with shell_calculator(hydrogen[0], coarse, "shell") as shell:
        atoms.calc = shell
        with pytest.raises(ExplorationError, match=r"killed by signal 9 .out of memory.., 3 att"):
            atoms.get_forces()
    assert machine.n_runs == 3


def test_a_shell_that_is_killed_before_it_is_ready_is_started_again(
    machine, hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IONLOOP_CP2K_SHELL_CMD", os.environ["IONLOOP_CP2K_CMD"])
    monkeypatch.setenv("KILL_PROGRAM", "cp2k_shell.psmp")
    machine.kill(2, "now", "now")
    atoms = hydrogen[0].to_atoms()
    with shell_calculator(hydrogen[0], coarse, "shell") as shell:
        atoms.calc = shell
        (tmp_path / "now").write_text("now")  # the one that runs, and the next as it starts
        assert np.isfinite(atoms.get_forces()).all()
    assert machine.n_runs == 3


def test_what_the_shell_refuses_is_not_repeated(
    machine, hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path, monkeypatch
) -> None:
    """One electron: a restricted calculation is refused, and the reason is CP2K's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IONLOOP_CP2K_SHELL_CMD", os.environ["IONLOOP_CP2K_CMD"])
    monkeypatch.setenv("KILL_PROGRAM", "cp2k_shell.psmp")
    charged = hydrogen[0].model_copy(update={"charge": 1})
    atoms = charged.to_atoms()
    with shell_calculator(charged, coarse, "shell") as shell:
        atoms.calc = shell
        with pytest.raises(ExplorationError, match="odd number of electrons"):
            atoms.get_forces()
    assert machine.n_runs == 1
