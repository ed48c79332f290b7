"""Pairs of mobile-ion sites, sorted into classes by the crystal's space group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ionloop.errors import StructureError
from ionloop.profile import check_periodic

#: Rotation [3, 3] and translation [3] of a symmetry operation, fractional.
Operation = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class PathClasses:
    """Directed pairs of mobile-ion sites, and the symmetry class of each.

    Sites are numbered as the mobile ions of the host, 0 to M - 1; class k has the
    label ``labels[k]``, classes being sorted by distance.
    """

    sites: np.ndarray  #: Indices of the mobile ions in the host, shape [M].
    pairs: np.ndarray  #: Site i and site j, shape [n_pairs, 2].
    vectors: np.ndarray  #: From i to j, shape [n_pairs, 3], Å.
    classes: np.ndarray  #: Class of each pair, shape [n_pairs].
    labels: list[str]  #: Label of each class.

    @property
    def distances(self) -> np.ndarray:
        """Length of each pair, shape [n_pairs], Å."""
        return np.linalg.norm(self.vectors, axis=1)

    def mapping(self) -> dict[tuple[int, int], str]:
        """Return the label of each pair of sites, the shortest where images give several."""
        labels: dict[tuple[int, int], str] = {}
        for n in np.argsort(self.classes, kind="stable"):
            i, j = (int(site) for site in self.pairs[n])
            labels.setdefault((i, j), self.labels[self.classes[n]])
        return labels


def mobile_sites(host: Structure, mobile_ion: str) -> np.ndarray:
    """Return the host's mobile-ion sites, shape [M, 3], Å, in the host's order."""
    return host.cart_coords[_indices(host, mobile_ion)]


def site_classes(
    host: Structure, mobile_ion: str, max_distance: float
) -> dict[tuple[int, int], str]:
    """Map every pair of mobile-ion sites to its symmetry class.

    Parameters
    ----------
    host
        Perfect supercell.
    mobile_ion
        Element of the mobile ion.
    max_distance
        Longest pair, Å.

    Returns
    -------
    dict[tuple[int, int], str]
        Both directions of each pair; sites are numbered as in :func:`mobile_sites`.
        Where periodic images put several pairs between two sites, the shortest counts.

    Raises
    ------
    StructureError
        If the host has no mobile ion, or no pair is short enough.
    """
    return path_classes(host, mobile_ion, max_distance).mapping()


def path_classes(
    host: Structure, mobile_ion: str, max_distance: float, symprec: float = 0.01
) -> PathClasses:
    """Sort pairs of mobile-ion sites into classes by the host's space group.

    Two pairs are of one class if an operation of the host maps one on the other, in
    either direction.

    Parameters
    ----------
    host
        Perfect supercell.
    mobile_ion
        Element of the mobile ion.
    max_distance
        Longest pair, Å.
    symprec
        Tolerance of the symmetry search, Å.

    Returns
    -------
    PathClasses
        Pairs in both directions, with labels such as ``"Li-Li 2.76 A #0"``.

    Raises
    ------
    StructureError
        If the host has no mobile ion, or no pair is short enough.
    """
    check_periodic(host)
    sites = _indices(host, mobile_ion)
    operations = SpacegroupAnalyzer(host, symprec=symprec).get_symmetry_operations()
    turns = [(one.rotation_matrix, one.translation_vector) for one in operations]
    found = pair_classes(host.lattice, host.frac_coords[sites], turns, mobile_ion, max_distance)
    return replace(found, sites=sites)


def pair_classes(
    lattice: Lattice,
    fractional: np.ndarray,
    operations: Sequence[Operation],
    mobile_ion: str,
    max_distance: float,
) -> PathClasses:
    """Sort pairs of sites into classes that symmetry operations make equal.

    Parameters
    ----------
    lattice
        The cell.
    fractional
        Sites, shape [M, 3], fractional. An operation leads to the nearest site, so that
        sites need not be symmetric to the last digit.
    operations
        The operations.
    mobile_ion
        Element that the labels name.
    max_distance
        Longest pair, Å.

    Raises
    ------
    StructureError
        If no pair is short enough.
    """
    i, j, images = _neighbours(lattice, fractional, mobile_ion, max_distance)
    vectors = lattice.get_cartesian_coords(fractional[j] + images - fractional[i])
    orbits = _orbits(fractional, (i, j, images), operations)
    lengths = np.linalg.norm(vectors, axis=1)
    first = np.array([np.flatnonzero(orbits == k)[0] for k in range(orbits.max() + 1)])
    order = np.lexsort((first, np.round(lengths[first], 3)))
    rank = np.argsort(order)
    labels = [
        f"{mobile_ion}-{mobile_ion} {lengths[first[k]]:.2f} A #{n}" for n, k in enumerate(order)
    ]
    sites = np.arange(len(fractional))
    return PathClasses(sites, np.column_stack([i, j]), vectors, rank[orbits], labels)


def _indices(host: Structure, mobile_ion: str) -> np.ndarray:
    found = [n for n, site in enumerate(host) if site.specie.symbol == mobile_ion]
    if not found:
        msg = (
            f"expected the mobile ion {mobile_ion} in {host.composition.reduced_formula}, found "
            "none; set Profile.mobile_ion to an element of the host"
        )
        raise StructureError(msg)
    return np.array(found)


def _neighbours(
    lattice: Lattice, fractional: np.ndarray, mobile_ion: str, max_distance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return site i, site j and the image of j for all pairs of different sites."""
    mobile = Structure(lattice, [mobile_ion] * len(fractional), fractional)
    i, j, images, _ = mobile.get_neighbor_list(max_distance)
    different = i != j
    if not different.any():
        msg = (
            f"expected mobile-ion sites of {mobile_ion} within {max_distance:g} Å of each "
            "other, found none; raise Profile.hop_distance_max"
        )
        raise StructureError(msg)
    keys = np.column_stack([i, j, images.astype(int)])[different]
    keys = np.unique(keys, axis=0)
    return keys[:, 0], keys[:, 1], keys[:, 2:]


