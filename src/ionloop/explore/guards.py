"""What makes a state of molecular dynamics unphysical."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from ase import Atoms
from ase.geometry import get_distances

from ionloop.explore.positions import framework_displacements
from ionloop.frame import Frame, Origin
from ionloop.reference.quality import closest_contact
from ionloop.units import KB_EV_PER_K

#: Share of framework atoms off their sites at which a framework has melted, and least number.
MELTED_SHARE, MELTED_ATOMS = 0.1, 2
#: An atom is off its site beyond this share of the nearest neighbours' mean distance.
OFF_SITE = 0.5


@dataclass(frozen=True, eq=False)
class Framework:
    """Where the framework's atoms belong, to tell whether it melts.

    It has melted where a tenth of its atoms or more, and two at least, are farther from their
    own sites than half the distance of nearest neighbours, drift taken off. A share, and not the
    root mean square displacement of Lindemann's criterion, since one anion that hops into a
    vacancy, or a polyanion that turns, would carry that above any limit and melts nothing; half
    a distance, since in a crystal that is about to melt (Lindemann ratio 0.15) it is 3.3 times
    the root mean square displacement: vibrations don't reach it.

    Parameters
    ----------
    atoms
        Indices of the framework's atoms, shape [n].
    rest
        Their sites, shape [n, 3], Å.
    cell
        Lattice vectors as rows, shape [3, 3], Å.
    """

    atoms: np.ndarray
    rest: np.ndarray
    cell: np.ndarray

    def off_site(self, positions: np.ndarray) -> float:
        """Return the share of framework atoms off their sites; 0 of fewer than two atoms.

        Parameters
        ----------
        positions
            Of all atoms, wrapped or not, shape [n_atoms, 3], Å.
        """
        if len(self.atoms) < MELTED_ATOMS:
            return 0.0
        _, moved = framework_displacements(positions, self.atoms, self.rest, self.cell)
        return float((np.linalg.norm(moved, axis=1) > OFF_SITE * self.neighbour_distance).mean())

    def melted(self, positions: np.ndarray) -> bool:
        """Say whether more atoms are off their sites than a crystal has."""
        n = len(self.atoms)
        return self.off_site(positions) * n >= max(MELTED_ATOMS, MELTED_SHARE * n)

    @cached_property
    def neighbour_distance(self) -> float:
        """Mean distance of a framework site to the nearest other one, Å."""
        _, distances = get_distances(self.rest, cell=self.cell, pbc=True)
        np.fill_diagonal(distances, np.inf)
        return float(distances.min(axis=1).mean())


@dataclass(frozen=True)
class Guards:
    """Limits beyond which a state is unphysical.

    Parameters
    ----------
    sigma_ceiling
        Largest calibrated uncertainty of a mobile ion, eV/Å.
    min_distance_fraction
        Closest contact as a fraction of the covalent radii's sum.
    temperature_factor
        Largest instantaneous over set temperature.
    energy_margin
        Largest potential energy above the start's beyond 3 times the harmonic 3/2 kT,
        eV/atom.
    framework
        Where the framework's atoms belong; None: it isn't looked at. Biased runs have it, since a
        bias may push atoms to where no temperature would.
    """

    sigma_ceiling: float = np.inf
    min_distance_fraction: float = 0.6
    temperature_factor: float = 3.0
    energy_margin: float = 0.3
    framework: Framework | None = None


def unphysical(
    atoms: Atoms, guards: Guards, *, temperature: float, energy: float, energy_start: float
) -> str | None:
    """Say in words what is unphysical about a state; None if nothing is.

    Parameters
    ----------
    atoms, guards
        The state, with momenta, and its limits.
    temperature
        Set temperature, K.
    energy, energy_start
        Potential energy now and of the start at rest, eV/atom.
    """
    if not np.isfinite(atoms.positions).all():
        return "positions are not numbers"
    now = float(atoms.get_temperature())
    if now > guards.temperature_factor * temperature:
        return f"temperature {now:.0f} K at a set {temperature:.0f} K"
    rise = energy - energy_start
    limit = 4.5 * KB_EV_PER_K * temperature + guards.energy_margin
    if abs(rise) > limit:
        return f"potential energy changed by {rise:+.2f} eV/atom, more than {limit:.2f}"
    contact = closest_contact(Frame.from_atoms(atoms, origin=Origin.RANDOM, group="md"))
    if contact < guards.min_distance_fraction:
        return f"atoms at {contact:.2f} of their covalent radii's sum"
    if guards.framework is not None and guards.framework.melted(atoms.positions):
        share = guards.framework.off_site(atoms.positions)
        return f"{100 * share:.0f} % of the framework's atoms are off their sites"
    return None
