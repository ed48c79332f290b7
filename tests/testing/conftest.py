"""Folders with VASP's input, and the stand-in run in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.vasp import Poscar

from ionloop.testing.potcars import potcar_text
from ionloop.testing.vasp_std.runs import main

INCAR = {"ENCUT": 520, "NSW": 0, "ISMEAR": 0, "SIGMA": 0.05, "EDIFF": 1e-6, "NELM": 40}
SYMBOLS = {"Li": "Li_sv", "Cl": "Cl", "O": "O"}


def rattled_licl() -> Atoms:
    """Rattled LiCl, Cl first."""
    atoms = bulk("LiCl", "rocksalt", a=5.14, cubic=True)
    atoms.rattle(0.05, seed=1)
    return atoms[atoms.numbers.argsort()[::-1]]


def input_files(folder: Path, atoms: Atoms | None = None, **tags: object) -> Path:
    """Write INCAR, POSCAR, KPOINTS and made-up POTCARs; a tag of None is left out."""
    atoms = rattled_licl() if atoms is None else atoms
    structure = AseAtomsAdaptor.get_structure(atoms)
    values = {k: v for k, v in {**INCAR, **tags}.items() if v is not None}
    (folder / "INCAR").write_text("".join(f"{k} = {v}\n" for k, v in values.items()))
    poscar = Poscar(structure)
    poscar.write_file(folder / "POSCAR")
    (folder / "KPOINTS").write_text("mesh\n0\nGamma\n2 2 2\n")
    potcars = [potcar_text(el, SYMBOLS[el]) for el in poscar.site_symbols]
    (folder / "POTCAR").write_text("".join(potcars))
    return folder


@pytest.fixture(scope="session")
def licl() -> Atoms:
    """Rattled LiCl, sorted as pymatgen's elements: Cl, Li."""
    return rattled_licl()


@pytest.fixture(scope="session")
def write_input() -> Callable[..., Path]:
    """Write a folder's input."""
    return input_files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in, nothing planted."""
    monkeypatch.chdir(tmp_path)
    for name in ("FAIL", "LOG", "SLEEP"):
        monkeypatch.delenv(f"VASP_STAND_IN_{name}", raising=False)
    return tmp_path


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Run, and return what is said; fails if it isn't refused."""

    def run() -> str:
        with pytest.raises(SystemExit):
            main()
        return " ".join(capsys.readouterr().out.replace("|", " ").split())

    return run


@pytest.fixture
def structure() -> Structure:
    return AseAtomsAdaptor.get_structure(rattled_licl())
