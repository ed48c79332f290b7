"""``ionloop hops`` on files, without a database."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Structure

from ionloop.cli import main

A = 4.0
GRID = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Six ions of 27 sites; two hop, one into the other's site."""
    rng = np.random.default_rng(0)
    positions = np.tile(np.concatenate([(GRID[:6] + 0.5) * A, GRID * A]), (120, 1, 1))
    positions += rng.normal(scale=0.2, size=positions.shape)
    positions[40:, 5] += [A, 0, 0]
    positions[42:, 4] += [0, 0, A]
    frames = [Atoms("Li6O27", x, cell=np.eye(3) * 3 * A, pbc=True) for x in positions]
    ase.io.write(tmp_path / "run.extxyz", frames)
    ase.io.write(tmp_path / "run.traj", frames)
    host = Structure(Lattice.cubic(A), ["Li", "O"], [[0.5] * 3, [0.0] * 3])
    host.to_file(str(tmp_path / "host.cif"))
    return tmp_path / "run.extxyz"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int | None:
    monkeypatch.setattr(sys, "argv", ["ionloop", "hops", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


OPTIONS = ("--mobile", "Li", "--temperature", 700, "--timestep-fs", 50)


@pytest.mark.parametrize("name", ["run.extxyz", "run.traj"])
def test_it_prints_hops_as_json(file, name, monkeypatch, capsys):
    host = file.with_name("host.cif")
    assert not run(monkeypatch, file.with_name(name), *OPTIONS, "--host", host, "--json")
    found = json.loads(capsys.readouterr().out)
    assert [hop["ion"] for hop in found["hops"][0]] == [5, 4]
    assert [hop["n_ions"] for hop in found["hops"][0]] == [2, 2]
    assert found["sites"]["source"] == "crystal"
    assert found["rates"][0]["n_events"] == 1
    assert found["temperature"] == 700


def test_it_prints_what_people_read(file, monkeypatch, capsys):
    assert not run(monkeypatch, file, *OPTIONS)
    text = capsys.readouterr().out
    for said in (
        "sites: density", "no crystal was given", "concerted: 100.0% of hops", "by chance",
        "2 hops in 1 events, worth 1.0 independent hops", "Li-Li 4.00", "interval",
    ):  # fmt: skip
        assert said in " ".join(text.replace("│", " ").split()), said


def test_frames_too_far_apart_are_warned_about(file, monkeypatch, capsys):
    assert not run(monkeypatch, file, *OPTIONS[:-1], 500)
    assert "recrossings within the residence time aren't seen" in capsys.readouterr().out


def test_a_wrong_ion_is_one_line(file, monkeypatch, capsys):
    assert run(monkeypatch, file, "--mobile", "Na", *OPTIONS[2:]) == 2
    assert "expected atoms of Na" in capsys.readouterr().err
