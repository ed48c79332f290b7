"""The arms: where each takes its labels from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ionloop.frame import Origin
from ionloop.select.arms import named


@dataclass(frozen=True)
class LoopArm:
    """One way to choose labels.

    Parameters
    ----------
    shares
        Share of the labels by origin of what the committee's own exploration finds. Empty: none
        of it, the reference's MD goes on instead.
    budget
        Whether the profile's own shares are taken.
    fine_tuned
        Whether trainings start from the foundation model.
    every_frame
        Whether every explored frame competes for its uncertainty, whatever it was picked for.
    pulled
        Whether ions are pulled in more runs where the committee's own show few hops.
    """

    shares: dict[Origin, float]
    budget: bool = False
    fine_tuned: bool = False
    every_frame: bool = False
    pulled: bool = False

    @property
    def explores(self) -> bool:
        """Whether it explores with the committee."""
        return self.budget or bool(self.shares)

    def shares_of(self, budget: dict[Origin, float]) -> dict[Origin, float]:
        """Return the shares, given the profile's."""
        return budget if self.budget else self.shares


ARMS = {
    "aimd": LoopArm({}),
    "random": LoopArm({Origin.RANDOM: 1.0}),
    "sigma": LoopArm({Origin.UNCERTAIN: 1.0}, every_frame=True),
    "hop": LoopArm({Origin.HOP: 1.0}),
    "hop+saddle": LoopArm({Origin.HOP: 0.65, Origin.SADDLE: 0.35}),
    "loop": LoopArm({}, budget=True),
    "hop+saddle+pulled": LoopArm({Origin.HOP: 0.65, Origin.SADDLE: 0.35}, pulled=True),
    "loop+pulled": LoopArm({}, budget=True, pulled=True),
    "fine-tune": LoopArm({}, budget=True, fine_tuned=True),
}
#: What is compared if nothing is asked; ``fine-tune`` needs a foundation model.
DEFAULT = ("aimd", "random", "sigma", "hop", "hop+saddle")


def arms_named(names: Sequence[str]) -> dict[str, LoopArm]:
    """Look arms up by name.

    Raises
    ------
    ProfileError
        If one isn't known, or there is none.
    """
    return named(names, ARMS)
