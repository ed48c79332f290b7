"""Errors of what a frame has as a whole, energy and stress: together, and by parts of the frames.

Charged cells don't count: their energy and stress depend on the compensating background.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from ionloop.evaluate.accuracy_schema import FrameErrors, StressErrors
from ionloop.evaluate.error_bins import Compared, bootstrap_means, spread_of_rmse
from ionloop.evaluate.hop_bins import HOP_BINS, hop_bin
from ionloop.frame import Frame
from ionloop.label.schema import Label

Part = tuple[Literal["origin", "temperature", "hop"], str]


def energy_errors(
    labels: Sequence[Label], energies: Sequence[float], rng: np.random.Generator
) -> dict[str, Any]:
    """Return the errors of energies, as they are and less their mean, eV/atom.

    Parameters
    ----------
    labels
        Held-out labels.
    energies
        The model's, of the whole cells, eV.
    rng
        Draws bootstraps.

    Returns
    -------
    dict
        Fields of :class:`~ionloop.evaluate.accuracy_schema.Accuracy`.
    """
    known = list(_neutral(labels, energies))
    if not known:
        return {}
    rows = [row for _, row in known]
    residual = np.concatenate([row.residual for row in rows])
    error, interval = spread_of_rmse(rows, rng)
    shift = float(residual.mean())
    moved = [Compared(r.group, r.reference, r.model - shift) for r in rows]
    _, shifted = spread_of_rmse(moved, rng)
    ones = np.ones(len(rows))
    sizes = bootstrap_means([r.group for r in rows], np.abs(residual), ones, rng)
    return {
        "progress_energies": [
            (frame.hop.progress, float(error - shift))
            for (frame, _), error in zip(known, residual, strict=True)
            if frame.hop is not None
        ],
        "energy_rmse": float(np.sqrt((residual**2).mean())),
        "energy_rmse_error": error,
        "energy_interval": interval,
        "energy_mae": float(np.abs(residual).mean()),
        "energy_mae_error": None if sizes is None else float(sizes.std(ddof=1)),
        "energy_shift": shift,
        "energy_rmse_shifted": float(residual.std()),
        "energy_shifted_interval": shifted,
        "energies": _parted([(f, row) for (f, _), row in zip(known, moved, strict=True)], rng),
    }


def parity_energies(
    labels: Sequence[Label], energies: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return reference and model energies less their means, both of shape [n], eV/atom."""
    rows = [row for _, row in _neutral(labels, energies)]
    if not rows:
        return np.empty(0), np.empty(0)
    reference = np.concatenate([row.reference for row in rows])
    model = np.concatenate([row.model for row in rows])
    return reference - reference.mean(), model - model.mean()


def stress_errors(
    labels: Sequence[Label], stresses: Sequence[np.ndarray | None], rng: np.random.Generator
) -> dict[str, Any]:
    """Compare all nine components, whose RMSE is the same in any orientation.

    Returns
    -------
    dict
        Fields of :class:`~ionloop.evaluate.accuracy_schema.Accuracy`; none where no frame has a
        stress by model and label.
    """
    known = [
        (label.frame, Compared(label.frame.group, np.ravel(np.array(label.stress)), np.ravel(s)))
        for label, s in zip(labels, stresses, strict=True)
        if label.stress is not None and s is not None and label.frame.charge == 0
    ]
    if not known:
        return {}
    rows = [row for _, row in known]
    residual = np.concatenate([row.residual for row in rows])
    reference = np.concatenate([row.reference for row in rows])
    _, interval = spread_of_rmse(rows, rng)
    total = StressErrors(
        n_frames=len(rows),
        rmse=float(np.sqrt((residual**2).mean())),
        interval=interval,
        rms_reference=float(np.sqrt((reference**2).mean())),
    )
    return {"stress": total, "stresses": _parted(known, rng)}


def _neutral(
    labels: Sequence[Label], energies: Sequence[float]
) -> Iterator[tuple[Frame, Compared]]:
    """Yield the energies an atom of neutral cells, eV."""
    for label, energy in zip(labels, energies, strict=True):
        if label.energy is not None and label.frame.charge == 0:
            n = len(label.frame.symbols)
            pair = np.array([label.energy / n]), np.array([energy / n])
            yield label.frame, Compared(label.frame.group, *pair)


def _parted(known: Sequence[tuple[Frame, Compared]], rng: np.random.Generator) -> list[FrameErrors]:
    """Sum up by origin, temperature and bin of the hop coordinate."""
    parts: dict[Part, list[Compared]] = {}
    for frame, row in known:
        for part in _parts_of(frame):
            parts.setdefault(part, []).append(row)
    return [_sum_up(part, parts[part], rng) for part in sorted(parts, key=_order)]


def _parts_of(frame: Frame) -> Iterator[Part]:
    yield "origin", frame.origin.value
    if frame.temperature is not None:
        yield "temperature", f"{frame.temperature:g} K"
    if frame.hop is not None:
        yield "hop", hop_bin(frame.hop.progress)


def _order(part: Part) -> tuple[int, float, str]:
    """Sort as tables show it: temperatures by number, bins from the site to the saddle."""
    by, name = part
    if by == "origin":
        return 0, 0.0, name
    if by == "temperature":
        return 1, float(name.removesuffix(" K")), name
    return 2, HOP_BINS.index(name), name


def _sum_up(part: Part, rows: Sequence[Compared], rng: np.random.Generator) -> FrameErrors:
    residual = np.concatenate([row.residual for row in rows])
    _, interval = spread_of_rmse(rows, rng)
    return FrameErrors(
        by=part[0],
        name=part[1],
        n_frames=len(rows),
        n_groups=len({row.group for row in rows}),
        rmse=float(np.sqrt((residual**2).mean())),
        interval=interval,
    )
