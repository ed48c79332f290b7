"""Where sites come from: measured, decided, explained."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.errors import ExplorationError
from ionloop.explore.hops import HopDetector
from ionloop.explore.sites import (
    choose,
    crystal_sites,
    density_sites,
    framework_operations,
    judge_sites,
    symmetrised,
)

A = 4.0
CELL = np.eye(3) * 3 * A
GRID = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
#: A simple cubic framework, and sites in the cubes' centres.
FRAMEWORK = GRID * A + 0.3
SITES = FRAMEWORK + A / 2
OFFSET = np.array([A / 2, A / 2, 0.2])


def ions(sites: np.ndarray, n_frames: int, spread: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return sites + rng.normal(scale=spread, size=(n_frames, len(sites), 3))


def test_the_shares_are_those_of_what_was_made() -> None:
    positions = ions(SITES[:9], 4, 0.0)
    positions[2:, 0] += 1.5  # far from its site
    positions[3, 1] = SITES[2] + 0.1  # together with ion 2
    found = judge_sites(positions, SITES, CELL)
    assert (found.n_sites, found.n_ions) == (27, 9)
    assert found.share_within == pytest.approx(34 / 36)
    assert found.share_double == pytest.approx(2 / 36)


def test_good_crystal_sites_are_taken() -> None:
    positions = ions(SITES[:20], 60, 0.3)
    crystal = crystal_sites(positions, SITES, CELL, {})
    chosen = choose(crystal, density_sites(positions, CELL, "Li", 5.0))
    assert chosen.choice.source == "crystal"
    assert "describe the ions" in chosen.choice.reason


def test_peaks_are_taken_where_the_crystal_s_sites_are_elsewhere() -> None:
    """Ions live 1.4 Å off the crystal's sites, as after a transition."""
    positions = ions(SITES + 0.8, 100, 0.3)
    crystal = crystal_sites(positions, SITES, CELL, {})
    assert crystal.choice.share_within < 0.2
    chosen = choose(crystal, density_sites(positions, CELL, "Li", 5.0))
    assert chosen.choice.source == "density"
    assert "badly" in chosen.choice.reason
    assert len(chosen.positions) == 27
    assert judge_sites(positions, chosen.positions, CELL).share_within > 0.95


def test_a_liquid_is_told_to_have_no_sites() -> None:
    positions = np.random.default_rng(0).uniform(0, 3 * A, size=(200, 27, 3))
    crystal = crystal_sites(positions, SITES, CELL, {})
    operations = framework_operations(["O"] * 27, FRAMEWORK, CELL)
    peaks = density_sites(positions, CELL, "Li", 5.0, operations=operations)
    assert "depend on where sites are put" in choose(crystal, peaks).choice.reason


def test_too_few_sites_are_never_taken_and_without_a_crystal_there_is_no_choice() -> None:
    positions = ions(SITES, 60, 0.3)
    few = crystal_sites(positions, SITES[:-3], CELL, {})
    peaks = density_sites(positions, CELL, "Li", 5.0)
    assert choose(few, peaks).choice.source == "density"
    assert choose(None, peaks).choice.reason == "no crystal was given"


def test_the_framework_s_symmetry_is_found_through_its_noise() -> None:
    rng = np.random.default_rng(0)
    noisy = FRAMEWORK + rng.normal(scale=0.05, size=FRAMEWORK.shape)
    assert len(framework_operations(["O"] * 27, noisy, CELL)) == 27 * 48
    assert len(framework_operations(["O"] * 27, noisy, CELL, symprec=1e-3)) == 1
    assert len(framework_operations([], np.zeros((0, 3)), CELL)) == 1


def test_peaks_are_sorted_by_symmetry_where_there_is_one_else_by_distance() -> None:
    positions = ions(SITES, 40, 0.35)
    operations = framework_operations(["O"] * 27, FRAMEWORK, CELL)
    symmetric = density_sites(positions, CELL, "Li", 5.9, operations=operations)
    assert set(symmetric.classes.values()) == {"Li-Li 4.00 A #0", "Li-Li 5.66 A #1"}
    assert symmetric.choice.symmetry == 27 * 48
    plain = density_sites(positions, CELL, "Li", 5.9)
    assert set(plain.classes.values()) <= {
        "Li-Li 3.5 to 4.0 A", "Li-Li 4.0 to 4.5 A", "Li-Li 5.0 to 5.5 A", "Li-Li 5.5 to 6.0 A",
    }  # fmt: skip
    assert plain.choice.symmetry == 1


def test_symmetrised_sites_obey_the_symmetry() -> None:
    noisy = SITES + np.random.default_rng(0).normal(scale=0.1, size=SITES.shape)
    operations = framework_operations(["O"] * 27, FRAMEWORK, CELL)
    made = symmetrised(noisy, CELL, operations)
    assert made == pytest.approx(SITES + (made - SITES).mean(axis=0), abs=1e-9)
    assert np.abs(made - SITES).max() < 0.01  # the mirror planes fix all three coordinates
    assert symmetrised(noisy, CELL, ()) == pytest.approx(noisy)


def test_no_frames_are_refused() -> None:
    with pytest.raises(ExplorationError, match="expected frames"):
        density_sites(np.zeros((0, 3, 3)), CELL, "Li", 5.0)


@pytest.mark.parametrize(("follow", "n_hops"), [(0, 2), (4, 0)])
def test_sites_that_follow_their_neighbours_see_no_hop_in_a_shear(follow: int, n_hops: int) -> None:
    """Half of the framework and an ion slide by a lattice vector and back, as one body."""
    upper = FRAMEWORK[:, 2] > 2 * A
    slide = A * np.concatenate(
        [np.zeros(20), np.linspace(0, 1, 20), np.ones(20), np.linspace(1, 0, 20), np.zeros(20)]
    )
    framework = np.tile(FRAMEWORK, (100, 1, 1))
    framework[:, upper, 0] += slide[:, None]
    ion = np.tile(FRAMEWORK[upper][:1] + OFFSET, (100, 1, 1))
    ion[:, 0, 0] += slide
    sites = FRAMEWORK + OFFSET
    positions = np.concatenate([ion, framework], axis=1)
    positions -= (framework - FRAMEWORK).mean(axis=1)[:, None]
    detector = HopDetector(
        CELL, sites, np.array([0]), 1 + np.arange(27), 50.0,
        follow=follow, framework_sites=FRAMEWORK,
    )  # fmt: skip
    assert len(detector.detect(positions)) == n_hops