def _orbits(
    fractional: np.ndarray,
    bonds: tuple[np.ndarray, np.ndarray, np.ndarray],
    operations: Sequence[Operation],
) -> np.ndarray:
    """Return the symmetry orbit of each bond, either direction, shape [n_pairs]."""
    i, j, images = bonds
    tree = cKDTree(_wrap(fractional), boxsize=1.0)
    between = fractional[j] + images - fractional[i]
    n_sites, span = len(fractional), 2 * int(np.abs(images).max()) + 5
    codes = _encode(i, j, images, n_sites, span)
    order = np.argsort(codes)
    n = len(codes)
    edges = [np.searchsorted(codes, _encode(j, i, -images, n_sites, span), sorter=order)]
    for rotation, translation in operations:
        _, to = tree.query(_wrap(fractional @ rotation.T + translation))
        turned = between @ rotation.T
        shift = np.rint(turned - (fractional[to[j]] - fractional[to[i]])).astype(int)
        wanted = _encode(to[i], to[j], shift, n_sites, span)
        place = np.searchsorted(codes, wanted, sorter=order).clip(max=n - 1)
        # A bond at the very edge of max_distance may miss its partner by rounding.
        edges.append(np.where(codes[order[place]] == wanted, place, -1))
    source = np.tile(np.arange(n), len(edges))
    place = np.concatenate(edges)
    source, target = source[place >= 0], order[place[place >= 0]]
    graph = coo_matrix((np.ones(len(source), bool), (source, target)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def _wrap(fractional: np.ndarray) -> np.ndarray:
    wrapped = np.mod(fractional, 1.0)
    wrapped[wrapped >= 1.0] = 0.0
    return wrapped


def _encode(
    i: np.ndarray, j: np.ndarray, images: np.ndarray, n_sites: int, span: int
) -> np.ndarray:
    """Give each bond a number of its own; images lie within ±(span // 2)."""
    code = i * n_sites + j
    for axis in range(3):
        code = code * span + images[:, axis] + span // 2
    return code
