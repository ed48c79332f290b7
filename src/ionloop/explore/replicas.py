"""Replicas of one cell that run side by side as one batch of atoms.

Small cells leave a model's time to overhead, which a batch shares. ASE integrates the whole
batch as if it were one system; no replica sees another, and one that ends leaves the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from ionloop.explore.bias import Biased
from ionloop.explore.driver import stack
from ionloop.explore.guards import Guards, unphysical

#: Gives the calibrated uncertainty of each replica, largest over mobile ions, eV/Å.
Judge = Callable[[Sequence[Atoms]], Sequence[float] | np.ndarray]
#: Gives the same of the step that was just made, by what the steering model itself knows.
Watch = Callable[[], np.ndarray]


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
    equilibration_steps, equilibration_friction
        Before the run, under a strong bath, 1/fs: it warms a start at rest without the
        surge of velocities at twice the temperature, which throws young models off.
    seed
        Seed of velocities and thermostat.
    """

    temperature: float
    n_steps: int
    time_step: float = 2.0
    store_every: int = 5
    check_every: int = 20
    friction: float = 0.001
    equilibration_steps: int = 150
    equilibration_friction: float = 0.02
    seed: int = 0


@dataclass
class MDRun:
    """What a run has so far.

    ``positions`` are unwrapped, one [n, 3] array a stored frame, Å; ``checks`` are
    (index of the stored frame, calibrated uncertainty in eV/Å); ``peaks`` are the same of the
    frame that looked most uncertain to the watch between two of the committee's judgements.
    ``refused`` is the state that ended the run, which isn't among the positions.
    """

    step: int = 0
    positions: list[np.ndarray] = field(default_factory=list)
    checks: list[tuple[int, float]] = field(default_factory=list)
    peaks: list[tuple[int, float]] = field(default_factory=list)
    energy_start: float | None = None
    stopped: str | None = None
    refused: np.ndarray | None = None


