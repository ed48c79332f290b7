"""Langevin MD that watches itself, and that can be stopped and resumed at any moment.

ASE integrates. What is ours: one model steers (members take turns between trajectories)
while the whole committee judges a frame every ``check_every`` steps; the run ends by
itself where it becomes unphysical, and keeps what it has.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from ionloop.frame import Frame, Origin
from ionloop.reference.quality import closest_contact
from ionloop.units import KB_EV_PER_K

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MDPlan:
    """One run.

    Parameters
    ----------
    temperature
        K.
    n_steps, time_step, store_every
        Steps, fs, and steps between stored frames.
    check_every
        Steps between judgements of the committee; a multiple of ``store_every``.
    friction
        Langevin friction, 1/fs; at 0.001 the bath's time of 1 ps is long beside a hop, so
        that it hardly slows diffusion.
    seed
        Seed of velocities and thermostat.
    checkpoint_every
        Steps between checkpoints.
    """

    temperature: float
    n_steps: int
    time_step: float = 2.0
    store_every: int = 5
    check_every: int = 20
    friction: float = 0.001
    seed: int = 0
    checkpoint_every: int = 500


@dataclass(frozen=True)
class Guards:
    """Limits beyond which a state is unphysical.

    Parameters
    ----------
    sigma_ceiling
        Largest calibrated uncertainty of a mobile ion, eV/Å.
    min_distance_fraction
        Closest contact as a fraction of the covalent radii's sum.
    temperature_factor
        Largest instantaneous over set temperature.
    energy_margin
        Largest potential energy above the start's beyond 3 times the harmonic 3/2 kT,
        eV/atom.
    """

    sigma_ceiling: float = np.inf
    min_distance_fraction: float = 0.6
    temperature_factor: float = 3.0
    energy_margin: float = 0.3


@dataclass
class MDRun:
    """What a run has so far.

    ``positions`` are unwrapped, one [n, 3] array a stored frame, Å; ``checks`` are
    (index of the stored frame, calibrated uncertainty in eV/Å).
    """

    step: int = 0
    positions: list[np.ndarray] = field(default_factory=list)
    checks: list[tuple[int, float]] = field(default_factory=list)
    energy_start: float | None = None
    stopped: str | None = None


def run_md(
    atoms: Atoms,
    calculator: Calculator,
    plan: MDPlan,
    guards: Guards,
    uncertainty: Callable[[Atoms], float] | None = None,
    checkpoint: Path | None = None,
) -> MDRun:
    """Run Langevin MD until it is done or unphysical.

    Parameters
    ----------
    atoms
        Start; not changed.
    calculator
        Who steers.
    plan, guards
        What to run, and when to stop.
    uncertainty
        Gives the calibrated uncertainty of a frame, largest over mobile ions, eV/Å.
        None: the committee isn't asked.
    checkpoint
        File without suffix; an interrupted run that is called again goes on from it.

    Returns
    -------
    MDRun
        Stored frames and judgements; ``stopped`` says why it ended early. The state that
        was refused isn't kept.
    """
    rng = np.random.default_rng(plan.seed)
    atoms = atoms.copy()
    # Half of this turns into potential energy: the start has no thermal displacements.
    thermalize_momenta(atoms, temperature_K=2 * plan.temperature, rng=rng)
    run = MDRun(positions=[atoms.positions.copy()])
    if checkpoint is not None:
        run = load_checkpoint(checkpoint, atoms, rng) or run
    atoms.calc = calculator
    dynamics = Langevin(
        atoms,
        plan.time_step * units.fs,
        temperature_K=plan.temperature,
        friction=plan.friction / units.fs,
        fixcm=False,
        rng=rng,
    )
    if run.energy_start is None:
        run.energy_start = float(atoms.get_potential_energy()) / len(atoms)
    while run.step < plan.n_steps and run.stopped is None:
        dynamics.run(plan.store_every)
        run.step += plan.store_every
        run.positions.append(atoms.positions.copy())
        run.stopped = _unphysical(atoms, plan, guards, run.energy_start)
        if run.stopped is None and uncertainty is not None and run.step % plan.check_every == 0:
            sigma = uncertainty(atoms)
            run.checks.append((len(run.positions) - 1, sigma))
            if sigma > guards.sigma_ceiling:
                run.stopped = (
                    f"uncertainty {sigma:.2f} eV/Å above the ceiling {guards.sigma_ceiling:.2f}"
                )
        if run.stopped is not None:
            run.positions.pop()
        # A refused state is never gone on from: a resumed run comes to it again.
        due = run.stopped is None and run.step % plan.checkpoint_every < plan.store_every
        if checkpoint is not None and due:
            save_checkpoint(checkpoint, run, atoms, rng)
    return run


def _unphysical(atoms: Atoms, plan: MDPlan, guards: Guards, energy_start: float) -> str | None:
    """Say in words what is unphysical about a state; None if nothing is."""
    if not np.isfinite(atoms.positions).all():
        return "positions are not numbers"
    temperature = float(atoms.get_temperature())
    if temperature > guards.temperature_factor * plan.temperature:
        return f"temperature {temperature:.0f} K at a set {plan.temperature:.0f} K"
    rise = float(atoms.get_potential_energy()) / len(atoms) - energy_start
    limit = 4.5 * KB_EV_PER_K * plan.temperature + guards.energy_margin
    if abs(rise) > limit:
        return f"potential energy changed by {rise:+.2f} eV/atom, more than {limit:.2f}"
    contact = closest_contact(Frame.from_atoms(atoms, origin=Origin.RANDOM, group="md"))
    if contact < guards.min_distance_fraction:
        return f"atoms at {contact:.2f} of their covalent radii's sum"
    return None


def save_checkpoint(checkpoint: Path, run: MDRun, atoms: Atoms, rng: np.random.Generator) -> None:
    """Write all that is needed to go on, by one atomic rename."""
    scratch = checkpoint.with_suffix(".tmp.npz")
    np.savez(
        scratch,
        positions=np.array(run.positions),
        checks=np.array(run.checks, float).reshape(-1, 2),
        momenta=atoms.get_momenta(),
        step=run.step,
        energy_start=np.array(run.energy_start, float),
        rng=json.dumps(rng.bit_generator.state),
    )
    scratch.replace(checkpoint.with_suffix(".npz"))


def load_checkpoint(checkpoint: Path, atoms: Atoms, rng: np.random.Generator) -> MDRun | None:
    """Bring atoms and generator back to a checkpoint; None if there is none."""
    path = checkpoint.with_suffix(".npz")
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as npz:
        state: dict[str, Any] = {key: npz[key] for key in npz.files}
    atoms.positions[:] = state["positions"][-1]
    atoms.set_momenta(state["momenta"])
    rng.bit_generator.state = json.loads(str(state["rng"]))
    return MDRun(
        step=int(state["step"]),
        positions=list(state["positions"]),
        checks=[(int(i), float(s)) for i, s in state["checks"]],
        energy_start=float(state["energy_start"]),
    )
