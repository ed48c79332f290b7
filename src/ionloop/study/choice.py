"""What an arm chooses out of what a committee found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ionloop.frame import Frame, Origin
from ionloop.seed.schema import Displacements
from ionloop.select.diversity import choose
from ionloop.select.fingerprints import labelled_fingerprints
from ionloop.select.strained import strained_candidates
from ionloop.study.arms import LoopArm
from ionloop.study.learned import Learned


@dataclass(frozen=True)
class Choice:
    """Frames to label, and what was found.

    Parameters
    ----------
    frames
        Frames to label.
    n_filled
        Of these, taken since the arm found too few: other explored frames, random ones first,
        then the next of the reference's MD.
    n_hops, n_ended
        Hops in the committee's runs, and runs that ended early.
    """

    frames: list[Frame]
    n_filled: int = 0
    n_hops: int | None = None
    n_ended: int | None = None

    def filled_up(self, n: int, aimd: Sequence[Frame], known: Sequence[Frame]) -> Choice:
        """Take frames of the reference's MD for what is missing, so that labels are equal."""
        taken = {frame.frame_hash for frame in [*self.frames, *known]}
        left = [frame for frame in aimd if frame.frame_hash not in taken]
        more = left[: n - len(self.frames)]
        return replace(self, frames=[*self.frames, *more], n_filled=self.n_filled + len(more))


def choose_labels(
    arm: LoopArm,
    learned: Learned,
    known: Sequence[Frame],
    n: int,
    displacements: Displacements,
    rng: np.random.Generator,
) -> Choice:
    """Choose frames as the campaign's selection does, with the arm's shares.

    Parameters
    ----------
    arm
        The way to choose.
    learned
        The committee that explores.
    known
        Frames that were asked before.
    n
        Frames wanted; fewer come back where exploration found fewer in all.
    displacements
        How candidates are strained, where the arm has a share for them.
    rng
        Random generator.
    """
    plan, calibration = learned.plan, learned.trained.calibration
    shares = arm.shares_of(plan.profile.budget.shares)
    found = learned.candidates(n, list(shares), pulled=arm.pulled)
    frames = found.frames
    if Origin.STRAIN in shares:
        frames = [*frames, *strained_candidates(frames, displacements, calibration.sigma_hi, rng)]
    competing = frames
    if arm.every_frame:
        competing = [f.model_copy(update={"origin": Origin.UNCERTAIN}) for f in frames]
    atoms = [frame.to_atoms() for frame in known]
    selection = choose(
        competing,
        {frame.frame_hash for frame in known},
        shares,
        n,
        min_distance=plan.min_distance,
        sigma_hi=calibration.sigma_hi,
        rng=rng,
        generation=0,
        known_descriptors=labelled_fingerprints(
            atoms, learned.judge.calculator, plan.profile.mobile_ion
        ),
        ceiling_exempt=(Origin.RANDOM, Origin.SADDLE),
    )
    chosen = selection.frames
    left = _left(found.frames, {frame.frame_hash for frame in [*known, *chosen]}, rng)
    filled = left[: n - len(chosen)]
    bare = [
        frame.model_copy(update={"descriptor": None, "uncertainty": None})
        for frame in [*chosen, *filled]
    ]
    return Choice(bare, len(filled), found.n_hops, found.n_ended)


def _left(frames: Sequence[Frame], taken: set[str], rng: np.random.Generator) -> list[Frame]:
    """Return the explored frames that nobody has taken in a random order, random ones first."""
    unique = {f.frame_hash: f for f in frames if f.frame_hash not in taken}
    free = list(unique.values())
    shuffled = [free[i] for i in rng.permutation(len(free))]
    return sorted(shuffled, key=lambda frame: frame.origin is not Origin.RANDOM)
