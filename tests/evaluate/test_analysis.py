"""Trajectory files to numbers: formats, replicas, cells, units, memory, real AIMD."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from ionloop.errors import EvaluationError
from ionloop.evaluate.analysis import (
    Sample,
    Source,
    analyse,
    compare_sizes,
    neighbour_distance,
)
from ionloop.evaluate.conduction import sigma_per_d
from ionloop.evaluate.displacements import paths_of_array, paths_of_stream
from ionloop.evaluate.measured import measure
from ionloop.evaluate.schema import TransportAnalysis
from ionloop.testing.walks import brownian, measured, run_of
from ionloop.trajectory import TrajectoryStream, open_trajectory
from ionloop.trajectory_files import RawFrame

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = Sample("Li", 10.0, hop_distance=2.5)


def frames(step: float, seed: int, *, n: int = 12, n_frames: int = 250) -> list[Atoms]:
    """A walk in a cell of 20 Å with a rattling host of four."""
    rng = np.random.default_rng(seed)
    walk = brownian(n_frames, n, step, rng) + rng.uniform(0, 20, size=(n, 3))
    host = rng.uniform(0, 20, size=(4, 3)) + rng.normal(scale=0.05, size=(n_frames, 4, 3))
    symbols = ["Li"] * n + ["O"] * 4
    found = [
        Atoms(symbols, positions=x, cell=[20.0] * 3, pbc=True)
        for x in np.concatenate([walk, host], axis=1)
    ]
    for atoms in found:
        atoms.wrap()
    return found


def write(path: Path, atoms: list[Atoms]) -> Path:
    ase.io.write(path, atoms)
    return path


def test_files_give_what_arrays_give(tmp_path):
    atoms = frames(0.5, 1)
    stream = open_trajectory(write(tmp_path / "a.traj", atoms))
    with paths_of_stream(stream, "Li", skip=20) as paths:
        found = measure([paths])
    whole = np.concatenate([c.positions for c in stream.chunks(skip=20)])
    mobile, framework = stream.of("Li"), stream.others("Li")
    expected = measure([paths_of_array(whole, mobile, framework, 20 * np.eye(3))])
    assert found.msd == pytest.approx(expected.msd, rel=1e-4, abs=1e-3)
    assert found.collective == pytest.approx(expected.collective, rel=1e-3, abs=1e-2)


def test_temperatures_replicas_and_300_k(tmp_path):
    sources = []
    for temperature, step in ((500.0, 0.3), (600.0, 0.45), (700.0, 0.6)):
        for seed in (1, 2):
            name = tmp_path / f"{temperature:g}-{seed}.extxyz"
            write(name, frames(step, seed + int(temperature)))
            sources.append(Source(name, temperature))
    found = analyse(sources, SAMPLE)
    assert [p.n_runs for p in found.transport.points] == [2, 2, 2]
    exact = [0.1 * s**2 / 20 for s in (0.3, 0.45, 0.6)]
    for point, d in zip(found.transport.points, exact, strict=True):
        assert abs(point.d.value - d) < 4 * point.d.error
    assert found.transport.room.how == "extrapolated"
    assert found.transport.room.sigma.value > 0
    again = TransportAnalysis.model_validate_json(found.model_dump_json())
    assert again == found


def test_a_larger_cell_is_compared_and_counts(tmp_path):
    sources = [
        Source(write(tmp_path / "small.traj", frames(0.3, 1, n=8)), 500.0),
        Source(write(tmp_path / "large.traj", frames(0.6, 2, n=16)), 500.0),
    ]
    found = analyse(sources, SAMPLE)
    (size,) = found.finite_size
    assert size.n_atoms == (12, 20)
    assert size.passed is False
    assert size.ratio == pytest.approx(4, rel=0.4)
    assert found.transport.points[0].n_atoms == 20
    same = compare_sizes(found.smaller_cells[0], found.smaller_cells[0])
    assert same.passed
    assert same.ratio == pytest.approx(1)


def test_replicas_of_other_kinds_are_refused(tmp_path):
    one = write(tmp_path / "a.traj", frames(0.3, 1))
    other = frames(0.3, 2)
    for atoms in other:
        atoms.symbols[-1] = "S"
    sources = [Source(one, 500.0), Source(write(tmp_path / "b.traj", other), 500.0)]
    with pytest.raises(EvaluationError, match="of one composition"):
        analyse(sources, SAMPLE)
    larger = frames(0.3, 2)
    for atoms in larger:
        atoms.set_cell([22.0] * 3)
    sources = [Source(one, 500.0), Source(write(tmp_path / "c.traj", larger), 500.0)]
    with pytest.raises(EvaluationError, match="replicas of one cell"):
        analyse(sources, SAMPLE)


def test_the_hop_distance_is_that_of_neighbours():
    grid = np.stack(np.meshgrid(*[[0.0, 2.5, 5.0, 7.5]] * 3), axis=-1).reshape(-1, 3)
    atoms = Atoms("Li64O", positions=[*grid, [1.0, 1.0, 1.0]], cell=[10.0] * 3, pbc=True)
    assert neighbour_distance(open_trajectory([atoms]), "Li") == pytest.approx(2.5)
    alone = Atoms("LiO", positions=[[0, 0, 0], [3, 3, 3]], cell=[10.0] * 3, pbc=True)
    with pytest.raises(EvaluationError, match="give --hop-distance"):
        neighbour_distance(open_trajectory([alone]), "Li")


def test_the_nernst_einstein_unit():
    # 192 Li in 8381 Å³ at 500 K with 1e-5 cm²/s: n e² D / kT in SI by hand.
    n, kt, e = 192 / 8381e-30, 1.380649e-23 * 500, 1.602176634e-19
    si = n * e**2 * 1e-5 * 1e-4 / kt  # S/m
    assert 1e-5 * sigma_per_d(192, 8381.0, 500.0, 1.0) == pytest.approx(si * 10, rel=1e-6)


@settings(max_examples=12, deadline=None)
@given(length=st.floats(0.5, 3.0), clock=st.floats(0.1, 20.0), charge=st.sampled_from([1.0, 2.0]))
def test_units_scale_as_they_must(length: float, clock: float, charge: float) -> None:
    """D goes as length²/time, σ as charge²/(length·time); a number of hops has no unit."""
    rng = np.random.default_rng(4)
    walk = run_of(brownian(150, 8, 0.5, rng), rng)
    from ionloop.evaluate.transport import diffusivity

    cell, positions = walk.cell, walk.read(0, 18)
    scaled = paths_of_array(length * positions, np.arange(8), np.arange(8, 18), length * cell)
    options = {"temperature": 500.0}
    one = diffusivity([walk], frame_interval_fs=10.0, hop_distance=2.5, **options)
    other = diffusivity(
        [scaled], frame_interval_fs=10.0 * clock, hop_distance=2.5 * length, charge=charge,
        **options,
    )  # fmt: skip
    factor = length**2 / clock
    assert other.d.value == pytest.approx(factor * one.d.value, rel=1e-6, abs=0)
    assert other.d.interval == pytest.approx([factor * x for x in one.d.interval], rel=1e-6, abs=0)
    assert other.n_eff == pytest.approx(one.n_eff, rel=1e-6)
    sigma = other.conduction.sigma.value / one.conduction.sigma.value
    assert sigma == pytest.approx(charge**2 / (length * clock), rel=1e-6)
    assert other.conduction.haven_ratio.value == pytest.approx(
        one.conduction.haven_ratio.value, rel=1e-6
    )


def test_the_tensor_turns_with_the_crystal():
    rng = np.random.default_rng(5)
    walk = brownian(600, 20, 1.0, rng) * np.array([0.8, 0.5, 0.3])
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    straight, turned = (
        measured([run_of(x, np.random.default_rng(6))]) for x in (walk, walk @ turn)
    )
    d = np.array(straight.conduction.tensor)
    assert np.diag(d) == pytest.approx(0.005 * np.array([0.64, 0.25, 0.09]), rel=0.3)
    # The framework's own rattle is drift that doesn't turn along, and it's small.
    assert np.array(turned.conduction.tensor) == pytest.approx(
        turn.T @ d @ turn, abs=0.03 * d.max()
    )
    assert np.trace(d) / 3 == pytest.approx(straight.d.value, rel=1e-6)
    for axis, found in enumerate(straight.conduction.axes):
        assert found.value == pytest.approx(d[axis, axis], rel=0.25)


def endless(n_frames: int, n: int) -> TrajectoryStream:
    """A stream that makes its frames as they are read."""
    symbols, cell = ("Li",) * n + ("O",) * 4, 30.0 * np.eye(3)

    def make() -> Iterator[RawFrame]:
        rng = np.random.default_rng(1)
        scaled = rng.uniform(size=(n + 4, 3))
        for _ in range(n_frames):
            scaled = scaled + np.append(rng.normal(scale=0.01, size=(n, 3)), np.zeros((4, 3)), 0)
            yield RawFrame(symbols, cell, scaled % 1.0)

    return TrajectoryStream("endless", symbols, cell, n_frames, make)


def test_memory_does_not_grow_with_the_trajectory(monkeypatch):
    """Positions of 7.4 MB in float64 are analysed with chunks and groups of 64 kB."""
    monkeypatch.setattr("ionloop.trajectory.CHUNK_BYTES", 2**16)
    monkeypatch.setattr("ionloop.evaluate.displacements.GROUP_BYTES", 2**16)
    stream = endless(2000, 150)
    tracemalloc.start()
    with paths_of_stream(stream, "Li") as paths:
        found = measure([paths])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.msd) == 2000
    assert peak < 3e6


def real_runs() -> list[Source]:
    folder = Path(os.environ.get("IONLOOP_TEST_DATA", ROOT.parent / "shared" / "data"))
    files = sorted((folder / "argyrodite_aimd").glob("Li6PS5Cl_0p_run*.XDATCAR.gz"))
    if len(files) < 2:
        pytest.skip(f"no AIMD runs in {folder}; IONLOOP_TEST_DATA names the folder of real data")
    return [Source(file, 500.0) for file in files]


def test_pooled_aimd_of_li6ps5cl_is_that_of_its_runs():
    """kinisi 2.1.0 gave a D 14 times too low on these runs pooled, and right on each."""
    sources = real_runs()
    sample = Sample("Li", 100.0)
    pooled = analyse(sources, sample).transport.points[0]
    alone = [analyse([source], sample).transport.points[0] for source in sources]
    assert pooled.n_runs == 2
    # Ordinary least squares from 4 to 8 ps gives 9.0e-6 for five runs, 8.3 to 10.7e-6 each.
    low, high = pooled.d.interval
    assert low < 9.0e-6 < high
    assert pooled.d.value == pytest.approx(9.0e-6, rel=0.35, abs=0)
    values = [p.d.value for p in alone]
    assert 0.7 * min(values) < pooled.d.value < 1.4 * max(values)
    # 14 ps of a caged ion isn't diffusive yet, and says so.
    assert not pooled.d.admissible
    assert "not diffusive yet" in pooled.d.reason
