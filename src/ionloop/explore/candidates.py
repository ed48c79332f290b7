"""Which frames of a run could be worth a label: hop windows, most uncertain, random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ionloop.explore.hops import HopAnalysis
from ionloop.explore.md import MDRun
from ionloop.frame import HopTag, Origin


@dataclass(frozen=True)
class Pick:
    """A stored frame that is a candidate: its index, origin, and place on a hop."""

    index: int
    origin: Origin
    hop: HopTag | None = None


def pick_candidates(
    run: MDRun,
    analysis: HopAnalysis,
    group: str,
    *,
    max_events: int,
    n_uncertain: int,
    n_random: int,
    rng: np.random.Generator,
) -> list[Pick]:
    """Pick candidates of a run, each frame once: random ones, hop windows, most uncertain.

    Parameters
    ----------
    run, analysis
        The run and its hops; both count stored frames alike.
    group
        Name of the trajectory, which names the events.
    max_events
        Hops whose windows are taken; drawn at random where there are more.
    n_uncertain
        Most uncertain judged frames.
    n_random
        Frames drawn uniformly from all stored ones.
    rng
        Random generator.
    """
    last = len(run.positions) - 1
    picks = [
        *_random(last, n_random, rng),
        *_hops(analysis, group, max_events, rng),
        *_uncertain(run.checks, n_uncertain),
    ]
    seen: set[int] = set()
    kept = []
    for pick in picks:
        if pick.index <= last and pick.index not in seen:
            seen.add(pick.index)
            kept.append(pick)
    return kept


def _hops(
    analysis: HopAnalysis, group: str, max_events: int, rng: np.random.Generator
) -> list[Pick]:
    n = len(analysis.events)
    chosen: Sequence[int] = range(n)
    if n > max_events:
        chosen = np.sort(rng.choice(n, max_events, replace=False)).tolist()
    picks = []
    for k in chosen:
        event, s = analysis.events[k], analysis.progress(k)
        picks += [
            Pick(
                index=index,
                origin=Origin.HOP,
                hop=HopTag(
                    ion=event.ion,
                    progress=float(s[index]),
                    path_class=event.path_class,
                    event=f"{group}-hop-{k}",
                ),
            )
            for index in analysis.window_frames(k).values()
        ]
    return picks


def _uncertain(checks: Sequence[tuple[int, float]], n: int) -> list[Pick]:
    ranked = sorted(checks, key=lambda c: -c[1])[:n]
    return [Pick(index=i, origin=Origin.UNCERTAIN) for i, _ in ranked]


def _random(last: int, n: int, rng: np.random.Generator) -> list[Pick]:
    if last < 1:
        return []
    chosen = rng.choice(np.arange(1, last + 1), min(n, last), replace=False)
    return [Pick(index=int(i), origin=Origin.RANDOM) for i in chosen]
