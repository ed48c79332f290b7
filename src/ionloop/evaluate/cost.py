"""Wall time of one step of molecular dynamics."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ionloop.errors import EvaluationError
from ionloop.evaluate.schema import Cost

#: Standard deviation of the displacement between timed steps, Å: about one MD step's.
DISPLACEMENT = 0.01


def time_calculator(
    atoms: Atoms,
    make_calculator: Callable[[], Calculator],
    n_timed: int,
    rng: np.random.Generator,
    *,
    name: str,
    note: str = "",
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
        Timed calls; the median is reported, since a shared machine has outliers.
    rng
        Draws displacements, so that no call is answered from a cache.
    name
        Who computes the forces.
    note
        Remark, such as the threads and the hardware.

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
    seconds = [_one_step(moving, rng) for _ in range(n_timed + 1)][1:]
    return Cost(
        calculator=name,
        n_atoms=len(atoms),
        seconds_per_step=float(np.median(seconds)),
        n_timed=n_timed,
        note=note,
    )


def _one_step(atoms: Atoms, rng: np.random.Generator) -> float:
    atoms.positions += rng.normal(scale=DISPLACEMENT, size=atoms.positions.shape)
    begin = time.perf_counter()
    atoms.get_forces()
    atoms.get_potential_energy()
    return time.perf_counter() - begin
