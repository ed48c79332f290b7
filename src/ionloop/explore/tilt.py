r"""A tilt on the hop coordinate: one mobile ion at a time is pulled towards a vacant site.

A constant force F along the vector from an ion's site to a vacant one, of length d, adds

.. math:: V(s) = -F d s, \quad s = \frac{(r - r_i) \cdot (r_j - r_i)}{d^2}

so that a barrier at s = 1/2 falls by about :math:`F d / 2` (Bell, Science 200, 618 (1978)).
Where the ion isn't on the line, or the saddle isn't half-way, it falls by :math:`F d s^\ddagger`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from ase.calculators.calculator import Calculator
from ase.geometry import find_mic

from ionloop.errors import ExplorationError
from ionloop.explore.bias import Biased
from ionloop.explore.hops import HopDetector
from ionloop.explore.positions import assign_sites, framework_displacements, progress

#: Progress at which an ion has arrived; a site's own vibrations reach about 0.1.
ARRIVED = 0.9
#: A path with a site or a framework atom nearer than this is blocked, Å; seed.paths' clearance.
CLEARANCE = 1.0


@dataclass(frozen=True)
class Pull:
    """How ions are pulled.

    Parameters
    ----------
    force
        eV/Å.
    patience_steps
        Steps after which an ion that hasn't arrived is let go.
    rest_steps
        Steps without a pull after an ion has arrived, in which its hop settles.
    ramp_steps
        Steps until full force.
    seed
        Seed of who is pulled where.
    """

    force: float
    patience_steps: int
    rest_steps: int
    ramp_steps: int = 0
    seed: int = 0


@dataclass
class _Pulled:
    """What one replica's tilt does and has done; numbers and strings alone.

    Parameters
    ----------
    ion
        Index of the pulled ion among all atoms; None: no pull.
    pair, path_class
        Its site and the one it is pulled to, and their class.
    along
        Unit vector of the force.
    zero
        Where V is 0: the ion relative to the other ions along the vector, at the draw, Å.
    since, free_at
        Step at which the pull began; step before which none begins.
    share
        Share of the force, along the ramp.
    drawn, arrived
        Pulls by path class, and how many of them arrived.
    """

    ion: int | None = None
    pair: tuple[int, int] = (0, 0)
    path_class: str = ""
    along: tuple[float, ...] = (0.0, 0.0, 0.0)
    zero: float = 0.0
    since: int = 0
    free_at: int = 0
    share: float = 0.0
    drawn: dict[str, int] = field(default_factory=dict)
    arrived: dict[str, int] = field(default_factory=dict)


class Tilt(Biased):
    """Pull one mobile ion of each replica towards a vacant neighbouring site, then another.

    The path class that was drawn least often comes next, so that rare classes get their turn;
    within a class the draw is even. The other mobile ions share the opposite force evenly, or
    else the whole cell would be accelerated. One model is evaluated a step.

    Parameters
    ----------
    driver, cap
        As for :class:`~ionloop.explore.bias.Biased`.
    detector
        Sites, classes and the framework's rest positions; pairs of sites whose straight path is
        blocked by the framework or another site are left out.
    pull
        How ions are pulled.

    Raises
    ------
    ExplorationError
        If the force isn't between 0 and the cap, the detector lacks the framework's rest
        positions, or no pair of sites is left.
    """

    def __init__(self, driver: Calculator, detector: HopDetector, pull: Pull, cap: float) -> None:
        mobile, framework = detector.mobile, detector.framework
        super().__init__(driver, len(mobile) + len(framework), mobile, cap)
        if not 0 < pull.force <= cap:
            msg = (
                f"tilt: expected a force above 0 and up to the cap {cap:g} eV/Å, got {pull.force:g}"
            )
            raise ExplorationError(msg)
        if detector.framework_sites is None or not len(framework):
            msg = "tilt: expected a detector with the framework's rest positions, got none"
            raise ExplorationError(msg)
        self.detector, self.pull = detector, pull
        self.rest = detector.framework_sites
        self.pairs = open_pairs(detector)
        if not self.pairs:
            msg = (
                f"tilt: expected an open path between two of {len(detector.sites)} sites, got "
                "none; raise Profile.hop_distance_max"
            )
            raise ExplorationError(msg)
        self._replicas: dict[int, _Pulled] = {}

    def bias(self, k: int, positions: np.ndarray, energies: Any, forces: Any) -> Any:  # noqa: ANN401, ARG002
        """Return the pull of one replica; see :meth:`Biased.bias`."""
        force = np.zeros((len(self.mobile), 3))
        own = self._replicas.get(k)
        if own is None or own.ion is None:
            return 0.0, force
        push = own.share * self.pull.force
        force[self.mobile == own.ion] = push * np.array(own.along)
        others = self.mobile != own.ion
        if others.any():
            force[others] = -push * np.array(own.along) / others.sum()
        return -push * (self._relative(positions, own) - own.zero), force

    def _relative(self, positions: np.ndarray, own: _Pulled) -> float:
        """Where the pulled ion is relative to the other ions' mean, along the vector, Å."""
        others = self.mobile[self.mobile != own.ion]
        mean = positions[others].mean(axis=0) if len(others) else 0.0
        return float((positions[own.ion] - mean) @ np.array(own.along))

    def meet(self, k: int, positions: np.ndarray, step: int) -> None:
        """Let an ion go that has arrived, or never does; draw another; raise the force."""
        own = self._replicas.setdefault(k, _Pulled())
        drift, _ = framework_displacements(
            positions, self.detector.framework, self.rest, self.detector.cell
        )
        ions = positions[self.mobile] - drift
        nearest, _ = assign_sites(ions[None], self.detector.sites, self.detector.cell)
        if own.ion is not None:
            self._let_go(own, ions[self.mobile == own.ion][0], step)
        if own.ion is None and step >= own.free_at:
            self._draw(k, own, nearest[0], positions, step)
        ramp = self.pull.ramp_steps
        own.share = min(1.0, (step - own.since) / ramp) if ramp else 1.0

    def _let_go(self, own: _Pulled, ion: np.ndarray, step: int) -> None:
        start, vector = self.detector.sites[own.pair[0]], self.pairs[own.pair]
        relative, _ = find_mic((ion - start - vector / 2)[None], self.detector.cell, pbc=True)
        s = progress(relative + vector / 2, np.zeros(3), vector)[0]
        if s > ARRIVED:
            own.arrived[own.path_class] = own.arrived.get(own.path_class, 0) + 1
            own.ion, own.free_at = None, step + self.pull.rest_steps
        elif step - own.since >= self.pull.patience_steps:
            own.ion = None

    def _draw(
        self, k: int, own: _Pulled, nearest: np.ndarray, positions: np.ndarray, step: int
    ) -> None:
        full = Counter(nearest.tolist())
        possible = [
            (int(ion), (site, to))
            for ion, site in zip(self.mobile, nearest.tolist(), strict=True)
            for (i, to) in self.pairs
            if i == site and to not in full and full[site] == 1
        ]
        if not possible:
            return
        classes = self.detector.path_classes
        fewest = min(own.drawn.get(classes[pair], 0) for _, pair in possible)
        rng = np.random.default_rng([self.pull.seed, k, sum(own.drawn.values()), 37])
        turn = sorted({classes[p] for _, p in possible if own.drawn.get(classes[p], 0) == fewest})
        own.path_class = turn[rng.integers(len(turn))]
        mine = [one for one in possible if classes[one[1]] == own.path_class]
        own.ion, own.pair = mine[rng.integers(len(mine))]
        vector = self.pairs[own.pair]
        own.along = tuple((vector / np.linalg.norm(vector)).tolist())
        own.zero = self._relative(positions, own)
        own.since = step
        own.drawn[own.path_class] = own.drawn.get(own.path_class, 0) + 1

    def state(self) -> dict[str, Any]:
        """Return who runs, and what each replica's tilt does and has done."""
        return {
            "alive": self.alive,
            "replicas": {str(k): asdict(own) for k, own in self._replicas.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self.alive = list(state["alive"])
        self._replicas = {
            int(k): _Pulled(**{**own, "pair": tuple(own["pair"]), "along": tuple(own["along"])})
            for k, own in state["replicas"].items()
        }
        self.reset()

    def counts(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Return pulls by path class, and how many of them arrived, over all replicas."""
        drawn: Counter[str] = Counter()
        arrived: Counter[str] = Counter()
        for own in self._replicas.values():
            drawn.update(own.drawn)
            arrived.update(own.arrived)
        return drawn, arrived


def open_pairs(detector: HopDetector) -> dict[tuple[int, int], np.ndarray]:
    """Return the vector, Å, of each pair of sites whose straight path nothing blocks.

    A path is blocked by a framework atom's rest position, or a third site, within 1 Å.
    """
    sites, cell = detector.sites, detector.cell
    rest = detector.framework_sites
    things = sites if rest is None else np.concatenate([sites, rest])
    found = {}
    for i, j in detector.path_classes:
        (vector,), _ = find_mic((sites[j] - sites[i])[None], cell, pbc=True)
        others = np.delete(things, [i, j], axis=0)
        along = sites[i] + np.linspace(0, 1, 21)[:, None] * vector
        gaps, _ = find_mic((along[:, None] - others[None]).reshape(-1, 3), cell, pbc=True)
        if i != j and (gaps**2).sum(axis=1).min() >= CLEARANCE**2:
            found[i, j] = vector
    return found
