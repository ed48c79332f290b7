"""How each origin of frames chooses among its candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ionloop.frame import Frame, Origin
from ionloop.select.distances import distances_to, nearest_known

#: Bins of the hop coordinate that hop and saddle frames are spread over.
_PROGRESS_BINS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


class Picker:
    """The candidates, who is chosen, and how far everyone is from the chosen."""

    def __init__(
        self,
        frames: Sequence[Frame],
        min_distance: float,
        rng: np.random.Generator,
        known: np.ndarray | Iterable[np.ndarray] | None,
    ) -> None:
        self.frames = frames
        self.min_distance = min_distance
        self.lot = rng.permutation(len(frames))
        self.points, self.nearest = nearest_known(frames, known)
        self.chosen: list[int] = []
        self.bins: Counter[float] = Counter()
        self.events: Counter[str] = Counter()

    def candidates(self, origin: Origin) -> Iterator[int]:
        """Yield the frames of an origin that can still be chosen."""
        for i, frame in enumerate(self.frames):
            far = origin is Origin.RANDOM or self.nearest[i] >= self.min_distance
            if frame.origin is origin and far and i not in self.chosen:
                yield i

    def pick(self, origin: Origin) -> bool:
        """Choose the best frame of an origin; False if there is none."""
        best = min(self.candidates(origin), key=self._rank(origin), default=None)
        if best is None:
            return False
        self.chosen.append(best)
        frame = self.frames[best]
        if frame.hop is not None:
            self.bins[_bin(frame.hop.progress)] += 1
            self.events[frame.hop.event] += 1
        distances = distances_to(self.points, self.points[[best]])
        self.nearest = np.fmin(self.nearest, distances)
        return True

    def n_duplicates(self) -> int:
        """Count the frames that are too near to a chosen one; not random's own."""
        return sum(
            self.nearest[i] < self.min_distance and i not in self.chosen
            for i, frame in enumerate(self.frames)
            if frame.origin is not Origin.RANDOM
        )

    def _rank(self, origin: Origin) -> Callable[[int], tuple[float, ...]]:
        """Return the key by which an origin chooses; the least is the best."""
        ranks: dict[Origin, Callable[[int], tuple[float, ...]]] = {
            Origin.RANDOM: lambda i: (self.lot[i],),
            Origin.UNCERTAIN: lambda i: (-(self.frames[i].uncertainty or 0.0), self.lot[i]),
            Origin.HOP: self._spread,
            Origin.SADDLE: self._spread,
        }
        return ranks.get(origin, lambda i: (-self.nearest[i], self.lot[i]))

    def _spread(self, i: int) -> tuple[float, ...]:
        """Rank a hop frame: the rarest bin first, then the rarest event, then the farthest."""
        hop = self.frames[i].hop
        if hop is None:
            return (0.0, 0.0, 1.0, -self.nearest[i], self.lot[i])
        middle = _bin(hop.progress)
        return (
            self.bins[middle],
            self.events[hop.event],
            abs(middle - 0.5),
            -self.nearest[i],
            self.lot[i],
        )


def _bin(progress: float) -> float:
    return float(_PROGRESS_BINS[np.abs(_PROGRESS_BINS - progress).argmin()])
