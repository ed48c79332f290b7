"""Langevin MD that watches itself, and that can be stopped and resumed at any moment.

ASE integrates. What is ours: one model steers (members take turns between trajectories)
while the whole committee judges frames every ``check_every`` steps; a run ends by itself
where it becomes unphysical, and keeps what it has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ionloop.explore.guards import Guards
from ionloop.explore.replicas import Judge, MDPlan, MDRun, Replicas, Watch
from ionloop.reference.checkpoint import Checkpoint


def run_md(
    starts: Sequence[Atoms],
    calculator: Calculator,
    plan: MDPlan,
    guards: Guards,
    uncertainty: Judge | None = None,
    checkpoint: Checkpoint | None = None,
    watch: Watch | None = None,
) -> list[MDRun]:
    """Run Langevin MD of replicas until each is done or unphysical.

    Parameters
    ----------
    starts
        Start of each replica, all of the same atoms in the same cell; not changed.
    calculator
        Who steers: forces of replicas one after the other, in which none sees the others,
        and in ``results`` the ``replica_energies`` [r]; of a single one, ``energy`` will do. A
        :class:`~ionloop.explore.bias.Biased` one is shown each stored frame from the run's start.
    plan, guards
        What to run, and when to stop.
    uncertainty
        Judges frames. None: the committee isn't asked.
    checkpoint
        Where it stands; runs that were interrupted and are called again go on from it.
    watch
        What the steering model itself says of each stored frame.

    Returns
    -------
    list[MDRun]
        Stored frames and judgements of each replica, the equilibration left out;
        ``stopped`` says why it ended early. The state that was refused isn't kept.
    """
    rng = np.random.default_rng(plan.seed)
    replicas = Replicas(starts, calculator, plan, guards, rng, watch)
    earlier = checkpoint.load() if checkpoint is not None else None
    if earlier is None:
        replicas.equilibrate()
    else:
        replicas.restore(earlier)
    while replicas.alive and replicas.step < plan.n_steps:
        replicas.advance(uncertainty)
        over = not replicas.alive or replicas.step >= plan.n_steps
        if checkpoint is not None and (checkpoint.due or over):
            checkpoint.save(**replicas.state())
    return replicas.runs
