"""One climbing-image nudged elastic band, whoever computes the forces.

ASE does the work (``ase.mep.NEB``, improved tangent, IDPP start, FIRE); this module
adds what a hop needs: relaxed end points that must not slide into each other, a count
of force calls, and a checkpoint so that a killed band goes on where it stood.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.io import read, write
from ase.mep import NEB
from ase.optimize import BFGS, FIRE

from ionloop.errors import ExplorationError
from ionloop.files import whole
from ionloop.frame import Frame
from ionloop.reference.ends import RelaxedEnds
from ionloop.reference.schema import Band
from ionloop.seed.schema import Hop

logger = logging.getLogger(__name__)

#: Share of the hop distance that the relaxed end points must keep.
COLLAPSE_FRACTION = 0.4


@dataclass(frozen=True)
class BandSettings:
    """How a band is relaxed.

    Parameters
    ----------
    n_images
        Moving images, end points not counted.
    fmax
        Largest band force at convergence, eV/Å.
    max_steps
        Optimizer steps of the band, plain and climbing together.
    end_fmax
        Largest force of a relaxed end point, eV/Å.
    end_steps
        Optimizer steps of one end point.
    spring
        Spring constant, eV/Å².
    """

    n_images: int = 5
    fmax: float = 0.05
    max_steps: int = 60
    end_fmax: float = 0.03
    end_steps: int = 60
    spring: float = 1.0


@dataclass
class _Progress:
    """What a checkpoint says besides positions; it stands in each image's ``info``.

    Parameters
    ----------
    calls
        Force calls so far, of all attempts.
    ends_converged
        Whether all ends that were relaxed so far converged.
    earlier_s
        Wall time of earlier attempts, up to what they saved, s.
    """

    calls: int = 0
    ends_converged: bool = True
    earlier_s: float = 0.0

    def __post_init__(self) -> None:
        self._begin = time.perf_counter()

    @property
    def wall_s(self) -> float:
        """Wall time so far, of all attempts, s."""
        return self.earlier_s + time.perf_counter() - self._begin


def relax_band(  # noqa: PLR0913
    hop: Hop,
    make_calculator: Callable[[int], Calculator],
    *,
    n_images: int,
    fmax: float,
    max_steps: int,
    engine: str,
    settings_hash: str,
    checkpoint: Path | None = None,
    end_fmax: float | None = None,
    end_steps: int = BandSettings.end_steps,
    shared: RelaxedEnds | None = None,
) -> Band:
    """Relax both ends of a hop, then a climbing-image band between them.

    Parameters
    ----------
    hop
        The hop; both ends have the same atoms in the same order.
    make_calculator
        Gives an independent calculator for image ``i`` (0 is the first end, ``n_images + 1``
        the last).
    n_images
        Moving images.
    fmax
        Largest band force at convergence, eV/Å.
    max_steps
        Optimizer steps of the band.
    engine, settings_hash
        Who computes, as it stands in the document.
    checkpoint
        An extxyz that holds what stands so far, one relaxed end, both, or the band; read
        when it exists.
    end_fmax, end_steps
        Largest force of a relaxed end, eV/Å, and optimizer steps; None: the smaller of ``fmax``
        and 0.05.
    shared
        Ends that other bands of this potential relaxed; what this one relaxes is added.

    Returns
    -------
    Band
        Converged or not: unconverged images are good frames, and ``converged`` says it. It
        counts only if both ends converged too, since the barrier is measured from one.

    Raises
    ------
    ExplorationError
        If the end points relax into each other, so that there is no hop.
    """
    settings = BandSettings(
        n_images=n_images,
        fmax=fmax,
        max_steps=max_steps,
        end_fmax=end_fmax or min(0.05, fmax),
        end_steps=end_steps,
    )
    images, progress = _load(checkpoint)
    if len(images) <= 2:  # ends alone
        ends = _relax_ends(images, hop, make_calculator, settings, progress, checkpoint, shared)
        images = _interpolate(ends, settings.n_images)
        _save(checkpoint, images, progress)
    _check_ends(images, hop)
    relaxed = _relax(images, make_calculator, settings, progress, checkpoint)
    return Band(
        symbols=list(images[0].get_chemical_symbols()),
        cell=images[0].cell.array.tolist(),
        charge=hop.start.charge,
        images=[image.positions.tolist() for image in images],
        energies=[float(image.get_potential_energy()) for image in images],
        ion=hop.ion,
        path_class=hop.path_class,
        hop_distance=hop.distance,
        converged=relaxed and progress.ends_converged,
        fmax=fmax,
        n_force_calls=progress.calls,
        engine=engine,
        settings_hash=settings_hash,
        wall_s=progress.wall_s,
    )


def _relax_ends(
    done: list[Atoms],
    hop: Hop,
    make_calculator: Callable[[int], Calculator],
    settings: BandSettings,
    progress: _Progress,
    checkpoint: Path | None,
    shared: RelaxedEnds | None,
) -> list[Atoms]:
    """Relax the ends that aren't done yet; each is saved as soon as it is."""
    ends = list(done)
    for i, frame in ((0, hop.start), (settings.n_images + 1, hop.end))[len(done) :]:
        known = shared.relaxed(frame, settings.end_fmax) if shared else None
        atoms, converged = known or _relax_end(frame, make_calculator(i), settings, progress)
        if shared and not known:
            shared.add(frame, settings.end_fmax, atoms, converged=converged)
        if not converged:
            progress.ends_converged = False
            logger.warning("hop %s: an end not converged to %s eV/Å in %s steps",
                           hop.path_class, settings.end_fmax, settings.end_steps)  # fmt: skip
        ends.append(atoms)
        _save(checkpoint, ends, progress)
    return ends


