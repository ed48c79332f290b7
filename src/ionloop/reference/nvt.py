"""NVT runs of teachers: what is asked, and how ASE does it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from ionloop.reference.checkpoint import Checkpoint

#: Langevin friction, 1/fs; the bath's time of 1 ps is long beside a hop.
FRICTION = 0.001


@dataclass(frozen=True)
class NvtRun:
    """One NVT run.

    Parameters
    ----------
    temperature
        K; velocities start at twice it, since half turns into potential energy.
    n_steps, time_step, store_every
        Steps, fs, and steps between stored frames.
    seed
        Seed of velocities and thermostat.
    """

    temperature: float
    n_steps: int
    time_step: float
    store_every: int
    seed: int

    @property
    def n_frames(self) -> int:
        """Stored frames, the start included."""
        return self.n_steps // self.store_every + 1


def run_langevin(
    atoms: Atoms, calculator: Calculator, run: NvtRun, checkpoint: Checkpoint | None = None
) -> np.ndarray:
    """Run Langevin NVT by ASE.

    A checkpoint holds frames, momenta and the state of the random generator, so that a
    killed run goes on bit for bit where forces depend on positions alone. A calculator
    that remembers earlier steps (neighbour lists with a skin, a start for the electrons)
    gives forces that differ in the last digits: the trajectory then parts from the one
    that wasn't killed after some ps, and is another sample of the same ensemble.

    Parameters
    ----------
    atoms
        Start; not changed.
    calculator
        Who computes the forces.
    run
        What to run.
    checkpoint
        None: a killed run starts anew.

    Returns
    -------
    np.ndarray
        Unwrapped positions, shape [n_frames, n, 3], Å.
    """
    rng = np.random.default_rng(run.seed)
    atoms = atoms.copy()
    thermalize_momenta(atoms, temperature_K=2 * run.temperature, rng=rng)
    frames = [atoms.positions.copy()]
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        frames = list(state["frames"])
        atoms.positions[:] = frames[-1]
        atoms.set_momenta(state["momenta"])
        rng.bit_generator.state = json.loads(str(state["rng"]))
    atoms.calc = calculator
    dynamics = Langevin(
        atoms,
        run.time_step * units.fs,
        temperature_K=run.temperature,
        friction=FRICTION / units.fs,
        fixcm=False,
        rng=rng,
    )
    while len(frames) < run.n_frames:
        dynamics.run(run.store_every)
        frames.append(atoms.positions.copy())
        if checkpoint and (checkpoint.due or len(frames) == run.n_frames):
            checkpoint.save(
                frames=np.array(frames),
                momenta=atoms.get_momenta(),
                rng=np.array(json.dumps(rng.bit_generator.state)),
            )
    return np.array(frames)
