"""Bands of the hops that exploration found: real end points, saddle, and its order."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.vibrations import Vibrations

from ionloop.explore.driver import CommitteeDriver
from ionloop.explore.events import Event, moved_ions, quench, real_hop
from ionloop.explore.saddles import BandPlan, committee_band, judged_images
from ionloop.explore.schema import FoundBands
from ionloop.explore.uncertainty import CommitteeUncertainty
from ionloop.frame import Frame
from ionloop.profile import Profile
from ionloop.reference.schema import Band

if TYPE_CHECKING:
    from mace.calculators import MACECalculator

#: Imaginary modes softer than this are noise of finite differences, eV (24 1/cm).
SOFT = 3e-3
#: Atoms this near to a hopping ion move when modes are counted, Å.
SHELL = 4.0
#: Optimizer steps of a quench.
QUENCH_STEPS = 300


def found_bands(
    events: Sequence[Event],
    calculator: MACECalculator,
    uncertainty: CommitteeUncertainty,
    plan: BandPlan,
    *,
    profile: Profile,
    generation: int,
    model_hash: str,
) -> FoundBands:
    """Quench both sides of each event, relax a band between, and look at its saddle.

    The first model quenches, the committee's mean relaxes ends and band. An event whose sides
    fall into one minimum, or whose ends do so on the mean, is counted and has no band.
    """
    begin = time.perf_counter()
    bands: list[Band] = []
    orders: list[int] = []
    frames: list[Frame] = []
    n_returned = n_broken = 0
    for event in events:
        single = CommitteeDriver(calculator, members=[0])
        before, after = (
            quench(x, single, plan.fmax, QUENCH_STEPS) for x in (event.before, event.after)
        )
        hop = real_hop(event, before, after, profile.mobile_ion, profile.charge)
        if hop is None:
            n_returned += 1
            continue
        band = committee_band(hop, calculator, plan, model_hash)
        if band is None:
            n_broken += 1
            continue
        ions, _ = moved_ions(band.to_atoms()[0], band.to_atoms()[-1], profile.mobile_ion)
        if not len(ions):  # on the mean the sides are nearer than on the model that quenched
            n_returned += 1
            continue
        bands.append(band)
        saddle = saddle_of(band)
        near = around(saddle, ions)
        orders.append(imaginary_modes(saddle, CommitteeDriver(calculator), near))
        name = f"found {generation} {event.group} event {event.number}"
        frames += judged_images(band, generation, name, uncertainty)
    return FoundBands(
        generation=generation,
        bands=bands,
        n_imaginary=orders,
        frames=frames,
        n_events=len(events),
        n_returned=n_returned,
        n_broken=n_broken,
        wall_s=time.perf_counter() - begin,
    )


def saddle_of(band: Band) -> Atoms:
    """Return the highest image of a band."""
    return band.to_atoms()[int(np.argmax(band.energies))]


def around(atoms: Atoms, ions: np.ndarray, radius: float = SHELL) -> np.ndarray:
    """Return the atoms within a radius, Å, of any of the ions, themselves included."""
    away = atoms.get_all_distances(mic=True)[:, ions]
    return np.flatnonzero((away <= radius).any(axis=1))


def imaginary_modes(
    atoms: Atoms, calculator: Calculator, moving: np.ndarray | None = None, delta: float = 0.01
) -> int:
    """Count the imaginary modes of a frame: 1 at a saddle that joins two minima.

    ASE's finite differences of forces, 6 evaluations a moving atom.

    Parameters
    ----------
    atoms
        The frame.
    calculator
        Gives forces.
    moving
        Atoms that move, the others being held, which can hide modes but never make one; None:
        all.
    delta
        Displacement, Å.

    Returns
    -------
    int
        Modes softer than 3 meV, translations among them, aren't counted.
    """
    probe = Atoms(atoms)
    probe.calc = calculator
    chosen = None if moving is None else [int(i) for i in moving]
    with tempfile.TemporaryDirectory() as folder:
        modes = Vibrations(probe, chosen, delta=delta, name=str(Path(folder) / "modes"))
        modes.run()
        energies = modes.get_energies()
    return int((np.abs(energies.imag) > SOFT).sum())
