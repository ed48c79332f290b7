"""Faults of others that we work around: each test fails once one is mended; drop ours then.

More of them stand beside what they serve: ``killall`` in ``test_runs``, atomate2's reading of
restricted calculations in ``test_makers``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.calculators.calculator import all_changes
from ase.calculators.cp2k import CP2K
from pymatgen.io.cp2k.sets import DftSet

from ionloop.frame import Frame
from ionloop.reference.cp2k.fixes import known_warnings, thermostat_keyword
from ionloop.reference.cp2k.inputs import IonicSetGenerator, base_input, shell_template
from ionloop.reference.cp2k.settings import Cp2kSettings
from ionloop.reference.cp2k.shell import shell_calculator


def inputs(frame: Frame, **changes: object) -> DftSet:
    """Return pymatgen's own input of a frame, with the arguments that we give it."""
    dft = Cp2kSettings()
    arguments = base_input(sorted(set(frame.symbols)), dft) | changes
    with known_warnings():
        return DftSet(frame.to_structure(), project_name="CP2K", **arguments)


def test_pymatgen_cannot_print_a_thermostat(frame: Frame) -> None:
    md = {"GLOBAL": {"RUN_TYPE": "MD"}}
    theirs, ours = (inputs(frame, override_default_params=md) for _ in range(2))
    theirs.activate_motion(ensemble="NVT", thermostat="CSVR")
    with pytest.raises(AttributeError, match="get_str"):
        str(theirs)
    ours.activate_motion(ensemble="NVT", thermostat=thermostat_keyword("CSVR"))
    assert "TYPE CSVR" in str(ours)


def test_pymatgen_ignores_the_limit_of_electronic_steps(frame: Frame) -> None:
    theirs = inputs(frame, max_scf=7, override_default_params={})
    assert theirs["FORCE_EVAL"]["DFT"]["SCF"]["MAX_SCF"].values == (400,)
    ours = IonicSetGenerator(dft=Cp2kSettings(max_scf=7)).get_input_set(frame.to_structure())
    assert "MAX_SCF 7\n" in str(ours.cp2k_input)


def test_pymatgen_numbers_its_kinds(frame: Frame) -> None:
    cp2k_input = IonicSetGenerator().get_input_set(frame.to_structure()).cp2k_input
    assert "&KIND Li_1\n" in str(cp2k_input)
    assert "&KIND Li\n" in shell_template(cp2k_input)


def test_ase_takes_an_energy_that_did_not_converge(
    hydrogen: list[Frame], coarse: Cp2kSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours refuses it: see ``test_shell``."""
    monkeypatch.chdir(tmp_path)
    dft = coarse.model_copy(update={"max_scf": 1})
    with shell_calculator(hydrogen[0], dft, "shell") as shell:
        shell._start()
        CP2K.calculate(shell, hydrogen[0].to_atoms(), ["energy"], all_changes)
        assert shell.results["energy"] < 0
