"""A crystal laid over a trajectory."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from ionloop.errors import ExplorationError
from ionloop.explore.hosts import fit_host

HOST = Structure(
    Lattice.orthorhombic(4.0, 5.0, 6.0),
    ["Li", "O", "Zr"],
    [[0.5, 0.5, 0.5], [0.0, 0.0, 0.0], [0.5, 0.0, 0.2]],
)


def simulated(shift: list[float], noise: float = 0.1) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The framework of a 2x1x2 cell, 2 % larger, shuffled, shifted and shaken."""
    large = HOST.make_supercell([2, 1, 2], in_place=False)
    rng = np.random.default_rng(0)
    keep = [k for k in rng.permutation(len(large)) if large[k].specie.symbol != "Li"]
    cell = large.lattice.matrix * 1.02
    rest = large.frac_coords[keep] @ cell + shift + rng.normal(scale=noise, size=(len(keep), 3))
    return [large[k].specie.symbol for k in keep], rest, cell


@pytest.mark.parametrize("shift", [[0.0, 0.0, 0.0], [1.3, -2.0, 2.9], [4.1, 0.2, 6.2]])
def test_the_host_is_repeated_stretched_and_shifted(shift: list[float]) -> None:
    symbols, rest, cell = simulated(shift)
    fitted = fit_host(HOST, symbols, rest, cell, "Li")
    sites = np.array([s.frac_coords for s in fitted if s.specie.symbol == "Li"])
    large = HOST.make_supercell([2, 1, 2], in_place=False)
    true = large.frac_coords[[s.specie.symbol == "Li" for s in large]] + shift @ np.linalg.inv(cell)
    gaps = (sites[:, None] - true[None] + 0.5) % 1 - 0.5
    assert np.linalg.norm(gaps @ cell, axis=-1).min(axis=1).max() < 0.15
    assert len(sites) == 4


def test_what_does_not_fit_is_refused() -> None:
    symbols, rest, cell = simulated([0.0, 0.0, 0.0])
    with pytest.raises(ExplorationError, match="repeats to the trajectory's cell"):
        fit_host(HOST, symbols, rest, cell * 1.2, "Li")
    with pytest.raises(ExplorationError, match="framework"):
        fit_host(HOST, symbols[:-1], rest[:-1], cell, "Li")
    _, wild, _ = simulated([0.0, 0.0, 0.0], noise=1.5)
    with pytest.raises(ExplorationError, match="same phase"):
        fit_host(HOST, symbols, wild, cell, "Li")
