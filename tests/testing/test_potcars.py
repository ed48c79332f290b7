from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pymatgen.io.vasp import PotcarSingle

from ionloop.errors import ReferenceSetupError
from ionloop.testing.potcars import MARK, RELEASES, potcar_text, write_potcars


@pytest.mark.filterwarnings("ignore:POTCAR data with symbol")
@pytest.mark.parametrize(("element", "symbol"), [("Li", "Li_sv"), ("O", "O"), ("La", "La")])
def test_pymatgen_reads_them_and_knows_none(element: str, symbol: str) -> None:
    single = PotcarSingle(potcar_text(element, symbol))
    assert (single.element, single.symbol, single.functional) == (element, symbol, "PBE")
    assert single.zval > 0
    assert not single.is_valid
    assert MARK in single.data


def test_a_symbol_that_is_no_element_is_told(tmp_path: Path) -> None:
    with pytest.raises(ReferenceSetupError, match="got 'Lix'"):
        write_potcars(tmp_path, "Lix")


def test_the_command_writes_them_and_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ionloop.testing.potcars"]
    done = subprocess.run(
        [*command, tmp_path / "psp", "Li_sv", "La"], capture_output=True, text=True, check=True
    )
    names = {p.name for release in RELEASES for p in (tmp_path / "psp" / release).iterdir()}
    assert names == {"POTCAR.Li_sv", "POTCAR.La"}
    exported = dict(line.removeprefix("export ").split("=", 1) for line in done.stdout.splitlines())
    assert exported["PMG_VASP_PSP_DIR"] == str(tmp_path / "psp")
    script = 'echo "$PMG_VASP_PSP_DIR" && cd "$1" && $IONLOOP_VASP_CMD'  # as a user's shell does
    shell = subprocess.run(
        ["sh", "-c", f"{done.stdout}\n{script}", "sh", tmp_path],
        capture_output=True, text=True, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert "No INCAR found, STOPPING" in shell.stdout
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
