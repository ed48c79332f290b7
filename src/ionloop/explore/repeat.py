"""Found hops that come back: their bands are relaxed again until the barrier has settled."""

from __future__ import annotations

from dataclasses import dataclass

from ase import Atoms

from ionloop.explore.schema import FoundBands, barrier_of
from ionloop.frame import Frame, Origin
from ionloop.reference.schema import Band
from ionloop.seed.schema import Hop


@dataclass(frozen=True)
class Open:
    """A found hop whose barrier may still move.

    Parameters
    ----------
    hop
        Between the ends that the committee before relaxed.
    before
        Its barrier there, eV.
    first
        Generation that found it.
    """

    hop: Hop
    before: float
    first: int


def open_hops(previous: FoundBands | None, n_max: int, settled: float) -> list[Open]:
    """Return the found hops that are to be repeated.

    Hops whose barrier moved by ``settled`` or more come first, then those that the generation
    before found; only bands that converged and lead over a first-order saddle.

    Parameters
    ----------
    previous
        What the generation before has; None: nothing.
    n_max
        Hops at most.
    settled
        Change of a barrier below which it has settled, eV.
    """
    if previous is None:
        return []
    known = {one.index: one for one in previous.repeated}
    found = []
    for i, (band, saddle, order) in enumerate(
        zip(previous.bands, previous.refined, previous.n_imaginary, strict=True)
    ):
        one = known.get(i)
        if order == 1 and band.converged and (one is None or one.change >= settled):
            first = previous.generation if one is None else one.first
            found.append((one is None, i, Open(hop_of(band), barrier_of(band, saddle), first)))
    return [hop for _, _, hop in sorted(found, key=lambda row: row[:2])][:n_max]


def hop_of(band: Band) -> Hop:
    """Make a hop of a band's ends."""
    first, last = (
        Frame.from_atoms(
            Atoms(band.symbols, x, cell=band.cell, pbc=True),
            origin=Origin.SADDLE,
            group=band.path_class,
            charge=band.charge,
        )
        for x in (band.images[0], band.images[-1])
    )
    return Hop(
        start=first,
        end=last,
        ion=band.ion,
        distance=band.hop_distance,
        path_class=band.path_class,
        multiplicity=1,
    )
