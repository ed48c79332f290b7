"""The gate between a calculation and the training set: a label is admitted, not assumed."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list

from ionloop.frame import Frame
from ionloop.label.schema import Label
from ionloop.profile import Profile
from ionloop.reference.base import differing_settings
from ionloop.reference.schema import SinglePoint

#: Contacts are looked for up to here at least, Å; farther between larger atoms.
CONTACT_RANGE = 3.5
#: Above this number of atoms a cell list is faster than all pairs.
ALL_PAIRS_MAX = 400


def judge_point(
    frame: Frame,
    point: SinglePoint | None,
    settings_hash: str,
    profile: Profile,
    settings: dict[str, Any] | None = None,
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
    settings
        What ``settings_hash`` was made of; a label of other settings is told by the key.

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
            *_settings(point, settings_hash, settings),
            *_numbers(frame, point, profile.force_ceiling),
            *_contacts(frame, profile.min_distance_fraction),
        ],
    )


def _electronic(point: SinglePoint) -> list[str]:
    if point.failure:
        return [f"calculation failed: {point.failure}"]
    return [] if point.converged else ["SCF not converged"]


def _settings(point: SinglePoint, settings_hash: str, settings: dict[str, Any] | None) -> list[str]:
    if point.settings_hash == settings_hash:
        return []
    if settings is None or point.settings is None:
        return ["other settings"]
    return [f"other settings: {'; '.join(differing_settings(settings, point.settings)[:5])}"]


def _numbers(frame: Frame, point: SinglePoint, ceiling: float) -> list[str]:
    if point.energy is None or point.forces is None:
        return ["no energy or forces"]
    if [len(force) for force in point.forces] != [3] * len(frame.symbols):
        return ["forces of another number of atoms"]
    forces = np.array(point.forces, float)
    stress = np.array(point.stress or 0.0, float)
    if not (np.isfinite(point.energy) and np.isfinite(forces).all() and np.isfinite(stress).all()):
        return ["not a number"]
    largest = float(np.linalg.norm(forces, axis=1).max())
    return ["force above the ceiling"] if largest > ceiling else []


def _contacts(frame: Frame, fraction: float) -> list[str]:
    return ["atoms too close"] if closest_contact(frame) < fraction else []


def closest_contact(frame: Frame) -> float:
    """Return the smallest distance as a fraction of the pair's covalent radii's sum.

    An atom's own periodic images count; infinite if no two atoms are within
    ``CONTACT_RANGE`` or the sum of the two largest radii.
    """
    radii = np.array([covalent_radii[atomic_numbers[s]] for s in frame.symbols])
    cutoff = max(CONTACT_RANGE, 2.0 * float(radii.max(initial=0.0)))
    if len(radii) > ALL_PAIRS_MAX:
        i, j, d = neighbor_list("ijd", frame.to_atoms(), cutoff)
    else:
        i, j, d = _pairs(np.array(frame.positions).reshape(-1, 3), np.array(frame.cell), cutoff)
    return float((d / (radii[i] + radii[j])).min()) if len(d) else float("inf")


def _pairs(
    positions: np.ndarray, cell: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return i, j (i <= j) and the distance of all pairs below the cut-off, Å.

    With each difference of fractional coordinates brought to within ±1/2, an image
    that is nearer than the cut-off is at most cutoff / height + 1/2 cells away.
    """
    inverse = np.linalg.inv(cell)
    i, j = np.triu_indices(len(positions))
    step = positions[j] @ inverse - positions[i] @ inverse
    step -= np.rint(step)
    reach = np.floor(cutoff * np.linalg.norm(inverse, axis=0) + 0.5).astype(int)
    found = []
    for shift in product(*(range(-n, n + 1) for n in reach)):
        distance = np.linalg.norm((step + shift) @ cell, axis=1)
        near = distance < cutoff
        if not any(shift):
            near &= i != j
        found.append((i[near], j[near], distance[near]))
    first, second, distances = (np.concatenate(part) for part in zip(*found, strict=True))
    return first, second, distances