def _relax_end(
    frame: Frame, calculator: Calculator, settings: BandSettings, progress: _Progress
) -> tuple[Atoms, bool]:
    atoms = frame.to_atoms()
    atoms.calc = calculator
    optimizer = BFGS(atoms, logfile=None)
    converged = bool(optimizer.run(fmax=settings.end_fmax, steps=settings.end_steps))
    progress.calls += optimizer.nsteps + 1
    return atoms, converged


def _interpolate(ends: list[Atoms], n_images: int) -> list[Atoms]:
    """Put images between the ends by IDPP."""
    images = [ends[0], *(ends[0].copy() for _ in range(n_images)), ends[1]]
    NEB(images, method="improvedtangent").interpolate("idpp", mic=True)
    return images


def _check_ends(images: list[Atoms], hop: Hop) -> None:
    """Refuse a band whose ends fell into one minimum."""
    step = images[-1].positions[hop.ion] - images[0].positions[hop.ion]
    fractional = step @ np.linalg.inv(images[0].cell.array)
    distance = float(np.linalg.norm((fractional - np.rint(fractional)) @ images[0].cell.array))
    if distance < COLLAPSE_FRACTION * hop.distance:
        msg = (
            f"hop {hop.path_class}: expected relaxed ends about {hop.distance:.2f} Å apart, got "
            f"{distance:.2f} Å: one of them is no minimum; drop this hop, or check the reference"
        )
        raise ExplorationError(msg)


def _relax(
    images: list[Atoms],
    make_calculator: Callable[[int], Calculator],
    settings: BandSettings,
    progress: _Progress,
    checkpoint: Path | None,
) -> bool:
    """Relax the band, first plain to a loose threshold, then climbing."""
    for i, image in enumerate(images):
        if image.calc is None or not isinstance(image.calc, Calculator):
            image.calc = make_calculator(i)
            progress.calls += i in (0, len(images) - 1)  # the energy of an end that was read

    def after_step() -> None:
        progress.calls += settings.n_images
        _save(checkpoint, images, progress)

    neb = NEB(images, k=settings.spring, climb=False, method="improvedtangent")
    converged = False
    for climb, fmax, steps in (
        (False, 4 * settings.fmax, settings.max_steps // 2),
        (True, settings.fmax, settings.max_steps - settings.max_steps // 2),
    ):
        neb.climb = climb
        optimizer = FIRE(neb, logfile=None, maxstep=0.1)
        optimizer.attach(after_step, interval=1)
        converged = bool(optimizer.run(fmax=fmax, steps=steps))
    if not converged:
        logger.warning("band %s not converged to %s eV/Å", images[0].symbols, settings.fmax)
    return converged


def _save(checkpoint: Path | None, images: list[Atoms], progress: _Progress) -> None:
    if checkpoint is None:
        return
    info = asdict(progress) | {"earlier_s": progress.wall_s}
    bare = [Atoms(i.symbols, i.positions, cell=i.cell, pbc=True, info=info) for i in images]
    with whole(checkpoint) as scratch:
        write(scratch, bare, "extxyz")


def _load(checkpoint: Path | None) -> tuple[list[Atoms], _Progress]:
    """Read a checkpoint; one without a word on its ends counts as not converged."""
    if checkpoint is None or not checkpoint.exists():
        return [], _Progress()
    images = list(read(checkpoint, ":", format="extxyz"))
    info = images[0].info
    return images, _Progress(
        calls=int(info.get("calls", 0)),
        ends_converged=bool(info.get("ends_converged", False)),
        earlier_s=float(info.get("earlier_s", 0.0)),
    )
