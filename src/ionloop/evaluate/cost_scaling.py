"""Time and memory of a step against the number of atoms, calculators side by side.

Each calculator lives in a process of its own, so that its memory is its own; timed steps are asked
of them in turn, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from ase import Atoms

from ionloop.errors import EvaluationError, IonloopError
from ionloop.evaluate.cost import cost_of, one_step
from ionloop.evaluate.machine import cpu_seconds, machine, peak_mb
from ionloop.evaluate.models import Model, Precision, resolve_model
from ionloop.evaluate.schema import Cost
from ionloop.evaluate.scorecard_schema import Scaling, SpeedUp
from ionloop.evaluate.speed_up import compare
from ionloop.processes import die_with_parent
from ionloop.settings import get_settings

#: Steps before the timed ones: TorchScript compiles during the first calls.
WARM_UP = 3
#: Sizes that the exponent is fitted to.
FITTED = 3


@dataclass(frozen=True)
class CostSettings:
    """How the cost is measured.

    Parameters
    ----------
    seconds
        Limit of the whole measurement after models are loaded, s: a size that is foreseen to pass
        it isn't begun.
    atoms_min, atoms_max
        Range of sizes; each is about twice the one before.
    n_timed
        Timed steps of each size.
    precision
        Of MACE: single, as molecular dynamics runs.
    """

    seconds: float = 60.0
    atoms_min: int = 100
    atoms_max: int = 100_000
    n_timed: int = 5
    precision: Precision = "float32"


def measure_scaling(
    atoms: Atoms,
    models: Mapping[str, Model],
    settings: CostSettings,
    tell: Callable[[str], None] = lambda _: None,
) -> Scaling:
    """Time a step of ever larger cells until the limit.

    Parameters
    ----------
    atoms
        The cell that is repeated.
    models
        By what they are called in the document; the first is compared with the second.
    settings
        Limits.
    tell
        Is told the number of atoms.

    Raises
    ------
    EvaluationError
        If a calculator can't compute the smallest cell.
    """
    costs: list[Cost] = []
    with _steppers(models, settings.precision) as steppers:
        begin = time.monotonic()  # after libraries and models are loaded
        stopped = f"{settings.atoms_max} atoms are the stated limit"
        last: tuple[int, float] | None = None
        for cell in growing(atoms, settings.atoms_min, settings.atoms_max):
            spent = time.monotonic() - begin
            foreseen = 0.0 if last is None else last[1] * (len(cell) / last[0]) ** 1.2
            if costs and spent + foreseen > settings.seconds:
                stopped = f"{len(cell)} atoms were foreseen to pass the limit of time, "
                stopped += f"{settings.seconds:g} s"
                break
            tell(f"cost of {len(cell)} atoms")
            try:
                costs += _one_size(cell, steppers, settings.n_timed)
            except EvaluationError as error:
                if not costs:
                    raise
                stopped = f"{len(cell)} atoms failed: {error}"
                break
            last = len(cell), time.monotonic() - begin - spent
    return Scaling(
        costs=costs,
        exponents=exponents(costs),
        atoms_per_gb=atoms_per_gb(costs),
        speed_up=speed_ups(costs, list(models)),
        speed_ups=cpu_speed_ups(costs, list(models), dft=_is_dft(models)),
        stopped=stopped,
        **machine(),
    )


def growing(atoms: Atoms, n_min: int, n_max: int) -> Iterator[Atoms]:
    """Yield supercells of about doubling size, kept as compact as repeats allow."""
    repeats = [1, 1, 1]
    lengths = atoms.cell.lengths()
    while (n := len(atoms) * int(np.prod(repeats))) <= n_max:
        if n >= n_min:
            yield atoms * tuple(repeats)
        repeats[int(np.argmin(lengths * repeats))] *= 2


def exponents(costs: Sequence[Cost]) -> dict[str, float]:
    """Fit s = a n^b to the largest sizes of each calculator that has two or more."""
    found = {}
    for name in dict.fromkeys(c.calculator for c in costs):
        own = [c for c in costs if c.calculator == name][-FITTED:]
        if len(own) > 1:
            n = np.log([c.n_atoms for c in own])
            found[name] = float(np.polyfit(n, np.log([c.seconds_per_step for c in own]), 1)[0])
    return found


def atoms_per_gb(costs: Sequence[Cost]) -> dict[str, float]:
    """Return how many more atoms a GB (2³⁰ bytes) more of memory holds, by the largest sizes.

    The slope of peak memory against atoms, so that libraries and the model don't count. A
    calculator of fewer than two sizes, or whose peak doesn't grow, has none.
    """
    found = {}
    for name in dict.fromkeys(c.calculator for c in costs):
        own = [c for c in costs if c.calculator == name and c.peak_mb is not None][-FITTED:]
        if len(own) > 1:
            slope = np.polyfit([c.n_atoms for c in own], [c.peak_mb or 0.0 for c in own], 1)[0]
            if slope > 0:
                found[name] = float(1024 / slope)
    return found


def speed_ups(costs: Sequence[Cost], names: Sequence[str]) -> list[tuple[int, float]]:
    """Return numbers of atoms, and the second calculator's wall time over the first one's."""
    return [
        (own.n_atoms, theirs.seconds_per_step / own.seconds_per_step)
        for own, theirs in _pairs(costs, names)
    ]


def _is_dft(models: Mapping[str, Model]) -> bool:
    """Whether the second calculator, the reference, is DFT."""
    return [model.facts.kind for model in models.values()][1:2] == ["dft"]


def cpu_speed_ups(
    costs: Sequence[Cost], names: Sequence[str], *, dft: bool = False
) -> list[SpeedUp]:
    """Compare the first calculator with the second by core-seconds, at each size that both have.

    Core-seconds are those in use, which is the CPU time; a reason where it isn't known.
    """
    found = [compare(_in_use(own), _in_use(theirs)) for own, theirs in _pairs(costs, names)]
    return [one.model_copy(update={"over": "DFT"}) for one in found] if dft else found


def _pairs(costs: Sequence[Cost], names: Sequence[str]) -> list[tuple[Cost, Cost]]:
    if len(names) < 2:
        return []
    by = {(c.calculator, c.n_atoms): c for c in costs}
    sizes = [c.n_atoms for c in costs if c.calculator == names[0]]
    return [(by[names[0], n], by[names[1], n]) for n in sizes if (names[1], n) in by]


def _in_use(cost: Cost) -> Cost:
    """Return a cost as if its CPU time had passed on one core; of unknown cores without it."""
    known = cost.cpu_seconds is not None
    update = {"cores": 1 if known else None, "quartiles": cost.cpu_quartiles if known else None}
    return cost.model_copy(update={**update, "seconds_per_step": cost.cpu_seconds or 0.0})


def _one_size(cell: Atoms, steppers: Mapping[str, Connection], n_timed: int) -> list[Cost]:
    seconds: dict[str, list[float]] = {name: [] for name in steppers}
    used: dict[str, list[float]] = {name: [] for name in steppers}
    memory: dict[str, tuple[float | None, float | None]] = {}
    for name, pipe in steppers.items():
        _ask(pipe, name, cell)
    for i in range(WARM_UP + n_timed):
        for name, pipe in steppers.items():
            found, cpu, *now = _ask(pipe, name, "step")
            memory[name] = now[0], now[1]
            if i >= WARM_UP:
                seconds[name].append(found)
                used[name].append(cpu)
    return [
        cost_of(seconds[name], n_atoms=len(cell), name=name).model_copy(
            update={
                "peak_mb": memory[name][0],
                "base_mb": memory[name][1],
                **_cpu_of(used[name]),
            }
        )
        for name in steppers
    ]


def on_gpu(model: Model) -> bool:
    """Whether a model steps on a GPU, whose work no CPU time counts; of functions nobody knows."""
    return model.facts.kind == "mace" and not get_settings().device.startswith("cpu")


def _cpu_of(seconds: Sequence[float]) -> dict[str, Any]:
    """Sum CPU times up as wall times are; nothing where one wasn't taken."""
    if min(seconds) <= 0:
        return {}
    found = cost_of(seconds, n_atoms=0, name="")
    return {"cpu_seconds": found.seconds_per_step, "cpu_quartiles": found.quartiles}


