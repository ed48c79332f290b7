"""Densities and their peaks, on lattices that are known."""

from __future__ import annotations

import numpy as np
import pytest

from ionloop.explore.density import centre_peaks, density, find_peaks
from ionloop.explore.positions import assign_sites

CUBE = np.eye(3) * 9.0
OBLIQUE = np.array([[9.0, 0.0, 0.0], [3.0, 8.5, 0.0], [-1.5, 2.0, 9.0]])


def lattice(cell: np.ndarray, n: int = 3) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.arange(n) / n] * 3, indexing="ij"), -1).reshape(-1, 3)
    return (grid + 0.07) @ cell


def visits(
    sites: np.ndarray, n: int, spread: float, rng: np.random.Generator, cell: np.ndarray
) -> np.ndarray:
    """Ions shake about sites, also those of neighbouring cells."""
    at = sites[rng.integers(0, len(sites), n)] + rng.integers(-2, 3, (n, 3)) @ cell
    return at + rng.normal(scale=spread, size=(n, 3))


@pytest.mark.parametrize("cell", [CUBE, OBLIQUE])
def test_a_lattice_is_recovered(cell: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    sites = lattice(cell)
    found = density(visits(sites, 27 * 150, 0.45, rng, cell), 150, cell)
    peaks = centre_peaks(found, find_peaks(found))
    assert len(peaks) == len(sites)
    nearest, copies = assign_sites(peaks[None], sites, cell)
    assert sorted(nearest[0].tolist()) == list(range(27))
    assert np.linalg.norm(peaks - copies[0], axis=1).max() < 0.2


def test_symmetry_makes_up_for_a_short_run() -> None:
    """9 visits a site say little; 27 translations together find all sites."""
    rng = np.random.default_rng(1)
    sites = lattice(CUBE)
    seen = visits(sites, 27 * 9, 0.6, rng, CUBE)
    moves = [(np.eye(3), shift) for shift in np.argwhere(np.ones((3, 3, 3))) / 3]
    alone = find_peaks(density(seen, 9, CUBE))
    together = density(seen, 9, CUBE, moves)
    peaks = centre_peaks(together, find_peaks(together))
    assert len(alone) != 27
    assert len(peaks) == 27
    _, copies = assign_sites(peaks[None], sites, CUBE)
    assert np.linalg.norm(peaks - copies[0], axis=1).max() < 0.2


def test_the_density_integrates_to_the_number_of_ions() -> None:
    rng = np.random.default_rng(2)
    found = density(visits(lattice(OBLIQUE), 20 * 50, 0.4, rng, OBLIQUE), 50, OBLIQUE)
    volume = abs(np.linalg.det(OBLIQUE)) / found.values.size
    assert found.values.sum() * volume == pytest.approx(20, rel=1e-6)


def test_the_kernel_is_round_in_an_oblique_cell() -> None:
    found = density(np.array([[4.0, 4.0, 4.0]]), 1, OBLIQUE, spacing=0.1, width=0.5)
    r = np.random.default_rng(0).normal(size=(50, 3))
    r /= np.linalg.norm(r, axis=1)[:, None]
    expected = np.exp(-0.5 * (0.8 / 0.5) ** 2) / (2 * np.pi * 0.5**2) ** 1.5
    assert found.at(np.array([4.0, 4.0, 4.0]) + 0.8 * r) == pytest.approx(expected, rel=0.2)


def test_two_maxima_with_next_to_no_barrier_are_one_site_in_their_middle() -> None:
    rng = np.random.default_rng(3)
    for apart, n_sites in [(1.4, 1), (2.2, 2)]:
        pair = np.array([[4.5 - apart / 2, 4.5, 4.5], [4.5 + apart / 2, 4.5, 4.5]])
        found = density(visits(pair, 4000, 0.45, rng, CUBE), 4000, CUBE)
        peaks = centre_peaks(found, find_peaks(found))
        assert len(peaks) == n_sites
        assert peaks.mean(axis=0) == pytest.approx([4.5] * 3, abs=0.1)


def test_a_site_on_the_cell_s_corner_is_one() -> None:
    rng = np.random.default_rng(4)
    found = density(visits(np.zeros((1, 3)), 2000, 0.4, rng, OBLIQUE), 2000, OBLIQUE)
    peaks = centre_peaks(found, find_peaks(found))
    assert len(peaks) == 1
    _, copies = assign_sites(peaks[None], np.zeros((1, 3)), OBLIQUE)
    assert np.linalg.norm(peaks - copies[0]) < 0.1


def test_no_visits_are_no_peaks() -> None:
    assert len(find_peaks(density(np.zeros((0, 3)), 5, CUBE))) == 0
