"""The gate between a calculation and the training set: a label is admitted, not assumed."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list

from ionloop.frame import Frame
from ionloop.label.schema import Label
from ionloop.profile import Profile
from ionloop.reference.schema import SinglePoint


def judge_point(
    frame: Frame, point: SinglePoint | None, settings_hash: str, profile: Profile
) -> Label:
    """Turn a calculation into a label, with the reasons that speak against it.

    Parameters
    ----------
    frame
        What was asked.
    point
        What came back; None if the job died without a word.
    settings_hash
        The campaign's settings hash.
    profile
        Limits: force ceiling, closest contact.

    Returns
    -------
    Label
        Admitted if its ``reasons`` are empty.
    """
    if point is None:
        return Label(
            frame=frame,
            frame_hash=frame.frame_hash,
            settings_hash=settings_hash,
            engine="unknown",
            wall_s=0.0,
            directory="",
            reasons=["job failed: no output"],
        )
    return Label(
        frame=frame,
        frame_hash=frame.frame_hash,
        energy=point.energy,
        forces=point.forces,
        stress=point.stress,
        settings_hash=point.settings_hash,
        engine=point.engine,
        wall_s=point.wall_s,
        directory=point.directory,
        reasons=[
            *_electronic(point),
            *_settings(point, settings_hash),
            *_numbers(frame, point, profile.force_ceiling),
            *_contacts(frame, profile.min_distance_fraction),
        ],
    )


def _electronic(point: SinglePoint) -> list[str]:
    if point.failure:
        return [f"calculation failed: {point.failure}"]
    return [] if point.converged else ["SCF not converged"]


def _settings(point: SinglePoint, settings_hash: str) -> list[str]:
    return [] if point.settings_hash == settings_hash else ["other settings"]


def _numbers(frame: Frame, point: SinglePoint, ceiling: float) -> list[str]:
    if point.energy is None or point.forces is None:
        return ["no energy or forces"]
    forces = np.array(point.forces, float)
    if forces.shape != (len(frame.symbols), 3):
        return ["forces of another number of atoms"]
    if not (np.isfinite(point.energy) and np.isfinite(forces).all()):
        return ["not a number"]
    largest = float(np.linalg.norm(forces, axis=1).max())
    return ["force above the ceiling"] if largest > ceiling else []


def _contacts(frame: Frame, fraction: float) -> list[str]:
    return ["atoms too close"] if closest_contact(frame) < fraction else []


def closest_contact(frame: Frame) -> float:
    """Return the smallest distance as a fraction of the pair's covalent radii's sum."""
    atoms = frame.to_atoms()
    radii = np.array([covalent_radii[atomic_numbers[s]] for s in frame.symbols])
    i, j, d = neighbor_list("ijd", atoms, 3.5)
    return float((d / (radii[i] + radii[j])).min()) if len(d) else float("inf")