@contextmanager
def _steppers(models: Mapping[str, Model], precision: Precision) -> Iterator[dict[str, Connection]]:
    """Start a process for each calculator, and end them all."""
    context = get_context("spawn")
    pipes, children = {}, []
    try:
        for name, model in models.items():
            pipes[name], theirs = context.Pipe()
            child = context.Process(target=_serve, args=(theirs, model.names, precision))
            child.daemon = True
            child.start()
            theirs.close()
            children.append(child)
        for name, pipe in pipes.items():
            _ask(pipe, name, "ready")
        yield pipes
    finally:
        for pipe in pipes.values():
            pipe.close()
        for child in children:
            child.join(2)
            child.kill()
            child.join()


def _ask(pipe: Connection, name: str, what: Atoms | str) -> Any:  # noqa: ANN401
    """Ask a stepper for something, or just whether it's ready.

    Raises
    ------
    EvaluationError
        If it failed or died, as of memory.
    """
    try:
        pipe.send(what)
        found = pipe.recv()
    except (EOFError, OSError) as error:
        msg = f"{name}: its process ended, as of memory or of an error that is told above"
        raise EvaluationError(msg) from error
    if isinstance(found, str):
        msg = f"{name}: expected a step's time, got {found}"
        raise EvaluationError(msg)
    return found


def _serve(pipe: Connection, names: Sequence[str], precision: Precision) -> None:
    """Take cells and step them until the pipe closes; runs in a process of its own."""
    die_with_parent()
    rng = np.random.default_rng(0)
    atoms = Atoms()
    try:
        model = resolve_model(names)
        calculator = model.calculator(precision)
        unseen = on_gpu(model)
        base = peak_mb()
        while True:
            asked, seconds, used = pipe.recv(), 0.0, 0.0
            if isinstance(asked, Atoms):
                atoms = asked
                atoms.calc = calculator
            elif asked == "step":
                before = cpu_seconds()
                seconds = one_step(atoms, rng)
                used = 0.0 if unseen else cpu_seconds() - before
            pipe.send((seconds, used, peak_mb(), base))
    except EOFError:
        return
    except (IonloopError, RuntimeError, MemoryError, ValueError, ArithmeticError) as error:
        pipe.send(f"{type(error).__name__}: {error}")
