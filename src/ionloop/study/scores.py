"""What a committee is worth on the reference's own hops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ionloop.errors import EvaluationError
from ionloop.evaluate.hop_bins import HOP_BINS, NEAR_EQUILIBRIUM, SADDLE, hop_bin
from ionloop.evaluate.rate_error import rate_error
from ionloop.evaluate.schema import RateError
from ionloop.label.schema import Label
from ionloop.study.learned import Learned
from ionloop.study.schema import ArmScore
from ionloop.study.truth import TestSet
from ionloop.train.mace import predict


def score(learned: Learned, test: TestSet) -> ArmScore:
    """Hold the committee's mean to the test set, and its bands to the reference's.

    Raises
    ------
    EvaluationError
        If a bin of the hop coordinate has no frame.
    """
    atoms = [label.frame.to_atoms() for label in test.labels]
    energies, forces = predict(learned.judge.calculator, atoms)
    wrong = [
        f.mean(axis=0) - np.array(label.forces)
        for f, label in zip(forces, test.labels, strict=True)
    ]
    off = np.array(
        [e.mean() - label.energy for e, label in zip(energies, test.labels, strict=True)]
    )
    bins = _bins(test.labels, wrong)
    random = [
        w[learned.mobile]
        for w, label in zip(wrong, test.labels, strict=True)
        if label.frame.hop is None
    ]
    converged = {band.path_class: band.barrier for band in learned.bands.bands if band.converged}
    barriers = {name: learned.bands.barriers.get(name) for name in test.bands}
    errors = {
        name: abs(converged[name] - band.barrier) if name in converged else None
        for name, band in test.bands.items()
    }
    known = [error for error in errors.values() if error is not None]
    rates = rate_errors(test.labels, off)
    return ArmScore(
        rmse_by_hop_bin=bins,
        rmse_random=_rms(np.concatenate(random)),
        saddle_ratio=bins[SADDLE] / bins[NEAR_EQUILIBRIUM],
        barriers=barriers,
        barrier_errors=errors,
        barrier_error=max(known) if known and len(known) == len(errors) else None,
        rate_errors=rates,
        rate_bound=max(found.bound for found in rates),
    )


def _bins(labels: Sequence[Label], wrong: Sequence[np.ndarray]) -> dict[str, float]:
    """Force RMSE of hopping ions by bin, over components, eV/Å."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in HOP_BINS}
    for label, w in zip(labels, wrong, strict=True):
        if (hop := label.frame.hop) is not None:
            parts[hop_bin(hop.progress)].append(w[hop.ion])
    if empty := [name for name, found in parts.items() if not found]:
        msg = (
            f"expected test frames in every bin of the hop coordinate, got none {empty}; more "
            "test frames, longer or hotter runs of the reference"
        )
        raise EvaluationError(msg)
    return {name: _rms(np.array(found)) for name, found in parts.items()}


def rate_errors(labels: Sequence[Label], off: np.ndarray) -> list[RateError]:
    """Bracket the rates at each temperature that has frames on hops and random ones."""
    found = []
    for t in sorted({x.frame.temperature for x in labels if x.frame.temperature is not None}):
        here = [
            (x.frame.hop, e) for x, e in zip(labels, off, strict=True) if x.frame.temperature == t
        ]
        path = [(hop.progress, e) for hop, e in here if hop and 0 <= hop.progress <= 1]
        rest = [e for hop, e in here if hop is None]
        if path and rest:
            progress, energies = zip(*path, strict=True)
            found.append(rate_error(energies, progress, rest, t))
    if not found:
        msg = "expected a temperature with frames on hops and random ones, got none"
        raise EvaluationError(msg)
    return found


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
