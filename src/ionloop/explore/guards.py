"""What makes a state of molecular dynamics unphysical."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from ionloop.frame import Frame, Origin
from ionloop.reference.quality import closest_contact
from ionloop.units import KB_EV_PER_K


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
    """

    sigma_ceiling: float = np.inf
    min_distance_fraction: float = 0.6
    temperature_factor: float = 3.0
    energy_margin: float = 0.3


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
    return None
