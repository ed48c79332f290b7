"""Frames worth a label: known ones, near-duplicates and untrusted ones left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
from scipy.spatial.distance import cdist

from ionloop.errors import ProfileError
from ionloop.frame import Frame, Origin
from ionloop.select.budget import allocate
from ionloop.select.schema import Selection

#: Order in which origins choose. Random first, so that it is an unbiased draw and no
#: frame trained on is a near-duplicate of a test frame.
ORDER = (
    Origin.RANDOM,
    Origin.HOP,
    Origin.SADDLE,
    Origin.UNCERTAIN,
    Origin.STRAIN,
    Origin.NEB,
    Origin.AIMD,
    Origin.RATTLE,
)
#: Bins of the hop coordinate that hop and saddle frames are spread over.
_PROGRESS_BINS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])


def farthest_points(
    descriptors: np.ndarray,
    k: int,
    start: np.ndarray | None = None,
    min_distance: float = 0.0,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, int]:
    """Choose points that are far from each other, greedily.

    Parameters
    ----------
    descriptors
        Candidates, shape [n, d].
    k
        Points wanted.
    start
        Points that are already chosen, shape [m, d]; without them the first point is
        drawn by ``rng``, or is candidate 0.
    min_distance
        Candidates nearer than this to a chosen point are near-duplicates.
    rng
        Draws the first point.

    Returns
    -------
    tuple[np.ndarray, int]
        Indices of at most ``k`` candidates in order of choice, and the number of
        candidates that are left as near-duplicates of a chosen point.
    """
    nearest = _distances_to(descriptors, start)
    chosen: list[int] = []
    while len(chosen) < min(k, len(descriptors)):
        if np.isinf(nearest).all():
            best = 0 if rng is None else int(rng.integers(len(descriptors)))
        else:
            free = nearest.copy()
            free[chosen] = -1.0
            best = int(free.argmax())
            if free[best] < min_distance:
                break
        chosen.append(best)
        nearest = np.minimum(nearest, _distances_to(descriptors, descriptors[[best]]))
    left = np.setdiff1d(np.arange(len(descriptors)), chosen)
    return np.array(chosen, dtype=int), int((nearest[left] < min_distance).sum())


def choose(  # noqa: PLR0913
    frames: Sequence[Frame],
    known_hashes: Collection[str],
    shares: dict[Origin, float],
    n_total: int,
    *,
    min_distance: float,
    sigma_hi: float,
    rng: np.random.Generator,
    generation: int,
    known_descriptors: np.ndarray | None = None,
    ceiling_exempt: Collection[Origin] = (Origin.RANDOM,),
) -> Selection:
    """Choose the frames that the next generation labels.

    Left out are frames whose hash is known, frames above the uncertainty ceiling, and
    near-duplicates of a frame chosen before. Of what remains each origin takes its part
    of the budget in its own way: ``RANDOM`` draws uniformly, near-duplicates or not;
    ``HOP`` and ``SADDLE`` spread over the bins of s and over events, then over
    descriptors; ``UNCERTAIN`` takes the highest uncertainty; the others take the
    farthest points. Frames without a descriptor are never near-duplicates.

    Parameters
    ----------
    frames
        Candidates of all origins; ``Frame.origin`` decides the part that they compete for.
    known_hashes
        Hashes of frames that have been asked for, admitted or not.
    shares
        Share of the budget by origin.
    n_total
        Labels to give away.
    min_distance
        Least distance between two frames: root mean square over the descriptor's
        components, each in standard deviations over the candidates.
    sigma_hi
        Uncertainty ceiling, eV/Å; frames without an uncertainty pass.
    rng
        Draws random frames and breaks ties.
    generation
        Generation that will label the frames.
    known_descriptors
        Descriptors of labelled frames, of the same committee, shape [m, d].
    ceiling_exempt
        Origins that the ceiling doesn't hold for; the random draw would be biased by it.

    Returns
    -------
    Selection
        Fewer than ``n_total`` frames where the candidates don't suffice.

    Raises
    ------
    ProfileError
        If ``n_total`` or a share is negative, or descriptors differ in length.
    """
    pool, n_known, n_same = _unknown(frames, set(known_hashes))
    trusted = [
        frame
        for frame in pool
        if frame.origin in ceiling_exempt
        or frame.uncertainty is None
        or frame.uncertainty <= sigma_hi
    ]
    picker = _Picker(trusted, min_distance, rng, known_descriptors)
    _fill(picker, shares, n_total)
    chosen = [trusted[i] for i in sorted(picker.chosen)]
    return Selection(
        generation=generation,
        frames=chosen,
        counts=_count(chosen),
        candidates=_count(frames),
        n_known=n_known,
        n_duplicates=n_same + picker.n_duplicates(),
        n_untrusted=len(pool) - len(trusted),
    )


class _Picker:
    """The candidates, who is chosen, and how far everyone is from the chosen."""

    def __init__(
        self,
        frames: Sequence[Frame],
        min_distance: float,
        rng: np.random.Generator,
        known: np.ndarray | None,
    ) -> None:
        self.frames = frames
        self.min_distance = min_distance
        self.lot = rng.permutation(len(frames))
        self.points, known = standardise(frames, known)
        self.nearest = _distances_to(self.points, known)
        self.nearest[np.isnan(self.points).any(axis=1)] = np.inf
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
        distances = _distances_to(self.points, self.points[[best]])
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


def standardise(
    frames: Sequence[Frame], known: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scale descriptors so that distances are root mean squares in standard deviations.

    Components that don't vary are dropped, and the rest are divided by the square root
    of their number.

    Parameters
    ----------
    frames
        Candidates.
    known
        Other descriptors to scale alike, shape [m, d].

    Returns
    -------
    tuple[np.ndarray, np.ndarray | None]
        Scaled descriptors, shape [n, d'], NaN for frames without one, and the others.

    Raises
    ------
    ProfileError
        If descriptors differ in length.
    """
    found = [frame.descriptor for frame in frames if frame.descriptor is not None]
    lengths = {len(d) for d in found} | ({known.shape[1]} if known is not None else set())
    if len(lengths) > 1:
        msg = (
            f"expected descriptors of one length, got {sorted(lengths)}; "
            "compute them with one committee"
        )
        raise ProfileError(msg)
    if not found:
        return np.full((len(frames), 1), np.nan), None
    blank = [np.nan] * lengths.pop()
    raw = np.array([blank if f.descriptor is None else f.descriptor for f in frames])
    spread = np.nanstd(raw, axis=0)
    varies = spread > 1e-12 * (1.0 + np.abs(np.nanmean(raw, axis=0)))
    if not varies.any():
        varies[:], spread = True, np.ones_like(spread)
    scale = spread[varies] * np.sqrt(varies.sum())
    return raw[:, varies] / scale, None if known is None else known[:, varies] / scale


