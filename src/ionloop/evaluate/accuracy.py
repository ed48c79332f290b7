"""Errors on held-out labels: by origin, species, temperature, and where on a hop an ion is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ionloop.errors import EvaluationError, ExplorationError
from ionloop.evaluate.error_bins import Compared, binned, bootstrap_means, spread_of_rmse
from ionloop.evaluate.schema import Accuracy, ErrorBin, StressErrors
from ionloop.explore.bottleneck import OPEN_BINS, openness_bins
from ionloop.label.schema import Label

#: Half width of the transition-state window about s = 0.5, and of the ends about 0 and 1.
WINDOW = 0.15
NEAR_EQUILIBRIUM = "near equilibrium"
SHOULDER = "shoulder"
SADDLE = "saddle"
HOP_BINS = (NEAR_EQUILIBRIUM, SHOULDER, SADDLE)
PARITY_MAX = 2000


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
    *,
    stresses: Sequence[np.ndarray | None] | None = None,
    mobile_ion: str | None = None,
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
    stresses
        The model's stress of each label's frame, [3, 3], eV/Å³; None where it has none.
    mobile_ion
        Element whose errors are parted by openness; None leaves that out.

    Returns
    -------
    Accuracy
        With ``n_frames`` 0 and no bins where there are no labels. Energies and stress count only
        for neutral cells, since a charged cell's depends on the compensating background.

    Raises
    ------
    EvaluationError
        If the numbers of labels and predictions, or the shapes of forces, differ.
    """
    _check(labels, energies, forces)
    parts = [
        Compared(x.frame.group, np.ravel(np.array(x.forces)), np.ravel(f))
        for x, f in zip(labels, forces, strict=True)
    ]
    by_origin = sorted(
        ((x.frame.origin.value, part) for x, part in zip(labels, parts, strict=True)),
        key=lambda pair: pair[0],
    )
    return Accuracy(
        n_frames=len(labels),
        forces_by_origin=binned(by_origin, rng),
        **_hops(labels, parts, rng),
        forces_by_species=binned(_species(labels, parts), rng),
        forces_by_temperature=binned(_temperatures(labels, parts), rng),
        **(_openness(labels, parts, mobile_ion, rng) if mobile_ion and labels else {}),
        **_energies(labels, energies, rng),
        stress=None if stresses is None else _stress(labels, stresses, rng),
        parity_forces=_parity(
            np.concatenate([p.reference for p in parts] or [np.empty(0)]),
            np.concatenate([p.model for p in parts] or [np.empty(0)]),
            rng,
        ),
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


def _of_atoms(part: Compared, atoms: np.ndarray) -> Compared:
    """Keep the force components of some atoms, given by their indices."""
    rows = (part.reference.reshape(-1, 3)[atoms], part.model.reshape(-1, 3)[atoms])
    return Compared(part.group, rows[0].ravel(), rows[1].ravel())


def _hops(
    labels: Sequence[Label], parts: Sequence[Compared], rng: np.random.Generator
) -> dict[str, Any]:
    """Part the hopping ions of frames that lie on a hop."""
    tagged: list[tuple[str, Compared]] = []
    progress_errors = []
    for label, part in zip(labels, parts, strict=True):
        if (hop := label.frame.hop) is None:
            continue
        ion = _of_atoms(part, np.array([hop.ion]))
        tagged.append((hop_bin(hop.progress), ion))
        progress_errors.append((hop.progress, float(np.linalg.norm(ion.residual))))
    tagged.sort(key=lambda pair: HOP_BINS.index(pair[0]))
    return {"forces_by_hop_bin": binned(tagged, rng), "progress_errors": progress_errors}


def _species(labels: Sequence[Label], parts: Sequence[Compared]) -> Iterator[tuple[str, Compared]]:
    for symbol in sorted({s for x in labels for s in x.frame.symbols}):
        for label, part in zip(labels, parts, strict=True):
            atoms = np.flatnonzero(np.array(label.frame.symbols) == symbol)
            yield symbol, _of_atoms(part, atoms)


def _temperatures(
    labels: Sequence[Label], parts: Sequence[Compared]
) -> Iterator[tuple[str, Compared]]:
    """Part frames whose temperature is known."""
    for t in sorted({x.frame.temperature for x in labels if x.frame.temperature is not None}):
        for label, part in zip(labels, parts, strict=True):
            if label.frame.temperature == t:
                yield f"{t:g} K", part


def _openness(
    labels: Sequence[Label], parts: Sequence[Compared], mobile_ion: str, rng: np.random.Generator
) -> dict[str, Any]:
    """Part the mobile ions of all frames by how open their surroundings are."""
    try:
        bins, limits = openness_bins([x.frame.to_atoms() for x in labels], mobile_ion)
    except ExplorationError as error:
        return {"openness_missing": str(error)}
    pairs, begin = [], 0
    for label, part in zip(labels, parts, strict=True):
        ions = np.flatnonzero(np.array(label.frame.symbols) == mobile_ion)
        own = bins[begin : begin + len(ions)]
        begin += len(ions)
        pairs += [(i, _of_atoms(part, ions[own == i])) for i in range(len(OPEN_BINS))]
    pairs.sort(key=lambda pair: pair[0])
    return {
        "forces_by_openness": binned(((OPEN_BINS[i], p) for i, p in pairs), rng),
        "openness_limits": limits,
    }


def _energies(
    labels: Sequence[Label], energies: Sequence[float], rng: np.random.Generator
) -> dict[str, Any]:
    """Return the errors of neutral cells' energies, as they are and less their mean, eV/atom."""
    rows = [
        Compared(
            label.frame.group,
            np.array([label.energy / len(label.frame.symbols)]),
            np.array([energy / len(label.frame.symbols)]),
        )
        for label, energy in zip(labels, energies, strict=True)
        if label.energy is not None and label.frame.charge == 0
    ]
    if not rows:
        return {"parity_energies": []}
    residual = np.concatenate([row.residual for row in rows])
    error, interval = spread_of_rmse(rows, rng)
    shift = float(residual.mean())
    moved = [Compared(r.group, r.reference, r.model - shift) for r in rows]
    _, shifted = spread_of_rmse(moved, rng)
    ones = np.ones(len(rows))
    sizes = bootstrap_means([r.group for r in rows], np.abs(residual), ones, rng)
    reference = np.concatenate([row.reference for row in rows])
    model = np.concatenate([row.model for row in rows])
    hops = [
        label.frame.hop for label in labels if label.energy is not None and label.frame.charge == 0
    ]
    return {
        "progress_energies": [
            (hop.progress, float(error - shift))
            for hop, error in zip(hops, residual, strict=True)
            if hop is not None
        ],
        "energy_rmse": float(np.sqrt((residual**2).mean())),
        "energy_rmse_error": error,
        "energy_interval": interval,
        "energy_mae": float(np.abs(residual).mean()),
        "energy_mae_error": None if sizes is None else float(sizes.std(ddof=1)),
        "energy_shift": shift,
        "energy_rmse_shifted": float(residual.std()),
        "energy_shifted_interval": shifted,
        "parity_energies": _parity(reference - reference.mean(), model - model.mean(), rng),
    }


def _stress(
    labels: Sequence[Label], stresses: Sequence[np.ndarray | None], rng: np.random.Generator
) -> StressErrors | None:
    """Compare all nine components, whose RMSE is the same in any orientation."""
    rows = [
        Compared(label.frame.group, np.ravel(np.array(label.stress)), np.ravel(stress))
        for label, stress in zip(labels, stresses, strict=True)
        if label.stress is not None and stress is not None and label.frame.charge == 0
    ]
    if not rows:
        return None
    residual = np.concatenate([row.residual for row in rows])
    reference = np.concatenate([row.reference for row in rows])
    _, interval = spread_of_rmse(rows, rng)
    return StressErrors(
        n_frames=len(rows),
        rmse=float(np.sqrt((residual**2).mean())),
        interval=interval,
        rms_reference=float(np.sqrt((reference**2).mean())),
    )


def _parity(
    reference: np.ndarray, model: np.ndarray, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Pair two arrays, thinned at random to at most ``PARITY_MAX`` points."""
    keep = np.arange(len(reference))
    if len(keep) > PARITY_MAX:
        keep = np.sort(rng.choice(len(keep), PARITY_MAX, replace=False))
    return list(zip(reference[keep].tolist(), model[keep].tolist(), strict=True))


def bins_of(found: Accuracy) -> Iterator[tuple[str, ErrorBin]]:
    """Yield every bin with what it is of, as tables and pictures show them."""
    for what, bins in (
        ("all atoms", found.forces_by_origin),
        ("species", found.forces_by_species),
        ("temperature", found.forces_by_temperature),
        ("hopping ion", found.forces_by_hop_bin),
        ("mobile ions by openness", found.forces_by_openness),
    ):
        for error_bin in bins:
            yield what, error_bin
