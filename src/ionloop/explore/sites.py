"""Where the sites of a hop analysis come from: the crystal, or peaks of the ions' density."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError
from scipy.spatial import cKDTree

from ionloop.errors import ExplorationError
from ionloop.explore.density import centre_peaks, density, find_peaks
from ionloop.explore.positions import assign_sites, periodic_copies
from ionloop.explore.schema import SiteChoice
from ionloop.seed.symmetry import Operation, pair_classes

logger = logging.getLogger(__name__)

#: How sites are chosen; "auto" takes the crystal's unless they describe the ions badly.
Choice = Literal["auto", "crystal", "density"]
#: An ion within this distance of a site is at it, Å.
RADIUS = 1.0
#: Good sites have ions on them for at least this share of the time. (Gaussian motion with
#: 0.5 Å along each axis, more than a crystal bears, gives 0.74.)
WITHIN_MIN = 0.75
#: Good sites are shared by two ions for at most this share of the time.
DOUBLE_MAX = 0.05
#: By this much the difference of the two shares must be better for another choice.
GAIN_MIN = 0.05
#: Within this distance the framework's mean positions are taken for symmetric, Å.
SYMPREC = 0.5
#: Without symmetry, pairs of sites are sorted by distance into bins of this width, Å.
BIN = 0.5


@dataclass(frozen=True)
class Sites:
    """Sites, the classes of the pairs that they form, and where they came from."""

    positions: np.ndarray  #: Shape [M, 3], Å.
    choice: SiteChoice
    classes: Mapping[tuple[int, int], str] = field(default_factory=dict)


def crystal_sites(
    positions: np.ndarray,
    sites: np.ndarray,
    cell: np.ndarray,
    classes: Mapping[tuple[int, int], str],
    radius: float = RADIUS,
) -> Sites:
    """Take the crystal's sites; positions of ions as for :func:`density_sites`."""
    choice = judge_sites(positions, sites, cell, radius)
    return Sites(sites, choice, classes)


def density_sites(
    positions: np.ndarray,
    cell: np.ndarray,
    mobile_ion: str,
    max_distance: float,
    *,
    operations: Sequence[Operation] = (),
    width: float = 0.3,
    radius: float = RADIUS,
) -> Sites:
    """Take the peaks of the ions' density for sites.

    With symmetry operations, the density is made symmetric first, and pairs of peaks are
    sorted by symmetry; without, by distance alone.

    Parameters
    ----------
    positions
        Mobile ions, free of the framework's drift, shape [n_frames, n_ions, 3], Å.
    cell
        Lattice vectors as rows, shape [3, 3], Å.
    mobile_ion
        Element, for the classes' names.
    max_distance
        Longest pair that gets a class, Å.
    operations
        Symmetry of the framework, see :func:`framework_operations`.
    width
        Width of the density's kernel, Å.
    radius
        An ion within this distance of a site is at it, Å.

    Raises
    ------
    ExplorationError
        If there is no frame.
    """
    if not len(positions):
        msg = "expected frames to find sites in, got none; run longer or skip less"
        raise ExplorationError(msg)
    found = density(positions.reshape(-1, 3), len(positions), cell, operations, width=width)
    peaks = symmetrised(centre_peaks(found, find_peaks(found)), cell, operations)
    choice = judge_sites(positions, peaks, cell, radius).model_copy(
        update={"source": "density", "symmetry": max(1, len(operations))}
    )
    if len(operations) > 1:
        fractional = peaks @ np.linalg.inv(cell)
        pairs = pair_classes(Lattice(cell), fractional, operations, mobile_ion, max_distance)
        return Sites(peaks, choice, pairs.mapping())
    return Sites(peaks, choice, _classes_by_distance(peaks, cell, mobile_ion, max_distance))


def symmetrised(sites: np.ndarray, cell: np.ndarray, operations: Sequence[Operation]) -> np.ndarray:
    """Move each site to the mean of those that symmetry leads to it, shape [M, 3], Å."""
    if not operations:
        return sites
    fractional = sites @ np.linalg.inv(cell)
    images = np.concatenate([fractional @ r.T + t for r, t in operations])
    nearest, copies = assign_sites((images @ cell)[None], sites, cell)
    offsets = images @ cell - copies[0]
    n = np.maximum(np.bincount(nearest[0], minlength=len(sites)), 1)
    sums = [np.bincount(nearest[0], offsets[:, k], minlength=len(sites)) for k in range(3)]
    return sites + np.stack(sums, axis=1) / n[:, None]


