"""What trajectories show of a solid's health: its framework, its contacts, its total energy."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.neighborlist import neighbor_list
from scipy import stats

from ionloop.errors import EvaluationError
from ionloop.evaluate.schema import Contact
from ionloop.explore.positions import remove_drift

#: Distances beyond this aren't looked at, Å.
CONTACT_REACH = 3.0
#: Pieces of a total energy whose slopes give the drift's error.
PIECES = 5
#: Energies that a drift needs.
ENERGIES_MIN = 3 * PIECES


def lindemann(positions: np.ndarray, framework: np.ndarray, start: Atoms) -> np.ndarray:
    """Return the Lindemann ratio of each framework atom: vibrations over the nearest distance.

    The root mean square displacement from the atom's own mean position, over the framework's
    mean distance to the nearest other framework atom. Crystals melt at about 0.1 to 0.15
    (Lindemann, Phys. Z. 11, 609 (1910); Gilvarry, Phys. Rev. 102, 308 (1956)). Atoms that hop into
    vacancies and polyanions that turn have large ratios without melting: hence one an atom.

    Parameters
    ----------
    positions
        Unwrapped, shape [n_frames, n, 3], Å; equilibration left out.
    framework
        Indices of the framework's atoms.
    start
        The cell, for the distances.

    Returns
    -------
    np.ndarray
        Shape [n framework atoms].

    Raises
    ------
    EvaluationError
        If the framework has fewer than two atoms.
    """
    if len(framework) < 2:
        msg = f"expected a framework of two atoms or more, got {len(framework)}"
        raise EvaluationError(msg)
    paths = remove_drift(positions, framework)[:, framework]
    spread = np.sqrt(((paths - paths.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))
    distances = start[framework].get_all_distances(mic=True)
    np.fill_diagonal(distances, np.inf)
    return np.asarray(spread / distances.min(axis=1).mean())


def closest_contacts(frames: Iterable[Atoms]) -> list[Contact]:
    """Return the smallest distance that each pair of elements ever had, within 3 Å.

    Sorted by distance.
    """
    closest: dict[tuple[str, str], float] = {}
    for atoms in frames:
        i, j, d = neighbor_list("ijd", atoms, CONTACT_REACH)
        order = np.argsort(d, kind="stable")
        ends = np.sort(np.column_stack([atoms.numbers[i], atoms.numbers[j]])[order], axis=1)
        pairs, first = np.unique(ends, axis=0, return_index=True)
        for (a, b), distance in zip(pairs, d[order][first], strict=True):
            x, y = sorted((chemical_symbols[a], chemical_symbols[b]))
            closest[x, y] = min(float(distance), closest.get((x, y), np.inf))
    found = [Contact(pair=pair, distance=d) for pair, d in closest.items()]
    return sorted(found, key=lambda contact: (contact.distance, contact.pair))


def energy_drift(times_ps: np.ndarray, energies: np.ndarray) -> tuple[float, float, float]:
    """Return the slope of a total energy, the slope's error, and the scatter around the line.

    The error is that of the mean of the slopes of five pieces: an energy error that swings
    slowly makes that of a straight fit too small.

    Parameters
    ----------
    times_ps
        Shape [n], ps.
    energies
        Total energy, shape [n], meV/atom.

    Returns
    -------
    tuple[float, float, float]
        meV/atom/ps, its standard error, and the root mean square scatter, meV/atom.

    Raises
    ------
    EvaluationError
        If there are fewer than three points a piece.
    """
    if len(energies) < ENERGIES_MIN:
        msg = f"expected {ENERGIES_MIN} energies or more, got {len(energies)}; run NVE for longer"
        raise EvaluationError(msg)
    fit = stats.linregress(times_ps, energies)
    pieces = [
        stats.linregress(t, e).slope
        for t, e in zip(
            np.array_split(times_ps, PIECES), np.array_split(energies, PIECES), strict=True
        )
    ]
    scatter = float(np.std(energies - fit.slope * times_ps - fit.intercept))
    return float(fit.slope), float(stats.sem(pieces)), scatter
