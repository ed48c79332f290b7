"""Thermal expansion and compressibility by molecular dynamics at constant pressure."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from monty.json import MSONable

from ionloop.errors import EvaluationError
from ionloop.evaluate.averages import (
    BLOCKS,
    TEMPERATURES_MIN,
    bulk_modulus,
    mean_of,
    slope,
    trend,
)
from ionloop.evaluate.dynamics import repeats_for
from ionloop.evaluate.models import Model, Precision
from ionloop.evaluate.npt import NptPlan, NptRun, run_npt
from ionloop.evaluate.schema import Check, Estimate
from ionloop.evaluate.scorecard_schema import Expansion, ExpansionPoint
from ionloop.evaluate.solid import lindemann
from ionloop.evaluate.stability import LINDEMANN_LIMIT
from ionloop.explore.guards import Guards
from ionloop.frame import frame_hash
from ionloop.profile import Profile
from ionloop.reference.base import hash_settings
from ionloop.reference.checkpoint import Checkpoint

#: Below this probability of its rank correlation with time, a volume hasn't settled.
TREND_P_MIN = 0.001


@dataclass(frozen=True)
class ExpansionSettings(MSONable):
    """How expansion is measured.

    Parameters
    ----------
    temperatures
        K; three or more.
    picoseconds
        Length of each run.
    skip_share
        Share of each run that is left out as equilibration.
    time_step
        fs.
    store_every
        Steps between stored frames.
    min_height
        The cell is repeated until its heights are this or more, Å.
    random_seed
        Of velocities and baths.
    precision
        Of MACE.
    """

    temperatures: tuple[float, ...] = (300.0, 450.0, 600.0, 750.0)
    picoseconds: float = 20.0
    skip_share: float = 0.2
    time_step: float = 2.0
    store_every: int = 10
    min_height: float = 10.0
    random_seed: int = 0
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        """Refuse temperatures that make no line.

        Raises
        ------
        EvaluationError
            If there are fewer than three different ones above 0 K.
        """
        if len(set(self.temperatures)) < TEMPERATURES_MIN or min(self.temperatures) <= 0:
            msg = (
                f"thermal expansion: expected {TEMPERATURES_MIN} or more temperatures above 0 K, "
                f"got {', '.join(f'{t:g}' for t in self.temperatures) or 'none'}"
            )
            raise EvaluationError(msg)


def run_expansion(
    atoms: Atoms,
    model: Model,
    profile: Profile,
    settings: ExpansionSettings,
    folder: Path | None,
    tell: Callable[[str], None] = lambda _: None,
) -> Expansion:
    r"""Run at zero pressure and several temperatures, and fit the expansion.

    .. math:: \alpha_V = \frac{d \ln V}{d T}, \quad
              B_T = k_B T \frac{\langle V \rangle}{\langle V^2 \rangle - \langle V \rangle^2}

    Parameters
    ----------
    atoms
        A periodic cell, which is repeated.
    model
        Who steers; it needs stress.
    profile
        Names the mobile ion: all others are the framework.
    settings
        How.
    folder
        Keeps the runs, so that a killed one goes on; None keeps nothing.
    tell
        Is told what is being run.

    Raises
    ------
    EvaluationError
        If the model has no stress, or runs are too short.
    """
    repeats = repeats_for(atoms, settings.min_height)
    cell = atoms * repeats
    framework = np.flatnonzero(np.array(cell.get_chemical_symbols()) != profile.mobile_ion)
    guards = Guards(min_distance_fraction=profile.min_distance_fraction)
    points = []
    with tempfile.TemporaryDirectory(prefix="ionloop-npt-") as scratch:
        for i, temperature in enumerate(sorted(set(settings.temperatures))):
            tell(f"{settings.picoseconds:g} ps of {len(cell)} atoms at {temperature:g} K, 0 GPa")
            run = _run(cell, model, temperature, i, settings, guards, folder or Path(scratch))
            points.append(point_of(run, temperature, framework, settings))
    return expansion_of(points, list(repeats), len(cell), settings.picoseconds)


def _run(
    cell: Atoms,
    model: Model,
    temperature: float,
    i: int,
    settings: ExpansionSettings,
    guards: Guards,
    folder: Path,
) -> NptRun:
    plan = NptPlan(
        temperature=temperature,
        n_steps=round(1000 * settings.picoseconds / settings.time_step),
        time_step=settings.time_step,
        store_every=settings.store_every,
        seed=settings.random_seed + i,
    )
    start = frame_hash(cell.get_chemical_symbols(), cell.positions, cell.cell.array)
    key = hash_settings({**asdict(plan), "start": start, "model": model.facts.sha256,
                         "precision": settings.precision, "guards": asdict(guards)})  # fmt: skip
    path = folder / "npt" / f"{temperature:g}K-{key}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    return run_npt(cell, model.calculator(settings.precision), plan, guards, Checkpoint(path, key))


def point_of(
    run: NptRun, temperature: float, framework: np.ndarray, settings: ExpansionSettings
) -> ExpansionPoint:
    """Average a run; what speaks against it stands with its volume.

    Raises
    ------
    EvaluationError
        If the run is too short for blocks, and wasn't ended early.
    """
    n_atoms = run.scaled.shape[1]
    skip = round(settings.skip_share * (len(run.cells) - 1))
    kept = slice(max(skip, 1), None)
    volumes = run.volumes[kept] / n_atoms
    picoseconds = (len(run.cells) - 1) * settings.time_step * settings.store_every / 1000
    if len(volumes) < 2 * BLOCKS:
        if run.stopped is None:
            msg = (
                f"thermal expansion: expected {2 * BLOCKS} frames or more after equilibration, got "
                f"{len(volumes)}; run longer or store more often"
            )
            raise EvaluationError(msg)
        return ExpansionPoint(
            temperature=temperature, picoseconds=picoseconds, stopped=run.stopped,
            volume=_missing("Å³/atom", f"the run ended: {run.stopped}"), lengths=[],
            bulk_modulus=_missing("GPa", f"the run ended: {run.stopped}"), lindemann=None,
        )  # fmt: skip
    cell = run.cells[kept].mean(axis=0)
    start = Atoms(numbers=np.ones(n_atoms), positions=run.scaled[0] @ cell, cell=cell, pbc=True)
    ratio = float(np.median(lindemann(run.scaled[kept] @ cell, framework, start)))
    doubts = []
    if run.stopped:
        doubts.append(f"the run ended: {run.stopped}")
    if ratio > LINDEMANN_LIMIT:
        doubts.append(
            f"the framework melts: Lindemann ratio {ratio:.2f}, expected at most "
            f"{LINDEMANN_LIMIT:g}"
        )
    if (p_value := trend(volumes)) < TREND_P_MIN:
        doubts.append(f"the volume still drifts (p = {p_value:.1e}): run longer")
    reason = "; ".join(doubts) or None
    return ExpansionPoint(
        temperature=temperature,
        picoseconds=picoseconds,
        stopped=run.stopped,
        volume=mean_of(volumes, "Å³/atom", reason),
        lengths=[mean_of(series, "Å", reason) for series in run.lengths[kept].T],
        bulk_modulus=bulk_modulus(run.volumes[kept], temperature, reason),
        lindemann=ratio,
    )


def _missing(unit: str, reason: str) -> Estimate:
    return Estimate(
        value=None, unit=unit, estimator="mean over blocks", admissible=False, reason=reason
    )


def expansion_of(
    points: Sequence[ExpansionPoint], repeats: list[int], n_atoms: int, picoseconds: float
) -> Expansion:
    """Fit the expansion through the temperatures whose volume is admissible."""
    usable = [point for point in points if point.volume.admissible]
    left_out = [
        f"{point.temperature:g} K: {point.volume.reason}" for point in points if point not in usable
    ]
    checks = [
        Check(
            name="the cell settles at each temperature",
            passed=not left_out,
            detail="; ".join(left_out) or f"{len(points)} temperatures",
        )
    ]
    temperatures = np.array([point.temperature for point in usable])
    volume = slope(temperatures, [point.volume for point in usable])
    lengths = [slope(temperatures, [point.lengths[axis] for point in usable]) for axis in range(3)]
    return Expansion(
        repeats=repeats,
        n_atoms=n_atoms,
        picoseconds=picoseconds,
        points=list(points),
        alpha_volume=volume,
        alpha_axes=lengths,
        checks=checks,
    )