def _classes_by_distance(
    sites: np.ndarray, cell: np.ndarray, mobile_ion: str, max_distance: float
) -> dict[tuple[int, int], str]:
    home = (sites @ np.linalg.inv(cell) % 1.0) @ cell
    copies = periodic_copies(home, cell)
    near = cKDTree(copies).query_ball_point(home, max_distance)
    shortest: dict[tuple[int, int], float] = {}
    for i, found in enumerate(near):
        for k in found:
            pair, length = (i, k % len(sites)), float(np.linalg.norm(copies[k] - home[i]))
            shortest[pair] = min(length, shortest.get(pair, np.inf))
    return {
        pair: f"{mobile_ion}-{mobile_ion} {BIN * (length // BIN):.1f} to "
        f"{BIN * (length // BIN + 1):.1f} A"
        for pair, length in shortest.items()
        if pair[0] != pair[1]
    }


def judge_sites(
    positions: np.ndarray, sites: np.ndarray, cell: np.ndarray, radius: float = RADIUS
) -> SiteChoice:
    """Measure how well sites describe where ions are; the source is named "crystal"."""
    nearest, copies = assign_sites(positions, sites, cell)
    within = np.linalg.norm(positions - copies, axis=-1) < radius
    frame = np.arange(len(nearest))[:, None]
    _, inverse, counts = np.unique(
        frame * len(sites) + nearest, return_inverse=True, return_counts=True
    )
    return SiteChoice(
        source="crystal",
        reason="asked for",
        n_sites=len(sites),
        n_ions=positions.shape[1],
        radius=radius,
        share_within=float(within.mean()),
        share_double=float((counts[inverse] > 1).mean()),
    )


def choose(crystal: Sites | None, peaks: Sites) -> Sites:
    """Choose between the crystal's sites and the density's, and say why.

    The crystal's are taken if they are good: ions are at them for ``WITHIN_MIN`` of the time or
    more, and share one for ``DOUBLE_MAX`` of it or less. Else the density's are, if the
    difference of the two shares is better by ``GAIN_MIN``; they have no class that bands
    are computed for, so that a tie goes to the crystal.
    """
    if crystal is None:
        return _because(peaks, "no crystal was given")
    c, d = crystal.choice, peaks.choice
    if c.n_sites >= c.n_ions and _good(c):
        return _because(crystal, f"the crystal's sites describe the ions: {_shares(c)}")
    gain = (d.share_within - d.share_double) - (c.share_within - c.share_double)
    compared = f"crystal: {_shares(c)}; density: {_shares(d)}"
    if c.n_sites < c.n_ions or gain >= GAIN_MIN:
        doubt = "" if _good(d) else "; these aren't good either: hops depend on where sites are put"
        return _because(peaks, f"the crystal's sites describe the ions badly ({compared}){doubt}")
    return _because(
        crystal,
        f"neither the crystal's sites nor density peaks describe the ions well ({compared}): "
        "hops depend on where sites are put",
    )


def _good(choice: SiteChoice) -> bool:
    return choice.share_within >= WITHIN_MIN and choice.share_double <= DOUBLE_MAX


def _shares(choice: SiteChoice) -> str:
    return (
        f"{choice.n_sites} sites for {choice.n_ions} ions, {choice.share_within:.0%} of the time "
        f"within {choice.radius:g} Å of one, {choice.share_double:.1%} shared by two"
    )


def _because(sites: Sites, reason: str) -> Sites:
    return Sites(sites.positions, sites.choice.model_copy(update={"reason": reason}), sites.classes)


def framework_operations(
    symbols: Sequence[str], rest: np.ndarray, cell: np.ndarray, symprec: float = SYMPREC
) -> list[Operation]:
    """Return the symmetry operations of the framework without its mobile ions.

    Parameters
    ----------
    symbols
        Elements of the framework atoms.
    rest
        Their mean positions, shape [n, 3], Å.
    cell
        Lattice vectors as rows, shape [3, 3], Å.
    symprec
        Tolerance, Å: the error of mean positions in a short run is a few tenths.

    Returns
    -------
    list[Operation]
        Rotation and translation, fractional; the identity alone where none is found.
    """
    if not len(symbols):
        return [(np.eye(3), np.zeros(3))]
    framework = Structure(Lattice(cell), list(symbols), rest, coords_are_cartesian=True)
    try:
        found = SpacegroupAnalyzer(framework, symprec=symprec).get_symmetry_operations()
    except SymmetryUndeterminedError:
        logger.warning("no symmetry of the framework found within %g Å", symprec)
        return [(np.eye(3), np.zeros(3))]
    return [(one.rotation_matrix, one.translation_vector) for one in found]
