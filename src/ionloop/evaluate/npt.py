"""Molecular dynamics at constant pressure, whose cell fluctuates as it should."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.velocitydistribution import thermalize_momenta

from ionloop.errors import EvaluationError
from ionloop.explore.guards import Guards, unphysical
from ionloop.reference.checkpoint import Checkpoint

#: Largest factor by which the volume may change before a run counts as unphysical.
VOLUME_FACTOR = 1.5


@dataclass(frozen=True)
class NptPlan:
    """One run at zero pressure.

    Parameters
    ----------
    temperature
        K; velocities start at twice it, since half turns into potential energy.
    n_steps, time_step, store_every
        Steps, fs, and steps between stored frames.
    seed
        Of velocities, thermostat and barostat.
    thermostat_fs, barostat_fs
        Times of the two baths, fs.
    """

    temperature: float
    n_steps: int
    time_step: float
    store_every: int
    seed: int
    thermostat_fs: float = 200.0
    barostat_fs: float = 1000.0

    @property
    def n_frames(self) -> int:
        """Stored frames of a whole run, the start included."""
        return self.n_steps // self.store_every + 1


@dataclass(frozen=True)
class NptRun:
    """What a run stored.

    Parameters
    ----------
    scaled
        Continuous fractional positions, shape [n_frames, n, 3].
    cells
        Lattice vectors as rows, shape [n_frames, 3, 3], Å.
    stopped
        Why it ended early; None if it didn't.
    """

    scaled: np.ndarray
    cells: np.ndarray
    stopped: str | None

    @property
    def volumes(self) -> np.ndarray:
        """Shape [n_frames], Å³."""
        return np.asarray(np.abs(np.linalg.det(self.cells)))

    @property
    def lengths(self) -> np.ndarray:
        """Lengths of the lattice vectors, shape [n_frames, 3], Å."""
        return np.asarray(np.linalg.norm(self.cells, axis=2))


def run_npt(
    atoms: Atoms,
    calculator: Calculator,
    plan: NptPlan,
    guards: Guards,
    checkpoint: Checkpoint | None = None,
) -> NptRun:
    """Run at constant temperature and zero pressure, cell shape and volume free.

    Langevin baths for atoms and cell (Quigley and Probert, J. Chem. Phys. 120, 11432 (2004)) by
    ASE: unlike Berendsen's bath, which is more common, it samples the ensemble, so that
    fluctuations of the volume mean something. A killed run goes on from its checkpoint.

    Parameters
    ----------
    atoms
        Start; not changed.
    calculator
        Energies, forces and stress.
    plan
        What to run.
    guards
        Limits, looked at in each stored frame; beyond them the run ends.
    checkpoint
        None: a killed run starts anew.

    Raises
    ------
    EvaluationError
        If the calculator has no stress.
    """
    atoms = atoms.copy()
    rng = np.random.default_rng(plan.seed)
    thermalize_momenta(atoms, temperature_K=2 * plan.temperature, rng=rng)
    atoms.calc = calculator
    energy_start = _energy(atoms)
    scaled, cells = [atoms.cell.scaled_positions(atoms.positions)], [atoms.cell.array.copy()]
    stopped: str | None = None
    state = checkpoint.load() if checkpoint else None
    if state is not None:
        scaled, cells = list(state["scaled"]), list(state["cells"])
        atoms.set_cell(cells[-1])
        atoms.positions[:] = scaled[-1] @ cells[-1]
        atoms.set_momenta(state["momenta"])
        rng.bit_generator.state = json.loads(str(state["rng"]))
        stopped = str(state["stopped"]) or None
    with warnings.catch_warnings():  # its rule for the cell's mass is the one that is wanted
        warnings.filterwarnings("ignore", message="Using heuristic P_mass")
        dynamics = LangevinBAOAB(
            atoms,
            plan.time_step * units.fs,
            temperature_K=plan.temperature,
            externalstress=0.0,
            T_tau=plan.thermostat_fs * units.fs,
            P_tau=plan.barostat_fs * units.fs,
            rng=rng,
        )
    if state is not None:
        # Tensors once it moves; the force on the cell has the velocities of half a step before.
        dynamics.p_eps, dynamics.force_eps = state["p_eps"], state["force_eps"]  # type: ignore[assignment]
    while stopped is None and len(scaled) < plan.n_frames:
        dynamics.run(plan.store_every)
        stopped = _unphysical(atoms, guards, plan.temperature, energy_start, cells[0])
        if stopped is None:
            scaled.append(atoms.cell.scaled_positions(atoms.positions))
            cells.append(atoms.cell.array.copy())
        if checkpoint and (checkpoint.due or stopped or len(scaled) == plan.n_frames):
            checkpoint.save(
                scaled=np.array(scaled),
                cells=np.array(cells),
                momenta=atoms.get_momenta(),
                p_eps=np.asarray(dynamics.p_eps),
                force_eps=np.asarray(dynamics.force_eps),
                rng=np.array(json.dumps(rng.bit_generator.state)),
                stopped=np.array(stopped or ""),
            )
    return NptRun(np.array(scaled), np.array(cells), stopped)


def _energy(atoms: Atoms) -> float:
    """Return the potential energy, eV/atom, of a calculator that has stress."""
    try:
        atoms.get_stress()
    except (PropertyNotImplementedError, NotImplementedError) as error:
        msg = f"expected a calculator with stress for constant pressure, got none ({error})"
        raise EvaluationError(msg) from error
    return float(atoms.get_potential_energy() / len(atoms))


def _unphysical(
    atoms: Atoms, guards: Guards, temperature: float, energy_start: float, first: np.ndarray
) -> str | None:
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        return "positions are not numbers"
    factor = atoms.get_volume() / abs(np.linalg.det(first))
    if not 1 / VOLUME_FACTOR < factor < VOLUME_FACTOR:
        return f"the volume is {factor:.2f} times that of the start"
    energy = float(atoms.get_potential_energy() / len(atoms))
    return unphysical(
        atoms, guards, temperature=temperature, energy=energy, energy_start=energy_start
    )
