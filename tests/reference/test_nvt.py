"""ASE's Langevin runs of teachers: seeded, unwrapped, and resumed bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes

from ionloop.reference.checkpoint import Checkpoint
from ionloop.reference.nvt import NvtRun, run_langevin
from ionloop.units import KB_EV_PER_K


class Killed(Exception):  # noqa: N818
    """Stands for kill -9: nothing of the run is caught or cleaned up."""


class Springs(Calculator):
    """Every atom on a spring to its rest position; dies at a call where told to."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, rest: np.ndarray, dies_at: int | None = None) -> None:
        super().__init__()
        self.rest, self.dies_at, self.calls = rest, dies_at, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls == self.dies_at:
            raise Killed
        u = self.atoms.positions - self.rest
        self.results = {"energy": float((u**2).sum()), "forces": -2.0 * u}


def plan(**fields: float) -> NvtRun:
    own = {"temperature": 300.0, "n_steps": 100, "time_step": 2.0, "store_every": 10, "seed": 3}
    return NvtRun(**{**own, **fields})


@pytest.fixture
def atoms() -> Atoms:
    return bulk("Cu", cubic=True) * (2, 2, 2)


def springs(atoms: Atoms, dies_at: int | None = None) -> Springs:
    return Springs(atoms.positions.copy(), dies_at)


def test_runs_are_seeded_and_unwrapped(atoms: Atoms) -> None:
    start = atoms.positions.copy()
    run, again, other = (run_langevin(atoms, springs(atoms), plan(seed=s)) for s in (1, 1, 2))
    assert run.shape == (plan().n_frames, len(atoms), 3) == (11, 32, 3)
    assert np.array_equal(run, again)
    assert not np.allclose(run[1:], other[1:], atol=1e-3)
    assert (run < 0).any()
    assert np.array_equal(run[0], start)
    assert np.array_equal(atoms.positions, start)


def test_springs_reach_equipartition(atoms: Atoms) -> None:
    """<u²> = k_B T / k: half of the first kinetic energy turns into potential energy."""
    run = run_langevin(atoms, springs(atoms), plan(n_steps=1500, store_every=5))
    u = run[20:] - atoms.positions
    assert (u**2).mean() == pytest.approx(KB_EV_PER_K * 300.0 / 2.0, rel=0.15)


@pytest.mark.parametrize("dies_at", [35, 95])
def test_a_killed_run_goes_on_bit_for_bit(atoms: Atoms, tmp_path: Path, dies_at: int) -> None:
    whole = run_langevin(atoms, springs(atoms), plan())
    path = tmp_path / "md.npz"
    with pytest.raises(Killed):
        run_langevin(atoms, springs(atoms, dies_at), plan(), Checkpoint(path, "r", every_s=0.0))
    again = springs(atoms)
    run = run_langevin(atoms, again, plan(), Checkpoint(path, "r", every_s=0.0))
    assert np.array_equal(run, whole)
    done = (dies_at - 2) // 10 * 10  # the first call is the start's
    assert again.calls == 100 - done + 1
    assert [file.name for file in tmp_path.iterdir()] == ["md.npz"]


def test_a_finished_run_is_not_run_again(atoms: Atoms, tmp_path: Path) -> None:
    path = tmp_path / "md.npz"
    whole = run_langevin(atoms, springs(atoms), plan(), Checkpoint(path, "r"))
    again = springs(atoms)
    assert np.array_equal(run_langevin(atoms, again, plan(), Checkpoint(path, "r")), whole)
    assert again.calls == 0
