"""Sites between the ions of a crystal, and symmetry classes of paths over any sites."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymatgen.core import Lattice, Structure
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Voronoi, cKDTree

from ionloop.errors import StructureError
from ionloop.seed.symmetry import Operation

#: Voronoi vertices nearer than this are one site, Å: rounding splits a vertex of high symmetry.
MERGED = 0.2
#: A vertex this near to one with more room is part of that one's void, Å.
SAME_VOID = 1.5
#: An operation must lead a site this near to another one, cell lengths.
LOST = 0.02


def voids(host: Structure, room: float) -> np.ndarray:
    """Find the sites of a crystal that are farther than ``room`` from every ion.

    These are vertices of the Voronoi polyhedra, points as far from four ions or more: the
    largest of them are where an interstitial ion may sit. Where it pushes an ion of the lattice
    aside, as in a dumbbell, it relaxes there from the nearest of them.

    Parameters
    ----------
    host
        Perfect supercell.
    room
        Least distance to any ion, Å. Of vertices within 1.5 Å of each other the one with most
        room counts.

    Returns
    -------
    np.ndarray
        Fractional coordinates, shape [n, 3], in [0, 1).
    """
    lattice = host.lattice
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    around = lattice.get_cartesian_coords((host.frac_coords[None] + shifts[:, None]).reshape(-1, 3))
    vertices = lattice.get_fractional_coords(Voronoi(around).vertices)
    margin = 0.1  # a site on the border must be there with all its copies
    inside = vertices[((vertices > -margin) & (vertices < 1 + margin)).all(axis=1)]
    distances = lattice.get_all_distances(inside, host.frac_coords).min(axis=1)
    wide = inside[distances > room]
    if not len(wide):
        return np.empty((0, 3))
    sites = _merged(lattice, wide)
    radii = lattice.get_all_distances(sites, host.frac_coords).min(axis=1)
    near = lattice.get_all_distances(sites, sites) < SAME_VOID
    larger = radii[None, :] > radii[:, None] + MERGED / 4
    return sites[~(near & larger).any(axis=1)]


def _merged(lattice: Lattice, fractional: np.ndarray) -> np.ndarray:
    """Put together what lies within ``MERGED``, copies by lattice vectors too."""
    cartesian = lattice.get_cartesian_coords(fractional)
    if len(cartesian) > 1:
        label = fcluster(linkage(cartesian), MERGED, criterion="distance")
        cartesian = np.array([cartesian[label == k].mean(axis=0) for k in np.unique(label)])
    unique: list[np.ndarray] = []
    for site in np.mod(np.round(lattice.get_fractional_coords(cartesian), 9), 1.0):
        if not unique or lattice.get_all_distances(site, unique).min() > MERGED:
            unique.append(site)
    return np.array(unique)


def site_orbits(fractional: np.ndarray, operations: Sequence[Operation]) -> np.ndarray:
    """Return the symmetry orbit of each site, shape [m].

    Raises
    ------
    StructureError
        If an operation leads to no site, so that the sites aren't the crystal's.
    """
    n = len(fractional)
    to = np.concatenate([_image(fractional, one) for one in operations])
    source = np.tile(np.arange(n), len(operations))
    graph = coo_matrix((np.ones(len(to), bool), (source, to)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def path_orbits(
    fractional: np.ndarray,
    sites: np.ndarray,
    images: np.ndarray,
    operations: Sequence[Operation],
) -> np.ndarray:
    """Return the symmetry orbit of each path, in either direction, shape [n].

    Parameters
    ----------
    fractional
        All sites, shape [m, 3].
    sites
        Sites that each path visits in turn, shape [n, k]: all paths from some of the sites, at
        least one of each orbit.
    images
        Cell that each of them lies in, that of the first being 0, shape [n, k, 3].
    operations
        The crystal's operations; an operation leads to the nearest site.

    Raises
    ------
    StructureError
        If an operation leads to no site, so that the sites aren't the crystal's.
    """
    span = 4 * int(np.abs(images).max()) + 9
    codes = _encode(sites, images, len(fractional), span)
    order = np.argsort(codes)
    both = [(sites, images), (sites[:, ::-1], images[:, ::-1] - images[:, -1:])]
    edges = []
    for operation in operations:
        to = _image(fractional, operation)
        for visited, cells in both:
            points = fractional[visited] + cells
            turned = (points - points[:, :1]) @ operation[0].T
            there = to[visited]
            own = fractional[there] - fractional[there[:, :1]]
            asked = _encode(there, np.rint(turned - own).astype(int), len(fractional), span)
            target = order[np.searchsorted(codes, asked, sorter=order).clip(max=len(codes) - 1)]
            known = np.flatnonzero(codes[target] == asked)  # others begin at other sites
            edges.append(np.column_stack([known, target[known]]))
    pairs = np.unique(np.concatenate(edges), axis=0)
    graph = coo_matrix((np.ones(len(pairs), bool), pairs.T), shape=[len(codes)] * 2)
    return connected_components(graph, directed=False)[1]


def _image(fractional: np.ndarray, operation: Operation) -> np.ndarray:
    """Return the site that an operation leads each site to."""
    rotation, translation = operation
    tree = cKDTree(np.mod(fractional, 1.0) % 1.0, boxsize=1.0)
    away, to = tree.query(np.mod(fractional @ rotation.T + translation, 1.0) % 1.0)
    if away.max() > LOST:
        msg = (
            "expected sites that the crystal's symmetry maps on each other, got one that it leads "
            f"{away.max():.2f} cells away from any; use the perfect crystal as host"
        )
        raise StructureError(msg)
    return to


def _encode(sites: np.ndarray, images: np.ndarray, n_sites: int, span: int) -> np.ndarray:
    """Give each path a number of its own; images lie within ±(span // 2)."""
    code = np.zeros(len(sites), np.int64)
    for k in range(sites.shape[1]):
        code = code * n_sites + sites[:, k]
        for axis in range(3 if k else 0):
            code = code * span + images[:, k, axis] + span // 2
    return code
