"""Wall time of one step of molecular dynamics."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ionloop.errors import EvaluationError
from ionloop.evaluate.schema import Cost
from ionloop.evaluate.speed_up import REFERENCE
from ionloop.label.schema import LabelShard

#: Standard deviation of the displacement between timed steps, Å: about one MD step's.
DISPLACEMENT = 0.01
#: Fewer calls have a median but no quartiles.
QUARTILES_MIN = 4


def time_calculator(
    atoms: Atoms,
    make_calculator: Callable[[], Calculator],
    n_timed: int,
    rng: np.random.Generator,
    *,
    name: str,
    note: str = "",
    cores: int | None = None,
) -> Cost:
    """Time energy and forces of one structure on this machine.

    Parameters
    ----------
    atoms
        The structure; it isn't changed.
    make_calculator
        Makes the calculator; its own time isn't counted, nor is a first call's, which
        compiles, allocates or starts a program.
    n_timed
        Timed calls; median and quartiles are reported, since a shared machine has outliers.
    rng
        Draws displacements, so that no call is answered from a cache.
    name
        Who computes the forces.
    note
        Remark, such as the hardware.
    cores
        Cores that the calculator has; None if that isn't known, or on a GPU.

    Raises
    ------
    EvaluationError
        If ``n_timed`` is below 1.
    """
    if n_timed < 1:
        msg = f"time_calculator expects n_timed >= 1, got {n_timed}"
        raise EvaluationError(msg)
    moving = atoms.copy()
    moving.calc = make_calculator()
    seconds = [one_step(moving, rng) for _ in range(n_timed + 1)][1:]
    return cost_of(seconds, n_atoms=len(atoms), name=name, note=note, cores=cores)


def cost_of(
    seconds: Sequence[float], *, n_atoms: int, name: str, note: str = "", cores: int | None = None
) -> Cost:
    """Sum wall times up by their median and quartiles; the latter from four times on.

    Quartiles say how the machine and the calls scatter; they're no error of the median.

    Raises
    ------
    EvaluationError
        If there are no times.
    """
    if not seconds:
        msg = f"cost of {name}: expected wall times, got none; time a call or admit a label"
        raise EvaluationError(msg)
    first, middle, third = np.quantile(seconds, [0.25, 0.5, 0.75]).tolist()
    return Cost(
        calculator=name,
        n_atoms=n_atoms,
        seconds_per_step=middle,
        quartiles=(first, third) if len(seconds) >= QUARTILES_MIN else None,
        n_timed=len(seconds),
        cores=cores,
        note=note,
    )


def reference_cost(shard: LabelShard, n_atoms: int) -> list[Cost]:
    """Cost of a label of so many atoms, from the wall times of a batch; none if it has none."""
    labels = [label for label in shard.labels if len(label.frame.symbols) == n_atoms]
    if not labels:
        return []
    cores = {label.cores for label in labels}
    found = cost_of(
        [label.wall_s for label in labels],
        n_atoms=n_atoms,
        name=f"{REFERENCE} ({labels[0].engine})",
        cores=cores.pop() if len(cores) == 1 else None,
        note="whole labels of the test set: start-up and stress included, perhaps on other "
        "hardware than the models; other jobs may run beside",
    )
    return [found]


def one_step(atoms: Atoms, rng: np.random.Generator) -> float:
    """Displace atoms a little and time their energy and forces, s."""
    atoms.positions += rng.normal(scale=DISPLACEMENT, size=atoms.positions.shape)
    begin = time.perf_counter()
    atoms.get_forces()
    atoms.get_potential_energy()
    return time.perf_counter() - begin
