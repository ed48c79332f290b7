"""Positions of a trajectory made continuous, freed of drift, and put beside the host's sites."""

from __future__ import annotations

import numpy as np
from ase.geometry import find_mic
from scipy.spatial import cKDTree


def unwrap(positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Make a trajectory continuous.

    Parameters
    ----------
    positions
        Wrapped or unwrapped, shape [n_frames, n_atoms, 3], Å.
    cell
        Lattice vectors as rows, shape [3, 3], Å.

    Returns
    -------
    np.ndarray
        The first frame as it is, then each step by the shortest way, same shape, Å.
    """
    steps = np.diff(positions, axis=0)
    jumps = np.rint(steps @ np.linalg.inv(cell))
    continuous = np.array(positions, dtype=float)
    continuous[1:] -= np.cumsum(jumps, axis=0) @ cell
    return continuous


def remove_drift(
    positions: np.ndarray,
    framework: np.ndarray,
    reference: np.ndarray | None = None,
    cell: np.ndarray | None = None,
) -> np.ndarray:
    """Subtract the framework's mean displacement from every frame.

    The plain mean, not that of masses, is the convention of lattice diffusion.

    Parameters
    ----------
    positions
        Continuous positions, shape [n_frames, n_atoms, 3], Å.
    framework
        Indices of the framework's atoms; none leaves the positions as they are.
    reference
        Rest positions of the framework's atoms, shape [n_framework, 3], Å; None takes
        the first frame.
    cell
        Lattice vectors as rows, needed with ``reference``, which may be wrapped.

    Returns
    -------
    np.ndarray
        Corrected positions, same shape, Å.
    """
    if len(framework) == 0:
        return positions
    drift = (positions[:, framework] - positions[0, framework]).mean(axis=1)
    if reference is not None and cell is not None:
        offset, _ = find_mic(positions[0, framework] - reference, cell, pbc=True)
        drift = drift + offset.mean(axis=0)
    return positions - drift[:, None, :]


def assign_sites(
    positions: np.ndarray, sites: np.ndarray, cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the site nearest to each ion.

    Parameters
    ----------
    positions
        Ions' positions, shape [n_frames, n_ions, 3], Å.
    sites
        Sites, shape [M, 3], Å.
    cell
        Lattice vectors as rows, shape [3, 3], Å.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Nearest site, shape [n_frames, n_ions], and the position of its copy next to the
        ion, shape [n_frames, n_ions, 3], Å.
    """
    copies = periodic_copies(sites, cell)
    fractional = positions @ np.linalg.inv(cell)
    home = np.floor(fractional)
    _, index = cKDTree(copies).query((fractional - home) @ cell)
    return index % len(sites), copies[index] + home @ cell


def follow_framework(
    sites: np.ndarray,
    framework: np.ndarray,
    cell: np.ndarray,
    n: int,
    reference: np.ndarray | None = None,
) -> np.ndarray:
    """Let each site follow the mean displacement of the framework atoms nearest to it.

    This is the idea of dynamic Voronoi cells (site-analysis, Morgan et al.), with the
    offset between site and neighbours kept.

    Parameters
    ----------
    sites
        Sites at rest, shape [M, 3], Å.
    framework
        Framework atoms, continuous and free of drift, shape [n_frames, n_framework, 3], Å.
    cell
        Lattice vectors as rows, shape [3, 3], Å.
    n
        Neighbours that a site follows.
    reference
        Rest positions of the framework, shape [n_framework, 3], Å; None takes the mean.

    Returns
    -------
    np.ndarray
        Sites at each frame, shape [n_frames, M, 3], Å.
    """
    rest = framework.mean(axis=0)
    if reference is not None:
        rest = rest - find_mic(rest - reference, cell, pbc=True)[0]  # the reference, unwrapped
    home = (sites @ np.linalg.inv(cell) % 1.0) @ cell
    _, near = cKDTree(periodic_copies(rest, cell)).query(home, k=n)
    index = near.reshape(len(sites), n) % len(rest)
    return sites + (framework - rest)[:, index].mean(axis=2)


def assign_moving_sites(
    positions: np.ndarray, sites: np.ndarray, cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest site where sites move: shape [n_frames, M, 3]; else as assign_sites."""
    parts = [assign_sites(x[None], s, cell) for x, s in zip(positions, sites, strict=True)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def periodic_copies(sites: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Return sites in the cell and in the 26 around it, shape [27 M, 3], Å.

    Copy k is one of site k % M.
    """
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    wrapped = (sites @ np.linalg.inv(cell)) % 1.0
    return ((wrapped[None] + shifts[:, None]) @ cell).reshape(-1, 3)


def progress(positions: np.ndarray, site_from: np.ndarray, site_to: np.ndarray) -> np.ndarray:
    r"""Project an ion on the line between two sites.

    .. math:: s = \frac{(r - r_i) \cdot (r_j - r_i)}{|r_j - r_i|^2}

    Parameters
    ----------
    positions
        Continuous positions of one ion, shape [n_frames, 3], Å.
    site_from, site_to
        Old and new site as the ion sees them, not wrapped, shape [3], Å.

    Returns
    -------
    np.ndarray
        s, 0 at the old site and 1 at the new one, shape [n_frames].
    """
    path = site_to - site_from
    return (positions - site_from) @ path / (path @ path)


def framework_displacements(
    positions: np.ndarray, framework: np.ndarray, rest: np.ndarray, cell: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how far the framework has drifted, and where its atoms are relative to that.

    One frame alone is enough, whatever the drift: displacements are made periodic relative to
    the first framework atom's, which is right as long as no two have moved apart by half a cell.

    Parameters
    ----------
    positions
        One frame, wrapped or not, shape [n_atoms, 3], Å.
    framework
        Indices of the framework's atoms, shape [n_framework], one or more.
    rest
        Their rest positions, shape [n_framework, 3], Å.
    cell
        Lattice vectors as rows, shape [3, 3], Å.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        The mean displacement, shape [3], and what each atom's differs from it by, shape
        [n_framework, 3], Å.
    """
    steps = positions[framework] - rest
    others, _ = find_mic(steps - steps[0], cell, pbc=True)
    mean = others.mean(axis=0)
    return steps[0] + mean, others - mean
