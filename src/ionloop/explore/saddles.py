"""Bands of the enumerated hops on the committee: saddles that nobody has labelled yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ionloop.errors import ExplorationError
from ionloop.explore.driver import CommitteeDriver
from ionloop.explore.schema import BandSet
from ionloop.explore.uncertainty import CommitteeUncertainty, fingerprint
from ionloop.frame import Frame, Origin
from ionloop.reference.neb import relax_band
from ionloop.reference.schema import Band
from ionloop.seed.bands import band_frames
from ionloop.seed.schema import Hop
from ionloop.train.mace import predict

if TYPE_CHECKING:
    from mace.calculators import MACECalculator

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BandPlan:
    """How committee bands are relaxed: moving images, eV/Å, steps."""

    n_images: int = 5
    fmax: float = 0.05
    max_steps: int = 80


def committee_bands(
    hops: Sequence[Hop],
    calculator: MACECalculator,
    uncertainty: CommitteeUncertainty,
    plan: BandPlan,
    *,
    generation: int,
    model_hash: str,
) -> BandSet:
    """Relax one band a hop on the committee's mean, and judge its images.

    A band whose ends fall into each other is counted as unphysical, since the crystal
    has both sites.
    """
    begin = time.perf_counter()
    bands: list[Band] = []
    spread: dict[str, float] = {}
    frames: list[Frame] = []
    n_unphysical = 0
    for hop in hops:
        band = committee_band(hop, calculator, plan, model_hash)
        if band is None:
            n_unphysical += 1
            continue
        bands.append(band)
        energies, _ = predict(calculator, list(band.to_atoms()))
        spread[band.path_class] = barrier_spread(energies)
        frames += judged_images(band, generation, f"saddle {band.path_class}", uncertainty)
    return BandSet(
        generation=generation,
        bands=bands,
        barriers={band.path_class: band.barrier for band in bands},
        barrier_spread=spread,
        frames=frames,
        n_unphysical=n_unphysical,
        wall_s=time.perf_counter() - begin,
    )


def committee_band(
    hop: Hop, calculator: MACECalculator, plan: BandPlan, model_hash: str
) -> Band | None:
    """Relax a hop's band on the committee's mean; None, and a warning, if its ends collapse."""
    try:
        return relax_band(
            hop,
            lambda _: CommitteeDriver(calculator),
            n_images=plan.n_images,
            fmax=plan.fmax,
            max_steps=plan.max_steps,
            engine="mace committee",
            settings_hash=model_hash,
        )
    except ExplorationError as error:
        logger.warning("%s", error)
        return None


def barrier_spread(energies: np.ndarray) -> float:
    """Spread of the barrier over members, eV, from energies [n_images, k]."""
    barriers = energies.max(axis=0) - energies[0]
    return float(barriers.std(ddof=1))


def judged_images(
    band: Band, generation: int, group: str, uncertainty: CommitteeUncertainty
) -> list[Frame]:
    """Make candidates of a band's images, with uncertainty and fingerprint."""
    frames = band_frames(band, Origin.SADDLE, generation, group)
    return [
        frame.model_copy(
            update={
                "uncertainty": uncertainty(frame.to_atoms()),
                "descriptor": fingerprint(uncertainty.calculator, frame.to_atoms(), band.ion),
            }
        )
        for frame in frames
    ]
