"""Which labels train, which validate, which are held out: never cut inside a trajectory."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from ase import Atoms

from ionloop.frame import Origin
from ionloop.label.schema import Label, Readmission


class FrameTags(Protocol):
    """What splits ask of a frame."""

    @property
    def origin(self) -> Origin:
        """Where it comes from."""

    @property
    def generation(self) -> int:
        """Generation that found it."""

    @property
    def group(self) -> str:
        """Trajectory or band."""


class Labelled(Protocol):
    """What splits ask of a label: a :class:`Label` or a :class:`Sample`."""

    @property
    def frame(self) -> FrameTags:
        """The frame."""

    @property
    def frame_hash(self) -> str:
        """Its hash."""

    @property
    def readmitted(self) -> Readmission | None:
        """Who took it back out of quarantine."""


#: Share of the labels that validates.
VALID_FRACTION = 0.15

L = TypeVar("L", bound=Labelled)


@dataclass(frozen=True, slots=True)
class Tags:
    """A frame without its numbers."""

    origin: Origin
    generation: int
    group: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A label as training holds it: arrays, a tenth of the memory of a document's lists.

    Parameters
    ----------
    frame, frame_hash, readmitted
        The label's own, without positions and descriptors.
    atoms
        As :func:`to_training_atoms` writes them, weight 1.
    """

    frame: Tags
    frame_hash: str
    readmitted: Readmission | None
    atoms: Atoms

    @classmethod
    def of(cls, label: Label) -> Sample:
        """Keep of a label what training needs."""
        frame = label.frame
        return cls(
            frame=Tags(frame.origin, frame.generation, sys.intern(frame.group)),
            frame_hash=label.frame_hash,
            readmitted=label.readmitted,
            atoms=to_training_atoms(label),
        )

    def copy(self, *, use_stress: bool = True) -> Sample:
        """Copy it, with atoms of its own; without stress, if that isn't to be trained on."""
        atoms = self.atoms.copy()
        if not use_stress:
            for key in ("REF_stress", "config_stress_weight"):
                atoms.info.pop(key, None)
        return replace(self, atoms=atoms)


def label_bytes(sample: Sample) -> bytes:
    """Return what a training takes of a label, to be hashed: frame, energy, forces, stress."""
    info = sample.atoms.info
    numbers = (
        np.float64(info["REF_energy"]),
        sample.atoms.arrays["REF_forces"],
        np.asarray(info.get("REF_stress", []), float),
    )
    return sample.frame_hash.encode() + b"".join(x.tobytes() for x in numbers)


def held_out(labels: Sequence[L], generation: int) -> tuple[list[L], list[L]]:
    """Part this generation's random frames from all other labels.

    The random tenth is an unbiased sample of what exploration visits; it calibrates the
    committee of its own generation and may be trained on from the next one.

    Returns
    -------
    tuple
        Labels that may be trained on, and held-out labels.
    """
    out = [
        x for x in labels if x.frame.origin is Origin.RANDOM and x.frame.generation == generation
    ]
    hashes = {x.frame_hash for x in out}
    return [x for x in labels if x.frame_hash not in hashes], out


def trained_from(label: Labelled) -> int:
    """Return the first generation that may train on a label.

    Random frames wait for one, and readmitted labels for the one after the decision: what
    earlier generations trained on stays as it was.
    """
    own = label.frame.generation + (label.frame.origin is Origin.RANDOM)
    return max(own, label.readmitted.generation if label.readmitted else 0)


def split_by_group(
    labels: Sequence[L],
    fraction: float,
    rng: np.random.Generator,
    sides: Mapping[str, bool] | None = None,
) -> tuple[list[L], list[L]]:
    """Split into training and validation by whole groups (trajectories, bands).

    Groups are drawn at random, origin by origin in turn, until validation has its share
    and two origins where there are two; an origin never gives its last group away. A group
    stays whole whatever the origins of its frames: neighbours in time would tell on each other.

    Parameters
    ----------
    labels
        Admitted labels.
    fraction
        Share of labels to validate on; at least one group is taken where there are two.
    rng
        Random generator.
    sides
        Groups that are decided already: whether they validate.

    Returns
    -------
    tuple
        Training and validation labels.
    """
    sides = sides or {}
    counts: dict[str, Counter[Origin]] = defaultdict(Counter)
    for label in labels:
        counts[label.frame.group][label.frame.origin] += 1
    chosen = {group for group in counts if sides.get(group)}
    left = Counter(o for group in sorted(counts) if group not in chosen for o in counts[group])
    queues = {
        origin: rng.permutation(
            [g for g in sorted(counts) if g not in sides and origin in counts[g]]
        ).tolist()
        for origin in sorted(left)
    }
    taken = sum(counts[group].total() for group in chosen)
    origins = {o for group in chosen for o in counts[group]}
    n_origins = min(2, len({o for found in counts.values() for o in found}))
    while (taken < fraction * len(labels) or len(origins) < n_origins) and any(queues.values()):
        for queue in filter(None, queues.values()):
            group = queue.pop()
            if group in chosen or min(left[origin] for origin in counts[group]) < 2:
                continue
            chosen.add(group)
            left.subtract(list(counts[group]))
            taken += counts[group].total()
            origins |= set(counts[group])
            if taken >= fraction * len(labels) and len(origins) >= n_origins:
                break
    valid = [x for x in labels if x.frame.group in chosen]
    train = [x for x in labels if x.frame.group not in chosen]
    return train, valid


def bootstrap_weights(n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw weights of a Bayesian bootstrap, mean 1, shape [n].

    Dirichlet(1, ..., 1) weights (Rubin, Ann. Stat. 9, 130 (1981)) vary the data as a
    bootstrap does without dropping any label that DFT was paid for.
    """
    draws = rng.exponential(size=n)
    return draws * n / draws.sum()


def to_training_atoms(label: Label, weight: float = 1.0) -> Atoms:
    """Write a label as MACE reads it: ``REF_energy``, ``REF_forces``, ``REF_stress``.

    Energy and stress of charged cells carry an arbitrary background and get weight 0.
    """
    atoms = label.frame.to_atoms()
    neutral = label.frame.charge == 0
    atoms.info["REF_energy"] = label.energy
    atoms.info["config_weight"] = float(weight)
    atoms.info["config_energy_weight"] = 1.0 if neutral else 0.0
    atoms.arrays["REF_forces"] = np.array(label.forces, float)
    if label.stress is not None:
        atoms.info["REF_stress"] = np.array(label.stress, float)
        atoms.info["config_stress_weight"] = 1.0 if neutral else 0.0
    return atoms
