"""Errors on held-out labels, by origin and by where on a hop a frame lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ionloop.errors import EvaluationError
from ionloop.evaluate.schema import Accuracy, ErrorBin
from ionloop.label.schema import Label

#: Half width of the transition-state window about s = 0.5, and of the ends about 0 and 1.
WINDOW = 0.15
NEAR_EQUILIBRIUM = "near equilibrium"
SHOULDER = "shoulder"
SADDLE = "saddle"
HOP_BINS = (NEAR_EQUILIBRIUM, SHOULDER, SADDLE)
PARITY_MAX = 2000
BOOTSTRAPS = 500


@dataclass(frozen=True)
class _Part:
    """Force components of one frame: reference and model, shape [n], eV/Å."""

    group: str
    reference: np.ndarray
    model: np.ndarray


def hop_bin(progress: float) -> str:
    """Name the bin of a hop coordinate s, 0 at the old site and 1 at the new one."""
    if abs(progress - 0.5) < WINDOW:
        return SADDLE
    if progress < WINDOW or progress > 1 - WINDOW:
        return NEAR_EQUILIBRIUM
    return SHOULDER


def accuracy(
    labels: Sequence[Label],
    energies: Sequence[float],
    forces: Sequence[np.ndarray],
    rng: np.random.Generator,
) -> Accuracy:
    """Compare a model with held-out labels.

    Parameters
    ----------
    labels
        Admitted labels that the model hasn't seen.
    energies
        The model's energy of each label's frame, eV.
    forces
        The model's forces of each label's frame, each of shape [n_atoms, 3], eV/Å.
    rng
        Draws bootstraps and thins parity points.

    Returns
    -------
    Accuracy
        With ``n_frames`` 0 and no bins where there are no labels. Energies count only for
        neutral cells, since a charged cell's depends on the compensating background.

    Raises
    ------
    EvaluationError
        If the numbers of labels and predictions, or the shapes of forces, differ.
    """
    _check(labels, energies, forces)
    parts = [
        _Part(x.frame.group, np.ravel(np.array(x.forces)), np.ravel(f))
        for x, f in zip(labels, forces, strict=True)
    ]
    by_origin: dict[str, list[_Part]] = {}
    for label, part in zip(labels, parts, strict=True):
        by_origin.setdefault(label.frame.origin.value, []).append(part)
    by_bin: dict[str, list[_Part]] = {name: [] for name in HOP_BINS}
    progress_errors = []
    for label, part in zip(labels, parts, strict=True):
        if label.frame.hop is None:
            continue
        hop = label.frame.hop
        ion = slice(3 * hop.ion, 3 * hop.ion + 3)
        by_bin[hop_bin(hop.progress)].append(
            _Part(part.group, part.reference[ion], part.model[ion])
        )
        error = np.linalg.norm(part.model[ion] - part.reference[ion])
        progress_errors.append((hop.progress, float(error)))
    groups, reference, model = _energies_per_atom(labels, energies)
    return Accuracy(
        n_frames=len(labels),
        forces_by_origin=[_error_bin(name, by_origin[name], rng) for name in sorted(by_origin)],
        forces_by_hop_bin=[_error_bin(name, p, rng) for name, p in by_bin.items() if p],
        **_energy_errors(groups, model - reference, rng),
        parity_forces=_parity(
            np.concatenate([p.reference for p in parts] or [np.empty(0)]),
            np.concatenate([p.model for p in parts] or [np.empty(0)]),
            rng,
        ),
        parity_energies=_parity(
            reference - reference.mean() if len(reference) else reference,
            model - model.mean() if len(model) else model,
            rng,
        ),
        progress_errors=progress_errors,
    )


def _check(
    labels: Sequence[Label], energies: Sequence[float], forces: Sequence[np.ndarray]
) -> None:
    if not len(labels) == len(energies) == len(forces):
        msg = (
            f"expected one energy and one force array a label, got {len(labels)} labels, "
            f"{len(energies)} energies, {len(forces)} forces"
        )
        raise EvaluationError(msg)
    for label, force in zip(labels, forces, strict=True):
        if label.forces is None or np.shape(label.forces) != np.shape(force):
            msg = (
                f"label {label.frame_hash}: expected reference forces of shape "
                f"{np.shape(force)}, got {np.shape(label.forces or [])}; "
                "pass admitted labels and their own predictions"
            )
            raise EvaluationError(msg)


def _energies_per_atom(
    labels: Sequence[Label], energies: Sequence[float]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return groups, reference and model energies of neutral cells, eV/atom, each [n]."""
    rows = [
        (
            label.frame.group,
            label.energy / len(label.frame.symbols),
            energy / len(label.frame.symbols),
        )
        for label, energy in zip(labels, energies, strict=True)
        if label.energy is not None and label.frame.charge == 0
    ]
    table = np.array([row[1:] for row in rows], float).reshape(-1, 2)
    return [row[0] for row in rows], table[:, 0], table[:, 1]


