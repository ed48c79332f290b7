"""Hops that molecular dynamics showed, as bands between the end points that they really have.

Enumerated hops move one ion into a vacancy. What dynamics shows may be more: several ions that
move together, or a site that no crystal lists. So the frames before and after an event are
quenched, and whichever ions then lie elsewhere have hopped (inherent structures: Stillinger and
Weber, Science 225, 983 (1984)). Where none does the ion has come back: no hop.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.geometry import find_mic
from ase.optimize import FIRE

from ionloop.explore.schema import Exploration, HopEvent
from ionloop.frame import Frame, Origin
from ionloop.seed.schema import Hop

#: Events of more ions than this are several that overlap in time, and no one band.
IONS_MAX = 4
#: An ion has hopped if its quenched places differ by more than this, Å.
MOVED = 1.0


@dataclass(frozen=True)
class Event:
    """Hops of one trajectory that belong together, with the frames before and after.

    Parameters
    ----------
    group
        Trajectory.
    number
        The event's number there.
    signature
        The classes of its hops, which tell kinds of events apart.
    before, after
        The same atoms before the first hop left and after the last one arrived.
    """

    group: str
    number: int
    signature: str
    before: Atoms
    after: Atoms


def signature(hops: Sequence[HopEvent]) -> str:
    """Name the kind of an event by the classes of its hops, most frequent first."""
    counts = Counter(hop.path_class for hop in hops)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return " + ".join(name if n == 1 else f"{n} x {name}" for name, n in ranked)


def choose_events(
    explorations: Sequence[Exploration], n: int, rng: np.random.Generator
) -> list[Event]:
    """Choose events of as many kinds as there are, at random within a kind.

    Events of more than four ions are left out.

    Parameters
    ----------
    explorations
        Runs, with trajectories.
    n
        Events at most.
    rng
        Random generator.

    Returns
    -------
    list[Event]
        One of each kind in turn, the rarest kind first; how rare, the unbiased runs say.
    """
    kinds: dict[str, list[tuple[int, int]]] = defaultdict(list)
    hops: dict[tuple[int, int], list[HopEvent]] = defaultdict(list)
    for k, run in enumerate(explorations):
        for i, hop in enumerate(run.hops):
            hops[k, i if hop.event is None else hop.event].append(hop)
    for key, members in hops.items():
        if len({hop.ion for hop in members}) <= IONS_MAX:
            kinds[signature(members)].append(key)
    plain = {
        kind: sum(explorations[k].bias is None for k, _ in found) for kind, found in kinds.items()
    }
    queues = [
        [found[i] for i in rng.permutation(len(found))]
        for kind, found in sorted(kinds.items(), key=lambda item: (plain[item[0]], item[0]))
    ]
    chosen: list[tuple[int, int]] = []
    while len(chosen) < n and any(queues):
        for queue in filter(None, queues):
            if len(chosen) < n:
                chosen.append(queue.pop())
    positions = {k: explorations[k].trajectory.positions for k in {key[0] for key in chosen}}
    return [_event(explorations[k], i, hops[k, i], positions[k]) for k, i in chosen]


def _event(run: Exploration, number: int, hops: list[HopEvent], positions: np.ndarray) -> Event:
    trajectory = run.trajectory
    interval = trajectory.frame_interval_fs
    first = round(min(hop.t_leave_fs for hop in hops) / interval)
    last = min(round(max(hop.t_arrive_fs for hop in hops) / interval), len(positions) - 1)
    before, after = (
        Atoms(trajectory.symbols, positions[i], cell=trajectory.cell, pbc=True)
        for i in (first, last)
    )
    return Event(run.group, number, signature(hops), before, after)


def quench(atoms: Atoms, calculator: Calculator, fmax: float, max_steps: int) -> Atoms:
    """Relax positions to the minimum below a frame; return a copy without a calculator."""
    relaxed = Atoms(atoms)
    relaxed.calc = calculator
    FIRE(relaxed, logfile=None, maxstep=0.1).run(fmax=fmax, steps=max_steps)
    relaxed.calc = None
    return relaxed


def displacements(start: Atoms, end: Atoms, mobile_ion: str) -> np.ndarray:
    """Return how atoms moved, shape [n, 3], Å: periodic, and relative to the framework.

    The framework may have drifted by any distance: its mean displacement is taken off first,
    found relative to its first atom, and what is left is the shortest of the periodic ones.
    """
    steps = end.positions - start.positions
    framework = np.array(start.get_chemical_symbols()) != mobile_ion
    if framework.any():
        first = steps[framework][0]
        others, _ = find_mic(steps[framework] - first, start.cell, pbc=True)
        steps = steps - first - others.mean(axis=0)
    shortest, _ = find_mic(steps, start.cell, pbc=True)
    return np.asarray(shortest)


def moved_ions(start: Atoms, end: Atoms, mobile_ion: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the mobile ions that lie elsewhere, farthest first, and how far each moved.

    Returns
    -------
    tuple[np.ndarray, np.ndarray]
        Indices and displacements, Å, each of shape [n].
    """
    mobile = np.array(start.get_chemical_symbols()) == mobile_ion
    lengths = np.linalg.norm(displacements(start, end, mobile_ion), axis=1)
    ions = np.flatnonzero(mobile & (lengths > MOVED))
    order = np.argsort(-lengths[ions], kind="stable")
    return ions[order], lengths[ions[order]]


def real_hop(
    event: Event, start: Atoms, end: Atoms, mobile_ion: str, charge: int = 0
) -> Hop | None:
    """Make a hop of an event's quenched ends; None if no ion lies elsewhere.

    Its class says how many ions really moved: ``found, 2 ions: Li-Li 2.76 A #0``.
    """
    ions, lengths = moved_ions(start, end, mobile_ion)
    if not len(ions):
        return None
    tags = {"origin": Origin.SADDLE, "group": event.group, "charge": charge}
    near = end.copy()  # without drift and lattice vectors, so that the path is the short one
    near.positions = start.positions + displacements(start, end, mobile_ion)
    number = "1 ion" if len(ions) == 1 else f"{len(ions)} ions"
    return Hop(
        start=Frame.from_atoms(start, **tags),
        end=Frame.from_atoms(near, **tags),
        ion=int(ions[0]),
        distance=float(lengths[0]),
        path_class=f"found, {number}: {event.signature}",
        multiplicity=1,
    )