def _fill(picker: _Picker, shares: dict[Origin, float], n_total: int) -> None:
    """Let every origin choose its part; unused parts go to the others."""
    available = dict(_count_origins(picker.frames))
    got = dict.fromkeys(shares, 0)
    exhausted = True
    while exhausted:
        exhausted = False
        parts = allocate(n_total, shares, available)
        for origin in sorted(shares, key=ORDER.index):
            while got[origin] < parts[origin] and len(picker.chosen) < n_total:
                if not picker.pick(origin):
                    available[origin], exhausted = got[origin], True
                    break
                got[origin] += 1


def _unknown(frames: Sequence[Frame], known: set[str]) -> tuple[list[Frame], int, int]:
    """Drop frames with a known hash, and repeats among the candidates."""
    seen: set[str] = set()
    pool = []
    n_known = n_same = 0
    for frame in frames:
        digest = frame.frame_hash
        if digest in known:
            n_known += 1
        elif digest in seen:
            n_same += 1
        else:
            seen.add(digest)
            pool.append(frame)
    return pool, n_known, n_same


def _distances_to(points: np.ndarray, others: np.ndarray | None) -> np.ndarray:
    """Distance of each point from the nearest of the others, infinite without any."""
    if others is None or len(others) == 0 or len(points) == 0:
        return np.full(len(points), np.inf)
    return cdist(points, others).min(axis=1)


def _bin(progress: float) -> float:
    return float(_PROGRESS_BINS[np.abs(_PROGRESS_BINS - progress).argmin()])


def _count_origins(frames: Sequence[Frame]) -> Counter[Origin]:
    return Counter(frame.origin for frame in frames)


def _count(frames: Sequence[Frame]) -> dict[str, int]:
    return {origin.value: n for origin, n in sorted(_count_origins(frames).items())}
