"""Walks whose diffusivity is known in closed form, to hold the analysis of transport against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ionloop.evaluate.arrhenius import arrhenius
from ionloop.evaluate.displacements import Paths, paths_of_array
from ionloop.evaluate.schema import Diffusivity, Estimate, Transport
from ionloop.evaluate.transport import diffusivity
from ionloop.units import KB_EV_PER_K, diffusivity_to_cm2_per_s

#: Time between frames, fs; hop length, Å; ions of the framework and its rattle, Å.
INTERVAL, HOP, N_HOST, RATTLE = 10.0, 2.5, 10, 0.05
#: Edge of the cubic cell, Å.
EDGE = 20.0
#: Relative error of numbers that are exact but for rounding.
ROUNDING = 1e-9


def brownian(n_frames: int, n: int, step: float, rng: np.random.Generator) -> np.ndarray:
    """Walk freely, by normal steps of a standard deviation, Å; D is step² / (2 interval)."""
    return np.cumsum(rng.normal(scale=step, size=(n_frames, n, 3)), axis=0)


def lattice(
    n_frames: int, n: int, p_hop: float, rng: np.random.Generator, rattle: float = 0.15
) -> np.ndarray:
    """Hop along an axis with a probability a frame, rattling about sites; D is a²p/(6 interval)."""
    axis = rng.integers(3, size=(n_frames, n))
    sign = rng.choice([-HOP, HOP], size=(n_frames, n)) * (rng.random((n_frames, n)) < p_hop)
    sites = np.cumsum(np.eye(3)[axis] * sign[..., None], axis=0)
    return sites + rng.normal(scale=rattle, size=sites.shape)


def run_of(walk: np.ndarray, rng: np.random.Generator) -> Paths:
    """Put a walk, shape [n_frames, n, 3], Å, into a rattling framework."""
    host = rng.normal(scale=RATTLE, size=(len(walk), N_HOST, 3))
    n = walk.shape[1]
    return paths_of_array(
        np.concatenate([walk, host], axis=1),
        np.arange(n),
        np.arange(n, n + N_HOST),
        EDGE * np.eye(3),
    )


def measured(runs: Sequence[Paths], temperature: float = 500.0) -> Diffusivity:
    """Analyse runs as any other."""
    return diffusivity(runs, temperature=temperature, frame_interval_fs=INTERVAL, hop_distance=HOP)


@dataclass(frozen=True)
class Case:
    """Walks with their exact answers.

    Parameters
    ----------
    name
        As the table of coverage calls it.
    walks
        Makes the walks of independent replicas, each of shape [n_frames, n, 3], Å.
    d
        Tracer diffusivity, cm²/s.
    haven
        Haven ratio.
    """

    name: str
    walks: Callable[[np.random.Generator], list[np.ndarray]]
    d: float
    haven: float = 1.0

    def measure(self, rng: np.random.Generator) -> Diffusivity:
        """Make the walks once and analyse them."""
        return measured([run_of(walk, rng) for walk in self.walks(rng)])


def free(step: float) -> float:
    """Return the exact D of :func:`brownian`, cm²/s."""
    return diffusivity_to_cm2_per_s(step**2 / (2 * INTERVAL))


def hopping(p_hop: float) -> float:
    """Return the exact D of :func:`lattice`, cm²/s."""
    return diffusivity_to_cm2_per_s(HOP**2 * p_hop / (6 * INTERVAL))


def _groups(n: int, each: int) -> Callable[[np.random.Generator], list[np.ndarray]]:
    return lambda rng: [np.repeat(brownian(1000, n, 0.3, rng), each, axis=1)]


CASES = [
    Case("free Brownian, 30 ions", lambda rng: [brownian(400, 30, 0.5, rng)], free(0.5)),
    Case("the same, a quarter as long", lambda rng: [brownian(100, 30, 0.5, rng)], free(0.5)),
    Case(
        "three replicas of unequal length",
        lambda rng: [brownian(n, 10, 0.4, rng) for n in (300, 200, 250)],
        free(0.4),
    ),
    Case(
        "walk in a cage of 0.3 Å",
        lambda rng: [brownian(800, 30, 0.25, rng) + rng.normal(scale=0.3, size=(800, 30, 3))],
        free(0.25),
    ),
    Case("groups of 10 that move as one", _groups(3, 10), free(0.3), haven=0.1),
    Case("30 ions that move as one", _groups(1, 30), free(0.3), haven=1 / 30),
    Case(
        "half of each step in common",
        lambda rng: [
            np.sqrt(0.5) * (brownian(600, 30, 0.4, rng) + brownian(600, 1, 0.4, rng))
        ],
        free(0.4),
        haven=1 / (0.5 + 0.5 * 30),
    ),
    Case("jump lattice, 300 hops", lambda rng: [lattice(1500, 20, 0.01, rng)], hopping(0.01)),
    Case("jump lattice, 60 hops", lambda rng: [lattice(3000, 20, 0.001, rng)], hopping(0.001)),
]  # fmt: skip

#: 0.5, 1 and 2 hops expected in all.
TOO_FEW = [
    Case(
        f"jump lattice, {hops:g} hops expected",
        lambda rng, p=hops / 8000: [lattice(400, 20, p, rng)],  # type: ignore[misc]
        hopping(hops / 8000),
    )
    for hops in (0.5, 1.0, 2.0)
]

COLD_ENERGY, HOT_ENERGY, BREAK = 0.30, 0.12, 750.0
TEMPERATURES = (500.0, 570.0, 650.0, 730.0, 800.0, 900.0, 1000.0)


def step_at(temperature: float, *, two_slopes: bool) -> float:
    """Return the step of a Brownian walk, Å, with an Arrhenius law that may break at 750 K."""
    energy = HOT_ENERGY if two_slopes and temperature > BREAK else COLD_ENERGY
    # A transition with a jump of D by a factor of two.
    jump = 2.0 if two_slopes and temperature > BREAK else 1.0
    at = 1 / (KB_EV_PER_K * temperature) - 1 / (KB_EV_PER_K * BREAK)
    return float(0.35 * np.sqrt(jump * np.exp(-energy * at)))


def arrhenius_of_walks(rng: np.random.Generator, *, two_slopes: bool) -> Transport:
    """Analyse walks at seven temperatures, four of them below the break."""
    points = [
        measured([run_of(brownian(500, 20, step_at(t, two_slopes=two_slopes), rng), rng)], t)
        for t in TEMPERATURES
    ]
    return arrhenius(points, "walks")


def covers(found: Estimate | None, truth: float) -> bool | None:
    """Tell whether the 90 % interval holds the truth; None without one.

    An answer that is exact, as of ions that move as one, has an interval without a width, which
    holds it but for rounding.
    """
    if found is None or found.interval is None:
        return None
    low, high = found.interval
    return low * (1 - ROUNDING) < truth < high * (1 + ROUNDING)
