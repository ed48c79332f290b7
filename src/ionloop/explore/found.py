"""Bands of the hops that exploration found: real end points, saddle, and its order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ionloop.explore.driver import CommitteeDriver
from ionloop.explore.events import Event, moved_ions, quench, real_hop
from ionloop.explore.modes import around, imaginary_modes
from ionloop.explore.refine import saddle_of
from ionloop.explore.repeat import Open
from ionloop.explore.saddles import BandPlan, committee_band, judged_images, refined
from ionloop.explore.schema import FoundBands, Repeated, Saddle, barrier_of
from ionloop.explore.uncertainty import CommitteeUncertainty
from ionloop.frame import Frame
from ionloop.profile import Profile
from ionloop.reference.schema import Band
from ionloop.seed.schema import Hop

if TYPE_CHECKING:
    from mace.calculators import MACECalculator

#: Optimizer steps of a quench.
QUENCH_STEPS = 300


@dataclass
class _Bands:
    """Bands and all that stands beside them, as they come."""

    bands: list[Band] = field(default_factory=list)
    saddles: list[Saddle] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)


def found_bands(  # noqa: PLR0913
    events: Sequence[Event],
    calculator: MACECalculator,
    uncertainty: CommitteeUncertainty,
    plan: BandPlan,
    *,
    profile: Profile,
    generation: int,
    model_hash: str,
    again: Sequence[Open] = (),
) -> FoundBands:
    """Quench both sides of each event, relax a band between, and refine its saddle.

    The first model quenches, the committee's mean relaxes ends and band. An event whose sides
    fall into one minimum, or whose ends do so on the mean, is counted and has no band. Then the
    bands of earlier generations' hops are relaxed again.
    """
    begin = time.perf_counter()
    made = _Bands()
    n_returned = n_broken = 0

    def add(hop: Hop, name: str) -> str | None:
        """Add a hop's band; else say what became of it."""
        band = committee_band(hop, calculator, plan, model_hash)
        if band is None:
            return "broken"
        ions, _ = moved_ions(band.to_atoms()[0], band.to_atoms()[-1], profile.mobile_ion)
        if not len(ions):  # on the mean the sides are nearer than on the model that quenched
            return "returned"
        made.bands.append(band)
        saddle, atoms = refined(band, calculator, plan, ions)
        made.saddles += [saddle] if saddle else []
        made.orders.append(_order(band, saddle, calculator, ions))
        made.frames += judged_images(band, generation, name, uncertainty, atoms)
        return None

    for event in events:
        single = CommitteeDriver(calculator, members=[0])
        before, after = (
            quench(x, single, plan.fmax, QUENCH_STEPS) for x in (event.before, event.after)
        )
        hop = real_hop(event, before, after, profile.mobile_ion, profile.charge)
        name = f"found {generation} {event.group} event {event.number}"
        became = "returned" if hop is None else add(hop, name)
        n_returned += became == "returned"
        n_broken += became == "broken"
    repeated = []
    for k, one in enumerate(again):
        if add(one.hop, f"found {one.first} again {generation} no {k}") is None:
            saddle = made.saddles[-1] if made.saddles else None
            now = barrier_of(made.bands[-1], saddle)
            index = len(made.bands) - 1
            repeated.append(Repeated(index=index, first=one.first, before=one.before, now=now))
    return FoundBands(
        generation=generation,
        bands=made.bands,
        repeated=repeated,
        n_lost=len(again) - len(repeated),
        saddles=made.saddles,
        not_refined=plan.not_refined,
        n_imaginary=made.orders,
        frames=made.frames,
        n_events=len(events),
        n_returned=n_returned,
        n_broken=n_broken,
        wall_s=time.perf_counter() - begin,
    )


def _order(band: Band, saddle: Saddle | None, calculator: MACECalculator, ions: np.ndarray) -> int:
    """Count the imaginary modes of the refined saddle, or of the highest image if that counts."""
    if saddle is not None and not saddle.rejected and saddle.n_imaginary is not None:
        return saddle.n_imaginary
    image = saddle_of(band)
    return imaginary_modes(image, CommitteeDriver(calculator), around(image, ions))
