"""End points of the distinct hops of an interstitial ion.

An interstitial moves in two ways: straight to another void (direct), or onto a lattice site
whose ion it pushes to another void (knock-on, or interstitialcy). Which one costs less differs
from crystal to crystal, so both are enumerated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from scipy.optimize import linear_sum_assignment

from ionloop.errors import StructureError
from ionloop.frame import Frame, HopTag, Origin
from ionloop.profile import check_periodic
from ionloop.seed.paths import VacancyHops
from ionloop.seed.schema import Hop
from ionloop.seed.symmetry import Operation
from ionloop.seed.voids import SAME_VOID, path_orbits, site_orbits, voids

#: Voids nearer than this to an ion of the host are none, Å.
ROOM = 1.5
#: The cell that a path begins in.
NOWHERE = np.zeros(3, int)


@dataclass(frozen=True)
class _Sites:
    """Voids and mobile-ion sites of a host, voids first."""

    lattice: Lattice
    fractional: np.ndarray  # [n_voids + n_lattice, 3]
    n_voids: int


@dataclass(frozen=True)
class _Defect:
    """A structure with an interstitial ion."""

    structure: Structure
    ion: int
    occupant: np.ndarray  # ion on each mobile-ion site
    charge: int


@dataclass(frozen=True)
class _Paths:
    """Paths of one kind: sites in turn and their cells."""

    sites: np.ndarray  # [n, k]
    images: np.ndarray  # [n, k, 3]
    lengths: np.ndarray  # [n, k - 1], Å

    @classmethod
    def of(cls, rows: Sequence[tuple], k: int) -> _Paths:
        """Stack sites, cells and lengths."""
        columns = [np.array([row[c] for row in rows]) for c in range(3)]
        shapes = (-1, k), (-1, k, 3), (-1, k - 1)
        sites, images, lengths = (x.reshape(n) for x, n in zip(columns, shapes, strict=True))
        return cls(sites.astype(int), images.astype(int), lengths)


def has_interstitial(host: Structure, structure: Structure, mobile_ion: str) -> bool:
    """Tell whether a structure has more mobile ions than its host has sites for them."""
    n_ions, n_sites = (
        sum(site.specie.symbol == mobile_ion for site in s) for s in (structure, host)
    )
    return n_ions > n_sites


def interstitial_hops(
    host: Structure,
    structure: Structure,
    mobile_ion: str,
    max_distance: float,
    charge: int = 0,
    clearance: float = 1.0,
) -> VacancyHops:
    """Build the end points of each distinct hop of an interstitial ion.

    Parameters
    ----------
    host
        Perfect supercell.
    structure
        The same lattice with one mobile ion more than it has sites, relaxed or not.
    mobile_ion
        Element of the mobile ion.
    max_distance
        Longest distance that an ion moves, Å; in a knock-on two ions move.
    charge
        Net charge of the cell, e.
    clearance
        A class is left out if an ion of the host that stays lies nearer to a straight path, Å.

    Returns
    -------
    VacancyHops
        One hop a class, shortest first, from the void that the interstitial is in or from one of
        another kind, labelled ``Li direct 3.27 A #0`` or ``Li knock-on 2.00+2.00 A #0``; and why
        classes are left out.

    Raises
    ------
    StructureError
        If there isn't one interstitial, or no void for it, or no hop within reach.
    """
    check_periodic(host)
    mobile = np.array([n for n, s in enumerate(host) if s.specie.symbol == mobile_ion])
    empty = voids(host, ROOM)
    if not len(empty):
        msg = f"expected a void of {ROOM:g} Å in {host.composition.reduced_formula}, found none"
        raise StructureError(msg)
    sites = _Sites(host.lattice, np.vstack([empty, host.frac_coords[mobile]]), len(empty))
    ion, occupant = _assign(host, structure, mobile_ion, mobile)
    defect = _Defect(structure, ion, occupant, charge)
    operations = [
        (one.rotation_matrix, one.translation_vector)
        for one in SpacegroupAnalyzer(host, symprec=0.01).get_symmetry_operations()
    ]
    starts = _starts(sites, structure.frac_coords[ion], operations)
    hops: list[Hop] = []
    left_out: dict[str, str] = {}
    for kind, paths in (
        ("direct", _direct(sites, [*starts], max_distance)),
        ("knock-on", _knock_on(sites, [*starts], max_distance)),
    ):
        if not len(paths.sites):
            continue
        orbits = path_orbits(sites.fractional, paths.sites, paths.images, operations)
        for label, members in _labelled(f"{mobile_ion} {kind}", paths, orbits):
            room = _clearance(host, mobile, sites, paths, members[0])
            if room < clearance:
                left_out[label] = f"an ion is {room:.2f} Å from the straight path"
                continue
            # Each path is among its first void's and, backwards, among its last one's.
            multiplicity = sum(starts[int(paths.sites[n, 0])] for n in members) // 2
            hops.append(_hop(defect, sites, paths, members[0], label, multiplicity))
    if not hops:
        msg = (
            f"expected a hop of an interstitial {mobile_ion} of at most {max_distance:g} Å, found "
            f"none ({left_out or 'none within reach'}); raise Profile.hop_distance_max"
        )
        raise StructureError(msg)
    return VacancyHops(sorted(hops, key=lambda hop: (hop.distance, hop.path_class)), left_out)


def _starts(sites: _Sites, place: np.ndarray, operations: Sequence[Operation]) -> dict[int, int]:
    """Return a void of each kind, the interstitial's own first, and how many there are of it."""
    empty = sites.fractional[: sites.n_voids]
    orbits = site_orbits(empty, operations)
    nearest = sites.lattice.get_all_distances(place, empty)[0].argsort(kind="stable")
    first = {int(orbits[n]): int(n) for n in nearest[::-1]}
    found = {n: int((orbits == kind).sum()) for kind, n in first.items()}
    return dict(sorted(found.items(), key=lambda item: list(nearest).index(item[0])))


