"""A crystal laid over a trajectory: same cell, same origin, whatever its atoms' order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from ase.geometry import cell_to_cellpar, find_mic
from pymatgen.core import Structure

from ionloop.errors import ExplorationError
from ionloop.profile import check_periodic

#: Cells may differ by this share of a length, and this many degrees.
LENGTH_TOLERANCE, ANGLE_TOLERANCE = 0.08, 4.0
#: The framework's mean positions lie within this distance of the host's, root mean square, Å.
RMS_MAX = 1.0


def fit_host(
    host: Structure, symbols: Sequence[str], rest: np.ndarray, cell: np.ndarray, mobile_ion: str
) -> Structure:
    """Repeat a crystal to a trajectory's cell, and shift it onto its framework.

    Parameters
    ----------
    host
        Crystal with all sites of the mobile ion occupied, in the trajectory's cell or in
        one that gives it by repetition along its axes.
    symbols
        Elements of the trajectory's framework atoms.
    rest
        Their mean positions, shape [n, 3], Å.
    cell
        The trajectory's lattice vectors as rows, shape [3, 3], Å.
    mobile_ion
        Element of the mobile ion.

    Raises
    ------
    ExplorationError
        If the cells or the frameworks don't fit.
    StructureError
        If the host isn't an ordered crystal.
    """
    check_periodic(host)
    ours, theirs = cell_to_cellpar(cell), np.array(host.lattice.parameters)
    repeats = np.maximum(1, np.rint(ours[:3] / theirs[:3])).astype(int)
    stretch = np.abs(theirs[:3] * repeats / ours[:3] - 1)
    if stretch.max() > LENGTH_TOLERANCE or np.abs(theirs[3:] - ours[3:]).max() > ANGLE_TOLERANCE:
        msg = (
            f"expected a host that repeats to the trajectory's cell {_words(ours)}, got "
            f"{_words(theirs)}; give the host in the same setting"
        )
        raise ExplorationError(msg)
    large = host.make_supercell(np.diag(repeats), in_place=False)
    names = np.array([site.specie.symbol for site in large])
    framework = names != mobile_ion
    if Counter(names[framework].tolist()) != Counter(symbols):
        msg = (
            f"expected the trajectory's framework {dict(Counter(symbols))} in the host, got "
            f"{dict(Counter(names[framework].tolist()))}; give the crystal that was simulated"
        )
        raise ExplorationError(msg)
    fractional = large.frac_coords
    shift = _best_shift((names[framework], fractional[framework]), (np.array(symbols), rest), cell)
    return Structure(cell, names.tolist(), fractional + shift, to_unit_cell=True)


def _best_shift(
    host: tuple[np.ndarray, np.ndarray], atoms: tuple[np.ndarray, np.ndarray], cell: np.ndarray
) -> np.ndarray:
    """Return the fractional shift that lays the host's atoms on the trajectory's."""
    names, sites = host
    symbols, rest = atoms
    there = rest @ np.linalg.inv(cell)
    rarest = min(Counter(names.tolist()).items(), key=lambda item: item[1])[0]
    first = there[symbols == rarest][0]
    best, smallest = np.zeros(3), np.inf
    for candidate in first - sites[names == rarest]:
        gaps = _gaps((names, sites + candidate), (symbols, there), cell)
        candidate_fine = candidate + gaps.mean(axis=0) @ np.linalg.inv(cell)
        rms = float(np.sqrt(((gaps - gaps.mean(axis=0)) ** 2).sum(axis=1).mean()))
        if rms < smallest:
            best, smallest = candidate_fine, rms
    if smallest > RMS_MAX:
        msg = (
            f"expected the host's framework within {RMS_MAX:g} Å of the trajectory's, got "
            f"{smallest:.2f} Å root mean square at best; is it the same phase and setting?"
        )
        raise ExplorationError(msg)
    return best


def _gaps(
    host: tuple[np.ndarray, np.ndarray], atoms: tuple[np.ndarray, np.ndarray], cell: np.ndarray
) -> np.ndarray:
    """Return the vector from the nearest like atom of the host to each atom, [n, 3], Å."""
    gaps = np.zeros((len(atoms[0]), 3))
    for name in np.unique(host[0]):
        mine, theirs = atoms[1][atoms[0] == name], host[1][host[0] == name]
        pairs = (mine[:, None] - theirs[None]).reshape(-1, 3) @ cell
        vectors, lengths = find_mic(pairs, cell, pbc=True)
        nearest = lengths.reshape(len(mine), -1).argmin(axis=1)
        gaps[atoms[0] == name] = vectors.reshape(len(mine), -1, 3)[np.arange(len(mine)), nearest]
    return gaps


def _words(parameters: np.ndarray) -> str:
    lengths = " ".join(f"{x:.2f}" for x in parameters[:3])
    return f"{lengths} Å, {' '.join(f'{x:.0f}' for x in parameters[3:])}°"
