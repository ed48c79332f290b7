"""Bands of the hops that exploration found: real end points, saddle, and its order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ionloop.explore.driver import CommitteeDriver
from ionloop.explore.events import Event, moved_ions, quench, real_hop
from ionloop.explore.modes import around, imaginary_modes
from ionloop.explore.refine import saddle_of
from ionloop.explore.saddles import BandPlan, committee_band, judged_images, refined
from ionloop.explore.schema import FoundBands, Saddle
from ionloop.explore.uncertainty import CommitteeUncertainty
from ionloop.frame import Frame
from ionloop.profile import Profile
from ionloop.reference.schema import Band

if TYPE_CHECKING:
    from mace.calculators import MACECalculator

#: Optimizer steps of a quench.
QUENCH_STEPS = 300


def found_bands(
    events: Sequence[Event],
    calculator: MACECalculator,
    uncertainty: CommitteeUncertainty,
    plan: BandPlan,
    *,
    profile: Profile,
    generation: int,
    model_hash: str,
) -> FoundBands:
    """Quench both sides of each event, relax a band between, and refine its saddle.

    The first model quenches, the committee's mean relaxes ends and band. An event whose sides
    fall into one minimum, or whose ends do so on the mean, is counted and has no band.
    """
    begin = time.perf_counter()
    bands: list[Band] = []
    saddles: list[Saddle] = []
    orders: list[int] = []
    frames: list[Frame] = []
    n_returned = n_broken = 0
    for event in events:
        single = CommitteeDriver(calculator, members=[0])
        before, after = (
            quench(x, single, plan.fmax, QUENCH_STEPS) for x in (event.before, event.after)
        )
        hop = real_hop(event, before, after, profile.mobile_ion, profile.charge)
        if hop is None:
            n_returned += 1
            continue
        band = committee_band(hop, calculator, plan, model_hash)
        if band is None:
            n_broken += 1
            continue
        ions, _ = moved_ions(band.to_atoms()[0], band.to_atoms()[-1], profile.mobile_ion)
        if not len(ions):  # on the mean the sides are nearer than on the model that quenched
            n_returned += 1
            continue
        bands.append(band)
        saddle, atoms = refined(band, calculator, plan, ions)
        saddles += [saddle] if saddle else []
        orders.append(_order(band, saddle, calculator, ions))
        name = f"found {generation} {event.group} event {event.number}"
        frames += judged_images(band, generation, name, uncertainty, atoms)
    return FoundBands(
        generation=generation,
        bands=bands,
        saddles=saddles,
        not_refined=plan.not_refined,
        n_imaginary=orders,
        frames=frames,
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
