"""Errors on held-out labels: by origin, species, temperature, and where on a hop an ion is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ionloop.errors import EvaluationError, ExplorationError
from ionloop.evaluate.accuracy_schema import Accuracy, Bounded, ErrorBin
from ionloop.evaluate.error_bins import Compared, binned, bounded
from ionloop.evaluate.frame_errors import energy_errors, parity_energies, stress_errors
from ionloop.evaluate.hop_bins import HOP_BINS, NEAR_EQUILIBRIUM, SADDLE, hop_bin
from ionloop.explore.bottleneck import OPEN_BINS, openness_bins
from ionloop.label.schema import Label

PARITY_MAX = 2000


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
        **energy_errors(labels, energies, rng),
        **({} if stresses is None else stress_errors(labels, stresses, rng)),
        parity_forces=_parity(
            np.concatenate([p.reference for p in parts] or [np.empty(0)]),
            np.concatenate([p.model for p in parts] or [np.empty(0)]),
            rng,
        ),
        parity_energies=_parity(*parity_energies(labels, energies), rng),
        saddle_ratio=_saddle_ratio(labels, parts, rng),
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


def _saddle_ratio(
    labels: Sequence[Label], parts: Sequence[Compared], rng: np.random.Generator
) -> Bounded | None:
    """Divide the hopping ions' RMSE at the saddle by that near equilibrium."""
    hops = [
        (hop_bin(label.frame.hop.progress), _of_atoms(part, np.array([label.frame.hop.ion])))
        for label, part in zip(labels, parts, strict=True)
        if label.frame.hop is not None
    ]
    places = np.array([name for name, _ in hops])
    squares = np.array([(ion.residual**2).mean() for _, ion in hops])
    if not ((places == SADDLE).any() and (places == NEAR_EQUILIBRIUM).any()):
        return None

    def ratio(frames: np.ndarray) -> list[float]:
        at, off = (squares[frames[places[frames] == x]] for x in (SADDLE, NEAR_EQUILIBRIUM))
        defined = len(at) and len(off) and off.any()
        return [float(np.sqrt(at.mean() / off.mean())) if defined else float("nan")]

    return bounded([ion.group for _, ion in hops], ratio, rng)[0]


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
