"""The gate between a calculation and the training set: a label is admitted, not assumed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list

from ionloop.frame import Frame
from ionloop.label.schema import Label, Refusal
from ionloop.profile import Profile
from ionloop.reference.base import differing_settings
from ionloop.reference.schema import SinglePoint

#: Contacts are looked for up to here at least, Å; farther between larger atoms.
CONTACT_RANGE = 3.5
#: Above this number of atoms a cell list is faster than all pairs.
ALL_PAIRS_MAX = 400
#: A charge that an output states with rounding, e.
SAME_CHARGE = 0.01
#: A magnetization that jumped is off by an electron's spin; half of it tells, Bohr magnetons.
SAME_MOMENT = 0.5


def judge_point(
    frame: Frame,
    point: SinglePoint | None,
    settings_hash: str,
    profile: Profile,
    settings: dict[str, Any] | None = None,
    *,
    expects_stress: bool = False,
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
    expects_stress
        Whether a label without stress is refused.

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
            reasons=[Refusal.JOB_FAILED.because("no output")],
        )
    return Label(
        frame=frame,
        frame_hash=frame.frame_hash,
        energy=point.energy,
        forces=point.forces,
        stress=point.stress,
        magnetization=point.magnetization,
        settings_hash=point.settings_hash,
        engine=point.engine,
        wall_s=point.wall_s,
        cores=point.cores,
        directory=point.directory,
        reasons=[
            *_electronic(point),
            *_settings(point, settings_hash, settings),
            *_system(frame, point),
            *_numbers(frame, point, profile.force_ceiling),
            *_stress(point, expects_stress=expects_stress),
            *_contacts(frame, profile.min_distance_fraction),
        ],
    )


def refuse_jumps(labels: Sequence[Label]) -> list[Label]:
    """Refuse labels of a batch whose electrons settled in another spin state than the others'.

    A label is compared with the median over the admitted labels of the same composition and
    charge. Signs don't count: a cell may turn all its spins over.

    Returns
    -------
    list[Label]
        All labels, in their order.
    """
    moments: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for label in labels:
        if not label.reasons and label.magnetization is not None:
            moments[_cell(label)].append(abs(label.magnetization))
    medians = {cell: float(np.median(found)) for cell, found in moments.items()}
    return [_without_jump(label, medians) for label in labels]


def _cell(label: Label) -> tuple[str, ...]:
    return (str(label.frame.charge), *sorted(label.frame.symbols))


def _without_jump(label: Label, medians: dict[tuple[str, ...], float]) -> Label:
    if label.reasons or label.magnetization is None:
        return label
    median = medians[_cell(label)]
    if abs(abs(label.magnetization) - median) <= SAME_MOMENT:
        return label
    reason = Refusal.MAGNETIZATION.because(
        f"{label.magnetization:.2f} Bohr magnetons, the batch's median is {median:.2f}"
    )
    return label.model_copy(update={"reasons": [reason]})


def _electronic(point: SinglePoint) -> list[str]:
    if point.failure:
        return [Refusal.FAILED.because(point.failure)]
    steps = "" if point.n_scf is None else f"after {point.n_scf} steps"
    if steps and point.scf_limit is not None:
        steps = f"{steps} of {point.scf_limit}"
    if not point.converged:
        return [Refusal.UNCONVERGED.because(steps)]
    if point.n_scf is None or point.scf_limit is None or point.n_scf < point.scf_limit:
        return []
    return [Refusal.STEPS.because(f"{point.n_scf} of {point.scf_limit}")]


def _settings(point: SinglePoint, settings_hash: str, settings: dict[str, Any] | None) -> list[str]:
    if point.settings_hash == settings_hash:
        return []
    if settings is None or point.settings is None:
        return [Refusal.SETTINGS.because()]
    keys = differing_settings(settings, point.settings)[:5]
    return [Refusal.SETTINGS.because("; ".join(keys))]


def _system(frame: Frame, point: SinglePoint) -> list[str]:
    """Say whether other atoms or another number of electrons were computed than asked."""
    reasons = []
    found = frame.symbols if point.symbols is None else point.symbols
    if len(found) != len(frame.symbols):
        detail = f"expected {len(frame.symbols)} atoms, got {len(found)}"
        reasons.append(Refusal.SPECIES.because(detail))
    elif found != frame.symbols:
        pairs = enumerate(zip(frame.symbols, found, strict=True))
        i, (asked, got) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        reasons.append(Refusal.SPECIES.because(f"expected {asked} as atom {i}, got {got}"))
    charge = frame.charge if point.charge is None else point.charge
    if not abs(charge - frame.charge) <= SAME_CHARGE:  # so that NaN is refused too
        detail = f"expected {frame.charge:+d} e, got {charge:+g} e"
        reasons.append(Refusal.CHARGE.because(detail))
    return reasons


def _numbers(frame: Frame, point: SinglePoint, ceiling: float) -> list[str]:
    if point.energy is None or point.forces is None:
        return [Refusal.NO_RESULT.because()]
    if [len(force) for force in point.forces] != [3] * len(frame.symbols):
        return [Refusal.SHAPE.because()]
    forces = np.array(point.forces, float)
    stress = np.array([x for row in point.stress or [] for x in row], float)
    numbers = {"energy": np.array(point.energy), "forces": forces, "stress": stress}
    if bad := [name for name, value in numbers.items() if not np.isfinite(value).all()]:
        return [Refusal.NOT_A_NUMBER.because(", ".join(bad))]
    sizes = np.linalg.norm(forces, axis=1)
    if sizes.max() <= ceiling:
        return []
    i = int(sizes.argmax())
    detail = f"{sizes[i]:.2f} eV/Å on atom {i} ({frame.symbols[i]}), {ceiling:g} allowed"
    return [Refusal.CEILING.because(detail)]


def _stress(point: SinglePoint, *, expects_stress: bool) -> list[str]:
    if point.energy is None or point.forces is None or not expects_stress:
        return []  # nothing came at all, or nothing was asked
    shape = [] if point.stress is None else [len(row) for row in point.stress]
    return [] if shape == [3, 3, 3] else [Refusal.NO_STRESS.because()]


def _contacts(frame: Frame, fraction: float) -> list[str]:
    found = closest_contact(frame)
    if found >= fraction:
        return []
    detail = f"{found:.3f} of the sum of covalent radii, {fraction:g} allowed"
    return [Refusal.CONTACT.because(detail)]


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
