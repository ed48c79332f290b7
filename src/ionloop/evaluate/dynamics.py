"""Molecular dynamics of any calculator, and what it shows: diffusion, radial distributions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.geometry.rdf import get_rdf
from ase.io.trajectory import Trajectory

from ionloop.errors import EvaluationError
from ionloop.evaluate.analysis import Sample, Source, analyse
from ionloop.evaluate.models import Model, Precision
from ionloop.evaluate.scorecard_schema import Dynamics, Rdf
from ionloop.files import whole
from ionloop.frame import frame_hash
from ionloop.profile import Profile
from ionloop.randomness import derive_seed
from ionloop.reference.base import hash_settings
from ionloop.reference.checkpoint import Checkpoint
from ionloop.reference.nvt import NvtRun, run_langevin

#: Frames that a radial distribution is the mean of, at most.
RDF_FRAMES = 50
#: Width of its shells, Å.
RDF_SHELL = 0.1
#: It goes so far, Å, or to half the cell's smallest height.
RDF_REACH = 8.0


@dataclass(frozen=True)
class DynamicsSettings:
    """How molecular dynamics is run: Langevin at constant volume, a bath's time of 1 ps.

    Parameters
    ----------
    picoseconds
        Length of each run.
    replicas
        Independent runs of each temperature, which are pooled.
    time_step
        fs.
    store_every
        Steps between stored frames.
    skip_share
        Share of each run that is left out as equilibration.
    min_height
        The cell is repeated until its heights are this or more, Å.
    random_seed
        Of velocities and bath of the first replica; those of others follow from it.
    precision
        Of MACE.

    Raises
    ------
    EvaluationError
        If there is no replica.
    """

    picoseconds: float = 20.0
    replicas: int = 1
    time_step: float = 2.0
    store_every: int = 25
    skip_share: float = 0.1
    min_height: float = 10.0
    random_seed: int = 0
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        """Refuse settings that run nothing."""
        if self.replicas < 1:
            msg = f"expected one replica or more, got {self.replicas}"
            raise EvaluationError(msg)


def run_dynamics(
    atoms: Atoms,
    model: Model,
    profile: Profile,
    settings: DynamicsSettings,
    folder: Path | None,
    tell: Callable[[str], None] = lambda _: None,
) -> Dynamics:
    """Run each of the profile's transport temperatures, and analyse the runs.

    Parameters
    ----------
    atoms
        A periodic cell, which is repeated; its volume is kept.
    model
        Who steers.
    profile
        Names mobile ion, its charge and the temperatures.
    settings
        How.
    folder
        Keeps trajectories and checkpoints, so that a killed run goes on; None keeps nothing.
    tell
        Is told what is being run.

    Raises
    ------
    EvaluationError
        If a run blows up, or is too short to be analysed.
    """
    repeats = repeats_for(atoms, settings.min_height)
    cell = atoms * repeats
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) if folder is None else folder / "md"
        place.mkdir(exist_ok=True)
        sources = []
        for temperature in sorted(set(profile.transport_temperatures)):
            for k in range(settings.replicas):
                which = f", replica {k + 1} of {settings.replicas}" if settings.replicas > 1 else ""
                tell(
                    f"{settings.picoseconds:g} ps of {len(cell)} atoms at {temperature:g} K{which}"
                )
                run = _nvt(temperature, settings, k)
                sources.append(Source(_trajectory(cell, model, run, settings, place), temperature))
        sample = Sample(
            mobile_ion=profile.mobile_ion,
            frame_interval_fs=settings.time_step * settings.store_every,
            charge=profile.formal_charges[profile.mobile_ion],
            skip_fs=1000 * settings.skip_share * settings.picoseconds,
        )
        return Dynamics(
            repeats=list(repeats),
            n_atoms=len(cell),
            transport=analyse(sources, sample, tell),
            rdf=radial(sources[0], profile.mobile_ion, settings.skip_share),
        )


def repeats_for(atoms: Atoms, min_height: float) -> tuple[int, int, int]:
    """Return repeats that make the cell's three heights ``min_height`` or more, Å."""
    heights = 1 / np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    a, b, c = np.maximum(np.ceil(min_height / heights - 1e-9), 1).astype(int).tolist()
    return a, b, c


def radial(source: Source, mobile_ion: str, skip_share: float) -> list[Rdf]:
    """Average the mobile ion's radial distributions to every element over frames of a run."""
    with Trajectory(source.path) as frames:
        first = round(skip_share * len(frames))
        chosen = np.unique(np.linspace(first, len(frames) - 1, RDF_FRAMES).astype(int))
        return _radial([frames[i] for i in chosen], source.temperature, mobile_ion)


def _radial(frames: Sequence[Atoms], temperature: float, mobile_ion: str) -> list[Rdf]:
    heights = 1 / np.linalg.norm(frames[0].cell.reciprocal().array, axis=1)
    reach = min(RDF_REACH, 0.499 * float(heights.min()))
    n_shells = max(int(reach / RDF_SHELL), 1)
    numbers = dict(zip(frames[0].get_chemical_symbols(), frames[0].numbers, strict=True))
    found = []
    for symbol in sorted(numbers):
        pair = (numbers[mobile_ion], numbers[symbol])
        each = [get_rdf(atoms, reach, n_shells, elements=pair) for atoms in frames]
        found.append(
            Rdf(
                pair=(mobile_ion, symbol),
                temperature=temperature,
                n_frames=len(frames),
                r=each[0][1].tolist(),
                g=np.mean([g for g, _ in each], axis=0).tolist(),
            )
        )
    return found


def _nvt(temperature: float, settings: DynamicsSettings, replica: int) -> NvtRun:
    seed = settings.random_seed
    n_steps = round(1000 * settings.picoseconds / settings.time_step)
    return NvtRun(
        temperature=temperature,
        n_steps=n_steps,
        time_step=settings.time_step,
        store_every=settings.store_every,
        seed=derive_seed(seed, "replica", replica) if replica else seed,
    )


def _trajectory(
    cell: Atoms, model: Model, run: NvtRun, settings: DynamicsSettings, folder: Path
) -> Path:
    """Run one temperature unless its trajectory is there, and return the trajectory's file.

    Raises
    ------
    EvaluationError
        If positions aren't finite.
    """
    start = frame_hash(cell.get_chemical_symbols(), cell.positions, cell.cell.array)
    key = hash_settings({**asdict(run), "start": start, "model": model.facts.sha256,
                         "precision": settings.precision})  # fmt: skip
    path = folder / f"{run.temperature:g}K-{key}.traj"
    if not path.exists():
        calculator: Calculator = model.calculator(settings.precision)
        checkpoint = Checkpoint(path.with_suffix(".npz"), key)
        positions = run_langevin(cell, calculator, run, checkpoint)
        if not np.isfinite(positions).all():
            msg = f"molecular dynamics at {run.temperature:g} K blew up: positions aren't finite"
            raise EvaluationError(msg)
        with whole(path) as scratch, Trajectory(scratch, "w") as out:
            for frame in positions:
                out.write(Atoms(cell.numbers, frame, cell=cell.cell, pbc=True))
        path.with_suffix(".npz").unlink(missing_ok=True)
    return path