def _assign(
    host: Structure, structure: Structure, mobile_ion: str, mobile: np.ndarray
) -> tuple[int, np.ndarray]:
    """Return the ion that has no site, and the ion on each mobile-ion site."""
    ions = np.array([n for n, s in enumerate(structure) if s.specie.symbol == mobile_ion])
    if len(ions) != len(mobile) + 1:
        msg = (
            f"expected one {mobile_ion} more than the host's {len(mobile)} sites, got {len(ions)}; "
            "put one interstitial ion into a copy of the host"
        )
        raise StructureError(msg)
    away = host.lattice.get_all_distances(structure.frac_coords[ions], host.frac_coords[mobile])
    on, site = linear_sum_assignment(away**2)
    occupant = np.empty(len(mobile), int)
    occupant[site] = ions[on]
    return int(np.setdiff1d(ions, occupant)[0]), occupant


def _neighbours(
    sites: _Sites, start: int, ends: slice, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sites within reach of one, the cells that they lie in, and distances, Å."""
    center = sites.lattice.get_cartesian_coords(sites.fractional[start])
    found: Any = sites.lattice.get_points_in_sphere(
        sites.fractional[ends], center, reach, zip_results=False
    )
    away, index = np.asarray(found[1], float), np.asarray(found[2], int)
    cells = np.asarray(found[3], int).reshape(-1, 3)
    kept = away > 1e-3
    return index[kept] + (ends.start or 0), cells[kept], away[kept]


def _direct(sites: _Sites, starts: Sequence[int], reach: float) -> _Paths:
    """From void to void."""
    rows = [
        ((u, v), (NOWHERE, cell), (away,))
        for u in starts
        for v, cell, away in zip(
            *_neighbours(sites, u, slice(0, sites.n_voids), reach), strict=True
        )
    ]
    return _Paths.of(rows, 2)


def _knock_on(sites: _Sites, starts: Sequence[int], reach: float) -> _Paths:
    """From void to lattice site, and from there to another void."""
    rows = []
    for u in starts:
        lattice = _neighbours(sites, u, slice(sites.n_voids, None), reach)
        for s, cell, away in zip(*lattice, strict=True):
            onward = _neighbours(sites, s, slice(0, sites.n_voids), reach)
            rows += [
                ((u, s, v), (NOWHERE, cell, cell + further), (away, length))
                for v, further, length in zip(*onward, strict=True)
                if v != u or (cell + further).any()
            ]
    return _Paths.of(rows, 3)


def _labelled(name: str, paths: _Paths, orbits: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return the label and the paths of each class, shortest first."""
    classes = [np.flatnonzero(orbits == k) for k in range(orbits.max() + 1)]
    classes.sort(key=lambda members: (round(float(paths.lengths[members[0]].sum()), 3), members[0]))
    return [
        (f"{name} {'+'.join(f'{x:.2f}' for x in paths.lengths[members[0]])} A #{k}", members)
        for k, members in enumerate(classes)
    ]


def _clearance(host: Structure, mobile: np.ndarray, sites: _Sites, paths: _Paths, n: int) -> float:
    """Distance of the nearest ion that stays from the straight legs of a path, Å."""
    points = sites.fractional[paths.sites[n]] + paths.images[n]
    leaving = mobile[paths.sites[n, 1:-1] - sites.n_voids]
    others = host.frac_coords[np.setdiff1d(np.arange(len(host)), leaving)]
    share = np.linspace(0, 1, 21)[:, None]
    legs = [a + share * (b - a) for a, b in pairwise(points)]
    return float(host.lattice.get_all_distances(np.concatenate(legs), others).min())


def _hop(
    defect: _Defect, sites: _Sites, paths: _Paths, n: int, label: str, multiplicity: int
) -> Hop:
    """Move each ion of a path to the next site; the interstitial ion is the hop's."""
    lattice = sites.lattice
    points = sites.fractional[paths.sites[n]] + paths.images[n]
    moved = [defect.ion, *(int(i) for i in defect.occupant[paths.sites[n, 1:-1] - sites.n_voids])]
    before = defect.structure.cart_coords.copy()
    ion = defect.structure.frac_coords[defect.ion]
    if (
        lattice.get_distance_and_image(ion, points[0])[0] > SAME_VOID
    ):  # the interstitial is in a void of another kind: put it into this one
        before[defect.ion] = lattice.get_cartesian_coords(points[0])
    after = before.copy()
    for k, one in enumerate(moved):
        vector = lattice.get_cartesian_coords(points[k + 1] - points[k])
        # The ion may have relaxed off its site: it goes to the image of the next one that the
        # path leads to.
        aim = lattice.get_fractional_coords(after[one] + vector)
        after[one] = lattice.get_cartesian_coords(points[k + 1] + np.rint(aim - points[k + 1]))
    start = Frame.from_structure(defect.structure, origin=Origin.NEB, group=label)

    def tagged(progress: float, positions: np.ndarray) -> Frame:
        tag = HopTag(ion=moved[0], progress=progress, path_class=label, event=label)
        return start.model_copy(
            update={"positions": positions.tolist(), "hop": tag, "charge": defect.charge}
        )

    return Hop(
        start=tagged(0.0, before),
        end=tagged(1.0, after),
        ion=moved[0],
        distance=float(paths.lengths[n, 0]),
        path_class=label,
        multiplicity=multiplicity,
    )
