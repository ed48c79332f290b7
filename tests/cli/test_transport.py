"""``ionloop transport`` from files to table, JSON and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from typer.testing import CliRunner

from ionloop.cli.commands import app
from ionloop.errors import EvaluationError
from ionloop.evaluate.schema import TransportAnalysis
from ionloop.testing.walks import brownian

OPTIONS = ["--mobile", "Li", "--timestep-fs", "10", "--hop-distance", "2.5"]


def write(path: Path, step: float, seed: int, n_frames: int = 200) -> str:
    rng = np.random.default_rng(seed)
    walk = brownian(n_frames, 10, step, rng)
    host = rng.normal(scale=0.05, size=(n_frames, 4, 3)) + 5.0
    atoms = [
        Atoms("Li10O4", positions=x, cell=[20.0] * 3, pbc=True)
        for x in np.concatenate([walk, host], axis=1)
    ]
    ase.io.write(path, atoms)
    return str(path)


@pytest.fixture
def ladder(tmp_path: Path) -> list[str]:
    steps = {500: 0.3, 600: 0.4, 700: 0.5}
    return [f"{t}:{write(tmp_path / f'{t}.traj', s, t)}" for t, s in steps.items()]


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["transport", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_json_is_the_document(ladder):
    printed = invoke(*ladder, *OPTIONS, "--json")
    found = TransportAnalysis.model_validate_json(printed)
    assert json.loads(printed)["kind"] == "ionloop transport"
    assert found.schema_version == 1
    assert [p.temperature for p in found.transport.points] == [500, 600, 700]
    follows = found.transport.points[0].conduction
    for estimate in (follows.collective, follows.sigma, follows.haven_ratio, *follows.axes):
        assert estimate.unit
        assert estimate.estimator
        assert estimate.admissible or estimate.reason


def test_the_table_has_each_number_with_its_verdict(ladder, monkeypatch):
    monkeypatch.setattr("ionloop.cli.transport.out.width", 160)
    printed = invoke(*ladder, *OPTIONS)
    for words in ("D tracer", "along z", "Nernst-Einstein", "Haven", "E_a", "D at 300 K"):
        assert words in printed
    assert "log-log slope: α is" in printed
    assert "extrapolated" in printed
    assert "powers of ten wide" in printed


def test_files_of_one_temperature_are_replicas(tmp_path):
    files = [write(tmp_path / f"{i}.traj", 0.4, i) for i in range(2)]
    found = TransportAnalysis.model_validate_json(
        invoke(*files, "--temperature", "500", *OPTIONS, "--json")
    )
    assert found.transport.points[0].n_runs == 2
    assert [i.n_frames for i in found.inputs] == [200, 200]


@pytest.mark.parametrize("name", ["a.html", "a.png"])
def test_a_picture_is_written(ladder, tmp_path, name):
    invoke(*ladder, *OPTIONS, "--plot", str(tmp_path / name))
    assert (tmp_path / name).stat().st_size > 10_000


def test_a_frozen_lattice_has_a_bound_and_no_number(tmp_path):
    printed = invoke(write(tmp_path / "a.traj", 1e-4, 1), "--temperature", "300", *OPTIONS)
    assert "(95 %)" in printed
    assert "effective hops" in printed


def test_a_file_without_a_temperature_is_refused(tmp_path):
    file = write(tmp_path / "a.traj", 0.4, 1, 20)
    with pytest.raises(EvaluationError, match="give --temperature"):
        invoke(file, *OPTIONS)
