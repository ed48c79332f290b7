"""CP2K as anybody's calculator: the labels' numbers, and a shell for each set of atoms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from ionloop.frame import Frame
from ionloop.reference.cp2k import calculator as calculator_module
from ionloop.reference.cp2k.calculator import Cp2kCalculator
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.cp2k.shell import Cp2kShell
from ionloop.reference.schema import SinglePoint

# jobflow 0.4.0 enters folders with monty's cd.
pytestmark = pytest.mark.filterwarnings("ignore:cd is deprecated:FutureWarning")


def test_it_gives_a_label_s_numbers_and_leaves_the_folder_alone(
    frame: Frame, label: SinglePoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    atoms = frame.to_atoms()
    atoms.calc = Cp2kCalculator()
    assert atoms.get_potential_energy() == pytest.approx(label.energy, rel=2e-7, abs=0)
    np.testing.assert_allclose(atoms.get_forces(), label.forces, atol=1e-4)
    atoms.calc.close()
    assert list(tmp_path.iterdir()) == []


def test_other_atoms_get_a_shell_of_their_own(
    coarse: Cp2kSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    start = calculator_module.shell_calculator

    def counted(*given: Any) -> Cp2kShell:
        started.append(start(*given))
        return started[-1]

    monkeypatch.setattr(calculator_module, "shell_calculator", counted)
    hydrogen = Atoms("H2", positions=[[0, 0, 0], [0.75, 0, 0]], cell=[4, 4, 4], pbc=True)
    calculator = Cp2kCalculator(coarse)
    hydrogen.calc = calculator
    first = hydrogen.get_potential_energy()
    hydrogen.positions[1, 0] += 0.1
    assert hydrogen.get_potential_energy() > first
    assert len(started) == 1
    helium = Atoms("He", cell=[4, 4, 4], pbc=True)
    helium.calc = calculator
    assert helium.get_potential_energy() < first
    assert len(started) == 2
    calculator.close()
