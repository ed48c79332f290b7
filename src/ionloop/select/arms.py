"""Ways to choose labels, each the campaign's own selection with other shares.

An arm sees structures, and what a committee makes of them; labels are hidden from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ionloop.errors import ProfileError
from ionloop.explore.bottleneck import anions, openness
from ionloop.explore.uncertainty import fingerprint
from ionloop.frame import Frame, HopTag, Origin
from ionloop.select.diversity import choose
from ionloop.select.fingerprints import labelled_fingerprints
from ionloop.train import mace
from ionloop.train.calibration import ion_spread, mobile_ions

T = TypeVar("T")

#: Share of the candidates, the most open ones, that a mixed arm takes for hop frames.
OPEN_SHARE = 0.2
#: A frame at this quantile of openness counts as halfway of a hop, s = 0.5.
HALFWAY = 0.99
#: Near-duplicates are within this, as in a campaign; in standard deviations of the candidates.
MIN_DISTANCE = 0.1


@dataclass(frozen=True)
class Arm:
    """One way to choose.

    Parameters
    ----------
    shares
        Share of the labels by origin, as in a campaign's budget. ``UNCERTAIN`` takes the highest
        spread, ``HOP`` fills the bins of openness evenly, ``RANDOM`` draws, ``AIMD`` takes the
        farthest points.
    describes
        Whether fingerprints are needed.
    min_distance
        Near-duplicates are within this.
    """

    shares: dict[Origin, float]
    describes: bool = True
    min_distance: float = MIN_DISTANCE

    @property
    def looks(self) -> bool:
        """Whether the arm asks the committee."""
        return set(self.shares) != {Origin.RANDOM}


ARMS = {
    "random": Arm({Origin.RANDOM: 1.0}, describes=False),
    "sigma": Arm({Origin.UNCERTAIN: 1.0}, describes=False, min_distance=0.0),
    "sigma-distinct": Arm({Origin.UNCERTAIN: 1.0}),
    "diverse": Arm({Origin.AIMD: 1.0}),
    "bottleneck": Arm({Origin.HOP: 1.0}),
    # A campaign's shares, where saddles count as hops and strained frames as uncertain ones.
    "loop": Arm({Origin.HOP: 0.6, Origin.UNCERTAIN: 0.3, Origin.RANDOM: 0.1}),
}


def arms_named(names: Sequence[str]) -> dict[str, Arm]:
    """Look arms up by name.

    Raises
    ------
    ProfileError
        If one isn't known, or there is none.
    """
    return named(names, ARMS)


def named(names: Sequence[str], known: Mapping[str, T]) -> dict[str, T]:
    """Look up what is compared by name, each once.

    Raises
    ------
    ProfileError
        If one isn't known, or there is none.
    """
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        msg = f"expected arms out of {', '.join(known)}, got {', '.join(unknown) or 'none'}"
        raise ProfileError(msg)
    return {name: known[name] for name in dict.fromkeys(names)}


@dataclass(frozen=True)
class View:
    """What an arm may look at: candidates, labelled structures and the committee.

    Parameters
    ----------
    candidates
        Structures that may be chosen.
    groups
        Group of each.
    labelled
        Structures that were chosen before.
    mobile_ion
        Element of the mobile ion.
    load
        Loads the committee that was trained on the labelled ones, once an arm asks for it.
    """

    candidates: Sequence[Atoms]
    groups: Sequence[str]
    labelled: Sequence[Atoms]
    mobile_ion: str
    load: Callable[[], Calculator]

    @cached_property
    def committee(self) -> Calculator:
        """The committee."""
        return self.load()

    @cached_property
    def spread(self) -> list[np.ndarray]:
        """Committee's spread on each mobile ion of each candidate, eV/Å, not calibrated."""
        ions = [mobile_ions(atoms, self.mobile_ion) for atoms in self.candidates]
        _, forces = mace.predict(self.committee, self.candidates)
        return [ion_spread(f, m) for f, m in zip(forces, ions, strict=True)]

    @cached_property
    def open(self) -> list[np.ndarray]:
        """Openness of each mobile ion of each candidate."""
        negative = anions(self.candidates[0].get_chemical_symbols())
        return [openness(atoms, self.mobile_ion, negative) for atoms in self.candidates]


