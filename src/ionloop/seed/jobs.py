"""Jobs of the seed stage."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jobflow import job

from ionloop.document import DATA_FIELDS
from ionloop.frame import Frame
from ionloop.reference.schema import Band, Trajectory
from ionloop.seed.bands import reference_frames
from ionloop.seed.displace import decorrelated_frames, rattle, strain
from ionloop.seed.schema import Displacements, SeedFrames

logger = logging.getLogger(__name__)


def displaced_frames(start: Frame, plan: Displacements, rng: np.random.Generator) -> list[Frame]:
    """Rattle and strain the first structure as planned."""
    rattled = [
        rattle(start, stdev, rng, group=f"rattle-{i}")
        for i, stdev in enumerate(np.resize(plan.rattle_stdevs, plan.n_rattle))
    ]
    strained = [
        strain(start, plan.volume_fraction, plan.shear, rng, group=f"strain-{i}")
        for i in range(plan.n_strain)
    ]
    small = [rattle(f, plan.strain_rattle, rng, origin=f.origin, group=f.group) for f in strained]
    return [*rattled, *small]


@job(data=DATA_FIELDS, output_schema=SeedFrames)
def collect_seeds(
    start: Frame,
    trajectories: list[Trajectory | None],
    bands: list[Band | None],
    plan: Displacements,
    stride: int,
    skip: int,
    random_seed: int,
) -> SeedFrames:
    """Gather AIMD frames, band images, rattles and strains.

    A run that failed is None and is left out, as is one that ended before its first
    ``skip`` frames; the report shows the counts.
    """
    rng = np.random.default_rng([random_seed, 3])
    kept = [b for b in bands if b is not None]
    runs = [t for t in trajectories if t is not None]
    for t in runs:
        if t.n_frames <= skip:
            logger.warning("%s: left out, %d frames of which %d are skipped: %s", t.group,
                           t.n_frames, skip, t.stopped or "planned too short")  # fmt: skip
    frames: Sequence[Frame] = [
        *(
            frame
            for t in runs
            if t.n_frames > skip
            for frame in decorrelated_frames(t, stride, skip=skip)
        ),
        *(frame for i, band in enumerate(kept) for frame in reference_frames(band, i)),
        *displaced_frames(start, plan, rng),
    ]
    return SeedFrames(
        frames=list(frames),
        bands=kept,
        counts=dict(Counter(frame.origin.value for frame in frames)),
    )
