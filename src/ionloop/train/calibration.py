"""How the committee's spread relates to true errors, measured on held-out labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from ionloop.train.schema import Calibration

#: Raw spreads below this are noise of floating point, eV/Å.
SIGMA_FLOOR = 1e-4
#: Smallest and largest sigma_lo, eV/Å; Huang et al., J. Chem. Phys. 154, 094703 (2021),
#: trusted below 0.12 and refused above 0.25.
SIGMA_LO_RANGE = (0.05, 0.25)


def ion_spread(forces: np.ndarray, ions: np.ndarray) -> np.ndarray:
    r"""Spread of the force vector of each ion over the committee.

    .. math:: \sigma_i^2 = \frac{1}{K-1} \sum_k |F_{ik} - \bar F_i|^2

    Parameters
    ----------
    forces
        Forces of all members, shape [k, n, 3], eV/Å.
    ions
        Indices of the ions, shape [m].

    Returns
    -------
    np.ndarray
        Shape [m], eV/Å.
    """
    chosen = forces[:, ions]
    deviation = chosen - chosen.mean(axis=0)
    return np.sqrt((deviation**2).sum(axis=(0, 2)) / (len(forces) - 1))


def spread_and_error(
    forces: np.ndarray, truth: np.ndarray, ions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the raw spread of each ion's force, and the length of the mean's error.

    Parameters
    ----------
    forces
        Forces of all members, shape [k, n, 3], eV/Å.
    truth
        Reference forces, shape [n, 3], eV/Å.
    ions
        Indices of the ions, shape [m].

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Both of shape [m], eV/Å; no spread is below the noise of floating point.
    """
    error = np.linalg.norm((forces.mean(axis=0) - truth)[ions], axis=1)
    return np.maximum(ion_spread(forces, ions), SIGMA_FLOOR), error


def conformal_scale(ratios: np.ndarray, level: float) -> float:
    """Smallest factor that covers a new ratio with probability ``level``.

    The split-conformal quantile, ceil((n + 1) level) / n, of the ratios of error to
    spread (Vovk et al., *Algorithmic Learning in a Random World*, 2005).
    """
    n = len(ratios)
    rank = min(int(np.ceil((n + 1) * level)), n)
    return float(np.sort(ratios)[rank - 1])


def calibrate(
    forces: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    mobile: Sequence[np.ndarray],
    *,
    generation: int,
    held_out: str,
    level: float = 0.9,
) -> Calibration:
    """Calibrate the spread of mobile ions' forces against true errors.

    Parameters
    ----------
    forces
        Members' forces, one array [k, n, 3] a held-out frame, eV/Å.
    truths
        Reference forces, one array [n, 3] a frame, eV/Å.
    mobile
        Indices of mobile ions, one array a frame.
    generation
        Generation of the committee.
    held_out
        Which labels these are, in words.
    level
        Coverage of the conformal bound.

    Returns
    -------
    Calibration
        ``sigma_lo`` is 1.2 times the RMS, over frames, of the largest error of a mobile
        ion: errors of that size are what the committee makes at home. It lies between
        0.05 and 0.25 eV/Å, so that a poor committee can't trust itself.
        ``sigma_hi`` is three times that, or 0.3 eV/Å more, whichever is larger.
    """
    known = [spread_and_error(f, t, m) for f, t, m in zip(forces, truths, mobile, strict=True)]
    sigma, error = [s for s, _ in known], [e for _, e in known]
    all_sigma, all_error = np.concatenate(sigma), np.concatenate(error)
    worst = float(np.sqrt(np.mean([e.max() ** 2 for e in error])))
    sigma_lo = float(np.clip(1.2 * worst, *SIGMA_LO_RANGE))
    scale = float(np.sqrt((all_error**2).mean() / (all_sigma**2).mean()))
    return Calibration(
        generation=generation,
        n_frames=len(forces),
        n_ions=len(all_sigma),
        held_out=held_out,
        scale=scale,
        scale_90=conformal_scale(all_error / all_sigma, level),
        coverage_90=_coverage(sigma, error, level),
        rmse_forces=float(np.sqrt((all_error**2).mean() / 3)),
        sigma_lo=sigma_lo,
        sigma_hi=max(3 * sigma_lo, sigma_lo + 0.3),
        curve=_curve(scale * all_sigma, all_error),
    )


def calibrate_on_labels(
    forces: Sequence[np.ndarray],
    labelled: Sequence[Atoms],
    mobile_ion: str,
    *,
    generation: int,
    held_out: str,
) -> Calibration:
    """Calibrate as :func:`calibrate` does, on atoms that carry ``REF_forces``."""
    return calibrate(
        forces,
        [a.arrays["REF_forces"] for a in labelled],
        [mobile_ions(a, mobile_ion) for a in labelled],
        generation=generation,
        held_out=held_out,
    )


def mobile_ions(atoms: Atoms, mobile_ion: str) -> np.ndarray:
    """Return the indices of the mobile ions, shape [m]."""
    return np.flatnonzero(np.array(atoms.get_chemical_symbols()) == mobile_ion)


def _coverage(sigma: Sequence[np.ndarray], error: Sequence[np.ndarray], level: float) -> float:
    """Coverage where each frame is judged by the scale of all other frames."""
    if len(sigma) < 2:
        return float("nan")
    hits = total = 0
    ratios = [e / s for e, s in zip(error, sigma, strict=True)]
    for i, ratio in enumerate(ratios):
        scale = conformal_scale(np.concatenate(ratios[:i] + ratios[i + 1 :]), level)
        hits += int((ratio <= scale).sum())
        total += len(ratio)
    return hits / total


def _curve(sigma: np.ndarray, error: np.ndarray, n_bins: int = 8) -> list[tuple[float, float]]:
    """Mean spread and RMS error in bins of equal count."""
    bins = np.array_split(np.argsort(sigma), min(n_bins, len(sigma)))
    return [
        (float(sigma[b].mean()), float(np.sqrt((error[b] ** 2).mean()))) for b in bins if len(b)
    ]
