"""The table of hops that molecular dynamics showed."""

from __future__ import annotations

from collections.abc import Sequence

from ionloop.explore.schema import FoundBands, Repeated, Saddle, barrier_of


def found_hops(found: Sequence[FoundBands]) -> list[list[str]]:
    """Return a row a band of the last generation's hops that molecular dynamics showed."""
    if not found:
        return []
    last = max(found, key=lambda f: f.generation)
    again = {one.index: one for one in last.repeated}
    return [
        [
            band.path_class.removeprefix("found, "),
            f"{1000 * barrier_of(band, saddle):.0f}",
            f"{1000 * (band.energies[-1] - band.energies[0]):.0f}",
            str(order),
            "yes" if band.converged else "no",
            _refined(saddle),
            _since(again.get(i)),
        ]
        for i, (band, order, saddle) in enumerate(
            zip(last.bands, last.n_imaginary, last.refined, strict=True)
        )
    ]


def _since(one: Repeated | None) -> str:
    """Say since when a hop is known, and how far its barrier moved."""
    if one is None:
        return "new"
    return f"since generation {one.first}, moved by {1000 * (one.now - one.before):+.0f} meV"


def _refined(saddle: Saddle | None) -> str:
    if saddle is None:
        return "no"
    return saddle.rejected or f"yes, {saddle.moved:.2f} Å away"


def found_counts(found: Sequence[FoundBands]) -> str:
    """Say what became of the events of all generations."""
    n, returned, broken = (
        sum(getattr(f, name) for f in found) for name in ("n_events", "n_returned", "n_broken")
    )
    bands = sum(len(f.bands) - len(f.repeated) for f in found)
    return (
        f"{n} events quenched in all generations: {bands} joined two minima, {returned} fell back "
        f"into one, of {broken} the band broke down."
    )
