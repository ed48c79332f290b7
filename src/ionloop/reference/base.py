"""What a reference must offer, so that VASP, CP2K and force fields are interchangeable."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from jobflow import Job, Maker
from pymatgen.core import Structure

from ionloop.frame import Frame
from ionloop.seed.schema import Hop


def hash_settings(settings: dict[str, Any]) -> str:
    """Hash a JSON-like dictionary, whatever the order of its keys; 16 hex digits."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write nested keys as one, joined by dots; an empty table is no key."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def differing_settings(expected: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """Name the keys in which two settings differ, with both values, in order."""

    def short(flat: dict[str, Any], key: str) -> str:
        text = str(flat[key]) if key in flat else "nothing"
        return text if len(text) <= 24 else f"{text[:12]}..."

    left, right = (flatten(json.loads(json.dumps(s, default=str))) for s in (expected, got))
    keys = sorted(left.keys() | right.keys())
    return [
        f"{key}: expected {short(left, key)}, got {short(right, key)}"
        for key in keys
        if (key in left, left.get(key)) != (key in right, right.get(key))
    ]


@dataclass
class Reference(Maker, ABC):
    """Static, MD and NEB calculations that share one set of physical settings.

    A subclass names its settings once; every job that it makes returns our own
    documents, so that no later stage knows which code ran.

    Parameters
    ----------
    name
        Name of the reference in documents and job names.
    frames_per_job
        Frames that one static job computes: 1 for DFT, more where a label costs less
        than a job.
    """

    name: str = "reference"
    frames_per_job: int = 1

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """All that decides the numbers: method, cut-offs, bases, code version."""

    @property
    def settings_hash(self) -> str:
        """Hash of :attr:`settings`; labels of another hash are refused."""
        return hash_settings(self.settings)

    @property
    @abstractmethod
    def has_stress(self) -> bool:
        """Whether its stress is good enough to train on."""

    @property
    @abstractmethod
    def cheap(self) -> bool:
        """Whether MD long enough for D is affordable with it."""

    @abstractmethod
    def isolated_atom_energies(self, symbols: list[str]) -> dict[str, float] | None:
        """Energies of isolated atoms, eV; None where they must be stated."""

    @abstractmethod
    def static(self, frames: list[Frame]) -> Job:
        """Make a job whose output is a list of ``SinglePoint``, one a frame."""

    @abstractmethod
    def md(
        self,
        frame: Frame,
        *,
        temperature: float,
        n_steps: int,
        time_step: float,
        store_every: int,
        seed: int,
        group: str,
    ) -> Job:
        """Make a job whose output is a ``Trajectory`` (NVT; ``time_step`` in fs)."""

    @abstractmethod
    def neb(self, hop: Hop, *, n_images: int, fmax: float, max_steps: int) -> Job:
        """Make a job or flow whose output is a ``Band`` with relaxed end points."""

    def bind(self, structure: Structure) -> Self:  # noqa: ARG002
        """Return it with all that its settings need to know of the material.

        Called once, at launch; the campaign goes on with what this returns.

        Parameters
        ----------
        structure
            The cell that will be simulated.
        """
        return self

    def check(self, structure: Structure) -> None:
        """Raise ``ReferenceSetupError`` if it can't run here; called before launch.

        Parameters
        ----------
        structure
            The cell that will be simulated: its elements need basis sets or parameters, and
            its lattice, charge and size may be more than the reference can do.
        """
