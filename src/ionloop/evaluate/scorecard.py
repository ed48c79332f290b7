"""Barriers of model and reference, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from ionloop.evaluate.schema import BarrierComparison
from ionloop.explore.schema import BandSet
from ionloop.reference.schema import Band


def reference_band(bands: Sequence[Band], path_class: str) -> Band | None:
    """Return the band that speaks for a class: the lowest converged one, else the lowest."""
    same = [b for b in bands if b.path_class == path_class]
    return min(same, key=lambda b: (not b.converged, b.barrier), default=None)


def compare_barriers(model: BandSet | None, reference: Sequence[Band]) -> list[BarrierComparison]:
    """Pair the barriers of the committee and of the reference by symmetry class of the hop.

    Sorted by the reference's barrier, classes without one last.
    """
    barriers = model.barriers if model else {}
    spread = model.barrier_spread if model else {}
    own = {band.path_class: band for band in model.bands} if model else {}
    pairs = []
    for name in {*barriers, *(b.path_class for b in reference)}:
        band = reference_band(reference, name)
        pairs.append(
            BarrierComparison(
                path_class=name,
                model=barriers.get(name),
                model_spread=spread.get(name),
                reference=band.barrier if band else None,
                model_converged=own[name].converged if name in own else None,
                reference_converged=band.converged if band else None,
                estimator=estimator(own.get(name), band),
            )
        )
    return sorted(pairs, key=lambda p: (p.reference is None, p.reference or 0.0, p.path_class))


def estimator(model: Band | None, reference: Band | None) -> str:
    """Say how the barriers of a pair were computed; the end images aren't counted."""
    parts = [
        f"{len(band.images) - 2} images, fmax {band.fmax:g} eV/Å ({whose})"
        for band, whose in ((model, "model"), (reference, "reference"))
        if band
    ]
    return f"CI-NEB, {' / '.join(parts)}" if parts else "CI-NEB"


def doubts(pair: BarrierComparison) -> list[str]:
    """Return what speaks against the barriers of a pair."""
    sides = (
        ("model", pair.model, pair.model_converged),
        ("reference", pair.reference, pair.reference_converged),
    )
    return [
        f"the {whose}'s band isn't known to have converged"
        if converged is None
        else f"the {whose}'s band didn't converge"
        for whose, barrier, converged in sides
        if barrier is not None and not converged
    ]


def lowest_barrier(pairs: Sequence[BarrierComparison]) -> BarrierComparison | None:
    """Return the easiest hop: of those that both computed, else of those that either did."""
    both = [p for p in pairs if p.reference is not None and p.model is not None]
    either = [p for p in pairs if p.reference is not None or p.model is not None]
    return min(both or either, key=_height, default=None)


def _height(pair: BarrierComparison) -> float:
    height = pair.model if pair.reference is None else pair.reference
    return float("inf") if height is None else height
