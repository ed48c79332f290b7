"""Which frames of a batch are asked where the budget can't pay for all."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

from ionloop.errors import LabelError
from ionloop.frame import Frame
from ionloop.profile import Budget

logger = logging.getLogger(__name__)

#: A batch's frames stand in documents of MongoDB, which holds 16 MB each, beside other inputs.
BATCH_MAX_BYTES = 14_000_000


def require_size(frames: Sequence[Frame]) -> None:
    """Check that a batch fits into one document of MongoDB.

    Raises
    ------
    LabelError
        If it doesn't: FireWorks would refuse it with a message about BSON.
    """
    size = sum(len(frame.model_dump_json()) for frame in frames)
    if size > BATCH_MAX_BYTES:
        fits = int(len(frames) * BATCH_MAX_BYTES / size)
        msg = (
            f"expected a batch of at most {BATCH_MAX_BYTES / 1e6:.0f} MB, got {len(frames)} frames "
            f"of {size / 1e6:.0f} MB; about {fits} of them fit: lower "
            "Budget.labels_per_generation, or of the seeds SeedMaker.stride or displacements"
        )
        raise LabelError(msg)


def affordable(
    frames: Sequence[Frame], budget: Budget, spent: int, reserve: int
) -> tuple[list[Frame], dict[str, int]]:
    """Part what the budget still pays for from what it doesn't, and log the latter.

    Parameters
    ----------
    frames
        The batch.
    budget
        The campaign's budget.
    spent
        Frames that were asked so far.
    reserve
        Labels to keep back.

    Returns
    -------
    tuple[list[Frame], dict[str, int]]
        Frames to ask, and the number of those left out by origin.
    """
    room = budget.left(spent, reserve)
    kept = within_budget(frames, room)
    left_out = dict(by_origin(frames) - by_origin(kept))
    if left_out:
        logger.warning(
            "%d frames to label, %d left of Budget.labels_max=%d (%d asked before, %d kept back); "
            "left out: %s", len(frames), room, budget.labels_max, spent, reserve, left_out,
        )  # fmt: skip
    return kept, left_out


def within_budget(frames: Sequence[Frame], room: int) -> list[Frame]:
    """Keep at most ``room`` frames, balanced over origins and over groups inside an origin.

    Scarce origins are kept whole and plentiful ones are thinned, evenly along a trajectory
    or band. The choice depends on nothing but the frames and their order.

    Parameters
    ----------
    frames
        The batch.
    room
        Frames that may be asked, 0 or more.

    Returns
    -------
    list[Frame]
        In the order of ``frames``; all of them if they fit.
    """
    kept: list[int] = []
    origins = _parts((frame.origin, i) for i, frame in enumerate(frames))
    for part, n_part in zip(origins, fair_shares(room, origins), strict=True):
        groups = _parts((frames[i].group, i) for i in part)
        for group, n_group in zip(groups, fair_shares(n_part, groups), strict=True):
            kept += evenly(group, n_group)
    return [frames[i] for i in sorted(kept)]


def fair_shares(n_total: int, parts: Sequence[Sequence[int]]) -> list[int]:
    """Deal a number out in turns, one each, to every part that isn't full.

    Returns
    -------
    list[int]
        One number a part, at most its length; ties go to the earlier part.
    """
    given = [0] * len(parts)
    for _ in range(min(n_total, sum(len(part) for part in parts))):
        unfilled = [i for i, part in enumerate(parts) if given[i] < len(part)]
        given[min(unfilled, key=given.__getitem__)] += 1
    return given


def evenly(items: Sequence[int], n: int) -> list[int]:
    """Take ``n`` of the items, at most all, at the middles of ``n`` equal stretches."""
    return [items[(2 * k + 1) * len(items) // (2 * n)] for k in range(n)]


def by_origin(frames: Iterable[Frame]) -> Counter[str]:
    """Count frames by origin."""
    return Counter(frame.origin.value for frame in frames)


def _parts(keyed: Iterable[tuple[Hashable, int]]) -> list[list[int]]:
    """Gather numbers by their key, keys in order of first appearance."""
    found: dict[Hashable, list[int]] = {}
    for key, i in keyed:
        found.setdefault(key, []).append(i)
    return list(found.values())
