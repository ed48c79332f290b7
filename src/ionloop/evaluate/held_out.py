"""All that labels tell of a calculator: errors, errors along bands, and what its spread knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError

from ionloop.errors import EvaluationError
from ionloop.evaluate.accuracy import accuracy
from ionloop.evaluate.accuracy_schema import Accuracy
from ionloop.evaluate.band_errors import band_errors, unclear_bands
from ionloop.evaluate.uncertainty import uncertainty_quality
from ionloop.label.schema import Label
from ionloop.train.schema import Calibration


@dataclass(frozen=True)
class Predicted:
    """What a calculator says of frames; of a committee, what each of its k members says.

    Parameters
    ----------
    energies
        Shape [n_frames, k], eV; [n_frames, 1], the mean, where members' own aren't known.
    forces
        One array [k, n_atoms, 3] a frame, eV/Å.
    stresses
        Of the mean, [3, 3] a frame, eV/Å³; None where the calculator has none.
    """

    energies: np.ndarray
    forces: list[np.ndarray]
    stresses: list[np.ndarray | None]


def predict(calculator: Calculator, frames: Sequence[Atoms]) -> Predicted:
    """Evaluate any calculator on frames.

    Raises
    ------
    EvaluationError
        If a number isn't finite.
    """
    energies: list[float] = []
    apart: list[np.ndarray] = []
    forces: list[np.ndarray] = []
    stresses: list[np.ndarray | None] = []
    for i, frame in enumerate(frames):
        atoms = frame.copy()
        atoms.calc = calculator
        mean = np.array(atoms.get_forces(), float)
        energy = float(atoms.get_potential_energy())
        if not (np.isfinite(mean).all() and np.isfinite(energy)):
            msg = f"frame {i}: expected finite energy and forces of the model, got others"
            raise EvaluationError(msg)
        known = getattr(calculator, "results", {})
        members = np.array(known.get("forces_comm", mean[None]), float)
        forces.append(members)
        energies.append(energy)
        each = np.array(known.get("energy_comm", [energy]), float).reshape(-1)
        if len(each) == len(members):
            apart.append(each)
        try:
            stresses.append(np.array(atoms.get_stress(voigt=False), float))
        except (PropertyNotImplementedError, NotImplementedError):
            stresses.append(None)
    # Members' energies of some frames alone would leave out what the others' spread is.
    whole = len(apart) == len(energies) and len({len(each) for each in apart}) == 1
    together = np.array(apart) if whole else np.array(energies).reshape(-1, 1)
    return Predicted(together, forces, stresses)


def judge_labels(
    labels: Sequence[Label],
    found: Predicted,
    rng: np.random.Generator,
    *,
    mobile_ion: str,
    calibration: Calibration | None = None,
) -> Accuracy:
    """Compare a calculator with held-out labels in all that they tell.

    Parameters
    ----------
    labels
        Admitted labels that the model hasn't seen.
    found
        What it says of their frames.
    rng
        Draws bootstraps.
    mobile_ion
        Element of the mobile ion.
    calibration
        The committee's; without it, or of one model, nothing is said of its uncertainty.
    """
    errors = accuracy(
        labels,
        found.energies.mean(axis=1).tolist() if labels else [],
        [force.mean(axis=0) for force in found.forces],
        rng,
        stresses=found.stresses,
        mobile_ion=mobile_ion,
    )
    along = {
        "along_bands": band_errors(labels, found.energies, found.forces),
        "bands_unclear": unclear_bands(labels),
    }
    missing = _no_uncertainty(found, calibration)
    if missing is not None or calibration is None:
        return errors.model_copy(update={**along, "uncertainty_missing": missing})
    quality = uncertainty_quality(labels, found.forces, calibration, mobile_ion, rng)
    return errors.model_copy(update={**along, "uncertainty": quality})


def _no_uncertainty(found: Predicted, calibration: Calibration | None) -> str | None:
    """Say why nothing can be said of a committee's uncertainty; None if it can."""
    if not found.forces:
        return "there are no held-out labels"
    if len(found.forces[0]) < 2:
        return "one model has no spread"
    return None if calibration is not None else "no calibration of the committee was given"