class Replicas:
    """Replicas that run side by side, and what each has shown.

    Parameters
    ----------
    starts, calculator, plan, guards
        As for :func:`run_md`.
    rng
        Velocities and thermostat of all.
    watch
        Looks at every stored frame; None: nobody does.
    """

    def __init__(
        self,
        starts: Sequence[Atoms],
        calculator: Calculator,
        plan: MDPlan,
        guards: Guards,
        rng: np.random.Generator,
        watch: Watch | None = None,
    ) -> None:
        self.calculator, self.plan, self.guards, self.rng = calculator, plan, guards, rng
        self.watch = watch
        self.n_atoms = len(starts[0])
        self.runs = [MDRun(positions=[atoms.positions.copy()]) for atoms in starts]
        self.alive = list(range(len(starts)))
        self.step = 0
        self._take(stack(starts), plan.equilibration_friction)

    def equilibrate(self) -> None:
        """Warm the replicas under a strong bath; the energy at rest is what guards compare with."""
        for run, energy in zip(self.runs, self._energies(), strict=True):
            run.energy_start = float(energy) / self.n_atoms
        thermalize_momenta(self.atoms, temperature_K=self.plan.temperature, rng=self.rng)
        for _ in range(0, self.plan.equilibration_steps, self.plan.store_every):
            if not self.alive:
                break
            self.dynamics.run(self.plan.store_every)
            self._end([r and f"while it warmed up: {r}" for r in self._reasons()])
        for run, atoms in zip(self._running(), self.frames(), strict=True):
            run.positions = [atoms.positions.copy()]
        if self.alive:
            self._take(self.atoms, self.plan.friction)
        self._follow()

    def advance(self, uncertainty: Judge | None) -> None:
        """Go on to the next stored frame, and end the replicas that are unphysical there.

        The committee is asked every ``check_every`` steps, and where the watch says that a frame
        is above the ceiling.
        """
        self.dynamics.run(self.plan.store_every)
        self.step += self.plan.store_every
        frames, running = self.frames(), self._running()
        reasons = self._reasons()
        for run, atoms in zip(running, frames, strict=True):
            run.step = self.step
            run.positions.append(atoms.positions.copy())
        suspects = self._watched(running)
        whole = [k for k, reason in enumerate(reasons) if reason is None]
        due = self.step % self.plan.check_every == 0
        asked = [k for k in whole if due or k in suspects]
        if uncertainty is not None and asked:
            for k, sigma in zip(asked, uncertainty([frames[k] for k in asked]), strict=True):
                if due:
                    running[k].checks.append((len(running[k].positions) - 1, float(sigma)))
                if sigma > self.guards.sigma_ceiling:
                    reasons[k] = (
                        f"uncertainty {sigma:.2f} eV/Å above the ceiling "
                        f"{self.guards.sigma_ceiling:.2f}"
                    )
        for run, reason in zip(running, reasons, strict=True):
            if reason is not None:
                run.positions.pop()
                run.peaks = [peak for peak in run.peaks if peak[0] < len(run.positions)]
        self._end(reasons)
        self._follow()

    def _watched(self, running: Sequence[MDRun]) -> list[int]:
        """Watch the step: keep each run's peak, and return those above the ceiling."""
        if self.watch is None:
            return []
        values = self.watch()
        for run, value in zip(running, values.tolist(), strict=True):
            index = len(run.positions) - 1
            peak = run.peaks[-1] if run.peaks else None
            if peak is None or self._block(peak[0]) != self._block(index):
                run.peaks.append((index, value))
            elif value > peak[1]:
                run.peaks[-1] = (index, value)
        return np.flatnonzero(values > self.guards.sigma_ceiling).tolist()

    def _block(self, index: int) -> int:
        """Return which stretch between two of the committee's judgements a stored frame is in."""
        return (index * self.plan.store_every - 1) // self.plan.check_every

    def frames(self) -> list[Atoms]:
        """Return the running replicas, one by one."""
        n = self.n_atoms
        return [self.atoms[k * n : (k + 1) * n] for k in range(len(self.alive))]

    def _running(self) -> list[MDRun]:
        return [self.runs[k] for k in self.alive]

    def _follow(self) -> None:
        """Let a bias see the stored frames, which may change it."""
        if isinstance(self.calculator, Biased) and self.alive:
            self.calculator.follow(self.frames(), self.alive, self.step)

    def _energies(self) -> np.ndarray:
        total = self.atoms.get_potential_energy()
        return np.asarray(self.calculator.results.get("replica_energies", [total]), float)

    def _reasons(self) -> list[str | None]:
        """Say in words what is unphysical about each running replica; None if nothing is."""
        return [
            unphysical(
                atoms,
                self.guards,
                temperature=self.plan.temperature,
                energy=float(energy) / self.n_atoms,
                energy_start=run.energy_start or 0.0,
            )
            for atoms, energy, run in zip(
                self.frames(), self._energies(), self._running(), strict=True
            )
        ]

    def _end(self, reasons: Sequence[str | None]) -> None:
        """Let the replicas go that have a reason to end; the others run on."""
        if all(reason is None for reason in reasons):
            return
        friction = self.dynamics.fr * units.fs
        kept = []
        for atoms, k, reason in zip(self.frames(), list(self.alive), reasons, strict=True):
            self.runs[k].stopped = reason
            if reason is None:
                kept.append(atoms)
            else:
                self.runs[k].refused = atoms.positions.copy()
        self.alive = [k for k, r in zip(self.alive, reasons, strict=True) if r is None]
        if kept:
            self._take(stack(kept), friction)

    def _take(self, atoms: Atoms, friction: float) -> None:
        """Make these atoms the ones that run."""
        self.atoms = atoms
        self.atoms.calc = self.calculator
        self.dynamics = Langevin(
            atoms,
            self.plan.time_step * units.fs,
            temperature_K=self.plan.temperature,
            friction=friction / units.fs,
            fixcm=False,
            rng=self.rng,
        )

    def state(self) -> dict[str, np.ndarray]:
        """Return all that is needed to go on."""
        arrays = {"momenta": self.atoms.get_momenta()}
        for k, run in enumerate(self.runs):
            arrays[f"positions_{k}"] = np.array(run.positions)
            arrays[f"checks_{k}"] = np.array(run.checks, float).reshape(-1, 2)
            arrays[f"peaks_{k}"] = np.array(run.peaks, float).reshape(-1, 2)
            if run.refused is not None:
                arrays[f"refused_{k}"] = run.refused
        facts = {
            "step": self.step,
            "alive": self.alive,
            "rng": self.rng.bit_generator.state,
            "runs": [
                {"step": run.step, "energy_start": run.energy_start, "stopped": run.stopped}
                for run in self.runs
            ],
        }
        if isinstance(self.calculator, Biased):
            facts["bias"] = self.calculator.state()
        return arrays | {"facts": np.array(json.dumps(facts))}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go back to a state."""
        facts = json.loads(str(state["facts"]))
        self.step, self.alive = facts["step"], facts["alive"]
        self.rng.bit_generator.state = facts["rng"]
        if isinstance(self.calculator, Biased):
            self.calculator.restore(facts["bias"])
        self.runs = [
            MDRun(
                positions=list(state[f"positions_{k}"]),
                checks=[(int(i), float(s)) for i, s in state[f"checks_{k}"]],
                # A checkpoint from before the watch has none.
                peaks=[(int(i), float(s)) for i, s in state.get(f"peaks_{k}", [])],
                refused=state.get(f"refused_{k}"),
                **known,
            )
            for k, known in enumerate(facts["runs"])
        ]
        if self.alive:
            frames = self.frames()
            for atoms, run in zip(frames, self._running(), strict=True):
                atoms.positions[:] = run.positions[-1]
            together = stack(frames)
            together.set_momenta(state["momenta"])
            self._take(together, self.plan.friction)
