"""Bands of the enumerated hops on the committee: saddles that nobody has labelled yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ionloop.errors import ExplorationError
from ionloop.explore.driver import CommitteeDriver
from ionloop.explore.refine import RefinePlan, missing, refine, saddle_frame
from ionloop.explore.schema import BandSet, ExploreSettings, Saddle, barrier_of
from ionloop.explore.uncertainty import CommitteeUncertainty, fingerprint
from ionloop.frame import Frame, Origin
from ionloop.reference.ends import RelaxedEnds
from ionloop.reference.neb import relax_band
from ionloop.reference.schema import Band
from ionloop.seed.bands import band_frames
from ionloop.seed.schema import Hop
from ionloop.train.mace import predict

if TYPE_CHECKING:
    from mace.calculators import MACECalculator

logger = logging.getLogger(__name__)

#: Optimizer steps of an end.
END_STEPS = 200


@dataclass(frozen=True)
class BandPlan:
    """How committee bands are relaxed: moving images, eV/Å, steps, eV/Å of ends; and refined.

    ``not_refined`` says why ``refine`` is None where it shouldn't be.
    """

    n_images: int = 5
    fmax: float = 0.05
    max_steps: int = 80
    end_fmax: float = 0.01
    refine: RefinePlan | None = None
    not_refined: str | None = None

    @classmethod
    def of(cls, settings: ExploreSettings) -> BandPlan:
        """Make the plan that settings ask for, as far as this machine can follow it."""
        wanted = settings.refine == "sella"
        notice = missing() if wanted else None
        if notice:
            logger.warning("%s", notice)
        return cls(
            settings.n_images,
            settings.fmax,
            settings.max_steps,
            settings.end_fmax,
            RefinePlan() if wanted and not notice else None,
            notice,
        )


def committee_bands(
    hops: Sequence[Hop],
    calculator: MACECalculator,
    uncertainty: CommitteeUncertainty,
    plan: BandPlan,
    *,
    generation: int,
    model_hash: str,
) -> BandSet:
    """Relax one band a hop on the committee's mean, refine its saddle, and judge its images.

    An end that hops have in common is relaxed once. A band whose ends fall into each other is
    counted as unphysical, since the crystal has both sites.
    """
    begin = time.perf_counter()
    bands: list[Band] = []
    saddles: list[Saddle] = []
    barriers: dict[str, float] = {}
    spread: dict[str, float] = {}
    frames: list[Frame] = []
    n_unphysical = 0
    shared = RelaxedEnds()
    for hop in hops:
        band = committee_band(hop, calculator, plan, model_hash, shared)
        if band is None:
            n_unphysical += 1
            continue
        bands.append(band)
        saddle, atoms = refined(band, calculator, plan)
        saddles += [saddle] if saddle else []
        barriers[band.path_class] = barrier_of(band, saddle)
        path = list(band.to_atoms())
        if atoms:
            path[int(np.argmax(band.energies))] = atoms[0]
        energies, _ = predict(calculator, path)
        spread[band.path_class] = barrier_spread(energies)
        group = f"saddle {band.path_class}"
        frames += judged_images(band, generation, group, uncertainty, atoms)
    return BandSet(
        generation=generation,
        bands=bands,
        saddles=saddles,
        not_refined=plan.not_refined,
        barriers=barriers,
        barrier_spread=spread,
        frames=frames,
        n_unphysical=n_unphysical,
        wall_s=time.perf_counter() - begin,
    )


def refined(
    band: Band, calculator: MACECalculator, plan: BandPlan, ions: np.ndarray | None = None
) -> tuple[Saddle | None, list[Atoms]]:
    """Refine a band's saddle on the committee's mean, if that is planned.

    Returns
    -------
    tuple[Saddle | None, list[Atoms]]
        What became of it, and its atoms if it counts, else none.
    """
    if plan.refine is None:
        return None, []
    saddle, atoms = refine(band, CommitteeDriver(calculator), plan.refine, ions)
    if saddle.rejected:
        logger.warning("saddle of band %s: %s", band.path_class, saddle.rejected)
    return saddle, [] if saddle.rejected else [atoms]


def committee_band(
    hop: Hop,
    calculator: MACECalculator,
    plan: BandPlan,
    model_hash: str,
    shared: RelaxedEnds | None = None,
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
            end_fmax=plan.end_fmax,
            end_steps=END_STEPS,
            shared=shared,
        )
    except ExplorationError as error:
        logger.warning("%s", error)
        return None


def barrier_spread(energies: np.ndarray) -> float:
    """Spread of the barrier over members, eV, from energies [n_images, k]."""
    barriers = energies.max(axis=0) - energies[0]
    return float(barriers.std(ddof=1))


def judged_images(
    band: Band,
    generation: int,
    group: str,
    uncertainty: CommitteeUncertainty,
    saddles: Sequence[Atoms] = (),
) -> list[Frame]:
    """Make candidates of a band's images and refined saddle, with uncertainty and fingerprint."""
    frames = band_frames(band, Origin.SADDLE, generation, group)
    frames += [saddle_frame(band, atoms, generation, group) for atoms in saddles]
    return [
        frame.model_copy(
            update={
                "uncertainty": uncertainty(frame.to_atoms()),
                "descriptor": fingerprint(uncertainty.calculator, frame.to_atoms(), band.ion),
            }
        )
        for frame in frames
    ]
