"""Whether a committee's bounds held on labels that came after it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ionloop.train.calibration import mobile_ions, spread_and_error
from ionloop.train.dataset import Sample
from ionloop.train.schema import Calibration, Foresight, OriginForesight

#: A 90 % bound that covers a share within these is calibrated.
BAND = (0.85, 0.95)
#: Draws of the bootstrap, and the ends of its 90 % interval.
BOOTSTRAPS, ENDS = 500, (0.05, 0.95)
#: A bootstrap over fewer frames says too little of their spread; over fewer still than the second
#: number it is no ground for a warning.
INTERVAL_FRAMES, WARNING_FRAMES = 5, 10
ALL = "all"


def foresight(
    samples: Sequence[Sample],
    forces: Sequence[np.ndarray],
    calibration: Calibration,
    mobile_ion: str,
    generation: int,
    rng: np.random.Generator,
) -> Foresight:
    """Hold new labels to the bounds of the committee that chose them, by origin.

    The committee was calibrated on other frames than those that selection prefers, so that
    coverage tells how far its bound can be relied on there. Frames are drawn anew as wholes by
    the bootstrap, since ions of one frame aren't independent.

    Parameters
    ----------
    samples
        Labels that came after the committee.
    forces
        The committee's forces on each, [k, n, 3], eV/Å.
    calibration
        The committee's.
    mobile_ion
        Element of the mobile ion.
    generation
        Generation of the labels.
    rng
        Draws bootstraps.
    """
    parts = [
        spread_and_error(f, x.atoms.arrays["REF_forces"], mobile_ions(x.atoms, mobile_ion))
        for f, x in zip(forces, samples, strict=True)
    ]
    origins = [sample.frame.origin.value for sample in samples]
    names = [ALL, *sorted(set(origins))] if samples else []
    return Foresight(
        generation=generation,
        committee=calibration.generation,
        origins=[
            _origin(
                name,
                [p for p, o in zip(parts, origins, strict=True) if name in (ALL, o)],
                calibration,
                rng,
            )
            for name in names
        ],
    )


def _origin(
    name: str,
    parts: Sequence[tuple[np.ndarray, np.ndarray]],
    calibration: Calibration,
    rng: np.random.Generator,
) -> OriginForesight:
    covered = np.array([(e <= calibration.scale_90 * s).sum() for s, e in parts])
    counts = np.array([len(e) for _, e in parts])
    sigma = calibration.scale * np.concatenate([s for s, _ in parts])
    error = np.concatenate([e for _, e in parts])
    interval = None
    if len(parts) >= INTERVAL_FRAMES:
        drawn = rng.integers(len(parts), size=(BOOTSTRAPS, len(parts)))
        shares = covered[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
        low, high = (float(x) for x in np.quantile(shares, ENDS))
        interval = (low, high)
    return OriginForesight(
        origin=name,
        n_frames=len(parts),
        n_ions=int(counts.sum()),
        coverage_90=float(covered.sum() / counts.sum()),
        interval=interval,
        error_ratio=float(np.sqrt((error**2).mean() / (sigma**2).mean())),
        warning=_warning(interval) if len(parts) >= WARNING_FRAMES else None,
    )


def _warning(interval: tuple[float, float] | None) -> str | None:
    """Say in words that a bound doesn't hold; None where it does, or nobody can tell."""
    if interval is None:
        return None
    if interval[1] < BAND[0]:
        return "errors are larger than the committee says"
    if interval[0] > BAND[1]:
        return "errors are smaller than the committee says"
    return None
