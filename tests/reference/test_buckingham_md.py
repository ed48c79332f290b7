"""MD inside LAMMPS: statistics of the bath, continuous trajectories, and resumption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk

from ionloop.errors import ReferenceSetupError
from ionloop.reference import buckingham_md
from ionloop.reference.buckingham import LI3OCL
from ionloop.reference.buckingham_md import run_md
from ionloop.reference.checkpoint import Checkpoint
from ionloop.reference.nvt import NvtRun


def plan(**options: float) -> NvtRun:
    defaults = {"temperature": 900, "n_steps": 40, "time_step": 2, "store_every": 10, "seed": 5}
    return NvtRun(**{**defaults, **options})


def md(atoms: Atoms, **options: float) -> np.ndarray:
    return run_md(LI3OCL, atoms, plan(**options))


@pytest.fixture(scope="module")
def licl() -> Atoms:
    """Eight ions: what a thermostat does wrong to the cell as a whole is large here."""
    return bulk("LiCl", "rocksalt", a=5.14, cubic=True)


@pytest.fixture(scope="module")
def run(licl: Atoms) -> np.ndarray:
    """16 ps of LiCl, every step of 1 fs stored, in a bath that takes hold in 0.1 ps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckingham_md, "BATH_PS", 0.1)
        return md(licl, n_steps=16_000, time_step=1, store_every=1)


def test_the_same_seed_gives_the_same_trajectory(licl: Atoms) -> None:
    first = md(licl)
    assert first.shape == (5, len(licl), 3)
    assert np.array_equal(first, md(licl))
    assert not np.allclose(first[1:], md(licl, seed=6)[1:], atol=1e-3)


def test_storing_less_often_changes_nothing_else(licl: Atoms) -> None:
    np.testing.assert_allclose(md(licl, store_every=5)[::2], md(licl), atol=1e-9)


def test_the_run_starts_where_the_atoms_are(licl: Atoms) -> None:
    """Atoms outside of the cell are taken in by whole lattice vectors."""
    moved = licl.copy()
    moved.positions += licl.cell.lengths() * (np.arange(len(licl)) % 5 - 2)[:, None]
    steps = (md(moved)[0] - licl.positions) / licl.cell.lengths()
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)


def test_atoms_that_cross_the_boundary_dont_jump(licl: Atoms, run: np.ndarray) -> None:
    outside = (run < -0.01) | (run > licl.cell.lengths() + 0.01)
    assert outside.any(), "expected atoms on a face to cross it"
    assert np.abs(np.diff(run, axis=0)).max() < 0.2


def test_the_temperature_is_the_set_one_for_each_species(licl: Atoms, run: np.ndarray) -> None:
    """From finite-difference velocities, with block errors.

    LAMMPS' own ``zero yes`` makes Li 18 % too hot here.
    """
    masses = licl.get_masses()
    velocities = np.diff(run, axis=0)[1000:] / units.fs
    twice = (masses[:, None] * velocities**2).sum(axis=2) / units.kB
    # Without the motion of the whole, ion i has 3 (1 - m_i / M) degrees of freedom.
    freedom = 3 * (1 - masses / masses.sum())
    for symbol in ("Li", "Cl"):
        chosen = licl.symbols == symbol
        series = twice[:, chosen].sum(axis=1) / freedom[chosen].sum()
        blocks = series.reshape(15, -1).mean(axis=1)
        error = blocks.std(ddof=1) / np.sqrt(len(blocks))
        assert error < 50  # so that 18 % are more than three errors
        assert abs(blocks.mean() - 900) < 3 * error


def test_the_framework_stays_where_it_is(licl: Atoms, run: np.ndarray) -> None:
    """The bath kicks the whole cell; nothing of it is left in the trajectory."""
    masses = licl.get_masses()
    centre = np.einsum("i,tix->tx", masses, run - run[0]) / masses.sum()
    assert np.abs(centre).max() < 1e-8
    framework = (run - run[0])[:, licl.symbols == "Cl"].mean(axis=1)
    assert 0 < np.abs(framework).max() < 0.2


def test_a_skewed_cell_is_refused(licl: Atoms) -> None:
    skewed = licl.copy()
    skewed.cell[1, 0] = 0.1
    with pytest.raises(ReferenceSetupError, match=r"expected an orthorhombic cell, got .*; use a"):
        md(skewed)


# --- killed and resumed ---


class Killed(Exception):  # noqa: N818
    """Stands for kill -9: nothing of the run is caught or cleaned up."""


@pytest.fixture
def legs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Legs that ran, of 20 steps each; the fixture's ``dies_at`` is the one that doesn't."""

    class Legs(list):
        dies_at: int | None = None

    ran, original = Legs(), buckingham_md._run_leg

    def leg(lmp: object, run: NvtRun, number: int, n: int, frames: list[np.ndarray]) -> None:
        if number == ran.dies_at:
            raise Killed
        ran.append(number)
        original(lmp, run, number, n, frames)

    monkeypatch.setattr(buckingham_md, "LEG_STEPS", 20)
    monkeypatch.setattr(buckingham_md, "_run_leg", leg)
    return ran


@pytest.mark.parametrize("dies_at", [1, 3])
def test_a_killed_run_goes_on_bit_for_bit(
    licl: Atoms, legs: list[int], tmp_path: Path, dies_at: int
) -> None:
    """70 steps in legs of 20, 20, 20 and 10; hot, so that ions cross faces on the way."""
    run = plan(temperature=3000, n_steps=70)
    whole = run_md(LI3OCL, licl, run)
    assert legs == [0, 1, 2, 3]
    assert (whole < 0).any()
    legs.clear()
    legs.dies_at = dies_at
    with pytest.raises(Killed):
        run_md(LI3OCL, licl, run, Checkpoint(tmp_path / "md.npz", "r", every_s=0.0))
    assert legs == list(range(dies_at))
    legs.dies_at = None
    again = run_md(LI3OCL, licl, run, Checkpoint(tmp_path / "md.npz", "r", every_s=0.0))
    assert legs == [0, 1, 2, 3]  # each once
    assert np.array_equal(again, whole)
    run_md(LI3OCL, licl, run, Checkpoint(tmp_path / "md.npz", "r"))
    assert legs == [0, 1, 2, 3]  # a finished run isn't run again


def test_a_leg_ends_where_a_frame_is_stored(licl: Atoms, legs: list[int]) -> None:
    assert md(licl, n_steps=90, store_every=30).shape == (4, len(licl), 3)
    assert legs == [0, 1, 2]
