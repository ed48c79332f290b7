"""Whether molecular dynamics of a calculator stays physical: long, hot, and without a bath."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from monty.json import MSONable

from ionloop.errors import EvaluationError
from ionloop.evaluate.dynamics import repeats_for
from ionloop.evaluate.models import Model, Precision
from ionloop.evaluate.schema import Check, Estimate, Stability
from ionloop.evaluate.solid import ENERGIES_MIN, closest_contacts, energy_drift, lindemann
from ionloop.explore.guards import Guards, unphysical
from ionloop.explore.md import run_md
from ionloop.explore.replicas import MDPlan, MDRun
from ionloop.frame import frame_hash
from ionloop.profile import Profile
from ionloop.reference.base import hash_settings
from ionloop.reference.checkpoint import Checkpoint
from ionloop.units import KB_EV_PER_K

#: A framework counts as molten if half of its atoms are above this Lindemann ratio.
LINDEMANN_LIMIT = 0.15
#: A drift may shift the temperature under the bath by this share.
DRIFT_SHARE = 0.01
#: Share of the long run that is left out as equilibration.
SKIP_SHARE = 0.1
#: Steps between two total energies.
ENERGY_EVERY = 5
#: A run that ended with fewer frames says nothing of the framework.
FRAMEWORK_FRAMES = 10


@dataclass(frozen=True)
class StabilitySettings(MSONable):
    """How stability is tried.

    Parameters
    ----------
    picoseconds
        Length of the run under a Langevin bath, whose time is 1 ps.
    temperature_factor
        Its temperature over the highest of the profile's transport temperatures.
    nve_ps
        Length of the run without a bath that follows, from where it ended.
    time_step
        fs.
    store_every
        Steps between stored frames, each of which is looked at.
    min_height
        The cell is repeated until its heights are this or more, Å; 0 takes it as it is.
    random_seed
        Of velocities and bath.
    precision
        Of MACE.

    Raises
    ------
    EvaluationError
        If a run is too short to be judged.
    """

    picoseconds: float = 500.0
    temperature_factor: float = 1.2
    nve_ps: float = 10.0
    time_step: float = 2.0
    store_every: int = 50
    min_height: float = 10.0
    random_seed: int = 0
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        """Refuse runs that are too short, before hours of work."""
        for name, given, steps in (
            ("picoseconds", self.picoseconds, FRAMEWORK_FRAMES * self.store_every),
            ("nve_ps", self.nve_ps, ENERGIES_MIN * ENERGY_EVERY),
        ):
            needed = steps * self.time_step / 1000
            if not given >= needed:
                msg = (
                    f"stability: expected {name} of {needed:g} ps or more, got {given:g}; "
                    "run for longer, or leave stability out"
                )
                raise EvaluationError(msg)


def run_stability(
    atoms: Atoms,
    model: Model,
    profile: Profile,
    settings: StabilitySettings,
    folder: Path | None,
    tell: Callable[[str], None] = lambda _: None,
) -> Stability:
    """Run hot for long, then without a bath, and say what became of the solid.

    The first run ends where contacts, temperature or energy are unphysical; then there is no
    second one.

    Parameters
    ----------
    atoms
        A periodic cell, which is repeated; its volume is kept.
    model
        Who steers.
    profile
        Names the mobile ion, the temperatures and the nearest that atoms may come.
    settings
        How.
    folder
        Keeps where the long run stands, so that a killed one goes on; None keeps nothing.
    tell
        Is told what is being run.

    Raises
    ------
    EvaluationError
        If the framework has fewer than two atoms.
    """
    repeats = repeats_for(atoms, settings.min_height)
    cell = atoms * repeats
    temperature = settings.temperature_factor * max(profile.transport_temperatures)
    tell(f"{settings.picoseconds:g} ps of {len(cell)} atoms at {temperature:g} K")
    guards = Guards(min_distance_fraction=profile.min_distance_fraction)
    run = _hot(cell, model, temperature, guards, settings, folder)
    framework = np.flatnonzero(np.array(cell.get_chemical_symbols()) != profile.mobile_ion)
    positions = np.array(run.positions)
    kept = positions[round(SKIP_SHARE * len(positions)) :]
    ratios = lindemann(kept, framework, cell)
    free = None
    if run.stopped is None:
        tell(f"{settings.nve_ps:g} ps without a bath")
        free = _without_bath(cell, run, model, temperature, guards, settings)
    refused = (run.refused, None if free is None else free.refused)
    seen = [*positions, *(x for x in refused if x is not None and np.isfinite(x).all())]
    return Stability(
        temperature=temperature,
        repeats=list(repeats),
        n_atoms=len(cell),
        picoseconds=settings.picoseconds,
        survived_ps=run.step * settings.time_step / 1000,
        stopped=run.stopped,
        lindemann=float(np.median(ratios)),
        wandering=float((ratios > LINDEMANN_LIMIT).mean()),
        contacts=closest_contacts(Atoms(cell.numbers, x, cell=cell.cell, pbc=True) for x in seen),
        nve_ps=free.picoseconds if free else 0.0,
        drift=free.drift if free else None,
        scatter=free.scatter if free else None,
        checks=_checks(run, ratios, len(kept), free, temperature, settings),
    )


def _hot(
    cell: Atoms,
    model: Model,
    temperature: float,
    guards: Guards,
    settings: StabilitySettings,
    folder: Path | None,
) -> MDRun:
    """Run under the bath; what an earlier call had is gone on with."""
    plan = MDPlan(
        temperature=temperature,
        n_steps=round(1000 * settings.picoseconds / settings.time_step),
        time_step=settings.time_step,
        store_every=settings.store_every,
        check_every=settings.store_every,
        seed=settings.random_seed,
    )
    start = frame_hash(cell.get_chemical_symbols(), cell.positions, cell.cell.array)
    key = hash_settings({**asdict(plan), "start": start, "model": model.facts.sha256,
                         "precision": settings.precision,
                         "contact": guards.min_distance_fraction})  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) if folder is None else folder / "md"
        place.mkdir(exist_ok=True)
        checkpoint = Checkpoint(place / f"stability-{key}.npz", key)
        (run,) = run_md(
            [cell], model.calculator(settings.precision), plan, guards, checkpoint=checkpoint
        )
    return run


@dataclass(frozen=True)
class _Free:
    """A run without a bath: its length, why and where it ended early, or the energy's drift."""

    picoseconds: float
    stopped: str | None = None
    refused: np.ndarray | None = None
    drift: Estimate | None = None
    scatter: float | None = None