def _energy_errors(
    groups: Sequence[str], residual: np.ndarray, rng: np.random.Generator
) -> dict[str, float | None]:
    """Return RMSE and MAE of energies with their errors; empty where there are none."""
    if not len(residual):
        return {}
    ones = np.ones(len(residual))
    squares = _bootstrap_means(groups, residual**2, ones, rng)
    sizes = _bootstrap_means(groups, np.abs(residual), ones, rng)
    return {
        "energy_rmse": float(np.sqrt((residual**2).mean())),
        "energy_rmse_error": None if squares is None else float(np.sqrt(squares).std(ddof=1)),
        "energy_mae": float(np.abs(residual).mean()),
        "energy_mae_error": None if sizes is None else float(sizes.std(ddof=1)),
    }


def _error_bin(name: str, parts: Sequence[_Part], rng: np.random.Generator) -> ErrorBin:
    residual = np.concatenate([p.model - p.reference for p in parts])
    reference = np.concatenate([p.reference for p in parts])
    return ErrorBin(
        name=name,
        n_frames=len(parts),
        n_forces=residual.size,
        rmse_forces=float(np.sqrt((residual**2).mean())),
        mae_forces=float(np.abs(residual).mean()),
        rmse_error=_bootstrap_rmse(parts, rng),
        rms_reference=float(np.sqrt((reference**2).mean())),
    )


def _bootstrap_rmse(parts: Sequence[_Part], rng: np.random.Generator) -> float | None:
    """Return the standard error of the forces' RMSE over whole groups; None for one group."""
    residuals = [p.model - p.reference for p in parts]
    means = _bootstrap_means(
        [p.group for p in parts],
        np.array([(r**2).sum() for r in residuals]),
        np.array([r.size for r in residuals]),
        rng,
    )
    return None if means is None else float(np.sqrt(means).std(ddof=1))


def _bootstrap_means(
    groups: Sequence[str], sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """Return means over groups drawn anew, shape [``BOOTSTRAPS``]; None for a single group.

    Frames of one trajectory or band are correlated, so a group is drawn or left as a whole.
    ``sums`` and ``counts`` are each frame's, shape [n].
    """
    names, index = np.unique(np.array(groups), return_inverse=True)
    if len(names) < 2:
        return None
    total, size = np.bincount(index, sums), np.bincount(index, counts)
    draws = rng.integers(len(names), size=(BOOTSTRAPS, len(names)))
    return total[draws].sum(axis=1) / size[draws].sum(axis=1)


def _parity(
    reference: np.ndarray, model: np.ndarray, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Pair two arrays, thinned at random to at most ``PARITY_MAX`` points."""
    keep = np.arange(len(reference))
    if len(keep) > PARITY_MAX:
        keep = np.sort(rng.choice(len(keep), PARITY_MAX, replace=False))
    return list(zip(reference[keep].tolist(), model[keep].tolist(), strict=True))
