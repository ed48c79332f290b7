from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.harmonic import SpringCalculator

from ionloop.document import Blob
from ionloop.explore.driver import CommitteeDriver, stack
from ionloop.explore.guards import Guards
from ionloop.explore.hops import HopAnalysis
from ionloop.explore.judged import candidates
from ionloop.explore.md import run_md
from ionloop.explore.monitor import Monitor, watch_of
from ionloop.explore.replicas import MDPlan, MDRun
from ionloop.explore.schema import ExploreSettings
from ionloop.explore.uncertainty import CommitteeUncertainty
from ionloop.frame import Frame, Origin
from ionloop.reference.checkpoint import Checkpoint
from ionloop.train.last_layer import fit_last_layers, ion_values
from ionloop.train.mace import committee_calculator
from ionloop.train.schema import LastLayers

OPEN = Guards(min_distance_fraction=0.01, temperature_factor=1e9, energy_margin=1e9)


@pytest.fixture
def own_committee(model_paths):
    """A committee of its own, since probes hook its models."""
    return committee_calculator(model_paths, dtype="float64")


def test_it_reads_of_the_step_what_a_frame_by_itself_says(own_committee, cell):
    rng = np.random.default_rng(0)
    frames = [cell.copy() for _ in range(2)]
    for atoms in frames:
        atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
    layer = fit_last_layers(own_committee, [cell])[1]
    mobile = np.flatnonzero(cell.symbols == "Li")
    driver = CommitteeDriver(own_committee, [1], n_atoms=len(cell))
    watch = Monitor(driver, layer, 3.0, mobile)
    together = stack(frames)
    together.calc = driver
    together.get_forces()
    both = watch()
    alone = []
    for atoms in frames:
        single = CommitteeDriver(own_committee, [1])
        copy = atoms.copy()
        copy.calc = single
        copy.get_forces()
        values = ion_values(layer, copy, watch.probe.features, driver.r_max)
        alone.append(3.0 * values[mobile].max())
    assert both == pytest.approx(alone, rel=1e-9)
    assert both[0] != pytest.approx(both[1])


def test_without_last_layers_nobody_watches(own_committee):
    driver = CommitteeDriver(own_committee, [0])
    assert watch_of(driver, None, 0, np.array([0])) is None
    missing = LastLayers(generation=0, n_frames=0, r_max=5.0, scales=[], rank_correlations=[],
                         missing="another kind of readout",
                         blob=Blob.from_arrays("none.npz"))  # fmt: skip
    assert watch_of(driver, missing, 0, np.array([0])) is None


class Values:
    """A watch whose values are given, one a stored frame, the same for all replicas."""

    def __init__(self, values: list[float], n_replicas: int = 1) -> None:
        self.values, self.n = iter(values), n_replicas

    def __call__(self) -> np.ndarray:
        return np.full(self.n, next(self.values))


def run(values: list[float], guards: Guards = OPEN, judge=None, **fields: int) -> MDRun:
    plan = MDPlan(
        300.0, n_steps=5 * len(values), check_every=20, equilibration_steps=0, seed=1, **fields
    )
    atoms = bulk("Cu", cubic=True)
    return run_md([atoms], springs(atoms), plan, guards, judge, watch=Values(values))[0]


def springs(atoms: Atoms) -> SpringCalculator:
    """Exact forces, which remember nothing of earlier steps."""
    return SpringCalculator(atoms.positions.copy(), k=2.0)


def test_each_stretch_between_two_judgements_gives_its_peak():
    found = run([0.1, 0.3, 0.2, 0.1, 0.5, 0.4, 0.6, 0.1, 0.2])
    # Stored frames 1 to 4, 5 to 8, and what there is of the third stretch.
    assert found.peaks == [(2, 0.3), (7, 0.6), (9, 0.2)]
    assert found.checks == []


def test_what_looks_above_the_ceiling_is_judged_at_once():
    asked = []

    def judge(frames):
        asked.append(len(frames))
        return [0.2] if len(asked) == 1 else [0.9]

    guards = Guards(sigma_ceiling=0.8, min_distance_fraction=0.01)
    found = run([0.1, 0.85, 0.1, 0.1, 0.1, 0.95, 0.1], guards, judge)
    # Frame 2: the committee says no. Frame 4: its own turn, above the ceiling.
    assert asked == [1, 1]
    assert found.stopped == "uncertainty 0.90 eV/Å above the ceiling 0.80"
    assert (len(found.positions), found.step) == (4, 20)
    assert found.peaks == [(2, 0.85)]


def test_a_watch_alone_ends_no_run():
    found = run([9.0] * 8, Guards(sigma_ceiling=0.8, min_distance_fraction=0.01))
    assert found.stopped is None
    assert [i for i, _ in found.peaks] == [1, 5]


def test_peaks_outlive_a_kill(tmp_path):
    atoms, values = bulk("Cu", cubic=True), [0.1, 0.4, 0.2, 0.3, 0.6, 0.5, 0.7, 0.1]

    def part(n: int, path) -> MDRun:
        plan = MDPlan(300.0, n_steps=n, check_every=20, equilibration_steps=0, seed=1)
        done = 0 if not path.exists() else 5
        return run_md(
            [atoms], springs(atoms), plan, OPEN, None, Checkpoint(path, "this", every_s=0.0),
            watch=Values(values[done:]),
        )[0]  # fmt: skip

    whole = part(40, tmp_path / "whole.npz")
    part(25, tmp_path / "cut.npz")
    again = part(40, tmp_path / "cut.npz")
    assert again.peaks == whole.peaks == [(2, 0.4), (7, 0.7)]
    assert np.array_equal(again.positions, whole.positions)


def test_peaks_compete_by_what_the_committee_says_of_them(committee, cell):
    rng = np.random.default_rng(0)
    positions = [
        cell.positions + rng.normal(scale=0.02 * i, size=cell.positions.shape) for i in range(8)
    ]
    judge = CommitteeUncertainty(committee, np.flatnonzero(cell.symbols == "Li"), 1.0)
    start = Frame.from_atoms(cell, origin=Origin.AIMD, group="start", charge=-1)
    truth = [judge(f) for f in (_with(cell, x) for x in positions)]
    checked = [1, 4]
    own = MDRun(
        positions=positions,
        checks=[(i, truth[i]) for i in checked],
        peaks=[(7, 0.1), (6, 0.3), (5, 0.2), (4, 0.9)],
    )
    nothing = HopAnalysis(np.array(positions), np.zeros((8, 0), int), [], [], 10.0)
    settings = ExploreSettings(n_uncertain=2, n_random=0, max_events=0, fingerprints=False)
    tags = {"generation": 0, "group": "g", "temperature": 900.0}
    frames = candidates(start, own, nothing, judge, settings, tags, rng)
    expected = sorted([truth[i] for i in (1, 4, 5, 6, 7)])[-2:]
    assert sorted(f.uncertainty for f in frames) == pytest.approx(expected)
    assert {f.origin for f in frames} == {Origin.UNCERTAIN}


def _with(cell, positions):
    atoms = cell.copy()
    atoms.positions = positions
    return atoms
