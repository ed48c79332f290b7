"""Frames worth a label: known ones, near-duplicates and untrusted ones left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from ionloop.frame import Frame, Origin
from ionloop.select.budget import allocate
from ionloop.select.picker import Picker
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
    known_descriptors: np.ndarray | Iterable[np.ndarray] | None = None,
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
        Descriptors of labelled frames, of the same committee, shape [m, d], or several such
        arrays, which are taken one at a time.
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
    picker = Picker(trusted, min_distance, rng, known_descriptors)
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


def _fill(picker: Picker, shares: dict[Origin, float], n_total: int) -> None:
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


def _count_origins(frames: Sequence[Frame]) -> Counter[Origin]:
    return Counter(frame.origin for frame in frames)


def _count(frames: Sequence[Frame]) -> dict[str, int]:
    return {origin.value: n for origin, n in sorted(_count_origins(frames).items())}
