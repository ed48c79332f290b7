r"""How open a mobile ion's surroundings are, from a single frame.

Hops are seen in trajectories; a pool of labelled frames has no time. At a site an ion lies in a
polyhedron of four anions or more at about one distance; between two sites it passes a triangle
of three, and the fourth anion is farther away. So

.. math:: q = \frac{d_4}{(d_1 + d_2 + d_3)/3} - 1

with :math:`d_1 \le d_2 \le \dots` the distances to the nearest anions tells where on a hop an
ion may be: about 0 at a site, a third or more in the triangle. It is no reaction coordinate, and
serves hosts whose sites are polyhedra of one anion: in antiperovskites an ion at its site is
already at 0.25.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from ase import Atoms
from pymatgen.core import Composition, Element

from ionloop.errors import ExplorationError

#: The fourth anion is looked for within this, Å.
REACH = 7.0
#: Quantiles of openness over mobile ions that part near equilibrium, shoulder and bottleneck.
OPEN_QUANTILES = (0.7, 0.95)
#: Bins of mobile ions by openness.
OPEN_BINS = ("near equilibrium", "shoulder", "bottleneck")


def anions(symbols: Collection[str]) -> list[str]:
    """Return the anions of a composition: elements that pymatgen guesses to be negative.

    Where no guess balances the charges it is the most electronegative element.
    """
    guesses = Composition("".join(symbols)).reduced_composition.oxi_state_guesses()
    negative = [s for s, state in guesses[0].items() if state < 0] if guesses else []
    return sorted(negative or [max(set(symbols), key=lambda s: Element(s).X)])


def openness(atoms: Atoms, mobile_ion: str, anion_symbols: Collection[str]) -> np.ndarray:
    """Return q of each mobile ion.

    Parameters
    ----------
    atoms
        A periodic frame.
    mobile_ion
        Element of the mobile ion.
    anion_symbols
        Elements of the anions.

    Returns
    -------
    np.ndarray
        Shape [m], dimensionless, 0 or more, in the order of the mobile ions.

    Raises
    ------
    ExplorationError
        If there is no mobile ion, or one has fewer than four anions within 7 Å.
    """
    from matscipy.neighbours import neighbour_list  # an analyst's machine may lack it

    symbols = np.array(atoms.get_chemical_symbols())
    ions = np.flatnonzero(symbols == mobile_ion)
    if not len(ions):
        msg = f"expected mobile ions {mobile_ion}, got a frame of {sorted(set(symbols.tolist()))}"
        raise ExplorationError(msg)
    i, j, d = neighbour_list("ijd", atoms, REACH)
    near_anion = np.isin(symbols[j], list(anion_symbols))
    found = np.empty(len(ions))
    for k, ion in enumerate(ions):
        distances = np.sort(d[(i == ion) & near_anion])[:4]
        if len(distances) < 4:
            msg = (
                f"expected four anions ({', '.join(sorted(anion_symbols))}) within {REACH:g} Å of "
                f"ion {ion}, got {len(distances)}; check mobile ion, anions and cell"
            )
            raise ExplorationError(msg)
        found[k] = distances[3] / distances[:3].mean() - 1
    return found


def openness_bins(
    frames: Sequence[Atoms], mobile_ion: str
) -> tuple[np.ndarray, tuple[float, float]]:
    """Part the mobile ions of all frames by quantiles of their openness.

    Parameters
    ----------
    frames
        Periodic frames of one material; the first one's composition tells its anions.
    mobile_ion
        Element of the mobile ion.

    Returns
    -------
    tuple
        The place in :data:`OPEN_BINS` of each mobile ion, shape [sum of m], frame after frame;
        and the two limits of q.

    Raises
    ------
    ExplorationError
        If there is no mobile ion, or one has fewer than four anions within 7 Å.
    """
    negative = anions(frames[0].get_chemical_symbols())
    q = np.concatenate([openness(atoms, mobile_ion, negative) for atoms in frames])
    low, high = (float(x) for x in np.quantile(q, OPEN_QUANTILES))
    return np.digitize(q, (low, high)), (low, high)
