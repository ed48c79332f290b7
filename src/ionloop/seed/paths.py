"""End points of the distinct vacancy hops of a crystal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pymatgen.core import Structure

from ionloop.errors import StructureError
from ionloop.frame import Frame, HopTag, Origin
from ionloop.seed.schema import Hop
from ionloop.seed.symmetry import PathClasses, mobile_sites, path_classes, site_classes

__all__ = ["mobile_sites", "path_classes", "site_classes", "vacancy_hops"]

#: How far an ion may sit from its host site and still be matched, Å.
_MATCH_TOLERANCE = 1.2
#: Cell vectors of host and defective cell must agree within this, Å.
_LATTICE_TOLERANCE = 0.02


class VacancyHops(NamedTuple):
    """One hop a class, shortest first, and why other classes within reach have none."""

    hops: list[Hop]
    left_out: dict[str, str]


def vacancy_hops(
    host: Structure,
    structure: Structure,
    mobile_ion: str,
    max_distance: float,
    charge: int = 0,
    clearance: float = 1.0,
) -> VacancyHops:
    """Build the end points of each distinct hop into a vacancy, and say what is left out.

    A mobile ion next to a vacancy of ``structure`` moves straight to the vacant site of
    the host. Compensating defects make hops of one class differ; the one whose two
    sites are farthest from every other defect stands for the class, ties going to the
    lower site numbers.

    Parameters
    ----------
    host
        Perfect supercell.
    structure
        The same lattice with its vacancies, relaxed or not.
    mobile_ion
        Element of the mobile ion.
    max_distance
        Longest hop, Å.
    charge
        Net charge of the cell, e.
    clearance
        A class is left out if an ion of the host lies nearer to its straight path, Å.

    Returns
    -------
    VacancyHops
        One hop a class, shortest first, with the labels of :func:`site_classes`; and the
        reasons against the other classes.

    Raises
    ------
    StructureError
        If the two lattices differ, an ion lies on no site of the host or two on one,
        no mobile-ion site is vacant, or no hop is possible.
    """
    occupant, strangers = _occupants(host, structure)
    found = path_classes(host, mobile_ion, max_distance)
    vacant = found.sites[occupant[found.sites] < 0]
    if not len(vacant):
        msg = (
            f"expected a vacant {mobile_ion} site in {structure.composition.formula}, found "
            "none; make one with seed.defects.remove_neutral_set"
        )
        raise StructureError(msg)
    empty = np.flatnonzero(occupant < 0)
    hops, left_out = [], {}
    for k, label in enumerate(found.labels):
        room = _clearance(host, found, k)
        if room < clearance:
            left_out[label] = f"an ion is {room:.2f} Å from the straight path"
            continue
        n = _representative(host, found, k, occupant, empty, strangers)
        if n is None:
            left_out[label] = "no ion can move into a vacancy by it"
            continue
        i = int(occupant[found.sites[found.pairs[n, 0]]])
        multiplicity = int((found.classes == k).sum()) // 2
        target = host.frac_coords[found.sites[found.pairs[n, 1]]]
        hops.append(_hop(structure, i, target, found.vectors[n], label, multiplicity, charge))
    if not hops:
        msg = (
            f"expected a hop of {mobile_ion} of at most {max_distance:g} Å into a vacancy, "
            f"found none in {len(found.labels)} classes ({left_out or 'none within reach'}); "
            "raise Profile.hop_distance_max or lower the clearance"
        )
        raise StructureError(msg)
    return VacancyHops(hops, left_out)


def _occupants(host: Structure, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
    """Return the ion on each host site (-1: vacant), and the ions on none.

    Only foreign elements (substitution) may lie on no site of their own.
    """
    difference = np.abs(host.lattice.matrix - structure.lattice.matrix).max()
    if difference > _LATTICE_TOLERANCE:
        msg = (
            "expected host and structure on one lattice, got cell vectors that differ by "
            f"{difference:.3f} Å; make the vacancies in a copy of the host"
        )
        raise StructureError(msg)
    own = np.array([site.specie.symbol for site in host])
    distances = host.lattice.get_all_distances(structure.frac_coords, host.frac_coords)
    occupant = np.full(len(host), -1)
    strangers = []
    for ion, site in enumerate(structure):
        allowed = np.where(own == site.specie.symbol, distances[ion], np.inf)
        nearest = int(np.argmin(allowed))
        if not np.isfinite(allowed[nearest]):
            strangers.append(ion)
            continue
        if allowed[nearest] > _MATCH_TOLERANCE or occupant[nearest] >= 0:
            msg = (
                f"expected each {site.specie.symbol} of the structure on its own site of the "
                f"host, got ion {ion} {allowed[nearest]:.2f} Å from site {nearest}"
                f"{' with another ion on it' if occupant[nearest] >= 0 else ''}; make the "
                "vacancies in a copy of the host, and don't relax them away"
            )
            raise StructureError(msg)
        occupant[nearest] = ion
    return occupant, structure.frac_coords[strangers].reshape(-1, 3)


def _clearance(host: Structure, found: PathClasses, k: int) -> float:
    """Distance of the nearest other ion from the straight path of class k, Å."""
    n = int(np.flatnonzero(found.classes == k)[0])
    i, j = found.sites[found.pairs[n]]
    vector = found.vectors[n]
    step = host.lattice.get_fractional_coords(vector)
    others = np.setdiff1d(np.arange(len(host)), [i, j])
    along = host.frac_coords[i] + np.linspace(0, 1, 21)[:, None] * step
    return float(host.lattice.get_all_distances(along, host.frac_coords[others]).min())


def _representative(
    host: Structure,
    found: PathClasses,
    k: int,
    occupant: np.ndarray,
    empty: np.ndarray,
    strangers: np.ndarray,
) -> int | None:
    """Return the pair of class k, ion to vacancy, that is farthest from other defects."""
    start, end = found.sites[found.pairs[:, 0]], found.sites[found.pairs[:, 1]]
    possible = np.flatnonzero((found.classes == k) & (occupant[start] >= 0) & (occupant[end] < 0))
    if not len(possible):
        return None
    scores = []
    for n in possible:
        others = np.concatenate([host.frac_coords[empty[empty != end[n]]], strangers])
        if not len(others):
            scores.append((0.0, 0.0))
            continue
        ends = host.frac_coords[[start[n], end[n]]]
        near = host.lattice.get_all_distances(ends, others)
        scores.append((round(near.min(), 3), round(near.min(axis=1).sum(), 3)))
    best = max(range(len(possible)), key=lambda m: (scores[m], -m))
    return int(possible[best])


def _hop(
    structure: Structure,
    ion: int,
    target: np.ndarray,
    vector: np.ndarray,
    label: str,
    multiplicity: int,
    charge: int,
) -> Hop:
    """Move one ion to a vacant site, on the side that ``vector`` points to."""
    lattice = structure.lattice
    after = structure.cart_coords.copy()
    # The ion may have relaxed off its site: take the image of the target nearest to
    # where the host's own vector leads.
    aim = lattice.get_fractional_coords(after[ion] + vector)
    after[ion] = lattice.get_cartesian_coords(target + np.rint(aim - target))
    start = Frame.from_structure(structure, origin=Origin.NEB, group=label)

    def tagged(progress: float, positions: np.ndarray) -> Frame:
        tag = HopTag(ion=ion, progress=progress, path_class=label, event=label)
        return start.model_copy(
            update={"positions": positions.tolist(), "hop": tag, "charge": charge}
        )

    return Hop(
        start=tagged(0.0, structure.cart_coords),
        end=tagged(1.0, after),
        ion=ion,
        distance=float(np.linalg.norm(vector)),
        path_class=label,
        multiplicity=multiplicity,
    )