def _without_bath(
    cell: Atoms,
    hot: MDRun,
    model: Model,
    temperature: float,
    guards: Guards,
    settings: StabilitySettings,
) -> _Free:
    """Run without a bath; the total energy's drift is in meV/atom/ps, its scatter in meV/atom."""
    atoms = cell.copy()
    atoms.positions[:] = hot.positions[-1]
    atoms.calc = model.calculator(settings.precision)
    rng = np.random.default_rng([settings.random_seed, 1])
    thermalize_momenta(atoms, temperature_K=temperature, rng=rng)
    dynamics = VelocityVerlet(atoms, settings.time_step * units.fs)
    block_ps = ENERGY_EVERY * settings.time_step / 1000
    energies = [1000 * atoms.get_total_energy() / len(atoms)]
    for n in range(1, round(settings.nve_ps / block_ps) + 1):
        dynamics.run(ENERGY_EVERY)
        reason = unphysical(
            atoms,
            guards,
            temperature=temperature,
            energy=atoms.get_potential_energy() / len(atoms),
            energy_start=hot.energy_start or 0.0,
        )
        if reason is not None:
            return _Free(n * block_ps, stopped=reason, refused=atoms.positions.copy())
        energies.append(1000 * atoms.get_total_energy() / len(atoms))
    times = np.arange(len(energies)) * block_ps
    slope, error, scatter = energy_drift(times, np.array(energies))
    drift = Estimate(
        value=slope,
        error=error,
        unit="meV/atom/ps",
        estimator=f"line through the total energy, velocity Verlet, {settings.time_step:g} fs; "
        "error of the slopes of five pieces",
        admissible=bool(np.isfinite(slope)),
    )
    return _Free(float(times[-1]), drift=drift, scatter=scatter)


def drift_limit(temperature: float, friction: float = MDPlan.friction) -> float:
    """Return the drift that shifts the temperature under a Langevin bath by 1 %, meV/atom/ps.

    The bath takes 2 γ (E_kin - 3/2 kT) an atom and time; in balance with a drift P the
    temperature is P / (3 k γ) too high.

    Parameters
    ----------
    temperature
        K.
    friction
        γ, 1/fs.
    """
    return DRIFT_SHARE * 3 * KB_EV_PER_K * temperature * friction * 1e6


def _checks(
    run: MDRun,
    ratios: np.ndarray,
    n_frames: int,
    free: _Free | None,
    temperature: float,
    settings: StabilitySettings,
) -> list[Check]:
    """Apply the rules that the runs lasted for."""
    ended = f"ended after {run.step * settings.time_step / 1000:g} ps: {run.stopped}"
    asked = f"{settings.picoseconds:g} ps at {temperature:g} K"
    found = [
        Check(
            name="the run stays physical",
            passed=run.stopped is None,
            detail=asked if run.stopped is None else ended,
        )
    ]
    if n_frames >= FRAMEWORK_FRAMES - 1:
        detail = (
            f"Lindemann ratio {np.median(ratios):.3f} (median), expected at most "
            f"{LINDEMANN_LIMIT:g}; {100 * (ratios > LINDEMANN_LIMIT).mean():.2g} % of the atoms "
            "are beyond it"
        )
        solid = bool(np.median(ratios) <= LINDEMANN_LIMIT)
        found.append(Check(name="the framework stays solid", passed=solid, detail=detail))
    return found if free is None else [*found, _conserved(free, temperature)]


def _conserved(free: _Free, temperature: float) -> Check:
    name, limit = "energy is conserved", drift_limit(temperature)
    if free.drift is None or free.drift.value is None:
        detail = f"without a bath it ended after {free.picoseconds:g} ps: {free.stopped}"
        return Check(name=name, passed=False, detail=detail)
    detail = (
        f"{free.drift.value:+.3g} ± {free.drift.error or 0:.2g} meV/atom/ps, expected at most "
        f"{limit:.2g}: 1 % of the temperature under the bath"
    )
    passed = free.drift.admissible and abs(free.drift.value) <= limit
    return Check(name=name, passed=passed, detail=detail)