def pick(arm: Arm, view: View, n: int, rng: np.random.Generator) -> list[int]:
    """Choose candidates by an arm.

    Where near-duplicates leave too few, the rest is drawn at random, so that all arms cost the
    same labels.

    Returns
    -------
    list[int]
        Indices of ``n`` candidates, or of all where there are fewer.
    """
    frames = _frames(arm, view, n, rng)
    known = None
    if arm.describes and view.labelled:
        known = labelled_fingerprints(view.labelled, view.committee, view.mobile_ion)
    selection = choose(
        frames,
        (),
        arm.shares,
        min(n, len(frames)),
        min_distance=arm.min_distance,
        sigma_hi=np.inf,
        rng=rng,
        generation=0,
        known_descriptors=known,
    )
    index = {frame.frame_hash: i for i, frame in reversed(list(enumerate(frames)))}
    chosen = [index[frame.frame_hash] for frame in selection.frames]
    left = np.setdiff1d(np.arange(len(frames)), chosen)
    missing = min(n, len(frames)) - len(chosen)
    return [*chosen, *rng.choice(left, missing, replace=False).tolist()]


def _frames(arm: Arm, view: View, n: int, rng: np.random.Generator) -> list[Frame]:
    """Turn candidates into frames that the campaign's selection knows."""
    origins = _origins(arm, view, n, rng)
    if not arm.looks:
        return [
            Frame.from_atoms(a, origin=o, group=g)
            for a, o, g in zip(view.candidates, origins, view.groups, strict=True)
        ]
    widest = [float(q.max()) for q in view.open] if Origin.HOP in arm.shares else None
    halfway = 1.0 if widest is None else max(float(np.quantile(widest, HALFWAY)), 1e-9)
    frames = []
    for i, (atoms, origin) in enumerate(zip(view.candidates, origins, strict=True)):
        ions = mobile_ions(atoms, view.mobile_ion)
        hop = None
        if origin is Origin.HOP and widest is not None:
            focus = int(ions[view.open[i].argmax()])
            s = 0.5 * min(widest[i] / halfway, 1.0)
            hop = HopTag(ion=focus, progress=s, path_class="pool", event=view.groups[i])
        else:
            focus = int(ions[view.spread[i].argmax()])
        frames.append(
            Frame.from_atoms(
                atoms,
                origin=origin,
                group=view.groups[i],
                hop=hop,
                uncertainty=float(view.spread[i].max()) if origin is Origin.UNCERTAIN else None,
                descriptor=fingerprint(view.committee, atoms, focus) if arm.describes else None,
            )
        )
    return frames


def _origins(arm: Arm, view: View, n: int, rng: np.random.Generator) -> list[Origin]:
    """Say for which share each candidate competes.

    An arm of one share takes all for it. In a mixed one random candidates are drawn first, the
    most open of the others are hop frames, and what is left is for the uncertain ones.
    """
    count = len(view.candidates)
    if len(arm.shares) == 1:
        return [next(iter(arm.shares))] * count
    origins = [Origin.UNCERTAIN] * count
    lot = rng.permutation(count)
    n_random = round(arm.shares.get(Origin.RANDOM, 0.0) * n)
    drawn, rest = lot[:n_random], lot[n_random:]
    for i in drawn:
        origins[i] = Origin.RANDOM
    n_open = max(round(OPEN_SHARE * len(rest)), round(arm.shares.get(Origin.HOP, 0.0) * n))
    for i in sorted(rest, key=lambda i: -view.open[i].max())[:n_open]:
        origins[i] = Origin.HOP
    return origins
