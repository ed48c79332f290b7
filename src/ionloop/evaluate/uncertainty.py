"""What a committee's calibrated spread says of its errors on held-out labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ionloop.evaluate.accuracy_schema import UncertaintyQuality
from ionloop.evaluate.error_bins import bounded
from ionloop.label.schema import Label
from ionloop.train.calibration import spread_and_error
from ionloop.train.ranking import auroc, miscalibration_area, spearman, worst_tenth
from ionloop.train.schema import Calibration

ALL = "all"


def uncertainty_quality(
    labels: Sequence[Label],
    forces: Sequence[np.ndarray],
    calibration: Calibration,
    mobile_ion: str,
    rng: np.random.Generator,
) -> list[UncertaintyQuality]:
    """Hold errors of mobile ions to the spread that the committee gave them, all and by origin.

    The committee was calibrated on other labels. Whole trajectories are drawn anew by the
    bootstrap, since their frames, and ions of one frame, aren't independent.

    Parameters
    ----------
    labels
        Held-out labels.
    forces
        The members' forces on each, [k, n, 3] with two members or more, eV/Å.
    calibration
        The committee's.
    mobile_ion
        Element of the mobile ion.
    rng
        Draws bootstraps.
    """
    parts = []
    for label, force in zip(labels, forces, strict=True):
        ions = np.flatnonzero(np.array(label.frame.symbols) == mobile_ion)
        parts.append(spread_and_error(force, np.array(label.forces), ions))
    origins = [label.frame.origin.value for label in labels]
    chosen = {ALL: list(range(len(labels)))} if labels else {}
    for name in sorted(set(origins)):
        chosen[name] = [i for i, origin in enumerate(origins) if origin == name]
    return [
        _quality(
            name,
            [labels[i].frame.group for i in frames],
            [parts[i] for i in frames],
            calibration,
            rng,
        )
        for name, frames in chosen.items()
        if any(len(parts[i][0]) for i in frames)
    ]


def _quality(
    name: str,
    groups: Sequence[str],
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    calibration: Calibration,
    rng: np.random.Generator,
) -> UncertaintyQuality:
    def statistics(frames: np.ndarray) -> list[float]:
        raw = np.concatenate([parts[i][0] for i in frames])
        error = np.concatenate([parts[i][1] for i in frames])
        if not len(raw):
            return [float("nan")] * 5
        sigma = calibration.scale * raw
        return [
            float((error <= calibration.scale_90 * raw).mean()),
            miscalibration_area(sigma, error),
            spearman(raw, error),
            auroc(raw, worst_tenth(error)),
            float(np.sqrt((error**2).mean() / (sigma**2).mean())),
        ]

    coverage, area, rank, roc, ratio = bounded(groups, statistics, rng)
    return UncertaintyQuality(
        origin=name,
        n_frames=len(parts),
        n_groups=len(set(groups)),
        n_ions=sum(len(raw) for raw, _ in parts),
        coverage_90=coverage,
        miscalibration=area,
        spearman=rank,
        auroc=roc,
        error_ratio=ratio,
    )
